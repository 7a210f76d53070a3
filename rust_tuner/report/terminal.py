"""What the command line shows of a study: the closing table of a search, and its status.

It is long because the tables of a study's steps stand here side by side, each a few lines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rust_tuner.errors import RustTunerError
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES
from rust_tuner.metrics.assessment import VISITS
from rust_tuner.plan import PlannedStep
from rust_tuner.progress import duration
from rust_tuner.report.against_view import standings
from rust_tuner.report.noise import NOISE
from rust_tuner.report.terminal_checks import check_status_lines
from rust_tuner.report.terminal_repeats import nested_lines, noise_lines
from rust_tuner.report.terminal_table import plain_table
from rust_tuner.search.baseline_table import BASELINES_FOLDER, suggested_backbone
from rust_tuner.search.nested_records import NESTED
from rust_tuner.search.out_of_fold import score_intervals
from rust_tuner.search.records import (
    REGIME_1,
    REGIME_2,
    RUN_FILE,
    Project,
    read_project,
    results_table,
)
from rust_tuner.study_file import STUDY_FILE

_BEST_SHOWN = 5
_SEARCHES = {REGIME_1: "Regime I", REGIME_2: "Regime II"}
# Two short lines each, so that the widest of our searches fits into 80 columns.
_HEADERS = {"val_auroc": "AUROC,\n18 labels", "val_cortex_auroc": "AUROC,\ncortices"}
_SHORT = {"val_auroc": "18 labels", "val_cortex_auroc": "cortices"}
_FIGURE_COLUMNS = ("figure", "of", "average", "value", "low", "high", "defined", "total")
_MORE_OF_LABELS = {
    "average_precision": "average precision",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
}
_OF_SCORES = {"kappa": "weighted kappa", "exact": "exact", "within_one": "within one"}
_OF_VISITS = {
    "mae": "mean absolute error, points",
    "bias": "bias, predicted minus true",
    "lower_limit": "lower limit of agreement",
    "upper_limit": "upper limit of agreement",
    "icc": "ICC(2,1)",
    "sensitivity": "union: sensitivity",
    "specificity": "union: specificity",
    "positive_predictive_value": "union: positive predictive value",
    "negative_predictive_value": "union: negative predictive value",
}
_DAMAGED = (RustTunerError, KeyError, TypeError, ValueError, AttributeError)


def best_trials_table(project: Project, count: int = _BEST_SHOWN) -> Table:
    """The best trials with mean and standard deviation over folds, and the view-only baseline.

    Which of them are statistically tied with the best one stands beside them, and below the
    best one's interval over patients. Hyperparameters that the search holds fixed are named above
    the table, once.
    """
    results = results_table(project)
    tied = results["tied_with_best"]
    done = results[results["status"] == "COMPLETED"]
    ascending = project.run["objective"]["direction"] == "min"
    best = done.sort_values("score", ascending=ascending, kind="stable").head(count)
    completed = [trial for trial in project.trials if trial.status == "COMPLETED"]
    fixed = _fixed_values(project)
    names = [name for name in (completed[0].values if completed else {}) if name not in fixed]
    metrics = [name for name in (completed[0].metrics if completed else {}) if name in _HEADERS]
    title = _title(
        project,
        num_best=len(best),
        num_trials=len(results),
        num_tied=int(tied.fillna(False).sum()),
        fixed=fixed,
    )
    table = plain_table(title, _caption(project, metrics, with_ties=bool(tied.notna().any())))
    table.add_column("trial", overflow="fold")
    for name in names:
        table.add_column(name.replace("_", "\n"), justify="right", overflow="fold")
    table.add_column("tied", overflow="fold")
    for name in metrics:
        marker = " *" if name == project.objective else ""
        # To the left, so that the baseline's figure stands below the others.
        table.add_column(_HEADERS[name] + marker, overflow="fold")
    table.add_column("epoch", justify="right", overflow="fold")
    for _, row in best.iterrows():
        table.add_row(
            row["trial"],
            *(_number(row[name]) for name in names),
            _yes_or_no(row["tied_with_best"]),
            *(f"{row[name]:.3f} ± {row[f'{name}_std']:.3f}" for name in metrics),
            str(int(row["epoch"])),
        )
    baseline = project.run.get("view_only_baseline") or {}
    if baseline and metrics:
        table.add_section()
        told = (f"{baseline[name]:.3f}" for name in metrics)
        table.add_row("view only", *("" for _ in names), "", *told, "")
    return table


def _title(
    project: Project,
    *,
    num_best: int,
    num_trials: int,
    num_tied: int,
    fixed: dict[str, object],
) -> str:
    name = _SEARCHES.get(project.folder.name, project.folder.name)
    failed = sum(trial.status == "FAILED" for trial in project.trials)
    told = f", {failed} failed" if failed else ""
    # The best one is no tie by itself.
    told += f", {num_tied} tied for the best" if num_tied > 1 else ""
    lines = [f"{name}: best {num_best} of {num_trials} trials{told}"]
    if fixed:
        values = (f"{key.replace('_', ' ')} {_number(value)}" for key, value in fixed.items())
        lines.append(f"in all of them: {', '.join(values)}")
    return "\n".join(lines)


def _caption(project: Project, metrics: list[str], *, with_ties: bool) -> str:
    folds = project.run["subject"]["num_folds"]
    lines = [f"Mean ± standard deviation over {folds} folds at the epoch of the score (from 0)."]
    if project.objective in metrics:
        lines.append("* is what the search maximises.")
    if with_ties:
        lines.append("Tied: not told from the best at 5 %, all trials tested at once.")
    alike = sum(trial.learned_nothing for trial in project.trials)
    if alike:
        lines.append(f"{alike} of the trials learned nothing: AUROC 0.500 in every fold and epoch.")
    intervals = score_intervals(project) if metrics else {}
    if intervals:
        told = ", ".join(
            f"{_SHORT[name]} {intervals[name].low:.3f} to {intervals[name].high:.3f}"
            for name in metrics
            if name in intervals
        )
        lines.append(f"Best, 95 % over patients: {told}.")
    lines += [
        f"WARNING, {_SHORT[f'val_{item.metric}']}: {item.doubt}."
        for item in standings(project)
        if item.doubt and f"val_{item.metric}" in metrics
    ]
    if "val_cortex_auroc" in metrics:
        lines.append("Cortices: 16 labels, each only where its cortex is visible.")
    if project.run.get("view_only_baseline"):
        lines.append("View only: a predictor that knows nothing but the view.")
    lines.append("The best of several trials is a selection score, no estimate for new patients.")
    return "\n".join(lines)


def _fixed_values(project: Project) -> dict[str, object]:
    space = project.run["space"]
    return {
        parameter["config"]["name"]: parameter["config"]["value"]
        for parameter in space.values()
        if parameter["class_name"] == "Fixed"
    }


def baselines_table(found: pd.DataFrame, objective: str) -> Table:
    """The first models side by side, with chance and the view-only baseline."""
    suggested = suggested_backbone(found, objective)
    lines = ["Mean ± standard deviation over folds at the epoch of the best mean (from 0)."]
    if found["tied_with_best"].notna().any():
        lines.append("Tied: not told from the best at 5 %, all models tested at once.")
    if suggested is not None:
        lines.append(f"Best of the frozen backbones by {objective}: {suggested}.")
    table = plain_table("First models", "\n".join(lines))
    for name in ("model", "tied", "AUROC,\n18 labels", "AUROC,\ncortices", "epoch"):
        table.add_column(name, overflow="fold")
    for row in found.to_dict("records"):
        table.add_row(
            str(row["model"]),
            _yes_or_no(row["tied_with_best"]),
            _mean_and_spread(row["auroc"], row["auroc_std"]),
            _mean_and_spread(row["cortex_auroc"], row["cortex_auroc_std"]),
            "" if pd.isna(row["epoch"]) else str(int(row["epoch"])),
        )
    return table


def holdout_table(found: dict[str, Any]) -> RenderableType:
    """What the one look at the hold-out set found."""
    metrics, baseline = found["metrics"], found["view_only_baseline"]
    figures = pd.DataFrame(found.get("figures") or [], columns=list(_FIGURE_COLUMNS))
    table = plain_table(
        f"Hold-out set: {found['radiographs']} radiographs of {found['patients']} patients",
        "An estimate: nothing that was chosen had seen these patients. Macro averages over the\n"
        f"labels where defined; threshold {found['threshold']:g}.\n"
        "Cortices: 16 labels, each only where its cortex is visible."
        + ("\nIn brackets the 95 % interval over patients." if len(figures) else ""),
    )
    for name in ("", "18 labels", "cortices"):
        table.add_column(name)
    for name in ("auroc", "precision", "recall", "f1"):
        title = name.upper() if name in ("auroc", "f1") else name
        told = (
            _of_figure(figures, name, of, value)
            for of, value in (("labels", metrics[name]), ("cortices", metrics[f"cortex_{name}"]))
        )
        table.add_row(title, *told)
    for name, title in _MORE_OF_LABELS.items():
        if len(figures):
            told = (_of_figure(figures, name, of) for of in ("labels", "cortices"))
            table.add_row(title, *told)
    table.add_section()
    known = (baseline["auroc"], baseline["cortex_auroc"])
    table.add_row(
        "AUROC of the view alone", *("undefined" if v is None else f"{v:.3f}" for v in known)
    )
    if not len(figures):
        return table
    return Group(table, _scores_table(figures), _visits_table(figures, found))


def _scores_table(figures: pd.DataFrame) -> Table:
    """How the most likely scores agree with the true ones."""
    table = plain_table(
        "Hold-out set: most likely scores against true ones, where the cortex is visible",
        "Kappa is quadratic-weighted. In brackets the 95 % interval over patients.",
    )
    for name in ("", *CORTICES, "mean"):
        table.add_column(name)
    for name, title in _OF_SCORES.items():
        told = (_of_figure(figures, name, of, digits=2) for of in (*CORTICES, "cortices"))
        table.add_row(title, *(cell.replace(" (", "\n(") for cell in told))
    return table


def _visits_table(figures: pd.DataFrame, found: dict[str, Any]) -> Table:
    """How the totals of visits agree with the true ones."""
    visits = figures[figures["of"] == VISITS]
    table = plain_table(
        f"Hold-out set: RUST totals of {visits['defined'].max():g} visits",
        f"Those with all four cortices, of {visits['total'].max():g}; both views of a visit paired."
        f"\nUnion is a total of at least {found['union_threshold']:g}.\n"
        "In brackets the 95 % interval over patients.",
    )
    table.add_column("")
    table.add_column("")
    for name, title in _OF_VISITS.items():
        table.add_row(title, _of_figure(figures, name, VISITS, digits=2))
    return table


def _of_figure(
    figures: pd.DataFrame, name: str, of: str, value: float | None = None, digits: int = 3
) -> str:
    """A figure with its interval; with the value alone where the table does not have it."""
    rows = figures[
        (figures["figure"] == name) & (figures["of"] == of) & (figures["average"] != "micro")
    ]
    if rows.empty:
        return "undefined" if value is None else f"{value:.{digits}f}"
    row = rows.iloc[0]
    if pd.isna(row["value"]):
        return "undefined"
    told = f"{row['value']:.{digits}f}"
    if not pd.isna(row["low"]):
        told += f" ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return told


def plan_table(steps: Sequence[PlannedStep]) -> Table:
    """What a study will do, and about how long each step takes."""
    table = plain_table(
        "Plan",
        "Times are magnitudes, for steps of which nothing is there yet; what is done is skipped.",
    )
    table.add_column("step")
    table.add_column("what", overflow="fold")
    table.add_column("about", justify="right")
    for step in steps:
        table.add_row(step.name, step.what, duration(step.seconds))
    table.add_section()
    table.add_row("all", "", duration(sum(step.seconds for step in steps)))
    return table


def predictions_table(found: pd.DataFrame) -> Table:
    """One row an image: the view, and the scores of the cortices that it shows."""
    table = plain_table(
        "RUST scores", "Most likely score (its probability) of each cortex that the view shows."
    )
    totals = "rust_total" in found
    for name in ("image", "view", *CORTICES, *(["RUST"] if totals else [])):
        table.add_column(name, overflow="fold")
    for row in found.to_dict("records"):
        scores = (
            f"{row[name]} ({row[f'{name}_probability']:.2f})" if row[f"{name}_shown"] else "-"
            for name in CORTICES
        )
        cells = [Path(row["image"]).name, f"{row['view']} ({row['view_probability']:.2f})", *scores]
        if totals:
            cells.append("-" if pd.isna(row["rust_total"]) else str(row["rust_total"]))
        table.add_row(*cells)
    return table


def _yes_or_no(value: Any) -> str:
    return "-" if pd.isna(value) else "yes" if value else "no"


def _mean_and_spread(mean: float, spread: float | None) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.3f}" if pd.isna(spread) else f"{mean:.3f} ± {spread:.3f}"


def status_lines(folder: Path) -> list[Text]:
    """How far a study is, a line each; also for a folder that is in use or damaged."""
    lines = [Text(f"{folder}", style="bold")]
    if not folder.is_dir():
        return [*lines, Text("there is no such folder", style="yellow")]
    if (folder / RUN_FILE).is_file():
        return [*lines, *_search_lines(folder.name, folder)]
    lines.extend(_study_lines(folder))
    for path in sorted((folder / BASELINES_FOLDER).glob("*")):
        if path.is_dir():
            lines.extend(_search_lines(f"{BASELINES_FOLDER}/{path.name}", path))
    for regime in (REGIME_1, REGIME_2):
        if (folder / regime).is_dir():
            lines.extend(_search_lines(regime, folder / regime))
        else:
            lines.append(Text(f"{regime}: not begun"))
    for name, read in ((NESTED, nested_lines), (NOISE, noise_lines)):
        if (folder / name).is_dir():
            try:
                lines.extend(read(folder / name))
            except RustTunerError as error:
                lines.append(Text(f"{name}: {error}", style="red"))
            except _DAMAGED as error:
                lines.append(Text(f"{name}: damaged records ({error!r})", style="red"))
    lines.extend(check_status_lines(folder))
    final = folder / "final"
    if (final / "cross_validation").is_dir():
        lines.extend(_search_lines("final/cross_validation", final / "cross_validation"))
    if final.is_dir():
        try:
            found = read_json(final / "holdout.json")
            lines.append(Text(f"hold-out set: evaluated on {found['date']}"))
        except FileNotFoundError:
            lines.append(Text("hold-out set: sealed"))
        except _DAMAGED as error:
            lines.append(Text(f"final/holdout.json is damaged ({error!r})", style="red"))
    return lines


def _search_lines(name: str, folder: Path) -> list[Text]:
    try:
        return _project_lines(name, read_project(folder))
    except RustTunerError as error:
        return [Text(f"{name}: {error}", style="red")]
    except _DAMAGED as error:
        return [Text(f"{name}: damaged records ({error!r})", style="red")]


def _study_lines(folder: Path) -> list[Text]:
    try:
        study = read_json(folder / STUDY_FILE)
        text = f"prepared: {study['radiographs']} radiographs of {study['patients']} patients"
        return [Text(text)]
    except FileNotFoundError:
        return [Text("not prepared: study.json is missing", style="yellow")]
    except RustTunerError as error:
        return [Text(f"study.json is damaged: {error}", style="red")]
    except _DAMAGED as error:
        return [Text(f"study.json is damaged ({error!r})", style="red")]


def _project_lines(name: str, project: Project) -> list[Text]:
    by_status = {
        status: [trial for trial in project.trials if trial.status == status]
        for status in ("COMPLETED", "RUNNING", "FAILED")
    }
    done, total = len(by_status["COMPLETED"]), int(project.run["num_trials"])
    num_folds = project.run["subject"]["num_folds"]
    lines = [
        Text(
            f"{name}: {done} of {total} trials done, {len(by_status['FAILED'])} failed"
            + _time_left(project, total, num_folds)
        )
    ]
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
        told = f"{project.objective} {best.score:.4f}"
        told += f" ± {spread:.4f}" if spread is not None else ""
        lines.append(Text(f"  best so far: trial {best.trial}, {told} (selection score)"))
        lines.append(Text(f"    {values}"))
    return lines


def _time_left(project: Project, total: int, num_folds: int) -> str:
    """By the folds that are done, also those of a trial that still runs."""
    seconds = [fold["seconds"] for trial in project.trials for fold in trial.folds]
    begun = [trial for trial in project.trials if trial.status == "RUNNING"]
    ended = len(project.trials) - len(begun)
    left = (total - ended) * num_folds - sum(len(trial.folds) for trial in begun)
    if not seconds or left < 1:
        return ""
    return f", about {duration(sum(seconds) / len(seconds) * left)} left"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
