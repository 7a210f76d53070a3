"""A trial of a user's own model on arrays, against a plain Keras loop over the folds.

    python -m experiments.benchmarks.users_models [--repeats 3] [--epochs 15]

The plain loop builds a model for each fold, and calls its `fit` with `validation_data` and the same
metrics. Both ways in turns in one process: CPU seconds, since other work on the machine does not
change them much. The first trial of a kind of model traces its functions; later ones of the same
shapes, such as other learning rates, do not. Two models on 243 rows in 5 folds:

- a dense head of half a million weights, whose folds train together;
- a small convolutional network, whose folds train one after another with the same functions.
"""

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold

from experiments.benchmarks.common import print_table
from rust_tuner.models.runtime import onednn_enabled, start_backend
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle
from rust_tuner.search.tuner import CrossValidationTuner

ROWS, NUM_FOLDS, BATCH_SIZE = 243, 5, 32
LATER_TRIALS = 2

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


class Model(keras_tuner.HyperModel):  # type: ignore[misc]
    """Layers and data of one comparison; the learning rate varies."""

    def __init__(self, layers: Callable[[], list[keras.layers.Layer]], shape: tuple[int, ...]):
        """Stack `layers` on inputs of `shape`."""
        super().__init__()
        self._layers = layers
        self._shape = shape

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model."""
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model = keras.Sequential([keras.Input(self._shape), *self._layers()])
        metrics = ["accuracy", keras.metrics.AUC(name="auc")]
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=metrics)
        return model

    def arrays(self) -> Arrays:
        """Random inputs, and labels that depend on them a little."""
        rng = np.random.default_rng(0)
        x = rng.normal(size=(ROWS, *self._shape)).astype(np.float32)
        y = x.reshape(ROWS, -1)[:, :1] + rng.normal(size=(ROWS, 1)) > 0
        return x, y.astype(np.float32)


def dense_layers() -> list[keras.layers.Layer]:
    """A head of 533,505 weights on 512 features."""
    return [
        keras.layers.Dense(704, activation="relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(243, activation="relu"),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ]


def convolutional_layers() -> list[keras.layers.Layer]:
    """Two convolutions on small pictures."""
    return [
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]


MODELS = {
    "dense, half a million weights": Model(dense_layers, (512,)),
    "convolutional, 28 x 28": Model(convolutional_layers, (28, 28, 1)),
}


def cpu_seconds() -> float:
    """CPU seconds of this process so far, in all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def splitter() -> KFold:
    """The same folds for both ways."""
    return KFold(NUM_FOLDS, shuffle=True, random_state=0)


def plain_loop(model: Model, epochs: int) -> float:
    """The CPU seconds of one configuration in a loop as a Keras user writes it."""
    x, y = model.arrays()
    start = cpu_seconds()
    for training, validation in splitter().split(x):
        hyperparameters = keras_tuner.HyperParameters()
        model.build(hyperparameters).fit(
            x[training],
            y[training],
            batch_size=BATCH_SIZE,
            epochs=epochs,
            validation_data=(x[validation], y[validation]),
            verbose=0,
        )
    return cpu_seconds() - start


class Timed(CrossValidationTuner):
    """Notes the CPU seconds of each trial, its records included."""

    def on_search_begin(self) -> None:
        """Start the clock."""
        super().on_search_begin()
        self.times = [cpu_seconds()]

    def on_trial_end(self, trial: keras_tuner.engine.trial.Trial) -> None:
        """Note the time."""
        super().on_trial_end(trial)
        self.times.append(cpu_seconds())


def search(model: Model, epochs: int) -> tuple[float, float, str]:
    """The CPU seconds of a search's first trial, of a later one, and the way that was taken."""
    oracle: ResumableOracle = RandomSearchOracle(
        keras_tuner.Objective("val_auc", "max"), 1 + LATER_TRIALS, seed=0
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = Timed(model, oracle, cv=splitter(), directory=Path(folder), project_name="search")
        tuner.search(*model.arrays(), epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
        first, *later = np.diff(tuner.times)
        way = tuner.results()["folds_trained"].iloc[0]
    return float(first), statistics.median(map(float, later)), str(way)


def main() -> None:
    """Time both ways in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    start_backend()
    rows = []
    for name, model in MODELS.items():
        plain, firsts, laters, way = [], [], [], ""
        for _ in range(arguments.repeats):
            plain.append(plain_loop(model, arguments.epochs))
            first, later, way = search(model, arguments.epochs)
            firsts.append(first)
            laters.append(later)
        loop, first, later = map(statistics.median, (plain, firsts, laters))
        rows.append(
            (
                name,
                way.partition(":")[0],
                f"{loop:.1f}",
                f"{first:.1f} = {loop / first:.1f}x",
                f"{later:.1f} = {loop / later:.1f}x",
            )
        )
    print_table(
        f"A trial on {ROWS} rows, {NUM_FOLDS} folds, {arguments.epochs} epochs: CPU seconds",
        ["model", "folds trained", "plain Keras loop", "first trial", "later trial"],
        rows,
        [f"Medians of {arguments.repeats} turns; oneDNN {'on' if onednn_enabled() else 'off'}."],
    )


if __name__ == "__main__":
    main()
