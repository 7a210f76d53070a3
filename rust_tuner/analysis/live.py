"""How far a study is, from the records of its searches alone: cheap enough to ask while it runs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rust_tuner.analysis.verdict import MODEL_NAMES, SEARCH_NAMES
from rust_tuner.errors import RustTunerError, StorageError
from rust_tuner.last_run import NOTE_FILE, LastRun, read_last_run
from rust_tuner.records.baselines import BASELINES, BASELINES_FOLDER
from rust_tuner.records.folder import CROSS_VALIDATION
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE
from rust_tuner.records.noted_runs import last_of, noted_runs
from rust_tuner.records.project import (
    REGIME_1,
    REGIME_2,
    Project,
    is_begun_project,
    read_project,
    trial_folders,
)
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.running import unfinished_curves
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import CORTEX_SCOPE
from rust_tuner.words import METRICS, short_number, words

_LATEST = 8
_STEPS = {
    **{f"{BASELINES_FOLDER}/{name}": MODEL_NAMES[name] for name in BASELINES},
    REGIME_1: SEARCH_NAMES[REGIME_1],
    REGIME_2: SEARCH_NAMES[REGIME_2],
    f"{FINAL}/{CROSS_VALIDATION}": "Tuned model",
}
# The command that resumes the step of a folder.
_COMMANDS = {REGIME_1: "regime1", REGIME_2: "regime2", f"{FINAL}/{CROSS_VALIDATION}": "final"}


@dataclass(frozen=True)
class LiveTrial:
    """A trial in a list: its id, values, score and status, as text."""

    trial: str
    values: str
    score: str
    status: str


@dataclass(frozen=True)
class Curve:
    """The validation curve of one fold: its number from 1, and a value per epoch."""

    fold: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """The curves of a trial.

    Attributes:
        title: which trial, and whether it is running.
        metric: what the values are, in words.
        folds: of its folds, those that are finished or far enough.
        view_only: the view-only baseline, or None.
        epochs: how many epochs a fold has.
    """

    title: str
    metric: str
    folds: tuple[Curve, ...]
    view_only: float | None
    epochs: int


@dataclass(frozen=True)
class LiveStep:
    """One search of a study.

    Attributes:
        name: of its folder.
        title: in words.
        ended: trials that have ended.
        failed: those of them without a score.
        total: all trials.
        seconds_left: the estimate, or None if it is unknown or nothing is left.
        problem: why it cannot be read, or empty.
    """

    name: str
    title: str
    ended: int = 0
    failed: int = 0
    total: int = 0
    seconds_left: float | None = None
    problem: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether all trials have ended."""
        return 0 < self.total <= self.ended

    @property
    def command(self) -> str:
        """The name of the command that resumes it."""
        return _COMMANDS.get(self.name, BASELINES_FOLDER)


@dataclass(frozen=True)
class LiveView:
    """What the live page shows.

    Attributes:
        working: the process that works on the study, is paused, or cannot be seen; or None.
        steps: the searches that have begun, in the order of a study.
        current: the one that was written to last, or None.
        best_score: the score of the best trial of the current one, as text; empty without.
        best_values: its hyperparameters.
        best_trial: its id; empty without.
        scores: the scores of the current one's trials by the same figure, in the order of their
            run.
        view_only: the view-only baseline of that figure, or None.
        curves: those of the running trial, else of the last one, or None.
        latest: the trials that began last, the newest first.
        is_evaluated: whether the hold-out set has been evaluated.
        is_running: whether a process works on the current search.
        killed: the last step, if it was killed and nothing works now.
    """

    working: LastRun | None
    steps: tuple[LiveStep, ...]
    current: LiveStep | None
    best_score: str
    best_values: tuple[tuple[str, str], ...]
    best_trial: str
    scores: tuple[float, ...]
    view_only: float | None
    curves: Curves | None
    latest: tuple[LiveTrial, ...]
    is_evaluated: bool
    is_running: bool
    killed: LastRun | None

    @property
    def is_settled(self) -> bool:
        """Whether no search waits to be resumed."""
        return self.current is None or self.current.is_finished


def live_view(directory: Path) -> LiveView:
    """How far a study is; works while another process writes to it, and takes no lock.

    Raises:
        StorageError: if the folder is not there.
    """
    if not directory.is_dir():
        raise StorageError(f"{directory} is not there: moved, deleted or not mounted")
    steps, projects = [], {}
    for name, title in _STEPS.items():
        folder = directory / name
        if not folder.is_dir() or not is_begun_project(folder):
            continue
        try:
            projects[name] = read_project(folder)
            steps.append(_step(name, title, projects[name]))
        except (RustTunerError, OSError) as error:
            steps.append(LiveStep(name, title, problem=str(error)))
    current = max(projects, key=lambda name: _written(directory / name), default=None)
    project = None if current is None else projects[current]
    runs = [run for run, _ in noted_runs(directory)]
    working = next((run for run in runs if run.may_go_on), None)
    last = last_of(runs) if runs and working is None else None
    # Another step may work on the study while the current search stands still.
    run = None if current is None else read_last_run(directory / current)
    is_running = run is not None and run.may_go_on
    best = None if project is None else project.best
    return LiveView(
        working=working,
        steps=tuple(steps),
        current=next((step for step in steps if step.name == current), None),
        best_score="" if project is None or best is None else _score(project, best),
        best_values=() if best is None else _values(best),
        best_trial="" if best is None else best.trial,
        scores=()
        if project is None or best is None
        else _scores(project, _metric_of(project, best)),
        view_only=None
        if project is None or best is None
        else project.run.view_only.get(f"val_{_metric_of(project, best)}"),
        curves=None if project is None else _curves(project, is_running=is_running),
        latest=() if project is None else _latest(project, is_running=is_running),
        is_evaluated=(directory / FINAL / HOLDOUT_FILE).is_file(),
        is_running=is_running,
        killed=last if last is not None and last.state == "killed" else None,
    )


def fingerprint(directory: Path) -> int:
    """A number that changes when a trial, a fold or a step of a study begins or ends.

    Also when a process that works there is killed or paused, of which it writes nothing.
    """
    states: list[object] = []
    for path in _watched(directory):
        try:
            status = os.stat(path)
            # Records are replaced: two within a tick of the file system's clock are two files.
            # The change of a mode may make a file readable.
            about = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
            states.append((str(path), about))
        except OSError:
            states.append(str(path))
    states += [run.state for run, _ in noted_runs(directory)]
    return hash(tuple(states))


def _watched(directory: Path) -> Iterator[Path]:
    yield directory / NOTE_FILE
    yield directory / FINAL / HOLDOUT_FILE
    yield directory / "report" / "index.html"
    for name in _STEPS:
        folder = directory / name
        yield folder / NOTE_FILE
        yield folder / RUN_FILE
        for trial in trial_folders(folder):
            yield trial / "trial.json"
            yield from sorted(trial.glob("fold_*.json"))
            yield from sorted(trial.glob("fold_*.epoch.npz"))


def _step(name: str, title: str, project: Project) -> LiveStep:
    ended = [trial for trial in project.trials if trial.has_ended]
    total = project.run.num_trials
    return LiveStep(
        name,
        title,
        ended=len(ended),
        failed=sum(trial.status == "FAILED" for trial in ended),
        total=total,
        seconds_left=project.seconds_left,
    )


def _written(folder: Path) -> int:
    """When a search was last written to; its folder changes with each new trial."""
    paths = [folder, *trial_folders(folder)]
    return max((path.stat().st_mtime_ns for path in paths if path.exists()), default=0)


def _score(project: Project, best: TrialRecord) -> str:
    name = _metric_of(project, best)
    figure = best.interval(name)
    interval = "" if np.isnan(figure.low) else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{METRICS.get(name, name)} {figure.value:.3f}{interval}"


def _scores(project: Project, metric: str) -> tuple[float, ...]:
    values = (trial.metrics.get(f"val_{metric}") for trial in project.trials)
    return tuple(value for value in values if value is not None and not np.isnan(value))


def _metric_of(project: Project, trial: TrialRecord) -> str:
    """The visible cortices if a trial has them, else the objective."""
    metrics = {name for fold in trial.folds for name in fold.validation} | {
        name.removeprefix("val_") for name in trial.metrics
    }
    lead = CORTEX_SCOPE.metric
    return lead if lead in metrics else project.objective.removeprefix("val_")


def _values(trial: TrialRecord) -> tuple[tuple[str, str], ...]:
    return tuple((words(name), short_number(value)) for name, value in trial.values.items())


def _curves(project: Project, *, is_running: bool) -> Curves | None:
    """The curves of the running trial; if it has none yet, those of the last trial."""
    for trial in reversed(project.trials):
        metric = _metric_of(project, trial)
        values = {fold.fold: fold.validation.get(metric, []) for fold in trial.folds}
        if not trial.has_ended:
            folder = project.folder / f"trial_{trial.trial}"
            for fold in range(project.run.subject.num_folds):
                if fold not in values:
                    values[fold] = unfinished_curves(folder / f"fold_{fold}.epoch.npz").get(
                        metric, []
                    )
        drawn = {fold: curve for fold, curve in values.items() if curve}
        if not drawn:
            continue
        unended = "running" if is_running else "unfinished"
        state = trial.status.lower() if trial.has_ended else unended
        number = project.run.subject.num_folds
        return Curves(
            title=f"Trial {trial.trial} ({state}): {len(drawn)} of {number} folds",
            metric=METRICS.get(metric, metric),
            folds=tuple(Curve(fold + 1, tuple(drawn[fold])) for fold in sorted(drawn)),
            view_only=project.run.view_only.get(f"val_{metric}"),
            epochs=project.run.epochs_of(trial.values),
        )
    return None


def _latest(project: Project, *, is_running: bool) -> tuple[LiveTrial, ...]:
    rows = []
    for trial in reversed(project.trials[-_LATEST:]):
        status = trial.status.lower()
        if not trial.has_ended:
            folds = f"{len(trial.folds)} of {project.run.subject.num_folds} folds"
            status = f"{'running' if is_running else 'unfinished'}, {folds}"
        metric = _metric_of(project, trial)
        value = trial.metrics.get(f"val_{metric}")
        values = ", ".join(f"{name} {text}" for name, text in _values(trial))
        rows.append(LiveTrial(trial.trial, values, "" if value is None else f"{value:.3f}", status))
    return tuple(rows)
