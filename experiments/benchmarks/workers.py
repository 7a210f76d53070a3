"""A search in several processes against one, and where a coordinator saturates.

    python -m experiments.benchmarks.workers [--workers 2 ray:2] [--trials 8] [--epochs 10]
    python -m experiments.benchmarks.workers --memory 200 [--workers 2 ray:2]
    python -m experiments.benchmarks.workers --simulate [--overhead 0.05]

The first measures, in turns, the seconds of a search of small trials: in this process with all of
its threads, and in workers that share the cores. The seconds of a search of trials without work,
divided by their number, are the overhead of a trial: its proposal, its way to a worker, the models
of its folds, and the records of its end.

The second puts features of so many megabytes where two or more workers of this machine train on
them, and sums what the kernel says of their memory (`/proc/*/smaps`): the proportional share of a
page is counted once over all processes that map it, however many they are.

The third replays 10,000 trials on up to 1,000 workers with such an overhead, which the coordinator
spends on one trial at a time.
"""

import argparse
import heapq
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from experiments.benchmarks.common import print_table
from rust_tuner import CrossValidationTuner, RandomSearchOracle
from rust_tuner.models.runtime import shared_tensor, start_backend
from rust_tuner.search.executors.engines import KeepsArrays, engine_of
from rust_tuner.search.executors.shipping import packed, unpacked
from rust_tuner.search.executors.workers import Workers

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


def seconds(model: Model, workers: str, *, trials: int, epochs: int, rows: int) -> float:
    """How long a search takes after its first trials have started all processes."""
    count = Workers.of(workers).count or 1
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
            RandomSearchOracle("val_loss", max_trials=trials + count),
            cv=6,
            directory=Path(folder),
            project_name="search",
        )
        tuner.search(x, y, epochs=epochs, batch_size=32, workers=workers, verbose=0)
    # The first trials of all workers trace their functions.
    return ended[-1] - ended[count - 1]


@dataclass(frozen=True)
class Memory:
    """Of one process, in bytes.

    Attributes:
        mapped: of the features, as far as they are in memory.
        shared: its proportional share of them.
        private: what all of its memory grew by that is its own.
    """

    mapped: int
    shared: int
    private: int


def _smaps(address: int | None = None) -> dict[str, int]:
    """What the kernel says of the mapping at an address; of all where there is none."""
    totals: dict[str, int] = {}
    is_wanted = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in name.split()[0]:
            start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
            is_wanted = address is None or start <= address < end
        elif is_wanted and rest.endswith("kB"):
            totals[name] = totals.get(name, 0) + 1024 * int(rest.split()[0])
    return totals


def hold(data: bytes, folder: str, count: int) -> Memory:
    """Take features as a trial takes them, wait until all workers have, and measure."""
    start_backend()
    keras.ops.add(1.0, 1.0)
    before = _smaps()["Private_Dirty"]
    values = unpacked(data, Path(folder))
    table = keras.Variable(shared_tensor(values), trainable=False)
    float(keras.ops.sum(table[-1]))
    ready = Path(folder) / "ready"
    (ready / str(os.getpid())).touch()
    while len(list(ready.iterdir())) < count:
        time.sleep(0.05)
    features = _smaps(values.ctypes.data)
    measured = Memory(features["Rss"], features["Pss"], _smaps()["Private_Dirty"] - before)
    # Nobody ends before the others have measured.
    (ready / f"{os.getpid()} has measured").touch()
    while len(list(ready.iterdir())) < 2 * count:
        time.sleep(0.05)
    return measured


def memory(workers: str, megabytes: int) -> list[str]:
    """A row of the table: what workers of this machine take for features of a size."""
    count = Workers.of(workers).count or 1
    engine = engine_of(None, workers)
    assert engine is not None
    values = np.random.default_rng(0).random((megabytes * 128, 2048), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ready").mkdir()
        keep = engine.keep if isinstance(engine, KeepsArrays) else None
        data = packed(values, Path(folder), keep=keep)
        try:
            futures = [engine.submit(hold, data, folder, count) for _ in range(count)]
            held: list[Memory] = [future.result() for future in futures]
        finally:
            engine.close()
    figures = (
        values.nbytes,
        held[0].mapped,
        sum(one.shared for one in held),
        max(one.private for one in held),
    )
    return [workers, *(f"{figure / 2**20:.0f}" for figure in figures)]


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
    parser.add_argument("--workers", nargs="+", default=["2"])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--memory", type=int, metavar="MB")
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--overhead", type=float, default=0.05, help="seconds a trial")
    options = parser.parse_args()
    if options.simulate:
        simulate(options.overhead)
        return
    if options.memory:
        columns = [
            "workers",
            "features, MiB",
            "mapped by one worker",
            "shares of all workers",
            "memory of its own, at most",
        ]
        rows = [memory(workers, options.memory) for workers in options.workers]
        print_table("Features in the memory of workers", columns, rows)
        return
    sizes = {"trials": options.trials, "epochs": options.epochs, "rows": options.rows}
    rows = []
    for workers in ("1", *options.workers, *options.workers, "1"):
        took = seconds(Model(works=True), workers, **sizes)
        idle = seconds(Idle(works=False), workers, **(sizes | {"trials": 4 * options.trials}))
        rows.append([workers, f"{options.trials / took:.2f}", f"{idle / (4 * options.trials):.3f}"])
    columns = ["workers", "trials a second", "seconds of a trial without training"]
    print_table("A search in this process and in workers, in turns", columns, rows)


if __name__ == "__main__":
    main()
