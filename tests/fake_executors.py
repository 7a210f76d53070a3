"""Executors in the test's own process: when a call runs is decided by the test, not by chance."""

import concurrent.futures
from typing import Any


class SameProcess(concurrent.futures.Executor):
    """Runs each function at once, in the thread that submits it."""

    def __init__(self, num_workers: int | None = None) -> None:
        self.calls = 0
        # As the executors of the standard library name it.
        self._max_workers = num_workers

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        self.calls += 1
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        _fill(future, function, arguments)
        return future


class LastFirst(SameProcess):
    """Runs what it was given once a result is asked for, in the opposite order."""

    def __init__(self, num_workers: int | None = None) -> None:
        super().__init__(num_workers)
        self._pending: list[tuple[Any, Any, Any]] = []
        self.order: list[str] = []

    def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
        self.calls += 1
        future = _Asked(self)
        self._pending.append((future, function, arguments))
        return future

    def run(self) -> None:
        while self._pending:
            future, function, arguments = self._pending.pop()
            self.order.append(arguments[3])
            _fill(future, function, arguments)


class _Asked(concurrent.futures.Future[Any]):
    def __init__(self, executor: LastFirst) -> None:
        super().__init__()
        self._executor = executor

    def done(self) -> bool:
        if not super().done():
            self._executor.run()
        return super().done()


def _fill(future: Any, function: Any, arguments: Any) -> None:
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)
