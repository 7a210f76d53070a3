"""Writes TensorBoard logs of searches from their records alone.

    STUDY/tensorboard/regime_1/                    the search: space and metrics (HParams)
    STUDY/tensorboard/regime_1/trial_0000/         a trial: its values, how it ended, its final
                                                   figures (HParams), its curves averaged over folds
    STUDY/tensorboard/regime_1/trial_0000/fold_0/  the curves of a fold

TensorBoard takes the space and the metrics from one search, whichever it finds first, and shows no
other hyperparameter. Each search in a study's logs therefore declares those of all of them.

An event file is written atomically, and its name contains the hash of the records that it shows.
The logs therefore depend only on the records: existing files are not written again, files without a
record are removed, and a search that was killed and resumed, however often, has the same logs as
one that was not. The bytes of a file are built by `event_files`.
"""

import contextlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner.extras import require_package
from rust_tuner.files import atomic_write, sha256_of_json
from rust_tuner.locks import hold_lock
from rust_tuner.progress import PassedOn, Progress, Silent
from rust_tuner.records.folder import read_study
from rust_tuner.records.folds import FoldHead
from rust_tuner.records.project import read_project
from rust_tuner.records.run import RUN_FILE, RunManifest, read_run, run_if_whole
from rust_tuner.records.trial_tables import SPLITS
from rust_tuner.records.trials import TrialRecord, read_trial

LOGS = "tensorboard"

_EVENTS = "events.out.tfevents"
_FORMAT = 2
_LONGEST_WAIT = 60.0

# The event files of a run: name -> function that makes its content.
_Run = dict[str, Callable[[], bytes]]


def write_logs(directory: str | Path) -> Path:
    """Write the logs of a study or of a single search, finished, interrupted or still running.

    Args:
        directory: a study's folder, whose logs are in its subfolder `tensorboard`; or a project
            folder, whose logs are in the folder `tensorboard` next to it.

    Returns:
        The folder to pass to `tensorboard --logdir`: that of all searches of a study, whose trials
        TensorBoard then lists together, or that of the single search.

    Raises:
        ExtraError: if the package tensorboard is missing.
        ResumeError: if the folder holds neither a study nor a search.
        StorageError: if a file cannot be written.
    """
    require_package("tensorboard", what="TensorBoard logs need", extra="tensorboard")
    folder = Path(directory)
    if (folder / RUN_FILE).is_file():
        search = _Search(folder, folder.parent / LOGS, folder.name)
        _write(search)
        return search.folder
    for name, project in read_study(folder).projects.items():
        _write(_Search(project.folder, folder / LOGS, name))
    return folder / LOGS


class TensorBoardLogs(PassedOn):
    """A `Progress` that also keeps the logs of the searches that report to it.

    A trial's logs are written as soon as its records are: at its end if its folds train together,
    after each fold if they do not. The logs do not change what the search computes.
    """

    def __init__(self, directory: str | Path, progress: Progress | None = None) -> None:
        """Keep logs in the subfolder `tensorboard` of a study's folder.

        Args:
            directory: the study's folder, or any other folder of project folders.
            progress: where everything else is reported to; nowhere by default.

        Raises:
            ExtraError: if the package tensorboard is missing.
        """
        require_package("tensorboard", what="TensorBoard logs need", extra="tensorboard")
        super().__init__(progress or Silent())
        self._directory = Path(directory)
        self._is_announced = False

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Update the logs from the records, of one trial or of the whole search."""
        if not self._is_announced:
            self._is_announced = True
            logs = shlex.quote(str(self._directory / LOGS))
            self.say(f"to watch the searches: tensorboard --logdir {logs}")
        name = project.name
        with contextlib.suppress(ValueError):
            name = project.resolve().relative_to(self._directory.resolve()).as_posix()
        _write(_Search(project, self._directory / LOGS, name), trial)
        self._progress.recorded(project, trial)


@dataclass(frozen=True)
class _Search:
    """A search and its logs.

    Attributes:
        project: its project folder.
        logs: the folder of the logs of all searches of its study.
        name: its name, unique in its study.
    """

    project: Path
    logs: Path
    name: str

    @property
    def folder(self) -> Path:
        """The folder of its own logs."""
        return self.logs / self.name


def _write(search: _Search, trial: str | None = None) -> None:
    """Update the logs of one trial, or of all trials, from the records."""
    with _locked(search):
        trials: Iterable[TrialRecord]
        if trial is None:
            project = read_project(search.project)
            run, trials = project.run, project.trials
        else:
            run = read_run(search.project)
            trial_folder = search.project / f"trial_{trial}"
            objectives = [part.name for part in run.objective.parts]
            trials = [read_trial(trial_folder, objective=objectives)]
        runs: dict[Path, _Run] = {}
        for record in trials:
            runs |= _trial_runs(search, run, record)
        for folder, files in runs.items():
            _settle(folder, files)
        whole = search.folder if trial is None else search.folder / f"trial_{trial}"
        for folder in sorted(whole.rglob("*/"), reverse=True):
            if folder not in runs:
                shutil.rmtree(folder)
    declared = _logged_searches(search) | {search: run}
    files = _experiment(declared)
    for other in declared:
        with _locked(other):
            _settle(other.folder, files)


def _locked(search: _Search) -> AbstractContextManager[None]:
    return hold_lock(search.folder, "writing TensorBoard logs", wait=_LONGEST_WAIT)


def _logged_searches(search: _Search) -> dict[_Search, RunManifest]:
    """The searches of the same study that have logs and can be read."""
    projects = {}
    for folder, subfolders, _ in os.walk(search.logs):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("trial_"))
        name = Path(folder).relative_to(search.logs).as_posix()
        project = search.logs.parent / name
        run = run_if_whole(project)
        if run is not None:
            projects[_Search(project, search.logs, name)] = run
    return projects


def _settle(folder: Path, files: _Run) -> None:
    """Make a run's folder contain exactly these event files."""
    for name, content in files.items():
        if not (folder / name).exists():
            with atomic_write(folder / name) as stream:
                stream.write(content())
    for path in folder.iterdir():
        if path.is_file() and path.name not in files and not path.name.startswith(".lock"):
            path.unlink()


def _experiment(declared: Mapping[_Search, RunManifest]) -> _Run:
    """The file that declares what all searches vary and measure; each of them gets the same."""
    in_order = sorted(declared, key=lambda search: search.name)
    runs = [declared[search] for search in in_order]
    spaces = [{name: item.to_json() for name, item in run.whole_space.items()} for run in runs]
    metrics: dict[str, str] = {}
    for run in runs:
        metrics |= _metrics(run)
    began = min((search.project / RUN_FILE).stat().st_mtime for search in in_order)

    def content() -> bytes:
        from rust_tuner.tensorboard import event_files

        experiment = event_files.experiment(spaces, metrics, began)
        return event_files.event_file([event_files.Moment(began, 0, experiment)])

    return {_name(0, {"spaces": spaces, "metrics": metrics}): content}


def _metrics(run: RunManifest) -> dict[str, str]:
    objective = run.objective.name
    measured = [objective, *(name for name in run.view_only if name != objective)]
    score = "averaged over the folds, at the epoch of the score"
    metrics = {
        name: f"{name.removeprefix('val_')} on validation rows, {score}" for name in measured
    }
    metrics[f"{objective}_std"] = "standard deviation over the folds, at the epoch of the score"
    for name in run.view_only:
        metrics[_view_only_tag(name)] = "what a predictor that knows only the view would score"
    return metrics


def _trial_runs(search: _Search, run: RunManifest, trial: TrialRecord) -> dict[Path, _Run]:
    folder = search.folder / f"trial_{trial.trial}"
    runs = {folder: _trial_run(search, run, trial)}
    for fold in trial.folds:
        curves = {"training": fold.training, "validation": fold.validation}
        end = _fold_end(search, trial, fold)
        content = {"curves": curves, "seconds": fold.seconds}
        runs[folder / f"fold_{fold.fold}"] = {
            _name(0, content): _curves_content(curves, end, fold.seconds)
        }
    return runs


def _trial_run(search: _Search, run: RunManifest, trial: TrialRecord) -> _Run:
    name = f"{search.name}/{trial.trial}"
    start, end = _span(search, trial)

    def beginning() -> bytes:
        from rust_tuner.tensorboard import event_files

        session = event_files.session_start(name, trial.values, start)
        return event_files.event_file([event_files.Moment(start, 0, session)])

    def ending() -> bytes:
        from rust_tuner.tensorboard import event_files

        moments = _curve_moments(_mean_curves(trial), end, end - start)
        figures = _final_figures(run, trial)
        if trial.epoch is not None:
            final = event_files.scalars(figures)
            moments.append(event_files.Moment(end, trial.epoch, final))
        if trial.message is not None:
            message = event_files.text("message", trial.message)
            moments.append(event_files.Moment(end, 0, message))
        session = event_files.session_end(end, is_success=trial.epoch is not None)
        moments.append(event_files.Moment(end, 0, session))
        return event_files.event_file(moments)

    # Two files, because TensorBoard continues at the end of a file and never reads its start again.
    files = {_name(0, {"name": name, "values": trial.values}): beginning}
    if trial.has_ended:
        content = {
            "status": trial.status,
            "epoch": trial.epoch,
            "message": trial.message,
            "figures": _final_figures(run, trial),
            "curves": _mean_curves(trial),
        }
        files[_name(1, content)] = ending
    return files


def _final_figures(run: RunManifest, trial: TrialRecord) -> dict[str, float]:
    """The trial's metrics, the spread of its score, and the view-only baseline beside them."""
    figures = dict(trial.metrics)
    objective = run.objective.name
    spread = trial.spread(objective.removeprefix("val_"))
    if spread is not None:
        figures[f"{objective}_std"] = spread
    return figures | {_view_only_tag(name): value for name, value in run.view_only.items()}


def _mean_curves(trial: TrialRecord) -> dict[str, dict[str, list[float]]]:
    """Each metric's value per epoch, averaged over the folds, of a trial that completed."""
    if trial.epoch is None:
        return {}
    of_splits = ([fold.training for fold in trial.folds], [fold.validation for fold in trial.folds])
    return {
        split: {
            metric: np.mean([curves[metric] for curves in of_folds], axis=0).tolist()
            for metric in of_folds[0]
        }
        for split, of_folds in zip(SPLITS, of_splits, strict=True)
    }


def _curves_content(
    curves: Mapping[str, Mapping[str, list[float]]], end: float, seconds: float
) -> Callable[[], bytes]:
    def content() -> bytes:
        from rust_tuner.tensorboard import event_files

        return event_files.event_file(_curve_moments(curves, end, seconds))

    return content


def _curve_moments(
    curves: Mapping[str, Mapping[str, list[float]]], end: float, seconds: float
) -> list[Any]:
    """One moment per epoch; the records have no times of epochs, so each gets an equal share."""
    from rust_tuner.tensorboard import event_files

    tagged = {
        f"{split}/{metric}": curve
        for split, metrics in curves.items()
        for metric, curve in metrics.items()
    }
    num_epochs = max((len(curve) for curve in tagged.values()), default=0)
    return [
        event_files.Moment(
            end - seconds * (num_epochs - epoch - 1) / num_epochs,
            epoch,
            event_files.scalars({tag: curve[epoch] for tag, curve in tagged.items()}),
        )
        for epoch in range(num_epochs)
    ]


def _span(search: _Search, trial: TrialRecord) -> tuple[float, float]:
    """When a trial began and ended, in seconds since 1970.

    Folds that train together share their time and end together, others run one after another, maybe
    with a break between them. In both cases the earliest of these differences is the start.
    """
    if not trial.folds:
        begun = (search.project / f"trial_{trial.trial}" / "trial.json").stat().st_mtime
        return begun, begun
    ends = [_fold_end(search, trial, fold) for fold in trial.folds]
    taken = np.cumsum([fold.seconds for fold in trial.folds])
    return float(np.min(ends - taken)), max(ends)


def _fold_end(search: _Search, trial: TrialRecord, fold: FoldHead) -> float:
    record = search.project / f"trial_{trial.trial}" / f"fold_{fold.fold}.json"
    return record.stat().st_mtime


def _view_only_tag(name: str) -> str:
    return f"view_only_{name.removeprefix('val_')}"


def _name(order: int, content: Mapping[str, Any]) -> str:
    """Name of an event file; TensorBoard reads those of a run in the order of their names."""
    digest = sha256_of_json({"format": _FORMAT, "told": content})
    return f"{_EVENTS}.{order}.{digest[:16]}"
