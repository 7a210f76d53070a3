"""Where a fold-parallel trial's time goes: each part timed by itself, as often as a trial does it.

    python -m experiments.benchmarks.profile [--batch-sizes 1600,512,128,32]

What is left over is tracing, building the heads, activations, biases, loss and Keras's own work.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from experiments.benchmarks.common import (
    EPOCHS,
    IMAGES,
    NUM_FOLDS,
    configuration,
    folds_of,
    print_table,
    synthetic_data,
    synthetic_features,
)
from rust_tuner.models.description import HEAD_UNITS, NUM_FEATURES
from rust_tuner.models.fold_batches import IntArray, TrainingData
from rust_tuner.models.fold_layers import FoldDropout
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.optimizers import FusedAdam
from rust_tuner.models.runtime import start_backend
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.search.fold_runs import run_folds_together

SIZES = (NUM_FEATURES, *HEAD_UNITS, 18)


@dataclass(frozen=True)
class Profile:
    """Seconds of one trial, and of its parts by name; `first` holds the tracing as well."""

    seconds: float
    first: float
    parts: dict[str, float]


def profile(data: TrainingData, batch_size: int) -> Profile:
    """Time two trials at one batch size, and each part by itself."""
    asked = 0.0

    def metrics(*arguments: Any) -> Any:
        nonlocal asked
        start = time.perf_counter()
        figures = data.metrics(*arguments)
        asked += time.perf_counter() - start
        return figures

    trainer = FoldParallelTrainer(replace(data, metrics=metrics))
    hypermodel, hyperparameters = configuration(batch_size)
    times = []
    for _ in range(2):
        asked, start = 0.0, time.perf_counter()
        run_folds_together(
            lambda: hypermodel.build_head(hyperparameters),
            trainer,
            folds_of(),
            epochs=EPOCHS,
            batch_size=batch_size,
            seed=0,
        )
        times.append(time.perf_counter() - start)
    training, validation = folds_of()[0]
    sizes = batch_sizes(len(training), batch_size)
    parts = {
        "matrix products": _per_epoch(_products, sizes)
        + _seconds(lambda: _forward(len(validation))),
        "dropout masks": _per_epoch(_dropout, sizes),
        "gathering": _per_epoch(lambda rows: _gather(data, training[:rows]), sizes),
        "Adam": len(sizes) * _seconds(_adam()),
    }
    seconds = {name: EPOCHS * part for name, part in parts.items()}
    return Profile(times[1], times[0], seconds | {"metrics": asked})


def print_profile(profiles: dict[int, Profile]) -> None:
    """One row a batch size: seconds, and the share of each part."""
    names = list(next(iter(profiles.values())).parts)
    rows = [
        (
            batch_size,
            f"{found.seconds:.1f}",
            *(f"{part:.1f} = {part / found.seconds:.0%}" for part in found.parts.values()),
            f"{found.seconds - sum(found.parts.values()):.1f}",
            f"{found.first - found.seconds:.1f}",
        )
        for batch_size, found in profiles.items()
    ]
    print_table(
        f"Where a trial's seconds go: {IMAGES} images, {NUM_FOLDS} folds, {EPOCHS} epochs",
        ["batch size", "trial", *names, "all else", "tracing, once"],
        rows,
        ["Parts are timed by themselves, as often as a trial does them; metrics inside the trial."],
    )


def _seconds(work: Callable[[], Any], repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        for value in result if isinstance(result, list) else []:
            value[..., :1].numpy()
        times.append(time.perf_counter() - start)
    return min(times)


def _per_epoch(work: Callable[[int], Callable[[], Any]], sizes: Sequence[int]) -> float:
    """Seconds of the steps of an epoch; steps of one size are timed once."""
    return sum(_seconds(work(size)) * sizes.count(size) for size in set(sizes))


def _traced(step: Callable[[], Any]) -> Callable[[], Any]:
    function: Callable[[], Any] = tf.function(step)
    return function


def _products(rows: int) -> Callable[[], Any]:
    """All needed matrix products of a step."""
    pairs = list(itertools.pairwise(SIZES))
    inputs = [tf.random.uniform((NUM_FOLDS, rows, first)) for first, _ in pairs]
    kernels = [tf.random.uniform((NUM_FOLDS, *pair)) for pair in pairs]
    gradients = [tf.random.uniform((NUM_FOLDS, rows, second)) for _, second in pairs]

    def step() -> Any:
        results = [tf.matmul(x, w) for x, w in zip(inputs, kernels, strict=True)]
        results += [
            tf.matmul(x, g, transpose_a=True) for x, g in zip(inputs, gradients, strict=True)
        ]
        # The first layer's input gradient is not needed.
        backward = list(zip(gradients, kernels, strict=True))[1:]
        return results + [tf.matmul(g, w, transpose_b=True) for g, w in backward]

    return _traced(step)


def _forward(rows: int) -> Any:
    pairs = list(itertools.pairwise(SIZES))
    return [
        tf.matmul(tf.ones((NUM_FOLDS, rows, first)), tf.ones((NUM_FOLDS, first, second)))
        for first, second in pairs
    ]


def _dropout(rows: int) -> Callable[[], Any]:
    layers = [FoldDropout(NUM_FOLDS) for _ in HEAD_UNITS]
    inputs = [tf.random.uniform((NUM_FOLDS, rows, units)) for units in HEAD_UNITS]

    def step() -> Any:
        return [layer(x, training=True) for layer, x in zip(layers, inputs, strict=True)]

    return _traced(step)


def _gather(data: TrainingData, images: IntArray) -> Callable[[], Any]:
    table = tf.Variable(data.inputs.values.reshape(-1, NUM_FEATURES))  # type: ignore[union-attr]
    rows = tf.constant([images] * NUM_FOLDS)

    def step() -> Any:
        return [tf.gather(table, rows)]

    return _traced(step)


def _adam() -> Callable[[], Any]:
    shapes = [(NUM_FOLDS, *pair) for pair in itertools.pairwise(SIZES)]
    shapes += [(NUM_FOLDS, 1, units) for units in SIZES[1:]]
    weights = [keras.Variable(tf.zeros(shape)) for shape in shapes]
    gradients = [tf.random.uniform(shape) for shape in shapes]
    optimizer = FusedAdam()
    optimizer.build(weights)

    def step() -> Any:
        optimizer.apply(gradients, weights)
        return []

    return _traced(step)


def main() -> None:
    """Profile a trial at each batch size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch-sizes", default="1600,512,128,32")
    arguments = parser.parse_args()
    start_backend()
    data = synthetic_data(synthetic_features())
    sizes = map(int, arguments.batch_sizes.split(","))
    print_profile({batch_size: profile(data, batch_size) for batch_size in sizes})


if __name__ == "__main__":
    main()
