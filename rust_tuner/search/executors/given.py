"""An executor that the user made: it is neither started nor ended here."""

import concurrent.futures
import contextlib
from typing import Any

from rust_tuner.environment import usable_cores
from rust_tuner.errors import SearchError


class GivenExecutor:
    """The user's executor, which is neither started nor ended here."""

    def __init__(self, executor: Any) -> None:
        """Use an executor.

        Args:
            executor: has `submit(function, *arguments)`, which returns a future.

        Raises:
            SearchError: where its processes are forks, in which TensorFlow waits for ever.
        """
        context = getattr(executor, "_mp_context", None)
        if context is not None and context.get_start_method() == "fork":
            raise SearchError(
                "the processes of the executor are forks of this one, in which TensorFlow does not "
                'work; give it mp_context=multiprocessing.get_context("spawn"), or use workers=N'
            )
        self._executor = executor
        # Most executors know; where one does not, as many trials wait as this process has cores.
        count = getattr(executor, "_max_workers", None)
        self.num_workers = count if isinstance(count, int) and count > 0 else usable_cores() or 1
        self._futures: list[concurrent.futures.Future[Any]] = []

    def submit(self, function: Any, *arguments: Any) -> "concurrent.futures.Future[Any]":
        """Begin a call.

        Raises:
            SearchError: where what the executor returns is no future of the standard library.
        """
        future = self._executor.submit(function, *arguments)
        if not isinstance(future, concurrent.futures.Future):
            raise SearchError(
                f"submit of the executor returned a {type(future).__name__}; expected a "
                "concurrent.futures.Future, such as Dask's client.get_executor(pure=False, "
                "retries=0) gives"
            )
        self._futures = [one for one in self._futures if not one.done()] + [future]
        return future

    def restart(self) -> bool:
        """Return False: the executor is the user's."""
        return False

    @property
    def is_running(self) -> bool:
        """Whether calls run that cannot be cancelled."""
        return any(future.running() for future in self._futures)

    def close(self) -> None:
        """Cancel what has not begun, and wait for what runs: it writes into the project folder.

        Whoever searches again at once would otherwise have two workers at one trial.
        """
        for future in self._futures:
            future.cancel()
        for future in self._futures:
            if future.running():
                with contextlib.suppress(Exception):
                    future.result()

    def note(self) -> str:
        """Name the executor."""
        return f"trials run in {type(self._executor).__name__}, {self.num_workers} at once"
