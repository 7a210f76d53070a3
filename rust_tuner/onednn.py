"""Switches TensorFlow's oneDNN kernels on or off before TensorFlow is imported.

The package's first import makes the choice, so only `os` and `sys` are imported here. What
TensorFlow then uses is reported by `models.runtime`.
"""

import os
import sys

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
# The value that we set for the variable above; empty if we removed it. It is also an environment
# variable, so that child processes can distinguish our choice from the user's.
_OUR_CHOICE = "RUST_TUNER_ONEDNN_OPTS"
_WINDOWS_MACHINE = "PROCESSOR_ARCHITECTURE"


def can_switch_onednn() -> bool:
    """Whether the environment variable switches TensorFlow's oneDNN kernels on this machine.

    On macOS TensorFlow is built without oneDNN, and on Arm the variable chooses other kernels; in
    both cases TensorFlow's default is kept.
    """
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get(_WINDOWS_MACHINE, "")
    return machine.lower() in ("x86_64", "amd64") and sys.platform != "darwin"


def choose_onednn(enabled: bool | None = True) -> None:
    """Switch TensorFlow's oneDNN kernels on or off, unless the user has chosen already.

    TensorFlow leaves them off on processors without AVX-512 or AMX, where training takes two to
    three times as long without them. It reads the variable once, while it is imported.

    Args:
        enabled: whether to switch them on or off; None keeps TensorFlow's default.
    """
    if not can_switch_onednn() or "tensorflow" in sys.modules or user_chose_onednn():
        return
    if enabled is None:
        os.environ.pop(ONEDNN_VARIABLE, None)
        os.environ[_OUR_CHOICE] = ""
    else:
        os.environ[ONEDNN_VARIABLE] = os.environ[_OUR_CHOICE] = str(int(enabled))


def user_chose_onednn() -> bool:
    """Whether the user, not this package, has set TensorFlow's variable."""
    value = os.environ.get(ONEDNN_VARIABLE)
    return value is not None and value != os.environ.get(_OUR_CHOICE)


def onednn_is_chosen() -> bool:
    """Whether anyone has decided on oneDNN: the user, or this package."""
    return ONEDNN_VARIABLE in os.environ or os.environ.get(_OUR_CHOICE) == ""
