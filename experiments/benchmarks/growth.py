"""How the cost of a trial grows with images, folds and trials, and how much memory it takes.

    python -m experiments.benchmarks.growth

Each row's cost per unit of work is given against the first row's: at most 1.0x means that cost
grows no faster than linearly. Work is what the trial's needed matrix products count, since a fold
of ten trains on more images than a fold of two. Each row is a process of its own, whose peak memory
is told beside what it had before the first trial, when the backend and the features were there.
"""

import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

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
from rust_tuner.search.fold_runs import run_folds_together

BATCH_SIZE = 128
EPOCHS = 3


def measure(num_images: int, num_folds: int, trials: int) -> tuple[float, float, float, float]:
    """Seconds of so many trials, tracing left out; features, memory before and peak, in MiB."""
    start_backend()
    features = synthetic_features(num_images)
    before = _resident()
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
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, features.values.nbytes / 2**20, before, peak


def _resident() -> float:
    """What the process holds now, in MiB; NaN where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    """Measure each growth and print the table."""
    rows = []
    spawn = multiprocessing.get_context("spawn")
    for what, cases in (
        ("images", [(500, 6, 1), (2000, 6, 1), (8000, 6, 1)]),
        ("folds", [(2000, 2, 1), (2000, 6, 1), (2000, 10, 1)]),
        ("trials", [(500, 6, 1), (500, 6, 4), (500, 6, 16)]),
    ):
        first = 0.0
        for images, folds, trials in cases:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                found = pool.submit(measure, images, folds, trials).result()
            seconds, size, before, peak = found
            cost = seconds / (trials * needed_flops(images, folds, EPOCHS))
            first = first or cost
            rows.append(
                (
                    what,
                    images,
                    folds,
                    trials,
                    f"{seconds:.1f}",
                    f"{cost / first:.2f}x",
                    f"{size:.0f}",
                    f"{before:.0f}",
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
            "before MiB",
            "peak MiB",
        ],
        rows,
        ["Work: needed matrix products. Memory: before the first trial, features included; peak."],
    )


if __name__ == "__main__":
    main()
