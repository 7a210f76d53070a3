"""TensorFlow's oneDNN kernels: who chose them, and the choice before TensorFlow is imported.

The package's first import makes the choice, so nothing but `os` and `sys` is imported here.
TensorFlow's state once it runs belongs to `models.runtime`.
"""

import os
import sys

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
# The value that we gave the variable above, empty where we took it away. An environment variable
# too, so that a process that this one starts can tell our choice from the user's.
_OUR_CHOICE = "RUST_TUNER_ONEDNN_OPTS"
_WINDOWS_MACHINE = "PROCESSOR_ARCHITECTURE"


def can_switch_onednn() -> bool:
    """Whether TensorFlow takes its oneDNN from the environment variable on this machine.

    On macOS it is built without oneDNN, and on Arm the same variable chooses other kernels; there
    TensorFlow's own default stays.
    """
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get(_WINDOWS_MACHINE, "")
    return machine.lower() in ("x86_64", "amd64") and sys.platform != "darwin"


def choose_onednn(enabled: bool | None = True) -> None:
    """Choose TensorFlow's oneDNN kernels before it is imported, where the user has not chosen.

    TensorFlow leaves them off on processors without AVX-512 or AMX, where training takes two to
    three times as long without them. It reads the variable once, while it is imported.

    Args:
        enabled: whether to switch them on or off; None leaves TensorFlow its own default.
    """
    if not can_switch_onednn() or "tensorflow" in sys.modules or user_chose_onednn():
        return
    if enabled is None:
        os.environ.pop(ONEDNN_VARIABLE, None)
        os.environ[_OUR_CHOICE] = ""
    else:
        os.environ[ONEDNN_VARIABLE] = os.environ[_OUR_CHOICE] = str(int(enabled))


def user_chose_onednn() -> bool:
    """Whether the user has set TensorFlow's variable, and not this package."""
    value = os.environ.get(ONEDNN_VARIABLE)
    return value is not None and value != os.environ.get(_OUR_CHOICE)


def onednn_is_chosen() -> bool:
    """Whether anyone has decided on oneDNN: the user, or this package."""
    return ONEDNN_VARIABLE in os.environ or os.environ.get(_OUR_CHOICE) == ""
