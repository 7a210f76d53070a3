"""A full-size Regime I on synthetic features, without the extraction: 100 trials, timed as a whole.

    python -m experiments.benchmarks.regime_1 [--trials 100] [--stopping]

2,490 images, 6 folds, 20 epochs, batch size 16-2048 and dropout rate 0-0.5, every record written.
With `--stopping` the same search runs a second time and stops hopeless trials; the table compares
time, epochs and the best trial. Labels then follow the features, so that trials differ.
`--images`, `--folds` and `--epochs` make it smaller.
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
    learnable_data,
    print_table,
    synthetic_data,
    synthetic_features,
)
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.hypermodels import TransferLearningHyperModel
from rust_tuner.models.runtime import start_backend
from rust_tuner.progress import ConsoleProgress
from rust_tuner.search.random_search import RandomSearchOracle
from rust_tuner.search.subjects import Subject
from rust_tuner.search.tuner import CrossValidationTuner


def search(
    folder: Path,
    subject: Subject,
    hypermodel: TransferLearningHyperModel,
    options: argparse.Namespace,
    *,
    stop_hopeless: bool,
) -> tuple[CrossValidationTuner, float, float]:
    """A tuner that has searched, with its seconds and CPU seconds."""
    tuner = CrossValidationTuner(
        hypermodel,
        RandomSearchOracle(keras_tuner.Objective("val_auroc", "max"), options.trials, seed=0),
        directory=folder,
        project_name="stopping" if stop_hopeless else "regime_1",
        progress=ConsoleProgress(),
    )
    start, cpu_start = time.perf_counter(), time.process_time()
    tuner.search_subject(subject, epochs=options.epochs, stop_hopeless=stop_hopeless)
    return tuner, time.perf_counter() - start, time.process_time() - cpu_start


def trained_epochs(tuner: CrossValidationTuner) -> int:
    """Epochs that a search trained, summed over its trials."""
    history = tuner.history()
    return int(history.groupby("trial")["epoch"].nunique().sum())


def main() -> None:
    """Search, and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folds", type=int, default=NUM_FOLDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--stopping", action="store_true", help="search again, and compare")
    options = parser.parse_args()
    start_backend()
    hypermodel = TransferLearningHyperModel()
    features = synthetic_features(options.images)

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> keras.Model:
        metrics: list[Any] | None = None if running is None else [running]
        return hypermodel.build_head(hp, metrics=metrics)

    subject = Subject(
        data=learnable_data(features) if options.stopping else synthetic_data(features),
        folds=tuple(folds_of(options.images, options.folds)),
        build=build,
        keeps_running=True,
        identity={"num_folds": options.folds},
        view_only={},
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for stops in (False, True) if options.stopping else (False,):
            tuner, seconds, cpu_seconds = search(
                Path(folder), subject, hypermodel, options, stop_hopeless=stops
            )
            results = tuner.results()
            rows.append(
                (
                    "stopped" if stops else "trained to the end",
                    len(results),
                    f"{seconds / 60:.1f}",
                    f"{cpu_seconds:.0f}",
                    f"{seconds / len(results):.1f}",
                    f"{results['seconds'].sum() / len(results):.1f}",
                    trained_epochs(tuner),
                    f"{tuner.best_trial} ({tuner.best_score:.4f})",
                )
            )
    print_table(
        f"Regime I: {options.images} images, {options.folds} folds, {options.epochs} epochs",
        [
            "hopeless trials",
            "trials",
            "minutes",
            "CPU s",
            "seconds a trial",
            "of it training",
            "epochs",
            "best trial",
        ],
        rows,
    )


if __name__ == "__main__":
    main()
