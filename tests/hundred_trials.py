"""A search of many trials on frozen features, which notes the memory after each."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from rust_tuner import CrossValidationTuner, RandomSearchOracle, TransferLearningHyperModel
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.search.subjects import Subject

NUM_ROWS, NUM_FOLDS = 60, 3
# The study's 2048 would make a head four times as large, and training it three times as long.
NUM_FEATURES = 128


class NotingMemory(CrossValidationTuner):
    """Keeps how much memory is resident, in bytes, at the end of each trial."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resident: list[int] = []

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.resident.append(pages * os.sysconf("SC_PAGE_SIZE"))


def figures(answers: Any, *rest: object) -> list[Mapping[str, float]]:
    return [{"auroc": float(fold.mean())} for fold in answers]


def search_with_memory(directory: str, noted: str, max_trials: int) -> None:
    """Search, and write the bytes after each trial as JSON."""
    rng = np.random.default_rng(0)
    labels = (rng.random((NUM_ROWS, 18)) < 0.4).astype(np.float32)
    values = rng.random((NUM_ROWS, 2, NUM_FEATURES), dtype=np.float32)
    fold_of = np.arange(NUM_ROWS) % NUM_FOLDS
    hypermodel = TransferLearningHyperModel()
    subject = Subject(
        data=TrainingData(FrozenFeatures(values, "features"), labels, figures),
        folds=tuple(
            (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
            for fold in range(NUM_FOLDS)
        ),
        build=lambda hp, running: hypermodel.build_head(hp, NUM_FEATURES),
        keeps_running=True,
        identity={"num_folds": NUM_FOLDS},
        view_only={},
    )
    objective = keras_tuner.Objective("val_auroc", "max")
    oracle = RandomSearchOracle(objective, max_trials=max_trials)
    tuner = NotingMemory(hypermodel, oracle, directory=directory, project_name="search")
    tuner.search_subject(subject, epochs=1)
    Path(noted).write_text(json.dumps(tuner.resident))
