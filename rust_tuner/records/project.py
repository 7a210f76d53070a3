"""What a project folder holds: run manifest, trials, per-fold records, the best of them.

It reads and writes files alone: no model code, no data and no TensorFlow. A project folder is

    search.json                 what is searched, on what, with which versions (`RunManifest`)
    rows.csv                    of radiographs: whose each is, its scores and its fold
    oracle.json, tuner0.json    KerasTuner's own, kept so that stock tools can read the folder
    trial_0000/trial.json       KerasTuner's trial: values, status, score, epoch, message
    trial_0000/fold_0.json      histories of one fold, under a key of everything they depend on
    trial_0000/fold_0.npz       its validation predictions of every epoch, while the trial runs
    trial_0000/out_of_fold.npz  the predictions of the trial's chosen epoch

The records of folds belong to `folds`, the form of each file to `schema`.
"""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.errors import RecordError, ResumeError, RustTunerError
from rust_tuner.metrics.fold_interval import UNIT, fold_interval
from rust_tuner.metrics.ties import Tie, ties
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.records.arrays import read_arrays
from rust_tuner.records.folds import fold_files, read_fold
from rust_tuner.records.metric_names import with_same_names
from rust_tuner.records.schema import RunForm, TrialForm, read_record
from rust_tuner.scope import AUROCS

TRIAL_ID_WIDTH = 4
RUN_FILE = "search.json"
REGIME_1 = "regime_1"
REGIME_2 = "regime_2"
SPLITS = ("training", "validation")

# Copies that a person or a synchroniser made, such as `trial_0000 (conflicted copy)`, are none.
_TRIAL_FOLDER = re.compile(r"trial_(\d{4,9})")
_AGAIN = "run the search again"

# What tables of trials, of their folds or of their curves keep beside hyperparameters.
_COLUMNS = {
    "trial",
    "status",
    "score",
    "score_std",
    "score_low",
    "score_high",
    "tied_with_best",
    "p_against_best",
    "epoch",
    "steps_per_epoch",
    "one_step",
    "seconds",
    "message",
    "rank",
    "best_so_far",
    "fold",
    "split",
    "metric",
    "value",
    "model",
}
_OF_METRICS = ("val_", "view_only_")


@dataclass(frozen=True)
class TrialRecord:
    """One trial as its folder tells it.

    Attributes:
        trial: its id, zero-padded to a fixed width.
        status: `RUNNING`, `COMPLETED` or `FAILED`.
        values: hyperparameter values.
        score: the objective at the chosen epoch, averaged over folds; None unless completed.
        epoch: the chosen epoch, from 0; None unless completed.
        message: why it failed, or None.
        metrics: fold-averaged metrics at the chosen epoch.
        folds: the JSON of each fold that is there, in order.
    """

    trial: str
    status: str
    values: dict[str, Any]
    score: float | None
    epoch: int | None
    message: str | None
    metrics: dict[str, float]
    folds: tuple[dict[str, Any], ...]

    def fold_values(self, metric: str) -> list[float] | None:
        """A validation metric of each fold at the chosen epoch; None unless all have it."""
        curves = [fold["validation"].get(metric) for fold in self.folds]
        if self.epoch is None or any(curve is None for curve in curves):
            return None
        return [float(curve[self.epoch]) for curve in curves if curve]

    @property
    def has_ended(self) -> bool:
        """Whether it completed or failed."""
        return self.status != "RUNNING"

    @property
    def learned_nothing(self) -> bool:
        """Whether all AUROCs of all folds and epochs are one half exactly, as of one answer."""
        figures = [
            value
            for fold in self.folds
            for metric in AUROCS
            for value in fold["validation"].get(metric, [])
        ]
        return self.status == "COMPLETED" and set(figures) == {0.5}

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimiser steps of an epoch of the longest fold; None where no fold is there."""
        return max((int(fold["steps_per_epoch"]) for fold in self.folds), default=None)

    @property
    def one_step(self) -> bool | None:
        """Whether an epoch was one step, its batch the whole fold; None where no fold is there."""
        return None if self.steps_per_epoch is None else self.steps_per_epoch == 1

    def spread(self, metric: str) -> float | None:
        """Standard deviation over folds (n - 1) of a validation metric at the chosen epoch."""
        values = self.fold_values(metric)
        return None if values is None or len(values) < 2 else float(np.std(values, ddof=1))

    def interval(self, metric: str) -> Interval:
        """A validation metric at the chosen epoch with its 95 % interval, the one that it has.

        Over folds, which counts that they share training data: `metrics.fold_interval`. Its ends
        are NaN where it is not known. An interval over patients would be of the models as they were
        trained; this one is of training on other patients too.
        """
        nan = float("nan")
        value = self.metrics.get(f"val_{metric}", nan)
        values = self.fold_values(metric)
        if not values:
            return Interval(value, nan, nan)
        found = fold_interval(values, bounds=UNIT) if "auroc" in metric else fold_interval(values)
        if math.isnan(value):
            return found
        # What was recorded and the mean of the folds may differ by rounding.
        ends = min(found.low, value), max(found.high, value)
        return Interval(value, *(ends if not math.isnan(found.low) else (nan, nan)))


@dataclass(frozen=True)
class Project:
    """A project folder as it stands.

    Attributes:
        folder: the folder.
        run: its run manifest.
        trials: the trials whose files can be read, by id.
        problems: what cannot be read, a line each.
    """

    folder: Path
    run: dict[str, Any]
    trials: tuple[TrialRecord, ...]
    problems: tuple[str, ...]

    @property
    def objective(self) -> str:
        """Name of the objective, such as `val_auroc`."""
        return str(self.run["objective"]["name"])

    @property
    def ties(self) -> dict[str, Tie]:
        """How each completed trial compares with the best one, by the objective; see `ties`."""
        metric = self.objective.removeprefix("val_")
        scores = {trial.trial: trial.fold_values(metric) for trial in self.trials}
        num_folds = max((len(values) for values in scores.values() if values), default=0)
        known = {
            name: values for name, values in scores.items() if values and len(values) == num_folds
        }
        if num_folds < 2:
            return {}
        subject, objective = self.run.get("subject") or {}, self.run["objective"]
        return ties(known, subject, direction=objective["direction"])

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best score, the first of equals; None where none is."""
        completed = [trial for trial in self.trials if trial.score is not None]
        sign = -1 if self.run["objective"]["direction"] == "max" else 1
        return min(completed, key=lambda trial: sign * float(trial.score or 0), default=None)


def read_project(folder: str | Path) -> Project:
    """Read a project folder, also one whose search still runs or was killed.

    Raises:
        ResumeError: where the folder holds no search.
        RecordError: where its manifest is damaged.
    """
    place = Path(folder)
    run_file = place / RUN_FILE
    if not os.path.lexists(run_file):
        raise ResumeError(
            f"{place} holds no search ({RUN_FILE} is missing); give the project folder itself, "
            "such as STUDY/regime_1"
        )
    run = read_record(run_file, RunForm)
    num_folds = run["subject"]["num_folds"]
    trials, problems = [], []
    for path in trial_folders(place):
        try:
            trial = read_trial(path, objective=run["objective"]["name"])
            if trial.score is not None and len(trial.folds) != num_folds:
                raise RecordError.of(
                    path,
                    f"holds {len(trial.folds)} of {num_folds} fold records",
                    mend=_AGAIN,
                )
            _require_epoch(path, trial)
            trials.append(trial)
        except FileNotFoundError:
            problems.append(f"{path.name}: trial.json is missing; {_AGAIN}")
        except (RustTunerError, OSError) as error:
            problems.append(f"{path.name}: {error}")
    return Project(place, run, tuple(trials), tuple(problems))


def count_ended(folder: Path) -> int:
    """How many trials of a project folder have ended, for progress alone.

    0 where the folder is not there or cannot be read: what is wrong with it, its search says.
    """
    if not (folder / RUN_FILE).is_file():
        return 0
    try:
        trials = read_project(folder).trials
    except (RustTunerError, OSError):
        return 0
    return sum(trial.has_ended for trial in trials)


def results_table(project: Project) -> pd.DataFrame:
    """One row a trial, in the order of their ids.

    Columns: `trial`, `status`, a column a hyperparameter (with `hp_` before its name where that is
    another column's, see `hyperparameter_columns`), `score` (the objective at the chosen
    epoch, averaged over folds), `score_std` (standard deviation over folds), `score_low` and
    `score_high` (its 95 % interval over folds, `TrialRecord.interval`), `tied_with_best`
    (whether the trial is statistically tied with the best one, all trials at once at 5 %; empty
    where that is not known), `p_against_best` (of the corrected resampled t-test against the best
    one by itself), `epoch` (from 0), each validation metric and its `_std`, the view-only baseline
    of each where it is known (`view_only_...`), `steps_per_epoch` (of the longest fold),
    `one_step` (whether a batch held all that a fold trains on, so that an epoch was one step),
    `seconds`, `message`.
    """
    baseline = project.run.get("view_only_baseline") or {}
    rows = []
    compared = project.ties
    columns_of = hyperparameter_columns(project)
    for trial in project.trials:
        tie = compared.get(trial.trial)
        row: dict[str, Any] = {"trial": trial.trial, "status": trial.status}
        row |= {columns_of[name]: value for name, value in trial.values.items()}
        interval = trial.interval(project.objective.removeprefix("val_"))
        row |= {
            "score": trial.score,
            "score_std": trial.spread(project.objective.removeprefix("val_")),
            "score_low": interval.low,
            "score_high": interval.high,
            "tied_with_best": None if tie is None else tie.tied,
            "p_against_best": None if tie is None else tie.p_value,
            "epoch": trial.epoch,
        }
        for name, value in trial.metrics.items():
            row |= {name: value, f"{name}_std": trial.spread(name.removeprefix("val_"))}
        row |= {f"view_only_{name.removeprefix('val_')}": v for name, v in baseline.items()}
        row["steps_per_epoch"] = trial.steps_per_epoch
        row["one_step"] = trial.one_step
        row["seconds"] = sum(fold["seconds"] for fold in trial.folds)
        row["message"] = trial.message
        rows.append(row)
    names = ["trial", "status", "score", "score_std", "score_low", "score_high"]
    columns = [*names, "tied_with_best", "p_against_best", "epoch"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    types = {"tied_with_best": "boolean", "p_against_best": "float64", "one_step": "boolean"}
    return table.astype({name: kind for name, kind in types.items() if name in table})


def hyperparameter_columns(project: Project, taken: Iterable[str] = ()) -> dict[str, str]:
    """The column that tables of trials keep each hyperparameter of a search in.

    Its own name, or with `hp_` before it where that is a column of the trials themselves: the
    values of a hyperparameter `trial` are in `hp_trial`.

    Args:
        project: the search.
        taken: further columns of the table.
    """
    space = project.run.get("space")
    parameters = space.values() if isinstance(space, dict) else ()
    names = [parameter["config"]["name"] for parameter in parameters]
    names += [name for trial in project.trials for name in trial.values]
    columns: dict[str, str] = {}
    for name in dict.fromkeys(names):
        column = name
        while (
            column in _COLUMNS
            or column in taken
            or column.startswith(_OF_METRICS)
            or (column != name and column in names)
        ):
            column = f"hp_{column}"
        columns[name] = column
    return columns


def history_table(project: Project) -> pd.DataFrame:
    """Every value of every metric: `trial, fold, epoch, split, metric, value`.

    `split` is `training` or `validation`, `metric` has no `val_`, folds and epochs count from 0.
    """
    rows = [
        (trial.trial, fold["fold"], epoch, split, metric, value)
        for trial in project.trials
        for fold in trial.folds
        for split in SPLITS
        for metric, curve in fold[split].items()
        for epoch, value in enumerate(curve)
    ]
    return pd.DataFrame(rows, columns=["trial", "fold", "epoch", "split", "metric", "value"])


def read_out_of_fold(folder: str | Path, trial: str) -> npt.NDArray[np.float32]:
    """Out-of-fold predictions (n, outputs) of a completed trial at its chosen epoch.

    Raises:
        ResumeError: where the trial has none.
    """
    path = Path(folder) / f"trial_{trial}" / "out_of_fold.npz"
    arrays = read_arrays(path, None)
    if arrays is None:
        raise ResumeError(f"{path} is missing or damaged; only completed trials have one")
    return np.asarray(arrays["predictions"], dtype=np.float32)


def is_begun_project(folder: Path) -> bool:
    """Whether a folder holds anything of a search; a step that was refused leaves an empty one."""
    return not folder.is_dir() or any(path.suffix != ".lock" for path in folder.iterdir())


def trial_folders(folder: Path) -> list[Path]:
    """The folders of trials in a project folder, by number; only those of just such a name."""
    named = {path: _TRIAL_FOLDER.fullmatch(path.name) for path in folder.glob("trial_*")}
    numbers = {
        path: int(match[1])
        for path, match in named.items()
        if match is not None and match[1] == f"{int(match[1]):0{TRIAL_ID_WIDTH}d}"
    }
    return sorted((path for path in numbers if path.is_dir()), key=numbers.__getitem__)


def read_trial(folder: Path, *, objective: str | None = None) -> TrialRecord:
    """Read one trial's folder, also one whose folds are still being trained.

    Args:
        folder: the trial's folder.
        objective: the metric that its search optimises; see `metric_names.with_same_names`.

    Raises:
        FileNotFoundError: where it holds no trial.
        RecordError: where a file is damaged.
    """
    path = folder / "trial.json"
    state = read_record(path, TrialForm, mend=_AGAIN)
    if f"trial_{state['trial_id']}" != folder.name:
        raise RecordError.of(path, f"is that of trial {state['trial_id']}", mend=_AGAIN)
    folds = [read_fold(head) for head in fold_files(folder)]
    wanted = None if objective is None else objective.removeprefix("val_")
    for split, name in (("training", None), ("validation", wanted)):
        curves = with_same_names([record[split] for record in folds], name)
        folds = [record | {split: own} for record, own in zip(folds, curves, strict=True)]
    completed = state["status"] == "COMPLETED"
    metrics = {
        name: float(np.mean(history["observations"][-1]["value"]))
        for name, history in state["metrics"]["metrics"].items()
    }
    return TrialRecord(
        trial=state["trial_id"],
        status=state["status"],
        values=dict(state["hyperparameters"]["values"]),
        score=float(state["score"]) if completed else None,
        epoch=int(state["best_step"]) if completed else None,
        message=state["message"],
        metrics=metrics if completed else {},
        folds=tuple(folds),
    )


def _require_epoch(path: Path, trial: TrialRecord) -> None:
    """Refuse a completed trial whose curves end before its epoch."""
    for fold in trial.folds if trial.epoch is not None else ():
        shortest = min((len(curve) for curve in fold["validation"].values()), default=0)
        if trial.epoch is not None and shortest <= trial.epoch:
            raise RecordError.of(
                path,
                f"has its score at epoch {trial.epoch}, but fold {fold['fold']} has {shortest} "
                "epochs",
                mend=_AGAIN,
            )
