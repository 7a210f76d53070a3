"""A full-size Regime I on synthetic features, without the extraction: 100 trials, timed as a whole.

    python -m experiments.benchmarks.regime_1 [--trials 100]

2,490 images, 6 folds, 20 epochs, batch size 16-2048 and dropout rate 0-0.5, every record written.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from experiments.benchmarks.common import (
    EPOCHS,
    IMAGES,
    NUM_FOLDS,
    folds_of,
    print_table,
    synthetic_data,
    synthetic_features,
)
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.hypermodels import TransferLearningHyperModel
from rust_tuner.models.runtime import start_backend
from rust_tuner.search.random_search import RandomSearchOracle
from rust_tuner.search.subjects import Subject
from rust_tuner.search.tuner import CrossValidationTuner


def main() -> None:
    """Search, and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    start_backend()
    hypermodel = TransferLearningHyperModel()
    features = synthetic_features()

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> keras.Model:
        metrics: list[Any] | None = None if running is None else [running]
        return hypermodel.build_head(hp, metrics=metrics)

    subject = Subject(
        data=synthetic_data(features),
        folds=tuple(folds_of()),
        build=build,
        keeps_running=True,
        identity={"num_folds": NUM_FOLDS},
        view_only={},
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = CrossValidationTuner(
            hypermodel,
            RandomSearchOracle(keras_tuner.Objective("val_auroc", "max"), arguments.trials),
            directory=Path(folder),
            project_name="regime_1",
            progress=ConsoleProgress(),
        )
        start = time.perf_counter()
        tuner.search_subject(subject, epochs=EPOCHS)
        seconds = time.perf_counter() - start
        results = tuner.results()
    per_trial = results["seconds"].sum() / len(results)
    print_table(
        f"Regime I: {IMAGES} images, {NUM_FOLDS} folds, {EPOCHS} epochs",
        ["trials", "minutes", "seconds a trial", "of it training"],
        [
            (
                len(results),
                f"{seconds / 60:.1f}",
                f"{seconds / len(results):.1f}",
                f"{per_trial:.1f}",
            )
        ],
    )


if __name__ == "__main__":
    main()
