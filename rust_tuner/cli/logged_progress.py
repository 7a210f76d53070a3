"""A `Progress` that also logs notes, and one line for each trial that ends."""

from pathlib import Path

from rust_tuner.cli.run_log import log_line, log_note
from rust_tuner.cli.shown_text import shown
from rust_tuner.errors import RustTunerError
from rust_tuner.progress import PassedOn, Progress


class LoggedProgress(PassedOn):
    """Passes every report on, and logs what is worth a line."""

    def __init__(self, progress: Progress, study: Path) -> None:
        """Report to `progress`; trials are named by their folder within the study."""
        super().__init__(progress)
        self._study = study
        self._ended: set[tuple[Path, str]] = set()

    def say(self, text: str) -> None:
        """Pass it on as the terminal may show it, and log it."""
        self._progress.say(shown(text))
        log_note(text)

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Pass it on, and log a trial that has ended."""
        self._progress.recorded(project, trial)
        if trial is not None and (project, trial) not in self._ended:
            line = _trial_line(project, trial, self._study)
            if line is not None:
                self._ended.add((project, trial))
                log_line(line)


def _trial_line(project: Path, trial: str, study: Path) -> str | None:
    """How a trial ended; None if it has not, or nobody can read it."""
    from rust_tuner.records.trials import TRIAL_FILE, read_trial_state

    try:
        state = read_trial_state(project / f"trial_{trial}" / TRIAL_FILE)
    except (OSError, RustTunerError):
        return None
    if state.status == "RUNNING":
        return None
    is_within = project.is_relative_to(study)
    name = project.relative_to(study).as_posix() if is_within else project.name
    figure = "" if state.score is None else f", score {state.score:.4f}"
    return f"trial {trial} of {name}: {state.status}{figure}"
