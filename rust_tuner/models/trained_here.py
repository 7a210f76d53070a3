"""What this process trains on, as it is recorded with each fold."""

import functools
import hashlib
import os
import platform
from typing import Any

import keras

from rust_tuner.environment import describe_machine
from rust_tuner.models.runtime import describe_backend

_DIGITS = 8


@functools.cache
def trained_here() -> dict[str, Any]:
    """Threads, kernels, processor, GPU and a label of the machine; only what is known.

    Host names are not recorded. Call it once training has begun, when nothing of this changes.
    """
    backend, machine = describe_backend(), describe_machine()
    gpus = [name for name in backend["devices"] if not name.startswith("CPU")]
    facts = {
        "threads": _threads(backend["intra_op_threads"], machine["usable_cores"]),
        "onednn": backend["onednn"],
        "processor": machine["processor"],
        "device": gpus[0] if gpus else None,
        "machine": hashlib.sha256(platform.node().encode()).hexdigest()[:_DIGITS],
    }
    return {name: value for name, value in facts.items() if value is not None}


def _threads(chosen: int | None, cores: int | None) -> int | None:
    """The threads of an operation; None where the backend does not say."""
    name = keras.backend.backend()
    if name == "tensorflow":
        variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
        set_by_variable = int(variable) if variable.isdecimal() else 0
        return chosen or set_by_variable or cores
    if name == "torch":
        import torch

        return int(torch.get_num_threads())
    return None
