"""Which steps of a study are finished, and which command usually follows; from records only."""

from collections.abc import Collection
from pathlib import Path

from rust_tuner.errors import RustTunerError
from rust_tuner.records.baselines import read_baselines
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE
from rust_tuner.records.project import REGIME_1, REGIME_2, Project, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.study_record import STUDY_FILE

_CHECKS_FILE = "checks.json"


def next_step(study: Path, *, after: str = "") -> str:
    """The command that usually follows in a study.

    The searches and their result come first; the first models and the checks follow, and each
    result is shown by another report.

    Args:
        study: the study's folder.
        after: the command that has just ended, such as `report`.

    Returns:
        A command of `rust-tuner`, such as `final`; `status` where nothing is left.
    """
    if not (study / STUDY_FILE).exists():
        return "prepare"
    if share_done(study, REGIME_2) is None and _unfinished(study, REGIME_1):
        return "regime1"
    if _unfinished(study, REGIME_2):
        return "regime2"
    if after in ("nested", "noise", "check"):
        return "report"
    if not (study / FINAL / HOLDOUT_FILE).exists():
        return "final"
    if after != "report":
        return "report"
    if not baselines_are_done(study):
        return "baselines"
    return "status" if (study / _CHECKS_FILE).exists() else "check"


def share_done(study: Path, search: str) -> float | None:
    """The share of a search's trials that have ended, in [0, 1]; None where it was not begun."""
    project = _project(study / search)
    if project is None:
        return None
    ended = sum(trial.has_ended for trial in project.trials)
    return min(1.0, ended / max(1, project.run.num_trials))


def baselines_are_done(study: Path, models: Collection[str] = ()) -> bool:
    """Whether there are first models, all of them finished.

    Args:
        study: the study's folder.
        models: those that must be there.
    """
    try:
        projects = read_baselines(study)
    except (RustTunerError, OSError):
        return False
    return (
        bool(projects)
        and set(models) <= set(projects)
        and all(any(trial.has_ended for trial in project.trials) for project in projects.values())
    )


def _unfinished(study: Path, search: str) -> bool:
    share = share_done(study, search)
    return share is None or share < 1


def _project(folder: Path) -> Project | None:
    if not (folder / RUN_FILE).is_file():
        return None
    try:
        return read_project(folder)
    except (RustTunerError, OSError):
        return None
