"""TensorBoard logs of searches, from their records alone.

    STUDY/tensorboard/regime_1/                    the search: space and metrics (HParams)
    STUDY/tensorboard/regime_1/trial_0000/         a trial: its values, how it ended, its final
                                                   figures (HParams), its curves averaged over folds
    STUDY/tensorboard/regime_1/trial_0000/fold_0/  the curves of a fold

An event file is written once and whole, and its name carries the hash of the records that it tells
of. So logs follow the records wherever these come from: what is there is not written again, what
belongs to no record any more is removed, and a search that was killed and resumed, however often,
has the logs of one that was not. Which bytes TensorBoard reads belongs to `event_files`.
"""

import contextlib
import importlib.util
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner.errors import ExtraError
from rust_tuner.files import atomic_write, hold_lock, sha256_of_json
from rust_tuner.progress import Progress, Silent, Task
from rust_tuner.records.folder import read_study
from rust_tuner.records.project import RUN_FILE, SPLITS, TrialRecord, read_project, read_trial
from rust_tuner.records.schema import RunForm, read_record

LOGS = "tensorboard"

_FORMAT = 1
_LONGEST_WAIT = 60.0

# The event files of a run: name -> what makes its content.
_Run = dict[str, Callable[[], bytes]]


def require_tensorboard() -> None:
    """Refuse where the package that writes event files is missing.

    Raises:
        ExtraError: with what installs it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ExtraError(
            "TensorBoard logs need the package tensorboard, which is not installed; install it "
            "(python -m pip install tensorboard), or rust-tuner with its extra: "
            "rust-tuner[tensorboard]"
        )


def write_logs(directory: str | Path) -> Path:
    """Write the logs of a study or of a single search, finished or not, and also while it runs.

    Args:
        directory: a study's folder, whose logs are in its subfolder `tensorboard`; or a project
            folder, whose logs are in the subfolder `tensorboard` beside it.

    Returns:
        The folder of the logs, to be given to `tensorboard --logdir`: of all searches of a study,
        whose trials TensorBoard then lists together, or of the one search.

    Raises:
        ExtraError: where the package tensorboard is missing.
        ResumeError: where the folder holds neither a study nor a search.
        StorageError: where a file cannot be written.
    """
    require_tensorboard()
    place = Path(directory)
    if (place / RUN_FILE).is_file():
        logs = place.parent / LOGS / place.name
        _write(_Search(place, logs, place.name))
        return logs
    for name, project in read_study(place).projects.items():
        _write(_Search(project.folder, place / LOGS / name, name))
    return place / LOGS


class TensorBoardLogs:
    """A `Progress` that also keeps the logs of the searches that report to it.

    A trial's logs are there as soon as its records are: all folds at its end where they train
    together, one after another where they do not. The search computes what it does without them.
    """

    def __init__(self, directory: str | Path, progress: Progress | None = None) -> None:
        """Keep logs in the subfolder `tensorboard` of a study's folder.

        Args:
            directory: the study's folder, or any other that project folders are in.
            progress: where everything else is reported to; nowhere by default.

        Raises:
            ExtraError: where the package tensorboard is missing.
        """
        require_tensorboard()
        self._directory = Path(directory)
        self._progress = progress or Silent()
        self._is_announced = False

    def task(self, name: str, total: int, *, done: int = 0) -> AbstractContextManager[Task]:
        """Pass it on."""
        return self._progress.task(name, total, done=done)

    def say(self, text: str) -> None:
        """Pass it on."""
        self._progress.say(text)

    def recorded(self, project: Path, trial: str | None = None) -> None:
        """Bring the logs up to the records, of one trial or of the whole search."""
        if not self._is_announced:
            self._is_announced = True
            logs = shlex.quote(str(self._directory / LOGS))
            self.say(f"to look at the searches as they go: tensorboard --logdir {logs}")
        name = project.name
        with contextlib.suppress(ValueError):
            name = project.resolve().relative_to(self._directory.resolve()).as_posix()
        _write(_Search(project, self._directory / LOGS / name, name), trial)
        self._progress.recorded(project, trial)


@dataclass(frozen=True)
class _Search:
    """A search and its logs.

    Attributes:
        project: its project folder.
        logs: the folder of its logs.
        name: what tells it from the other searches of its study.
    """

    project: Path
    logs: Path
    name: str


def _write(search: _Search, trial: str | None = None) -> None:
    """Make the logs of one trial, or of all of them, what the records say."""
    with hold_lock(search.logs, "writing TensorBoard logs", wait=_LONGEST_WAIT):
        trials: Iterable[TrialRecord]
        if trial is None:
            project = read_project(search.project)
            run, trials = project.run, project.trials
        else:
            run = read_record(search.project / RUN_FILE, RunForm)
            place = search.project / f"trial_{trial}"
            trials = [read_trial(place, objective=run["objective"]["name"])]
        runs = {search.logs: _search_run(search, run)}
        for record in trials:
            runs |= _trial_runs(search, run, record)
        for folder, files in runs.items():
            _settle(folder, files)
        whole = search.logs if trial is None else search.logs / f"trial_{trial}"
        for folder in sorted(whole.rglob("*/"), reverse=True):
            if folder not in runs:
                shutil.rmtree(folder)


def _settle(folder: Path, files: _Run) -> None:
    """Leave these event files in a run's folder, and no other files."""
    for name, content in files.items():
        if not (folder / name).exists():
            with atomic_write(folder / name) as stream:
                stream.write(content())
    for path in folder.iterdir():
        if path.is_file() and path.name not in files and not path.name.startswith(".lock"):
            path.unlink()


def _search_run(search: _Search, run: Mapping[str, Any]) -> _Run:
    objective = run["objective"]["name"]
    measured = [objective, *(name for name in _view_only(run) if name != objective)]
    score = "averaged over the folds, at the epoch of the score"
    metrics = {
        name: f"{name.removeprefix('val_')} on validation rows, {score}" for name in measured
    }
    metrics[f"{objective}_std"] = "standard deviation over the folds, at the epoch of the score"
    for name in _view_only(run):
        metrics[_view_only_tag(name)] = "what a predictor that knows only the view would score"

    def content() -> bytes:
        from rust_tuner.tensorboard import event_files

        began = (search.project / RUN_FILE).stat().st_mtime
        experiment = event_files.experiment(run["space"], metrics, began)
        return event_files.event_file([event_files.Moment(began, 0, experiment)])

    return {_name(0, {"space": run["space"], "metrics": metrics}): content}


def _trial_runs(search: _Search, run: Mapping[str, Any], trial: TrialRecord) -> dict[Path, _Run]:
    folder = search.logs / f"trial_{trial.trial}"
    runs = {folder: _trial_run(search, run, trial)}
    for fold in trial.folds:
        curves = {split: fold[split] for split in SPLITS}
        end = _fold_end(search, trial, fold)
        told = {"curves": curves, "seconds": fold["seconds"]}
        runs[folder / f"fold_{fold['fold']}"] = {
            _name(0, told): _curves_content(curves, end, fold["seconds"])
        }
    return runs


def _trial_run(search: _Search, run: Mapping[str, Any], trial: TrialRecord) -> _Run:
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

    # Two files, since TensorBoard reads on at the end of one, and never again what it has read.
    files = {_name(0, {"name": name, "values": trial.values}): beginning}
    if trial.has_ended:
        told = {
            "status": trial.status,
            "epoch": trial.epoch,
            "message": trial.message,
            "figures": _final_figures(run, trial),
            "curves": _mean_curves(trial),
        }
        files[_name(1, told)] = ending
    return files


def _final_figures(run: Mapping[str, Any], trial: TrialRecord) -> dict[str, float]:
    """The trial's metrics, the spread of its score, and the view-only baseline beside them."""
    figures = dict(trial.metrics)
    objective = run["objective"]["name"]
    spread = trial.spread(objective.removeprefix("val_"))
    if spread is not None:
        figures[f"{objective}_std"] = spread
    return figures | {_view_only_tag(name): value for name, value in _view_only(run).items()}


def _mean_curves(trial: TrialRecord) -> dict[str, dict[str, list[float]]]:
    """Each metric's value per epoch, averaged over the folds, of a trial that completed."""
    if trial.epoch is None:
        return {}
    return {
        split: {
            metric: np.mean([fold[split][metric] for fold in trial.folds], axis=0).tolist()
            for metric in trial.folds[0][split]
        }
        for split in SPLITS
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
    """A moment an epoch; the records have no time of each, so epochs take equal shares of it."""
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

    Folds that train together share their time and end together, others follow one another, maybe
    with a break between them; either way the earliest of these differences is the beginning.
    """
    if not trial.folds:
        begun = (search.project / f"trial_{trial.trial}" / "trial.json").stat().st_mtime
        return begun, begun
    ends = [_fold_end(search, trial, fold) for fold in trial.folds]
    taken = np.cumsum([fold["seconds"] for fold in trial.folds])
    return float(np.min(ends - taken)), max(ends)


def _fold_end(search: _Search, trial: TrialRecord, fold: Mapping[str, Any]) -> float:
    record = search.project / f"trial_{trial.trial}" / f"fold_{fold['fold']}.json"
    return record.stat().st_mtime


def _view_only(run: Mapping[str, Any]) -> dict[str, float]:
    return dict(run.get("view_only_baseline") or {})


def _view_only_tag(name: str) -> str:
    return f"view_only_{name.removeprefix('val_')}"


def _name(order: int, told: Mapping[str, Any]) -> str:
    """Name of an event file; TensorBoard reads those of a run in the order of their names."""
    digest = sha256_of_json({"format": _FORMAT, "told": told})
    return f"events.out.tfevents.{order}.{digest[:16]}"
