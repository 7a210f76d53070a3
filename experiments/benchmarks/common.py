"""What the benchmarks share: synthetic features, the study's head, and how a table is printed."""

import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras_tuner
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.problem import (
    DROPOUT_RATE,
    EPOCHS,
    IMAGES,
    NUM_FOLDS,
    Problem,
    folds_of,
)
from rust_tuner.labels import NUM_LABELS, NUM_VIEWS
from rust_tuner.metrics import macro_aurocs
from rust_tuner.models.description import HEAD_UNITS, NUM_FEATURES
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import IntArray, TrainingData
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.models.runtime import empty_aligned, versions

__all__ = [
    "DROPOUT_RATE",
    "EPOCHS",
    "IMAGES",
    "NUM_FOLDS",
    "Timing",
    "configuration",
    "data_of",
    "folds_of",
    "needed_flops",
    "print_table",
    "synthetic_data",
    "synthetic_features",
    "timed",
]


def synthetic_features(num_images: int = IMAGES, num_variants: int = 4) -> FrozenFeatures:
    """Random features of the study's shape."""
    values = empty_aligned((num_images, num_variants, NUM_FEATURES))
    np.random.default_rng(0).random(dtype=np.float32, out=values)
    return FrozenFeatures(values, "synthetic")


def synthetic_data(features: FrozenFeatures) -> TrainingData:
    """Random labels for features, with the study's two metrics."""
    rng = np.random.default_rng(1)
    num_images = len(features)
    labels = (rng.random((num_images, NUM_LABELS)) < 0.3).astype(np.float32)
    visible = rng.random((num_images, NUM_LABELS - NUM_VIEWS)) < 0.5

    cortices = np.concatenate([np.zeros((num_images, NUM_VIEWS), np.bool_), visible], axis=1)

    def metrics(
        answers: Sequence[npt.NDArray[np.float32]], rows: Sequence[IntArray], where: Sequence[str]
    ) -> list[dict[str, float]]:
        whole, cortex = macro_aurocs(
            [labels[own] for own in rows],
            answers,
            [[counted[own] for own in rows] for counted in (np.ones_like(cortices), cortices)],
            where=where,
        )
        return [
            {"auroc": first, "cortex_auroc": second}
            for first, second in zip(whole, cortex, strict=True)
        ]

    return TrainingData(features, labels, metrics)


def data_of(problem: Problem) -> TrainingData:
    """A problem as the package's trainer takes it."""
    values = problem.table.reshape(len(problem.targets), problem.num_variants, -1)
    return synthetic_data(FrozenFeatures(values, "synthetic"))


def configuration(
    batch_size: int, dropout_rate: float = DROPOUT_RATE
) -> tuple[TransferLearningHyperModel, keras_tuner.HyperParameters]:
    """The study's hypermodel at one batch size and dropout rate."""
    hypermodel = TransferLearningHyperModel(SearchSpace(batch_size, dropout_rate))
    hyperparameters = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hyperparameters)
    return hypermodel, hyperparameters


def needed_flops(num_images: int, num_folds: int, epochs: int) -> float:
    """Floating-point operations of a trial's matrix products, validation included.

    The first layer's input gradient is not needed and not counted.
    """
    sizes = [NUM_FEATURES, *HEAD_UNITS, NUM_LABELS]
    products = [first * second for first, second in itertools.pairwise(sizes)]
    forward, backward = sum(products), sum(products) + sum(products[1:])
    training_rows = num_images * (num_folds - 1)
    return 2.0 * epochs * (training_rows * (forward + backward) + num_images * forward)


@dataclass(frozen=True)
class Timing:
    """Repeated timings of one thing, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median time."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        """The median, and the range where there is more than one time."""
        if len(self.seconds) == 1:
            return f"{self.median:.1f}"
        return f"{self.median:.1f} ({min(self.seconds):.1f}-{max(self.seconds):.1f})"


def timed(work: Callable[[], object]) -> float:
    """The seconds that a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str] = ()
) -> None:
    """Print one table with machine and versions below it."""
    table = Table(title=title)
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console = Console(width=max(Console().width, 120))
    console.print(table)
    expected = ", ".join(f"{name} {version}" for name, version in versions().items())
    for line in (*notes, f"{_processor()}, {os.cpu_count()} cores; {expected}"):
        console.print(line, markup=False, highlight=False)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as stream:
            names = [line.split(":")[1].strip() for line in stream if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
