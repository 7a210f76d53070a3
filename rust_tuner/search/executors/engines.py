"""Engines: what runs functions for a search, and how a user names it.

An engine has the shape of `concurrent.futures.Executor`. Whoever gives one of their own keeps it;
one that `workers=` names is started and ended by the search.
"""

import concurrent.futures
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.given import GivenExecutor
from rust_tuner.search.executors.local import LocalEngine
from rust_tuner.search.executors.ray_engine import RayEngine
from rust_tuner.search.executors.slurm_engine import SlurmEngine
from rust_tuner.search.executors.workers import Workers


class Engine(Protocol):
    """Runs functions in other processes."""

    @property
    def num_workers(self) -> int:
        """How many functions run at once."""
        ...

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call; the future has its result."""
        ...

    def restart(self) -> bool:
        """Start workers again after some have died; False if this engine does not do that."""
        ...

    def close(self) -> None:
        """End what the engine started, and wait for nothing."""
        ...

    def note(self) -> str:
        """Where trials run, for the user."""
        ...


@runtime_checkable
class KeepsArrays(Protocol):
    """An engine that brings large arrays to its workers by itself, not as files of the project."""

    def keep(self, digest: str, array: "npt.NDArray[Any]") -> None:
        """Keep an array, which `shipping.bring` then gives to workers by its SHA-256."""
        ...


@runtime_checkable
class OutlivesCoordinator(Protocol):
    """An engine whose calls continue where the coordinator is killed."""

    def begin(self, folder: Path, key: str, say: Callable[[str], None]) -> bool:
        """Take up the calls of an earlier coordinator of a project folder; whether there are any.

        Calls of a run with another key, and those that do not fit, have ended on return.
        """
        ...

    def submit_as(
        self, name: str, function: Any, *arguments: Any
    ) -> "concurrent.futures.Future[Any]":
        """Begin a call, unless the one of this name was taken up; the future has its result."""
        ...


def engine_of(executor: Any, workers: Any) -> Engine | None:
    """The engine that a user asked for; None for this process alone.

    Args:
        executor: an object with `submit`, or None.
        workers: a `Workers`, or what `Workers.of` reads; None or 1 for this process alone.

    Raises:
        SearchError: for anything else, or for both.
    """
    if executor is not None:
        if workers is not None:
            raise SearchError("executor and workers; give one of them")
        if not callable(getattr(executor, "submit", None)):
            raise SearchError(
                f"executor={executor!r}; expected an executor such as that of concurrent.futures, "
                "with a method submit"
            )
        return GivenExecutor(executor)
    asked = Workers.of(workers)
    if asked.is_this_process:
        return None
    return _ENGINES[asked.engine](asked)


def require_engine(asked: Workers) -> None:
    """Check, before any work, that an engine can be used from here.

    Raises:
        SearchError: if not.
        ExtraError: where its package is not installed.
    """
    if asked.engine != "local":
        _ENGINES[asked.engine](asked)


def _local(asked: Workers) -> Engine:
    assert asked.count is not None
    return LocalEngine(asked.count)


_ENGINES: Mapping[str, Callable[[Workers], Engine]] = {
    "local": _local,
    "ray": RayEngine,
    "slurm": SlurmEngine,
}
