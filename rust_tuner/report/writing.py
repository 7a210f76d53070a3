"""How every report is written into its folder; what stands in it belongs to its page."""

from collections.abc import Callable
from pathlib import Path

from rust_tuner.files import remove_leftovers
from rust_tuner.locks import hold_lock
from rust_tuner.report.page import Room
from rust_tuner.report.processes import Processes, safe_number, with_processes


def written(folder: Path, write: Callable[[Room], Path]) -> Path:
    """Write a report; its figures are drawn in several processes where that is safe.

    Args:
        folder: of the report.
        write: writes all files; called again in one process where another one has failed.

    Returns:
        What `write` returns, the page.

    Raises:
        LockedError: if another process is writing the report.
    """

    def attempt(processes: Processes | None) -> Path:
        remove_leftovers(folder, "**")
        return write(Room(folder, processes=processes))

    number = safe_number()
    with hold_lock(folder, "writing the report"):
        return with_processes(number, attempt)
