"""Regime I and II as a whole on a GPU, with Keras's JAX backend, and on two cores beside it.

    python -m experiments.benchmarks.gpu [--trials 100] [--regimes 1,2] [--together 1,2,4]
        [--workers 1,4] [--no-cores]

2,490 images, 6 folds, 20 epochs on synthetic features, every record written. Needs `jax[cuda12]`;
TensorFlow is needed for the two cores only. The share is that of the needed matrix products in the
card's own rate at a large product. `--together` trains so many trials of equal shape as one, with
the fold axis as long as all of their folds, and says what a trial then costs.

Each search runs in a process of its own, so its seconds hold all that it compiles. The figures of
an H100 are in `docs/explanation/speed.md`.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.benchmarks.problem import EPOCHS, IMAGES, NUM_FOLDS, folds_of
from experiments.benchmarks.ways import print_without_tensorflow

BATCH_SIZE, DROPOUT_RATE = 128, 0.2
_REGIMES = {"1": "Regime I", "2": "Regime II"}


@dataclass(frozen=True)
class Scale:
    """How large the searches are.

    Attributes:
        trials: of Regime I; Regime II has the study's grid.
        images: all of them.
        folds: of a trial.
        epochs: of a fold.
    """

    trials: int
    images: int
    folds: int
    epochs: int


def main() -> None:
    """Search on the card and on two cores, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folds", type=int, default=NUM_FOLDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--regimes", default=",".join(_REGIMES))
    parser.add_argument("--together", default="1,2,4", help="trials of equal shape as one")
    parser.add_argument("--workers", default="1", help="processes that share the GPU")
    parser.add_argument(
        "--cores", action=argparse.BooleanOptionalAction, default=True, help="two cores as well"
    )
    options = parser.parse_args()
    print_without_tensorflow()
    scale = Scale(options.trials, options.images, options.folds, options.epochs)
    regimes = [_REGIMES[part] for part in options.regimes.split(",")]
    counts = [int(part) for part in options.together.split(",")]
    searches = []
    for workers in (int(part) for part in options.workers.split(",")):
        for regime in regimes:
            # A process of its own, so that each search compiles what it needs.
            with _process("jax", cores=None) as card:
                device, rate = card.submit(device_and_rate).result()
                row = card.submit(search, regime, scale, workers).result()
            searches.append((regime, f"{device}, workers={workers}", *row))
            print(*searches[-1][:3], f"{row[1]:.1f} s", flush=True)
    with _process("jax", cores=None) as card:
        shared = [card.submit(trials_together, count, scale).result() for count in counts]
    if options.cores:
        with _process("tensorflow", cores=2) as two_cores:
            searches += [
                (regime, "two cores", *two_cores.submit(search, regime, scale, 1).result())
                for regime in regimes
            ]
    _print(scale, device, rate, searches, list(zip(counts, shared, strict=True)))


def device_and_rate() -> tuple[str, float]:
    """JAX's device, and its rate in FLOP/s at a large float32 product, as the trainer uses it."""
    import jax
    import jax.numpy as jnp

    from rust_tuner.models.runtime import start_backend

    # Before JAX starts, which reads its settings once.
    start_backend()
    device = jax.devices()[0]
    side = 1024 if device.platform == "cpu" else 8192
    values = jnp.ones((side, side))
    product = jax.jit(jnp.matmul)
    product(values, values).block_until_ready()
    repeats = 10
    start = time.perf_counter()
    for _ in range(repeats):
        result = product(values, values)
    result.block_until_ready()
    return str(device.device_kind), repeats * 2 * side**3 / (time.perf_counter() - start)


def search(regime: str, scale: Scale, workers: int) -> tuple[int, float, float]:
    """Trials of a whole search, its seconds, and the needed operations of its matrix products."""
    import keras
    import keras_tuner

    from experiments.benchmarks.common import needed_flops, synthetic_data, synthetic_features
    from rust_tuner.models.fold_training import RunningPredictions
    from rust_tuner.models.hypermodels import TransferLearningHyperModel
    from rust_tuner.models.runtime import start_backend
    from rust_tuner.models.space import SearchSpace
    from rust_tuner.progress import Silent
    from rust_tuner.protocol import Protocol
    from rust_tuner.search.executors.engines import engine_of
    from rust_tuner.search.grid_search import GridSearchOracle
    from rust_tuner.search.oracles import ResumableOracle
    from rust_tuner.search.random_search import RandomSearchOracle
    from rust_tuner.search.subjects import Subject
    from rust_tuner.search.tuner import CrossValidationTuner

    start_backend()
    objective = keras_tuner.Objective("val_auroc", "max")
    protocol = Protocol.study()
    oracle: ResumableOracle
    if regime == "Regime I":
        hypermodel = TransferLearningHyperModel(
            SearchSpace((16, min(2048, scale.images)), protocol.dropout_rate_range)
        )
        oracle = RandomSearchOracle(objective, scale.trials, seed=0)
    else:
        space = SearchSpace(BATCH_SIZE, DROPOUT_RATE, protocol.learning_rates, protocol.epsilons)
        hypermodel, oracle = TransferLearningHyperModel(space), GridSearchOracle(objective)

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> Any:
        metrics: list[Any] | None = None if running is None else [running]
        head: keras.Model = hypermodel.build_head(hp, metrics=metrics)
        return head

    subject = Subject(
        data=synthetic_data(synthetic_features(scale.images)),
        folds=tuple(folds_of(scale.images, scale.folds)),
        build=build,
        keeps_running=True,
        identity={"num_folds": scale.folds},
        view_only={},
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = CrossValidationTuner(
            hypermodel, oracle, directory=Path(folder), project_name="search", progress=Silent()
        )
        start = time.perf_counter()
        tuner.search_subject(subject, epochs=scale.epochs, engine=engine_of(None, workers))
        seconds = time.perf_counter() - start
        trials = len(tuner.results())
    return trials, seconds, trials * needed_flops(scale.images, scale.folds, scale.epochs)


def trials_together(count: int, scale: Scale) -> float:
    """Seconds of each of `count` trials of one shape that train as one, compiled before."""
    from experiments.benchmarks.common import configuration, synthetic_data, synthetic_features
    from rust_tuner.models.fold_batches import FoldPlace
    from rust_tuner.models.fold_parallel import FoldParallelTrainer
    from rust_tuner.models.fold_rows import FoldRows
    from rust_tuner.models.runtime import start_backend
    from rust_tuner.models.schedules import batch_sizes, steps_per_epoch
    from rust_tuner.models.seeding import seeded_weights

    start_backend()
    hypermodel, hyperparameters = configuration(BATCH_SIZE, DROPOUT_RATE)
    trainer = FoldParallelTrainer(synthetic_data(synthetic_features(scale.images)))
    folds = folds_of(scale.images, scale.folds)
    steps = max(steps_per_epoch(len(training), BATCH_SIZE) for training, _ in folds)
    rows = [
        FoldRows(
            training,
            validation,
            batch_sizes(len(training), BATCH_SIZE, steps),
            FoldPlace(0, trial, fold),
        )
        for trial in range(count)
        for fold, (training, validation) in enumerate(folds)
    ]

    def head(position: int) -> Any:
        with seeded_weights(rows[position].place):
            return hypermodel.build_head(hyperparameters)

    trainer.train(head, rows, epochs=1)
    start = time.perf_counter()
    trainer.train(head, rows, epochs=scale.epochs)
    seconds = time.perf_counter() - start
    trainer.release()
    return seconds / count


def _print(
    scale: Scale,
    device: str,
    rate: float,
    searches: list[tuple[str, str, int, float, float]],
    shared: list[tuple[int, float]],
) -> None:
    from experiments.benchmarks.common import print_table

    size = f"{scale.images} images, {scale.folds} folds, {scale.epochs} epochs"
    print_table(
        f"Whole searches: {size}",
        ["search", "on", "trials", "seconds", "share of the device's rate"],
        [
            (
                regime,
                where,
                trials,
                f"{seconds:.1f}",
                f"{flops / seconds / rate:.1%}" if where.startswith(device) else "-",
            )
            for regime, where, trials, seconds, flops in searches
        ],
        [f"{device}: {rate / 1e12:.2f} TFLOP/s at a large float32 product."],
    )
    print_table(
        f"Trials of equal shape together on {device}: {size}, batch size {BATCH_SIZE}",
        ["trials as one", "seconds a trial"],
        [(count, f"{seconds:.2f}") for count, seconds in shared],
    )


def _process(backend: str, *, cores: int | None) -> ProcessPoolExecutor:
    """A process with its own Keras backend; with a number of cores, it sees no GPU."""
    return ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(backend, cores),
    )


def _start(backend: str, cores: int | None) -> None:
    os.environ["KERAS_BACKEND"] = backend
    if cores is None:
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Linux alone offers it; elsewhere all cores are used.
    set_affinity: Callable[..., None] | None = getattr(os, "sched_setaffinity", None)
    if set_affinity is not None:
        set_affinity(0, sorted(os.sched_getaffinity(0))[:cores])


if __name__ == "__main__":
    main()
