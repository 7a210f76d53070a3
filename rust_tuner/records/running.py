"""The curves of a fold that is being trained, as `folds.EpochCheckpoint` keeps them."""

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

# Curves are a few kilobytes; a larger entry is not one of ours.
_MOST_BYTES = 8 << 20


def unfinished_curves(path: Path) -> dict[str, list[float]]:
    """The validation curves so far of a long fold that is being trained; empty if unknown.

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
    # The file may be replaced or removed while it is read, or be none of ours.
    except (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
        return {}
