"""A search in several processes against one, and where a coordinator saturates.

    python -m experiments.benchmarks.workers [--workers 2] [--trials 8] [--epochs 10]
    python -m experiments.benchmarks.workers --simulate [--overhead 0.05]

The first measures, in turns, the seconds of a search of small trials: in this process with all of
its threads, and in workers that share the cores. The seconds of a search of trials without work,
divided by their number, are the overhead of a trial: its proposal, its way to a worker, the models
of its folds, and the records of its end.

The second replays 10,000 trials on up to 1,000 workers with such an overhead, which the coordinator
spends on one trial at a time.
"""

import argparse
import heapq
import tempfile
import time
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from experiments.benchmarks.common import print_table
from rust_tuner import CrossValidationTuner, RandomSearchOracle

ROWS, FEATURES = 2_000, 256


class Model(keras_tuner.HyperModel):  # type: ignore[misc]
    """A dense head; with `works=False` its own `fit` trains nothing."""

    def __init__(self, *, works: bool) -> None:
        """Train, or not."""
        super().__init__()
        self._works = works

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model."""
        layers = [keras.layers.Dense(256, activation="relu"), keras.layers.Dropout(0.2)]
        model = keras.Sequential(
            [keras.Input((FEATURES,)), *layers, keras.layers.Dense(1, activation="sigmoid")]
        )
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        return model


class Idle(Model):
    """Its `fit` returns a figure at once."""

    def fit(self, hp: object, model: keras.Model, *args: object, **kwargs: object) -> float:
        """Train nothing."""
        return 0.5


def seconds(model: Model, workers: int, *, trials: int, epochs: int, rows: int) -> float:
    """How long a search takes after its first trial has started all processes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        ended: list[float] = []

        class Timed(CrossValidationTuner):
            def on_trial_end(self, trial: object) -> None:
                super().on_trial_end(trial)
                ended.append(time.perf_counter())

        tuner = Timed(
            model,
            RandomSearchOracle("val_loss", max_trials=trials + workers),
            cv=6,
            directory=Path(folder),
            project_name="search",
        )
        tuner.search(x, y, epochs=epochs, batch_size=32, workers=workers, verbose=0)
    # The first trials of all workers trace their functions.
    return ended[-1] - ended[workers - 1]


def simulated(workers: int, *, trials: int, per_trial: float, overhead: float) -> float:
    """The seconds of a search whose coordinator spends `overhead` on one trial at a time."""
    free_at = [0.0] * workers
    coordinator = 0.0
    end = 0.0
    for _ in range(trials):
        start = max(heapq.heappop(free_at), coordinator)
        coordinator = start + overhead
        done = coordinator + per_trial
        end = max(end, done)
        heapq.heappush(free_at, done)
    return end


def simulate(overhead: float) -> None:
    """Print how much of the workers' time is used."""
    rows = []
    for per_trial in (10.0, 60.0, 600.0):
        for workers in (10, 100, 1_000):
            took = simulated(workers, trials=10_000, per_trial=per_trial, overhead=overhead)
            used = 10_000 * per_trial / (workers * took)
            rows.append([f"{per_trial:g}", str(workers), f"{took / 3600:.2f}", f"{used:.0%}"])
    note = f"A coordinator that spends {overhead:g} s on a trial begins {1 / overhead:g} a second."
    columns = ["seconds a trial", "workers", "hours", "share of the workers' time used"]
    print_table("10,000 trials, replayed", columns, rows, [note])


def main() -> None:
    """Measure, or simulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--overhead", type=float, default=0.05, help="seconds a trial")
    options = parser.parse_args()
    if options.simulate:
        simulate(options.overhead)
        return
    sizes = {"trials": options.trials, "epochs": options.epochs, "rows": options.rows}
    rows = []
    for workers in (1, options.workers, options.workers, 1):
        took = seconds(Model(works=True), workers, **sizes)
        idle = seconds(Idle(works=False), workers, **(sizes | {"trials": 4 * options.trials}))
        rows.append(
            [
                str(workers),
                f"{options.trials / took:.2f}",
                f"{idle / (4 * options.trials):.3f}",
            ]
        )
    columns = ["processes", "trials a second", "seconds of a trial without training"]
    print_table("A search in this process and in workers, in turns", columns, rows)


if __name__ == "__main__":
    main()
