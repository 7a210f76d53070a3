"""Keras without the packages that it imports for features which no command uses.

Keras imports scikit-learn for its wrappers and Matplotlib for its galleries if they are installed,
and does without them if they are not. Together they take a second or more, which a command that
reads one image would rather not spend.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_OPTIONAL = frozenset({"matplotlib", "sklearn"})


@contextlib.contextmanager
def lean_keras() -> Iterator[None]:
    """Import Keras within the block as if its optional packages were not installed.

    Anything else that imports them finds them, within the block too. For a process of a command
    alone: `keras.wrappers` does not work in it.
    """
    finder = _NotForKeras()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _NotForKeras(MetaPathFinder):
    """Finds no optional package while Keras is being imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _OPTIONAL and _is_being_imported("keras"):
            raise ModuleNotFoundError(f"{fullname} is not needed", name=fullname)
        return None


def _is_being_imported(package: str) -> bool:
    # As `importlib` itself does, to report a circular import.
    spec = getattr(sys.modules.get(package), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
