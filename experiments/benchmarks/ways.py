"""Every way of training a trial, each in a process of its own, timed in turns.

An engine's process starts when its first way runs and keeps it warm; while another way runs, it
waits. So engines share neither threads nor memory, and what slows the machine for a while slows all
of them. Engines are imported in their processes only.

Of several trials at once, each has a process of its own on its share of the cores.
"""

import functools
import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.problem import EPOCHS, Problem, study_problem

Trial = Callable[[int, int, Callable[[int], None]], None]


@dataclass(frozen=True)
class Way:
    """One way of training a trial.

    Attributes:
        title: in tables.
        process: ways of one name share a process.
        needs: the package that it needs.
        backend: of Keras, where it uses Keras.
    """

    title: str
    process: str
    needs: str
    backend: str = "tensorflow"


WAYS = {
    "together": Way("folds together", "ours", "tensorflow"),
    "together_jax": Way("folds together, Keras on JAX", "ours on JAX", "jax", "jax"),
    "jax": Way("JAX vmap + scan", "JAX", "jax", "jax"),
    "torch_stacked": Way("PyTorch baddbmm, fused Adam", "PyTorch", "torch"),
    "torch": Way("PyTorch, fold by fold", "PyTorch", "torch"),
    "fit": Way("Keras fit, fold by fold", "Keras", "tensorflow"),
    "fit_steps": Way("Keras fit, steps_per_execution=16", "Keras", "tensorflow"),
    "fit_jit": Way("Keras fit, jit_compile", "Keras", "tensorflow"),
    "fit_jit_steps": Way("Keras fit, jit_compile, steps 16", "Keras", "tensorflow"),
}


def installed(names: Sequence[str], ways: Mapping[str, Way] = WAYS) -> list[str]:
    """The ways whose package is installed."""
    return [name for name in names if importlib.util.find_spec(ways[name].needs)]


def print_without_tensorflow() -> None:
    """Let this process, which prints the tables, import Keras where TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "jax"


@dataclass(frozen=True)
class Cost:
    """What a trial of the study's number of epochs costs, from one of fewer.

    Attributes:
        seconds: on the clock.
        cpu_seconds: of all threads of the process.
    """

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Costs:
    """The costs of one way at one batch size.

    Attributes:
        first: with whatever compilation this batch size needs; the engine itself was warm.
        warm: of the later turns.
    """

    first: Cost
    warm: tuple[Cost, ...]

    def median(self, quantity: str) -> float:
        """Of the warm turns, `seconds` or `cpu_seconds`."""
        return float(statistics.median(getattr(cost, quantity) for cost in self.warm))


class Ways:
    """Runs ways in their processes; a context manager that ends them."""

    def __init__(
        self,
        problem: Callable[[], Problem] = study_problem,
        *,
        at_once: int = 1,
        on_gpu: bool = False,
    ) -> None:
        """Start no process yet.

        Args:
            problem: function that makes the problem, in each process anew.
            at_once: the number of equal trials that run at the same time.
            on_gpu: whether JAX and PyTorch compute on a GPU.
        """
        self._problem = problem
        self._on_gpu = on_gpu
        self._shares: list[list[int] | None] = [None] if at_once == 1 else [*shares_of(at_once)]
        self._processes: dict[str, list[ProcessPoolExecutor]] = {}

    def __enter__(self) -> "Ways":
        """Start nothing yet."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the processes."""
        for processes in self._processes.values():
            for process in processes:
                process.shutdown()

    def versions(self, name: str) -> dict[str, Any]:
        """The engine's version, and whether TensorFlow uses oneDNN, as its process says."""
        found: dict[str, Any] = self._of(name)[0].submit(_versions, name).result()
        return found

    def cost(self, name: str, batch_size: int, epochs: int) -> Cost:
        """Train for `epochs` epochs, at least 2, and extrapolate to the study's number.

        Of trials at once, the cost is that of the slowest, divided by their number.
        """
        running = [
            process.submit(_cost, name, self._problem, batch_size, epochs)
            for process in self._of(name)
        ]
        costs = [each.result() for each in running]
        return Cost(
            max(cost.seconds for cost in costs) / len(costs),
            statistics.fmean(cost.cpu_seconds for cost in costs),
        )

    def _of(self, name: str) -> list[ProcessPoolExecutor]:
        """The processes of a way, one a trial."""
        way = WAYS[name]
        if way.process not in self._processes:
            self._processes[way.process] = [
                process_of(way, cores, on_gpu=self._on_gpu) for cores in self._shares
            ]
        return self._processes[way.process]


def shares_of(number: int) -> list[list[int]]:
    """Divide the cores that this process may use into so many equal shares."""
    cores = sorted(os.sched_getaffinity(0))
    size = len(cores) // number
    if size == 0:
        raise ValueError(f"{number} trials at once; this machine has {len(cores)} cores")
    return [cores[size * share : size * (share + 1)] for share in range(number)]


def process_of(way: Way, cores: list[int] | None, *, on_gpu: bool = False) -> ProcessPoolExecutor:
    """A process for a way's engine, on these cores or on all of them."""
    return ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(way.backend, cores, on_gpu),
    )


def _start(backend: str, cores: list[int] | None, on_gpu: bool) -> None:
    """Prepare a process before it imports its engine, which counts the cores as it starts."""
    os.environ["KERAS_BACKEND"] = backend
    if on_gpu:
        # Several engines share the GPU.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    else:
        os.environ["JAX_PLATFORMS"], os.environ["CUDA_VISIBLE_DEVICES"] = "cpu", ""
    if cores is not None:
        os.sched_setaffinity(0, cores)
        os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(len(cores))


def _versions(name: str) -> dict[str, Any]:
    import importlib.metadata

    way = WAYS[name]
    found: dict[str, Any] = {way.needs: importlib.metadata.version(way.needs)}
    if way.needs == "tensorflow":
        from rust_tuner.models.runtime import onednn_enabled, start_backend

        start_backend()
        found["onednn"] = onednn_enabled()
    return found


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _cost(name: str, problem: Callable[[], Problem], batch_size: int, epochs: int) -> Cost:
    trial = _trial(name, problem)
    marks: dict[int, list[tuple[float, float]]] = {}
    start = _clocks()
    trial(batch_size, epochs, lambda fold: marks.setdefault(fold, []).append(_clocks()))
    end = _clocks()
    totals = []
    for clock in (0, 1):
        # The first epoch of each fold may hold a compilation.
        later = sum(
            (times[-1][clock] - times[0][clock]) / (len(times) - 1) for times in marks.values()
        )
        totals.append(end[clock] - start[clock] + (EPOCHS - epochs) * later)
    return Cost(*totals)


@functools.cache
def _trial(name: str, problem: Callable[[], Problem]) -> Trial:
    """The way's function; its engine is imported here, in its own process."""
    if name in ("together", "together_jax"):
        return _together(problem())
    if name == "jax":
        from experiments.benchmarks import peers_jax

        return peers_jax.vmapped(problem())
    if name in ("torch", "torch_stacked"):
        from experiments.benchmarks import peers_torch

        peer = peers_torch.stacked if name == "torch_stacked" else peers_torch.fold_by_fold
        return peer(problem(), "cpu" if os.environ.get("JAX_PLATFORMS") == "cpu" else "cuda")
    from experiments.benchmarks import peers_keras

    steps = peers_keras.STEPS_PER_EXECUTION if "steps" in name else 1
    return peers_keras.fit(problem(), steps_per_execution=steps, jit_compile="jit" in name)


def _together(problem: Problem) -> Trial:
    """The package's own way."""
    from experiments.benchmarks.common import configuration, data_of
    from rust_tuner.models.fold_parallel import FoldParallelTrainer
    from rust_tuner.models.runtime import start_backend
    from rust_tuner.progress import Silent
    from rust_tuner.search.fold_runs import run_folds_together

    start_backend()
    trainer = FoldParallelTrainer(data_of(problem))
    num_features = problem.table.shape[1]

    def trial(batch_size: int, epochs: int, mark: Callable[[int], None]) -> None:
        hypermodel, hyperparameters = configuration(batch_size, problem.dropout_rate)

        class Marked(Silent):
            def advance(self, steps: int = 1, *, note: str | None = None) -> None:
                mark(0)

        run_folds_together(
            lambda: hypermodel.build_head(hyperparameters, num_features),
            trainer,
            problem.folds,
            epochs=epochs,
            batch_size=batch_size,
            seed=0,
            task=Marked(),
        )

    return trial
