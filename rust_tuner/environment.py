"""What a step of a study runs on: processor, memory and system, and TensorFlow's oneDNN.

The last digits of a score depend on it; who repeats a study has to know it. Names of machines are
not recorded. TensorFlow's state once it runs belongs to `models.runtime`.
"""

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
# The value that we gave the variable above, empty where we took it away. An environment variable
# too, so that a process that this one starts can tell our choice from the user's.
_OUR_CHOICE = "RUST_TUNER_ONEDNN_OPTS"

_GIBIBYTE = 1 << 30
_CPU_FACTS = Path("/proc/cpuinfo")
# What processors call their model, by architecture.
_MODEL_FIELDS = ("model name", "Model", "Hardware", "cpu model")


def describe_machine() -> dict[str, Any]:
    """Facts of this machine as JSON values; None where the system does not tell."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "memory_gib": _memory_gib(),
        "python": platform.python_version(),
    }


def can_switch_onednn() -> bool:
    """Whether TensorFlow takes its oneDNN from the environment variable on this machine.

    On macOS it is built without oneDNN, and on Arm the same variable chooses other kernels; there
    TensorFlow's own default stays.
    """
    return platform.machine().lower() in ("x86_64", "amd64") and platform.system() != "Darwin"


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


def _processor() -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = [line.split(":", 1) for line in _CPU_FACTS.read_text().splitlines()]
        facts = {line[0].strip(): line[1].strip() for line in lines if len(line) > 1}
        for name in _MODEL_FIELDS:
            if facts.get(name):
                return facts[name]
    return platform.processor() or None


def _usable_cores() -> int | None:
    """How many cores this process may run on, which a container may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_gib() -> float | None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIBIBYTE, 1)
    return None
