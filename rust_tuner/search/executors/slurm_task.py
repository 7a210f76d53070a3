"""What a job of SLURM runs: calls, one after another, each with its result or its error."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle

from rust_tuner.search.executors.shipping import called

_SECONDS_BETWEEN_LOOKS = 1.0


class RemoteError(Exception):
    """The traceback of an error in the job where it was raised, as the cause of the error here."""

    def __str__(self) -> str:
        """The traceback, on lines of its own."""
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        result: of the call.
        error: that it raised; None if it has a result.
        trace: the traceback of the error, as text.
    """

    result: Any = None
    error: Exception | None = None
    trace: str = ""


def run_calls(calls: Sequence[bytes], path: Iterable[str]) -> list[Outcome]:
    """Run calls one after another; an error of one does not end the others.

    A job that SLURM requeues runs all of them again, and finds what it has recorded.

    Args:
        calls: made by `as_call`.
        path: where the coordinator imports modules from, such as those beside the user's script.
    """
    # Sent before the time is over, for jobs that save something then. Folds are saved as they end,
    # so the time that is left is used.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    sys.path += [folder for folder in path if folder not in sys.path]
    return [_outcome(call) for call in calls]


def _end_with(shell: int) -> None:
    """End once the job's shell has ended: SLURM may lose this process, and run it again."""
    while os.getppid() == shell:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _outcome(call: bytes) -> Outcome:
    try:
        return Outcome(called(call))
    except Exception as error:
        # Of the user's model or of ours: it is raised again where the trial is taken up.
        return Outcome(error=_portable(error), trace=traceback.format_exc())


def _portable(error: Exception) -> Exception:
    """An error that arrives as it is, or its text where it cannot be sent."""
    try:
        loaded = cloudpickle.loads(cloudpickle.dumps(error))
    except Exception:
        # A class of the user's may fail in any way when it is pickled or unpickled.
        loaded = None
    if isinstance(loaded, type(error)):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
