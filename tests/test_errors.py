"""Errors: one tree, drawn as it is."""

import inspect
import re

import pytest

from rust_tuner import RustTunerError as PublicRoot
from rust_tuner import errors
from rust_tuner.errors import RustTunerError

CLASSES = {
    name: value
    for name, value in inspect.getmembers(errors, inspect.isclass)
    if value.__module__ == errors.__name__ and issubclass(value, Exception)
}


def drawn_parents() -> dict[str, str | None]:
    """Each class of the drawing with the class that it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        match = re.match(r"(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if match is None:
            continue
        depth = len(match["branches"]) // 4
        path[depth:] = [match["name"]]
        parents[match["name"]] = path[depth - 1] if depth else None
    return parents


def test_the_drawing_names_every_class_with_its_parent() -> None:
    real = {
        name: next((base.__name__ for base in value.__bases__ if base.__name__ in CLASSES), None)
        for name, value in CLASSES.items()
    }
    assert drawn_parents() == real


def test_every_error_stands_under_the_one_root() -> None:
    assert len(CLASSES) > 10
    assert all(issubclass(value, RustTunerError) for value in CLASSES.values())
    assert [name for name, value in CLASSES.items() if value.__bases__ == (Exception,)] == [
        "RustTunerError"
    ]


def test_every_other_error_is_also_one_of_pythons_own() -> None:
    others = [value for value in CLASSES.values() if value is not RustTunerError]
    for value in others:
        kinds = [
            kind
            for kind in (ValueError, RuntimeError, OSError, ImportError)
            if issubclass(value, kind)
        ]
        assert len(kinds) == 1, value


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_carries_its_message_and_says_what_it_is(name: str) -> None:
    assert str(CLASSES[name]("row 17: medial=5")) == "row 17: medial=5"
    assert (inspect.getdoc(CLASSES[name]) or "").endswith(".")


def test_the_root_is_public() -> None:
    assert PublicRoot is RustTunerError
