"""A project folder: run manifest, trials, per-fold records, and the best trial.

It only reads and writes files, without models, data or TensorFlow. A project folder contains

    search.json                 space, data and versions of the search (`RunManifest`)
    rows.csv                    for radiographs: patient, scores and fold of each
    folds.npz                   the folds of a splitter without a seed
    oracle.json, tuner0.json    KerasTuner's files, kept so that its own tools can read the folder
    trial_0000/trial.json       KerasTuner's trial: values, status, score, epoch, message
    trial_0000/fold_0.json      histories of one fold, with a key of everything they depend on
    trial_0000/fold_0.npz       its validation predictions of every epoch, while the trial runs
    trial_0000/out_of_fold.npz  the predictions of the trial's chosen epoch
    trial_0000/model.json       the user's model as it was built with the trial's values
    model.json                  the same with the default values

Manifest, trials and folds belong to `run`, `trials` and `folds`; tables of them to `trial_tables`.
"""

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.outputs import Outputs
from rust_tuner.errors import RecordError, ResumeError, RustTunerError
from rust_tuner.files import require_utf8
from rust_tuner.metrics.mean_ranks import mean_ranks
from rust_tuner.metrics.ties import Tie, fold_overlap, ties
from rust_tuner.records.arrays import read_arrays
from rust_tuner.records.run import MULTI_OBJECTIVE, RUN_FILE, RunManifest, read_run
from rust_tuner.records.trials import TrialRecord, read_trial

TRIAL_ID_WIDTH = 4
REGIME_1 = "regime_1"
REGIME_2 = "regime_2"

# Copies made by a person or a synchroniser, such as `trial_0000 (conflicted copy)`, are ignored.
_TRIAL_FOLDER = re.compile(r"trial_(\d{4,9})")
_AGAIN = "run the search again"


@dataclass(frozen=True)
class Project:
    """The current content of a project folder.

    Attributes:
        folder: the folder.
        run: its run manifest.
        trials: the trials whose files can be read, by id.
        problems: what cannot be read, a line each.
    """

    folder: Path
    run: RunManifest
    trials: tuple[TrialRecord, ...]
    problems: tuple[str, ...]

    @property
    def objective(self) -> str:
        """Name of the objective, such as `val_auroc`; `multi_objective` where there are several."""
        return self.run.objective.name

    @property
    def ties(self) -> dict[str, Tie]:
        """How each completed trial compares with the best one, by the objective; see `ties`."""
        metric = self.objective.removeprefix("val_")
        scores = {trial.trial: trial.fold_values(metric) for trial in self.trials}
        num_folds = max((len(values) for values in scores.values() if values), default=0)
        complete = {
            name: values for name, values in scores.items() if values and len(values) == num_folds
        }
        if num_folds < 2:
            return {}
        subject = self.run.subject.to_json()
        return ties(complete, subject, direction=self.run.objective.direction)

    @property
    def seconds_left(self) -> float | None:
        """How long the folds that are left would take; None if unknown, or nothing is left.

        By the mean of the finished folds, including those of a trial that has not ended.
        """
        seconds = [fold.seconds for trial in self.trials for fold in trial.folds]
        unfinished = [trial for trial in self.trials if not trial.has_ended]
        ended = len(self.trials) - len(unfinished)
        folds = (self.run.num_trials - ended) * self.run.subject.num_folds
        folds -= sum(len(trial.folds) for trial in unfinished)
        return sum(seconds) / len(seconds) * folds if seconds and folds > 0 else None

    @property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best score, the first of equals; None if there is none."""
        completed = [trial for trial in self.trials if trial.score is not None]
        sign = 1 if self.run.lower_is_better else -1
        return min(completed, key=lambda trial: sign * float(trial.score or 0), default=None)


def project_folder_of(directory: str | Path | None, project_name: str | None) -> Path:
    """The project folder of a tuner, as KerasTuner will name it.

    Raises:
        StorageError: where a name in its path is not UTF-8.
    """
    folder = Path(directory or ".") / (project_name or "untitled_project")
    require_utf8(folder)
    return folder


def read_project(folder: str | Path) -> Project:
    """Read a project folder, even if its search is running or was killed.

    Raises:
        ResumeError: if the folder is not a search folder.
        RecordError: if its manifest is damaged.
    """
    project = Path(folder)
    if not os.path.lexists(project / RUN_FILE):
        raise ResumeError(
            f"{project} is not a search folder ({RUN_FILE} is missing); give the project folder "
            "itself, such as STUDY/regime_1"
        )
    run = read_run(project)
    num_folds = run.subject.num_folds
    objectives = [part.name for part in run.objective.parts]
    overlap = fold_overlap(run.subject.to_json())
    trials, problems = [], []
    for path in trial_folders(project):
        try:
            trial = read_trial(path, objective=objectives, overlap=overlap)
            scored_by_folds = run.run_trial is None or bool(trial.folds)
            if trial.score is not None and scored_by_folds and len(trial.folds) != num_folds:
                raise RecordError.of(
                    path, f"has {len(trial.folds)} of {num_folds} fold records", mend=_AGAIN
                )
            _require_epoch(path, trial)
            trials.append(trial)
        except FileNotFoundError:
            problems.append(f"{path.name}: trial.json is missing; {_AGAIN}")
        except (RustTunerError, OSError) as error:
            problems.append(f"{path.name}: {error}")
    return Project(project, run, _ranked(run, trials), tuple(problems))


def count_ended(folder: Path) -> int:
    """How many trials of a project folder have ended, for progress only.

    0 if the folder is missing or cannot be read; its search then reports what is wrong.
    """
    if not (folder / RUN_FILE).is_file():
        return 0
    try:
        trials = read_project(folder).trials
    except (RustTunerError, OSError):
        return 0
    return sum(trial.has_ended for trial in trials)


def read_out_of_fold(folder: str | Path, trial: str) -> npt.NDArray[np.float32]:
    """Out-of-fold predictions (n, outputs) of a completed trial at its chosen epoch.

    If several folds validate a row, as with a repeated splitter, this is their mean.

    Raises:
        ResumeError: if the trial has none.
    """
    return np.asarray(_out_of_fold_arrays(folder, trial)["predictions"], dtype=np.float32)


def read_out_of_fold_repeats(folder: str | Path, trial: str) -> npt.NDArray[np.float32]:
    """Each of a completed trial's out-of-fold predictions (repeats, n, outputs).

    There is one repeat, unless the search's splitter validates rows several times; NaN where a row
    has fewer predictions.

    Raises:
        ResumeError: if the trial has none.
    """
    arrays = _out_of_fold_arrays(folder, trial)
    repeats = arrays["repeats"] if "repeats" in arrays else arrays["predictions"][None]
    return np.asarray(repeats, dtype=np.float32)


def read_outputs(folder: str | Path, trial: str) -> Outputs | None:
    """Which columns of a trial's predictions belong to which output; None where there is one.

    Raises:
        ResumeError: where the trial has none.
    """
    return Outputs.from_array(_out_of_fold_arrays(folder, trial).get("outputs"))


def _out_of_fold_arrays(folder: str | Path, trial: str) -> dict[str, npt.NDArray[Any]]:
    path = Path(folder) / f"trial_{trial}" / "out_of_fold.npz"
    arrays = read_arrays(path, None)
    if arrays is None:
        raise ResumeError(f"{path} is missing or damaged; only completed trials have this file")
    return arrays


def is_begun_project(folder: Path) -> bool:
    """Whether a folder has any files of a search; a step that was refused leaves an empty one."""
    return not folder.is_dir() or any(
        not path.name.startswith(".lock") for path in folder.iterdir()
    )


def trial_folders(folder: Path) -> list[Path]:
    """The folders of trials in a project folder, by number; other names are ignored."""
    named = {path: _TRIAL_FOLDER.fullmatch(path.name) for path in folder.glob("trial_*")}
    numbers = {
        path: int(match[1])
        for path, match in named.items()
        if match is not None and match[1] == f"{int(match[1]):0{TRIAL_ID_WIDTH}d}"
    }
    return sorted((path for path in numbers if path.is_dir()), key=numbers.__getitem__)


def _ranked(run: RunManifest, trials: list[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The trials; with several objectives, their scores are the means of their ranks by each."""
    parts = run.objective.parts
    completed = [trial for trial in trials if trial.score is not None]
    if len(parts) == 1 or not completed:
        return tuple(trials)
    nan = float("nan")
    columns = [
        (part.direction, [trial.metrics.get(part.name, nan) for trial in completed])
        for part in parts
    ]
    scores = dict(zip((trial.trial for trial in completed), mean_ranks(columns), strict=True))
    return tuple(
        dataclasses.replace(
            trial,
            score=float(scores[trial.trial]),
            metrics={name: v for name, v in trial.metrics.items() if name != MULTI_OBJECTIVE},
        )
        if trial.trial in scores
        else trial
        for trial in trials
    )


def _require_epoch(path: Path, trial: TrialRecord) -> None:
    """Refuse a completed trial whose curves end before its epoch."""
    for fold in trial.folds if trial.epoch is not None else ():
        shortest = min((len(curve) for curve in fold.validation.values()), default=0)
        if trial.epoch is not None and shortest <= trial.epoch:
            raise RecordError.of(
                path,
                f"has its score at epoch {trial.epoch}, but fold {fold.fold} has {shortest} epochs",
                mend=_AGAIN,
            )
