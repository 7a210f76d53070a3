"""How the cost of a trial grows with images, folds and trials, and how much memory it takes.

    python -m experiments.benchmarks.growth

Each row's cost per unit of work is given against the first row's: at most 1.0x means that cost
grows no faster than linearly. Work is what the trial's needed matrix products count, since a fold
of ten trains on more images than a fold of two. Memory is the process's peak.
"""

import resource
import time

from experiments.benchmarks.common import (
    configuration,
    folds_of,
    needed_flops,
    print_table,
    synthetic_data,
    synthetic_features,
)
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.runtime import start_backend
from rust_tuner.search.cross_validation import run_folds_together

BATCH_SIZE = 128
EPOCHS = 3


def measure(num_images: int, num_folds: int, trials: int) -> tuple[float, float]:
    """Seconds of so many trials, tracing left out, and the features' size in MiB."""
    features = synthetic_features(num_images)
    trainer = FoldParallelTrainer(synthetic_data(features))
    hypermodel, hyperparameters = configuration(BATCH_SIZE)

    def trial(number: int, epochs: int) -> None:
        run_folds_together(
            lambda: hypermodel.build_head(hyperparameters),
            trainer,
            folds_of(num_images, num_folds),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            seed=0,
            trial=number,
        )

    trial(0, 1)
    start = time.perf_counter()
    for number in range(trials):
        trial(number, EPOCHS)
    return time.perf_counter() - start, features.values.nbytes / 2**20


def main() -> None:
    """Measure each growth and print the table."""
    start_backend()
    rows = []
    for what, cases in (
        ("images", [(500, 6, 1), (2000, 6, 1), (8000, 6, 1)]),
        ("folds", [(2000, 2, 1), (2000, 6, 1), (2000, 10, 1)]),
        ("trials", [(500, 6, 1), (500, 6, 4), (500, 6, 16)]),
    ):
        first = 0.0
        for images, folds, trials in cases:
            seconds, size = measure(images, folds, trials)
            cost = seconds / (trials * needed_flops(images, folds, EPOCHS))
            first = first or cost
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append(
                (
                    what,
                    images,
                    folds,
                    trials,
                    f"{seconds:.1f}",
                    f"{cost / first:.2f}x",
                    f"{size:.0f}",
                    f"{peak:.0f}",
                )
            )
    print_table(
        f"Growth: batch size {BATCH_SIZE}, {EPOCHS} epochs",
        [
            "growing",
            "images",
            "folds",
            "trials",
            "seconds",
            "cost per work",
            "features MiB",
            "peak so far MiB",
        ],
        rows,
        ["Work: needed matrix products. The peak is of the process so far."],
    )


if __name__ == "__main__":
    main()
