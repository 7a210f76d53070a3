"""What the command line shows of a study: the closing table of a search, and its status."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from rust_tuner.errors import RustTunerError
from rust_tuner.files import read_json
from rust_tuner.progress import duration
from rust_tuner.search.records import (
    REGIME_1,
    REGIME_2,
    Project,
    TrialRecord,
    read_project,
    results_table,
)

_BEST_SHOWN = 5
_METRICS = {"val_auroc": "AUROC, 18 labels", "val_cortex_auroc": "AUROC, visible cortices"}


def best_trials_table(project: Project, count: int = _BEST_SHOWN) -> Table:
    """The best trials with mean and standard deviation over folds, and the view-only baseline."""
    results = results_table(project)
    done = results[results["status"] == "COMPLETED"]
    ascending = project.run["objective"]["direction"] == "min"
    best = done.sort_values("score", ascending=ascending, kind="stable").head(count)
    names = list(project.trials[0].values) if project.trials else []
    metrics = [name for name in project.trials[0].metrics if name in _METRICS] if names else []
    folds = project.run["subject"]["num_folds"]
    failed = int((results["status"] == "FAILED").sum())
    table = Table(
        title=f"{project.folder.name}: best {len(best)} of {len(results)} trials"
        + (f", {failed} failed" if failed else ""),
        caption=(
            f"mean ± standard deviation over {folds} folds at the epoch of the score (from 0). "
            "The best of several trials is a selection score, not an estimate for new patients; "
            "view only is what a predictor that knows nothing but the view scores."
        ),
    )
    table.add_column("trial")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for name in metrics:
        marker = " *" if name == project.objective else ""
        table.add_column(_METRICS[name] + marker, justify="right")
    table.add_column("epoch", justify="right")
    for _, row in best.iterrows():
        table.add_row(
            row["trial"],
            *(_number(row[name]) for name in names),
            *(f"{row[name]:.3f} ± {row[f'{name}_std']:.3f}" for name in metrics),
            str(int(row["epoch"])),
        )
    baseline = project.run.get("view_only_baseline") or {}
    if baseline and metrics:
        table.add_section()
        table.add_row(
            "view only", *("" for _ in names), *(f"{baseline[name]:.3f}" for name in metrics), ""
        )
    return table


def status_lines(folder: Path) -> list[Text]:
    """How far a study is, a line each; also for a folder that is in use or damaged."""
    lines = [Text(f"{folder}", style="bold"), *_study_lines(folder)]
    for regime in (REGIME_1, REGIME_2):
        if not (folder / regime).is_dir():
            lines.append(Text(f"{regime}: not begun"))
            continue
        try:
            project = read_project(folder / regime)
        except RustTunerError as error:
            lines.append(Text(f"{regime}: {error}", style="red"))
            continue
        lines.extend(_project_lines(regime, project))
    return lines


def _study_lines(folder: Path) -> list[Text]:
    try:
        study = read_json(folder / "study.json")
        text = f"prepared: {study['radiographs']} radiographs of {study['patients']} patients"
        return [Text(text)]
    except FileNotFoundError:
        return [Text("not prepared: study.json is missing", style="yellow")]
    except (RustTunerError, KeyError, TypeError) as error:
        return [Text(f"study.json is damaged: {error}", style="red")]


def _project_lines(name: str, project: Project) -> list[Text]:
    by_status = {
        status: [trial for trial in project.trials if trial.status == status]
        for status in ("COMPLETED", "RUNNING", "FAILED")
    }
    done, total = len(by_status["COMPLETED"]), int(project.run["num_trials"])
    lines = [
        Text(
            f"{name}: {done} of {total} trials done, {len(by_status['FAILED'])} failed"
            + _time_left(project, by_status["COMPLETED"], total)
        )
    ]
    num_folds = project.run["subject"]["num_folds"]
    for trial in by_status["RUNNING"]:
        lines.append(
            Text(f"  trial {trial.trial} begun: {len(trial.folds)} of {num_folds} folds done")
        )
    for trial in by_status["FAILED"]:
        reason = (trial.message or "no reason recorded").splitlines()[0]
        lines.append(Text(f"  trial {trial.trial} failed: {reason}", style="red"))
    for problem in project.problems:
        lines.append(Text(f"  {problem}; taken up again when the search goes on", style="red"))
    best = project.best
    if best is not None:
        values = ", ".join(f"{key}={_number(value)}" for key, value in best.values.items())
        spread = best.spread(project.objective.removeprefix("val_"))
        told = f" ± {spread:.4f}" if spread is not None else ""
        lines.append(
            Text(
                f"  best so far: trial {best.trial}, {project.objective} {best.score:.4f}{told} "
                f"({values})"
            )
        )
    return lines


def _time_left(project: Project, completed: list[TrialRecord], total: int) -> str:
    ended = len(completed) + sum(trial.status == "FAILED" for trial in project.trials)
    seconds = [sum(fold["seconds"] for fold in trial.folds) for trial in completed]
    if not seconds or ended >= total:
        return ""
    return f", about {duration(sum(seconds) / len(seconds) * (total - ended))} left"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
