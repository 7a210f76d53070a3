"""Regime I with and without stopping hopeless trials: processor time, epochs, and the best trial.

    python -m experiments.benchmarks.stopping [--seeds 3] [--trials 100]
    python -m experiments.benchmarks.stopping --phantoms 80 [--seeds 5] [--trials 20]

A seed's two searches draw the same trials on the same folds; one trains all of them to the end, the
other stops those that are hopeless. The data are synthetic rows, a linear signal with noise, for a
dense head; with `--phantoms`, drawn radiographs of so many patients through the backbone that
`--weights` names, whose features are extracted before anything is timed.

The table says whether the best trial that is left is the same, and whether the search that stopped
nothing finds it tied with its best one.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt

from experiments.benchmarks.common import print_table
from rust_tuner import (
    CrossValidationTuner,
    Protocol,
    RandomSearchOracle,
    load_manifest,
    regime_1,
    split_holdout,
)
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.models.runtime import start_backend

NUM_LABELS = 18
NUM_FOLDS = 6
EPOCHS = 20

Search = Callable[[Path, int, bool], CrossValidationTuner]


@dataclass(frozen=True)
class Outcome:
    """What a search gave and cost.

    Attributes:
        cpu_seconds: of this process.
        seconds: on the clock.
        epochs: that were trained, summed over the trials.
        num_stopped: how many trials were stopped.
        best: the best trial.
        score: its score.
        tied: the trials that are tied with it, and itself.
    """

    cpu_seconds: float
    seconds: float
    epochs: int
    num_stopped: int
    best: str
    score: float
    tied: frozenset[str]


def outcome_of(search: Callable[[], CrossValidationTuner]) -> Outcome:
    """Run a search and measure it."""
    start, cpu_start = time.perf_counter(), time.process_time()
    tuner = search()
    cpu_seconds, seconds = time.process_time() - cpu_start, time.perf_counter() - start
    results = tuner.results()
    best = results[results["rank"] == 1].iloc[0]
    tied = results.loc[results["tied_with_best"].fillna(False).astype(bool), "trial"]
    return Outcome(
        cpu_seconds,
        seconds,
        int(tuner.history().groupby("trial")["epoch"].nunique().sum()),
        int((results["status"] == "PRUNED").sum()),
        str(best["trial"]),
        float(best["score"]),
        frozenset({*map(str, tied), str(best["trial"])}),
    )


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A dense head with dropout, trained by Adam, as the study's but smaller."""
    hp.Int("batch_size", 16, 240, sampling="log")
    rate = hp.Float("dropout_rate", 0.0, 0.5)
    layers: list[keras.layers.Layer] = [keras.layers.Input((64,))]
    for units in (128, 64, 32):
        layers += [keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(rate)]
    model = keras.Sequential([*layers, keras.layers.Dense(NUM_LABELS, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    return model


def rows_of(
    seed: int, num_rows: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features (n, 64), labels (n, 18) that follow them, and the patients: two rows each."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_rows, 64)).astype(np.float32)
    signal = features @ rng.normal(size=(64, NUM_LABELS)) / 8
    noisy = signal + rng.normal(size=signal.shape)
    labels = (noisy > np.quantile(noisy, 0.7, axis=0)).astype(np.float32)
    return features, labels, np.arange(num_rows) // 2


def search_of_rows(num_rows: int, trials: int, epochs: int) -> Search:
    """A search on synthetic rows."""

    def search(folder: Path, seed: int, stops: bool) -> CrossValidationTuner:
        oracle = RandomSearchOracle(keras_tuner.Objective("val_auroc", "max"), trials, seed=seed)
        tuner = CrossValidationTuner(
            build, oracle, cv=NUM_FOLDS, seed=seed, directory=folder, project_name="regime_1"
        )
        tuner.search(*rows_of(seed, num_rows), epochs, stop_hopeless=stops, verbose=0)
        return tuner

    return search


def search_of_phantoms(
    folder: Path, *, patients: int, weights: str, image_size: int, trials: int, epochs: int
) -> Search:
    """A Regime I on drawn radiographs, whose features are extracted now."""
    radiographs = load_manifest(write_phantoms(folder / "radiographs", patients=patients))
    protocol = Protocol.study(
        weights=weights, image_size=image_size, trials=trials, epochs=epochs, num_folds=NUM_FOLDS
    )

    def search(place: Path, seed: int, stops: bool) -> CrossValidationTuner:
        development, _ = split_holdout(radiographs, seed=seed)
        chosen = protocol.with_choices(seed=seed, stop_hopeless=stops)
        return regime_1(development, place, protocol=chosen, cache=folder / "cache")

    extract_all(radiographs, protocol, folder / "cache")
    return search


def extract_all(radiographs: Any, protocol: Protocol, cache: Path) -> None:
    """Put the features of all radiographs into the cache."""
    from rust_tuner.models.features import features_of
    from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel

    hypermodel = TransferLearningHyperModel.from_protocol(protocol, SearchSpace())
    features_of(radiographs, hypermodel.feature_recipe(), cache=cache)


def main() -> None:
    """Search twice for each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--phantoms", type=int, metavar="PATIENTS")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--image-size", type=int, default=299)
    options = parser.parse_args()
    start_backend()
    rows, same, tied = [], 0, 0
    with tempfile.TemporaryDirectory() as name:
        if options.phantoms is None:
            title = f"{options.rows} synthetic rows of 64 features"
            search = search_of_rows(options.rows, options.trials, options.epochs)
        else:
            title = f"phantoms of {options.phantoms} patients, weights {options.weights}"
            search = search_of_phantoms(
                Path(name),
                patients=options.phantoms,
                weights=options.weights,
                image_size=options.image_size,
                trials=options.trials,
                epochs=options.epochs,
            )
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            whole, stopped = (
                outcome_of(lambda s=seed, x=stops: search(Path(name) / f"{s}-{x}", s, x))  # type: ignore[misc]
                # The second one does not compile less: each has a model of its own.
                for stops in (False, True)
            )
            same += stopped.best == whole.best
            tied += stopped.best in whole.tied
            rows.append(
                (
                    seed,
                    stopped.num_stopped,
                    f"{whole.epochs} / {stopped.epochs} = {stopped.epochs / whole.epochs:.2f}",
                    f"{whole.cpu_seconds:.0f} / {stopped.cpu_seconds:.0f} = "
                    f"{stopped.cpu_seconds / whole.cpu_seconds:.2f}",
                    f"{whole.seconds:.0f} / {stopped.seconds:.0f}",
                    f"{whole.best} {whole.score:.4f} / {stopped.best} {stopped.score:.4f}",
                    f"{len(whole.tied)} / {len(stopped.tied)}",
                )
            )
            print(*rows[-1], sep="; ", file=sys.stderr, flush=True)
    print_table(
        f"Regime I, {options.trials} trials, {NUM_FOLDS} folds, {options.epochs} epochs: {title}",
        ["seed", "stopped", "epochs", "CPU s", "seconds", "best trial", "tied with it"],
        rows,
        [
            "Each cell: all trained to the end / hopeless ones stopped.",
            f"The best trial is the same with {same} of {options.seeds} seeds, and tied with the "
            f"best one of the whole search with {tied}.",
        ],
    )


if __name__ == "__main__":
    main()
