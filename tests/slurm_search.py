"""A search whose trials run in SLURM, and stop in the middle of a trial while a file is there."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from search_problems import TinyHyperModel, arrays, make_tuner

WORKERS = "slurm:2?trials_per_job=2"
TRIALS = 4


class HeldHyperModel(TinyHyperModel):
    """In a job, waits before the second fold of its first trial."""

    builds = 0

    def __init__(self, hold: str) -> None:
        super().__init__()
        self.hold = hold

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        HeldHyperModel.builds += 1
        while self.builds == 2 and "SUBMITIT_EXECUTOR" in os.environ and Path(self.hold).exists():
            time.sleep(0.05)
        return super().build(hp)


def search(folder: Path, hold: Path, **options: Any) -> Any:
    """Search in a folder; `workers` and `progress` as they are given."""
    workers = options.pop("workers", None)
    model = HeldHyperModel(str(hold))
    tuner = make_tuner(folder, "random", max_trials=TRIALS, hypermodel=model, **options)
    tuner.search(*arrays(), epochs=2, batch_size=16, workers=workers)
    return tuner


if __name__ == "__main__":
    # As users' scripts do, so that jobs import the class from its module.
    import slurm_search

    slurm_search.search(Path(sys.argv[1]), Path(sys.argv[2]), workers=WORKERS)
