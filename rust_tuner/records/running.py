"""What a running search leaves in a study's folder while it runs; it is read, and never locked.

The holder's file is written by `locks.hold_lock`, the curves of an unfinished fold by
`folds.EpochCheckpoint`.
"""

import io
import json
import os
import platform
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rust_tuner.errors import RustTunerError
from rust_tuner.files import read_json

_HOLDER = ".lock-holder.json"
# Curves are a few kilobytes; a larger entry is not one of ours.
_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class Holder:
    """The process that works in a folder.

    Attributes:
        process: its id.
        host: its machine.
        purpose: what it does, such as `Regime I`.
        since: when it began, as ISO 8601.
    """

    process: int
    host: str
    purpose: str
    since: str


def holder_of(folder: Path) -> Holder | None:
    """The process that works in a folder; None where there is none, or it has ended.

    A process on another machine counts as running, since that cannot be known from here.
    """
    try:
        found = read_json(folder / _HOLDER)
        since = str(found["since"]).removeprefix("since ")
        holder = Holder(int(found["process"]), str(found["host"]), str(found["purpose"]), since)
    except (OSError, RustTunerError, KeyError, TypeError, ValueError):
        return None
    return holder if holder.host != platform.node() or _is_alive(holder.process) else None


def unfinished_curves(path: Path) -> dict[str, list[float]]:
    """The validation curves so far of a long fold that is being trained; empty where unknown.

    Args:
        path: its `fold_0.epoch.npz`, of which only the curves are read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("past.npy").file_size > _MOST_BYTES:
                return {}
            array = np.load(io.BytesIO(archive.read("past.npy")), allow_pickle=False)
        epochs = json.loads(array.tobytes())["validation"]
        return {name: [float(epoch[name]) for epoch in epochs] for name in epochs[0]}
    # The file may be replaced or removed while it is read.
    except (OSError, KeyError, IndexError, TypeError, ValueError, zipfile.BadZipFile):
        return {}


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It exists, but belongs to somebody else.
        return True
    return True
