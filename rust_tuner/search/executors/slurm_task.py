"""What a job of SLURM runs: calls, one after another, each with its result or its error."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from rust_tuner.search.executors.outcome import Outcome, outcome_of
from rust_tuner.search.executors.shipping import called

_SECONDS_BETWEEN_LOOKS = 1.0


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
    return [outcome_of(called, call) for call in calls]


def _end_with(shell: int) -> None:
    """End once the job's shell has ended: SLURM may lose this process, and run it again."""
    while os.getppid() == shell:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)
