"""The output of `rust-tuner status`: the progress of a study, even one in use or damaged."""

from pathlib import Path

from rich.text import Text

from rust_tuner.analysis.stopped import stopped_as
from rust_tuner.analysis.trained_on import trained_note
from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.folder_kinds import LOG_FILE, LOG_FOLDER, describe_folder, has_study_parts
from rust_tuner.progress import duration
from rust_tuner.records.baselines import BASELINES_FOLDER
from rust_tuner.records.looks import FINAL, HOLDOUT_FILE, is_whole, read_looks
from rust_tuner.records.model import read_if_whole
from rust_tuner.records.nested import NESTED
from rust_tuner.records.noise import NOISE
from rust_tuner.records.project import REGIME_1, REGIME_2, Project, is_begun_project, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.study_record import STUDY_FILE, StudyRecord, read_study_record
from rust_tuner.records.worker_note import WORKER_FILE, read_worker_note
from rust_tuner.terminal.checks import check_status_lines
from rust_tuner.terminal.status_repeats import nested_lines, noise_lines
from rust_tuner.terminal.status_runs import is_at_work, run_lines, worker_line
from rust_tuner.words import counted, four_digits


def status_lines(folder: Path) -> list[Text]:
    """The progress of a study, one line per part; works on a folder in use or damaged."""
    lines = [Text(f"{folder}", style="bold")]
    if not folder.is_dir():
        return [*lines, Text(describe_folder(folder), style="yellow")]
    if (folder / RUN_FILE).is_file():
        return [*lines, *run_lines(folder), *_search_lines(folder.name, folder)]
    if not has_study_parts(folder):
        return [*lines, Text(f"not a study. {describe_folder(folder)}", style="yellow")]
    lines.extend(_study_lines(folder))
    lines.extend(_with_log(run_lines(folder), folder))
    for path in sorted((folder / BASELINES_FOLDER).glob("*")):
        if path.is_dir():
            lines.extend(_search_lines(f"{BASELINES_FOLDER}/{path.name}", path))
    for regime in (REGIME_1, REGIME_2):
        if (folder / regime).is_dir():
            lines.extend(_search_lines(regime, folder / regime))
        else:
            lines.append(Text(f"{regime}: not started"))
    for name, read in ((NESTED, nested_lines), (NOISE, noise_lines)):
        if (folder / name).is_dir():
            try:
                lines.extend(read(folder / name))
            except (RustTunerError, OSError) as error:
                lines.append(Text(f"{name}: {error}", style="red"))
    lines.extend(check_status_lines(folder))
    final = folder / FINAL
    if (final / "cross_validation").is_dir():
        lines.extend(_search_lines("final/cross_validation", final / "cross_validation"))
    lines.extend(_holdout_lines(folder))
    return lines


def _with_log(runs: list[Text], folder: Path) -> list[Text]:
    """The lines about runs; where the last one failed, with the log that has its traceback."""
    log = f"{LOG_FOLDER}/{LOG_FILE}"
    if not runs or runs[-1].style != "red" or not (folder / log).is_file():
        return runs
    return [*runs[:-1], runs[-1] + f"; see {log}"]


def _holdout_lines(folder: Path) -> list[Text]:
    """Whether the hold-out set is sealed; otherwise when and why it was looked at."""
    try:
        study = read_if_whole(folder / STUDY_FILE, StudyRecord)
        looks = read_looks(None if study is None else study.looks, folder)
    except ResumeError as error:
        return [Text(f"hold-out set: {error}", style="red")]
    if not looks:
        return [Text("hold-out set: sealed")] if (folder / FINAL).is_dir() else []
    last = looks[-1]
    times = "once" if len(looks) == 1 else f"{len(looks)} times, the last"
    line = f"hold-out set: looked at {times} on {last.date or 'an unknown date'}"
    if last.state == "begun":
        number = "" if len(looks) == 1 else f" {len(looks)}"
        line = f"hold-out set: look{number} started on {last.date or 'an unknown date'}"
        line += " but not finished"
    lines = [Text(line, style="yellow" if last.state == "begun" else "")]
    lines += [
        Text(f"  looked again on {look.date}: {look.reason}") for look in looks if look.reason
    ]
    if last.state == "finished" and not is_whole(last, folder):
        path = f"{FINAL}/{HOLDOUT_FILE}"
        fault = "is damaged or changed" if (folder / path).exists() else "is missing"
        lines.append(Text(f"  {path} {fault}; restore it from a copy", style="red"))
        lines.append(Text(f"  recorded: {last}"))
    return lines


def _search_lines(name: str, folder: Path) -> list[Text]:
    try:
        if not is_begun_project(folder):
            return [Text(f"{name}: not started")]
        return _project_lines(name, read_project(folder))
    except (RustTunerError, OSError) as error:
        return [Text(f"{name}: {error}", style="red")]


def _study_lines(folder: Path) -> list[Text]:
    try:
        study = read_study_record(folder / STUDY_FILE)
        radiographs = counted(study.radiographs, "radiograph")
        return [Text(f"prepared: {radiographs} of {counted(study.patients, 'patient')}")]
    except FileNotFoundError:
        return [Text("not prepared: study.json is missing", style="yellow")]
    except (RustTunerError, OSError) as error:
        return [Text(f"study.json is damaged: {error}", style="red")]


def _project_lines(name: str, project: Project) -> list[Text]:
    by_status = {
        status: [trial for trial in project.trials if trial.status == status]
        for status in ("COMPLETED", "RUNNING", "FAILED", "PRUNED")
    }
    done, total = len(by_status["COMPLETED"]), project.run.num_trials
    num_folds = project.run.subject.num_folds
    text = f"{name}: {done} of {total} trials done, {len(by_status['FAILED'])} failed"
    if by_status["PRUNED"]:
        text += f", {len(by_status['PRUNED'])} stopped {stopped_as(project.run.stop_hopeless)}"
    lines = [Text(text + _time_left(project))]
    notes = [
        read_worker_note(project.folder / f"trial_{trial.trial}") for trial in by_status["RUNNING"]
    ]
    for trial, note in zip(by_status["RUNNING"], notes, strict=True):
        text = f"started: {len(trial.folds)} of {num_folds} folds done"
        if any(notes) and not trial.folds:
            text = "waits for a worker"
        lines.append(Text(f"  trial {trial.trial} {text}") if note is None else worker_line(note))
    for trial in by_status["FAILED"]:
        reason = (trial.message or "no reason recorded").splitlines()[0]
        lines.append(Text(f"  trial {trial.trial} failed: {reason}", style="red"))
    for problem in project.problems:
        lines.append(Text(f"  {problem}", style="red"))
    if (differences := trained_note(project)) is not None:
        lines.append(Text(f"  {differences}"))
    best = project.best
    if best is not None:
        values = ", ".join(f"{key}={four_digits(value)}" for key, value in best.values.items())
        spread = best.spread(project.objective.removeprefix("val_"))
        score = f"{project.objective} {best.score:.4f}"
        score += f" ± {spread:.4f}" if spread is not None else ""
        lines.append(Text(f"  best so far: trial {best.trial}, {score} (selection score)"))
        lines.append(Text(f"    {values}"))
    return lines


def _time_left(project: Project) -> str:
    """Nothing if no process works in the folder: no time passes for a stopped search."""
    left = project.seconds_left if is_at_work(project.folder) else None
    if left is not None:
        # Each trial that a worker trains runs at the same time as the others.
        left /= max(len(list(project.folder.glob(f"trial_*/{WORKER_FILE}"))), 1)
    return "" if left is None else f", about {duration(left)} left"
