"""Copies a search into a journal of Optuna, which `optuna-dashboard` shows.

The journal follows from the records of the search and is only written beside them: remove it, and
it is made again. While a search runs, it is extended, never changed, since a dashboard that is open
keeps its place in it. If the records contradict the journal, it is begun again.
"""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rust_tuner.errors import RustTunerError
from rust_tuner.extras import require_package
from rust_tuner.locks import hold_lock
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.trials import PRUNED, TRIAL_FILE, TrialRecord, read_trial_state

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FOLDER = "optuna"

_LONGEST_WAIT = 60.0
_STATES = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", PRUNED: "PRUNED", "RUNNING": "RUNNING"}
_Parameters = dict[str, tuple[Any, "BaseDistribution"]]


def mirror(project: str | Path) -> Path:
    """Bring the journal of a search up to date with its records.

    Args:
        project: the project folder of a search, finished, interrupted or still running.

    Returns:
        The journal, in the folder `optuna` beside the project folder.

    Raises:
        ExtraError: where Optuna is not installed.
        ResumeError: where the folder holds no search.
        StorageError: where the journal cannot be written.
    """
    require_package("optuna", what="the dashboard needs", extra="optuna")
    records = read_project(project)
    folder = records.folder.resolve().parent / FOLDER
    journal = folder / f"{records.folder.resolve().name}.journal"
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder, "writing Optuna's journal", wait=_LONGEST_WAIT), without_optunas_notes():
        trials = list(_frozen_trials(records))
        if not _is_extended(journal, records, trials):
            journal.unlink(missing_ok=True)
            _extend(journal, records, trials)
    return journal


def _is_extended(journal: Path, project: Project, trials: list["FrozenTrial"]) -> bool:
    """Add to a journal what it lacks; False where it is damaged or holds something else."""
    from optuna.exceptions import OptunaError

    # Optuna would write on in a line that was cut short.
    if journal.exists() and not journal.read_bytes().endswith(b"\n"):
        return False
    try:
        return _extend(journal, project, trials)
    # Lines that are not a journal make Optuna raise any kind of error.
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OptunaError):
        return False


def _extend(journal: Path, project: Project, trials: list["FrozenTrial"]) -> bool:
    """Add to a journal what it lacks; False where it holds something else."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    direction = StudyDirection.MINIMIZE if project.run.lower_is_better else StudyDirection.MAXIMIZE
    name = project.folder.resolve().name
    storage = JournalStorage(JournalFileBackend(str(journal)))
    studies = storage.get_all_studies()
    if not studies:
        study_id = storage.create_new_study([direction], name)
        metric = [project.run.objective.name]
        storage.set_study_system_attr(study_id, "study:metric_names", metric)
    elif [(study.study_name, study.directions) for study in studies] != [(name, [direction])]:
        return False
    else:
        study_id = studies[0]._study_id
    written = storage.get_all_trials(study_id, deepcopy=False)
    if len(written) > len(trials):
        return False
    for old, new in zip(written, trials, strict=False):
        if (old.params, old.user_attrs["trial"]) != (new.params, new.user_attrs["trial"]):
            return False
        if old.state == TrialState.RUNNING and new.state != TrialState.RUNNING:
            for step, value in new.intermediate_values.items():
                storage.set_trial_intermediate_value(old._trial_id, step, value)
            for key, text in new.user_attrs.items():
                storage.set_trial_user_attr(old._trial_id, key, text)
            storage.set_trial_state_values(old._trial_id, new.state, new.values)
        elif (old.state, old.values) != (new.state, new.values):
            return False
    for new in trials[len(written) :]:
        storage.create_new_trial(study_id, template_trial=new)
    return True


def _frozen_trials(project: Project) -> Iterator["FrozenTrial"]:
    """The trials of a search as Optuna has them, with their mean curves."""
    from optuna.trial import TrialState, create_trial

    used: dict[str, BaseDistribution] = {}
    metric = project.run.objective.name.removeprefix("val_")
    for record in project.trials:
        parameters = _parameters(project.folder, record, used)
        state = _STATES[record.status]
        curve = _mean_curve(record, metric) if state == "COMPLETE" else []
        spread = record.spread(metric)
        about = {"trial": record.trial, "message": record.message, "std over folds": spread}
        trial = create_trial(
            state=TrialState[state],
            value=record.score,
            params={name: value for name, (value, _) in parameters.items()},
            distributions={name: kind for name, (_, kind) in parameters.items()},
            intermediate_values=dict(enumerate(curve)),
            user_attrs={key: value for key, value in about.items() if value is not None},
        )
        path = project.folder / f"trial_{record.trial}" / TRIAL_FILE
        ended = datetime.fromtimestamp(path.stat().st_mtime)
        seconds = sum(fold.seconds for fold in record.folds)
        trial.datetime_start = ended - timedelta(seconds=seconds)
        trial.datetime_complete = None if state == "RUNNING" else ended
        yield trial


def _mean_curve(record: TrialRecord, metric: str) -> list[float]:
    curves = [fold.validation.get(metric) for fold in record.folds]
    whole = [curve for curve in curves if curve is not None]
    if not whole or len(whole) != len(curves) or len({len(curve) for curve in whole}) != 1:
        return []
    mean: list[float] = np.mean(whole, axis=0).tolist()
    return mean


def _parameters(
    folder: Path, record: TrialRecord, used: dict[str, "BaseDistribution"]
) -> _Parameters:
    """The values of a trial and their ranges, which Optuna wants to be the same for one name."""
    try:
        state = read_trial_state(folder / f"trial_{record.trial}" / TRIAL_FILE)
    except (RustTunerError, OSError):
        return {}
    space: Any = state.hyperparameters.to_json().get("space", [])
    parameters: _Parameters = {}
    for item in space:
        config = item["config"]
        name = config["name"]
        if name not in record.values or not _is_active(config, record.values):
            continue
        distribution = _distribution(item["class_name"], config)
        if distribution is None:
            continue
        shown, number = name, 1
        while used.setdefault(shown, distribution) != distribution:
            # Another scope has given the name to another hyperparameter.
            number += 1
            shown = f"{name} ({number})"
        value = record.values[name]
        if distribution._contains(distribution.to_internal_repr(value)):
            parameters[shown] = value, distribution
    return parameters


def _is_active(config: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(
        values.get(condition["config"]["name"]) in condition["config"]["values"]
        for condition in config.get("conditions", [])
    )


def _distribution(kind: str, config: Mapping[str, Any]) -> "BaseDistribution | None":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if kind == "Boolean":
        return CategoricalDistribution((False, True))
    if kind == "Choice":
        return CategoricalDistribution(tuple(dict.fromkeys(config["values"])))
    if kind in ("Float", "Int"):
        low, high, log = config["min_value"], config["max_value"], config["sampling"] == "log"
        if kind == "Float":
            return FloatDistribution(low, high, log=log)
        return IntDistribution(low, high, log=log)
    return None


@contextlib.contextmanager
def without_optunas_notes() -> Iterator[None]:
    """Keep back Optuna's notes, which are about studies that the user did not make."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
