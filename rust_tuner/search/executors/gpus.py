"""Which GPUs this machine has, and which of them a process of ours uses.

TensorFlow is not imported here: it would take the memory of every GPU.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import filelock

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SECONDS = 20
# `GPU 0: NVIDIA A100 (UUID: GPU-1f3c...)`, and below it, for each part of a divided one,
# `  MIG 1g.5gb Device 0: (UUID: MIG-7a2e...)`.
_DEVICE = re.compile(r"^(?P<indent>\s*)(?:GPU|MIG)\b.*\(UUID: (?P<name>[^)]+)\)")
# Set before TensorFlow or JAX starts: several processes may share a GPU.
GROWING_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def gpus_here(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs of NVIDIA that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Those that the variable names, if it is set; else those that the driver's own program lists.
    Where that is missing, and on other makes of GPU, none.

    Args:
        environment: the variables of this process.
    """
    visible = environment.get(VISIBLE)
    if visible is not None:
        return _named(visible)
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    try:
        listed = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return _listed(listed.stdout)


def _named(visible: str) -> list[str]:
    """The devices of the variable; as for CUDA, those behind an invalid one do not count."""
    names: list[str] = []
    for part in visible.split(","):
        name = part.strip()
        if not name or name.startswith("-") or name in names:
            break
        names.append(name)
    return names


def _listed(text: str) -> list[str]:
    names: list[str] = []
    whole: str | None = None
    for line in text.splitlines():
        match = _DEVICE.match(line)
        if match is None:
            continue
        if not match["indent"]:
            whole = match["name"]
            names.append(whole)
            continue
        # A process cannot use a GPU that is divided, only one of its parts.
        if whole in names:
            names.remove(whole)
        names.append(match["name"])
    return names


def take_a_place(folder: Path, num_places: int) -> int:
    """The number of a place that no other living process has, from 0; it is kept until the end.

    Args:
        folder: shared by the processes.
        num_places: how many there are at least.
    """
    position = 0
    while True:
        lock = filelock.FileLock(folder / f"{position}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            # A process that is replaced may still be ending.
            position += 1
            continue
        _places.append(lock)
        return position % num_places


# Kept, since a lock is released once nothing refers to it.
_places: list[filelock.FileLock] = []
