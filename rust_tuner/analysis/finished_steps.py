"""How far the searches and first models of a study are; from records only."""

from collections.abc import Collection
from pathlib import Path

from rust_tuner.errors import RustTunerError
from rust_tuner.records.baselines import read_baselines
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.run import RUN_FILE


def share_done(study: Path, search: str) -> float | None:
    """The share of a search's trials that have ended, in [0, 1]; None if it was not begun."""
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


def _project(folder: Path) -> Project | None:
    if not (folder / RUN_FILE).is_file():
        return None
    try:
        return read_project(folder)
    except (RustTunerError, OSError):
        return None
