"""Optional packages: whether they are installed, and what to do where they are not."""

import importlib.util

from rust_tuner.errors import ExtraError


def require_package(package: str, *, what: str, extra: str) -> None:
    """Check that an optional package is installed; nothing is imported.

    Args:
        package: its name, as it is imported and installed.
        what: what needs it, the beginning of the message, such as `the dashboard needs`.
        extra: the extra of this package that brings it.

    Raises:
        ExtraError: if it is missing; the message says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise ExtraError(
            f"{what} the package {package}, which is not installed; install it (python -m pip "
            f"install {package}), or rust-tuner with its extra: rust-tuner[{extra}]"
        )
