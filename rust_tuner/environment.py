"""Describes the machine that a step of a study runs on: processor, memory and system.

The last digits of a score depend on them, so anyone who repeats a study needs to know them. The
host's name is not part of it; `last_run` notes it. TensorFlow's own state is described by
`models.runtime`.
"""

import contextlib
import gc
import math
import os
import platform
from pathlib import Path
from typing import Any

_GIBIBYTE = 1 << 30
CPU_FACTS = Path("/proc/cpuinfo")
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# The fields of /proc/cpuinfo that hold the processor's model, depending on the architecture.
_MODEL_FIELDS = ("model name", "Model", "Hardware", "cpu model")


def describe_machine() -> dict[str, Any]:
    """Facts of this machine as JSON values; None if the system does not report it."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "python": platform.python_version(),
    }


def _processor() -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        lines = [line.split(":", 1) for line in CPU_FACTS.read_text().splitlines()]
        facts = {line[0].strip(): line[1].strip() for line in lines if len(line) > 1}
        for name in _MODEL_FIELDS:
            if facts.get(name):
                return facts[name]
    return platform.processor() or None


def usable_cores() -> int | None:
    """The number of cores that this process may use; a container may limit it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def memory_bytes() -> float:
    """The memory that this process may use, in bytes; infinity where the system does not say."""
    limits = []
    with contextlib.suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    # A container may limit it; "max" is no limit.
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(ValueError, OSError):
            limits.append(int(Path(path).read_text()))
    return min(limits, default=math.inf)


def _memory_gib() -> float | None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIBIBYTE, 1)
    return None


def objects_are_frozen() -> bool:
    """Whether the garbage collector passes over what existed when `gc.freeze` was called.

    Python 3.12 counts some 400 immortal objects of its own as frozen, from its first collection on.
    Whoever freezes has thousands.
    """
    return gc.get_freeze_count() > 1_000
