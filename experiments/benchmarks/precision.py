"""What bfloat16 does to scores: the same cross-validation in both precisions, over several seeds.

    python -m experiments.benchmarks.precision [--patients 60] [--seeds 5] [--image-size 299]

Phantoms through the backbone that `--weights` names; the same folds, batches, flips and initial
weights in both precisions, so that a difference is the precision's alone.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from experiments.benchmarks.common import configuration, print_table
from rust_tuner import load_manifest, make_folds, split_holdout
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.runtime import start_backend
from rust_tuner.progress import Silent
from rust_tuner.protocol import Precision
from rust_tuner.search.fold_runs import run_folds_together
from rust_tuner.search.mean_curves import chosen_epoch
from rust_tuner.search.subjects import radiographs_subject

BATCH_SIZE, EPOCHS, NUM_FOLDS = 32, 20, 4
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def main() -> None:
    """Cross-validate in both precisions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--weights", default="imagenet")
    arguments = parser.parse_args()
    start_backend()
    scores: dict[Precision, list[float]] = {}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        manifest = write_phantoms(Path(name) / "radiographs", patients=arguments.patients)
        development, _ = split_holdout(load_manifest(manifest))
        for precision in PRECISIONS:
            hypermodel, hyperparameters = configuration(BATCH_SIZE)
            hypermodel.weights, hypermodel.precision = arguments.weights, precision
            hypermodel.image_size = arguments.image_size
            start = time.perf_counter()
            subject = radiographs_subject(
                hypermodel,
                development,
                make_folds(development, NUM_FOLDS, 0),
                seed=0,
                cache=Path(name) / "cache",
                progress=Silent(),
            )
            extraction = time.perf_counter() - start
            trainer = FoldParallelTrainer(subject.data)
            scores[precision], times = [], []
            for seed in range(arguments.seeds):
                start = time.perf_counter()
                outcome = run_folds_together(
                    lambda hm=hypermodel, hp=hyperparameters: hm.build_head(hp),  # type: ignore[misc]
                    trainer,
                    subject.folds,
                    epochs=EPOCHS,
                    batch_size=BATCH_SIZE,
                    seed=seed,
                )
                times.append(time.perf_counter() - start)
                curve = outcome.mean["cortex_auroc"]
                scores[precision].append(curve[chosen_epoch(curve, "best_mean")])
            rows.append(
                (
                    precision,
                    f"{extraction:.1f}",
                    f"{min(times):.1f}",
                    f"{statistics.mean(scores[precision]):.4f}",
                    f"{statistics.stdev(scores[precision]):.4f}",
                )
            )
    exact, rounded = (np.asarray(scores[precision]) for precision in PRECISIONS)
    difference = rounded - exact
    print_table(
        f"Precision: {len(development)} radiographs, {NUM_FOLDS} folds, {EPOCHS} epochs, "
        f"{arguments.seeds} seeds",
        ["precision", "extraction s", "a trial s", "AUROC, cortices", "sd over seeds"],
        rows,
        [
            f"bfloat16 less float32, seed by seed: mean {difference.mean():+.4f}, "
            f"{difference.min():+.4f} to {difference.max():+.4f}."
        ],
    )


if __name__ == "__main__":
    main()
