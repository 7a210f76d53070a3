"""Tidy tables of projects and studies, and the published study's CSV layouts.

They need records only. In tables of trials, epochs and folds count from 0 as in the records. Tables
of curves have the layout of the published files, in which epochs and folds count from 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from rust_tuner.analysis.nested import outer_table, summary_table
from rust_tuner.analysis.noise import noise_spread
from rust_tuner.analysis.study_figures import holdout_metrics, out_of_fold_scores
from rust_tuner.data.csv_output import csv_text
from rust_tuner.errors import SearchError
from rust_tuner.files import write_text
from rust_tuner.records.baselines import baseline_results
from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.records.looks import count_text
from rust_tuner.records.nested import NESTED
from rust_tuner.records.noise import NOISE
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns, results_table
from rust_tuner.records.trials import TrialRecord

BASELINES = "baselines"
FINAL = "final"
CROSS = "cross_validation"
HOLDOUT = "holdout"
PREDICTIONS = "predictions"
PUBLISHED_SPLITS = {"training": "train", "validation": "validation"}


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, csv_text(table))


def trials_table(project: Project) -> pd.DataFrame:
    """One row per trial, in the order of their ids.

    The columns of `records.trial_tables.results_table`, then `best_so_far` (the best score up to
    this trial).
    """
    table = results_table(project)
    return with_best_so_far(table, "score", lower_is_better=project.run.lower_is_better)


def with_best_so_far(
    table: pd.DataFrame, column: str, *, lower_is_better: bool = False
) -> pd.DataFrame:
    """Trials in their order with a column as their `score`, and `best_so_far` beside it."""
    score = table[column].astype("float64")
    running = score.cummin() if lower_is_better else score.cummax()
    return table.assign(score=score, best_so_far=running.ffill())


def searched_values(project: Project) -> list[str]:
    """The names of the hyperparameters that a search varies, in the order of its space."""
    space = project.run.whole_space
    return [name for name, item in space.items() if item["class_name"] != "Fixed"]


def fold_scores(project: Project, metric: str) -> pd.DataFrame:
    """A validation metric of every fold at each completed trial's epoch, best trial first.

    Args:
        project: the project.
        metric: without `val_`.

    Returns:
        `trial, rank`, the searched hyperparameters (`hyperparameter_columns`), `fold` (from 0),
        `value`.

    Raises:
        SearchError: if the project's folds have no such metric.
    """
    ranks = trials_table(project).set_index("trial")["rank"]
    columns_of = hyperparameter_columns(project)
    searched = {name: columns_of[name] for name in searched_values(project)}
    rows = []
    for trial in project.trials:
        if trial.epoch is None:
            continue
        values = {column: trial.values.get(name) for name, column in searched.items()}
        for fold in trial.folds:
            curve = fold.validation.get(metric)
            if curve is None:
                raise _no_metric(project, trial, metric)
            rows.append(
                {"trial": trial.trial, "rank": int(ranks[trial.trial])}
                | values
                | {"fold": fold.fold, "value": curve[trial.epoch]}
            )
    columns = ["trial", "rank", *searched.values(), "fold", "value"]
    return pd.DataFrame(rows, columns=columns).sort_values(["rank", "fold"], ignore_index=True)


def curves_table(
    project: Project, *, model: str, metric: str = "auroc", trial: str | None = None
) -> pd.DataFrame:
    """The curves of one trial in the published layout.

    Args:
        project: the project.
        model: the value of the `model` column.
        metric: without `val_`.
        trial: its id; if None, the best trial, or the first if none has completed.

    Returns:
        `model, split, epoch, fold`, and a column of the metric's name; `split` is `train` or
        `validation`, epochs and folds count from 1. Folds that are not finished are left out.

    Raises:
        SearchError: if there is no such trial, or it has no such metric.
    """
    if trial is None:
        first = project.best or (project.trials[0] if project.trials else None)
        trial = first.trial if first is not None else None
    # Only the history of this trial; that of a whole search is large.
    one = replace(project, trials=tuple(item for item in project.trials if item.trial == trial))
    history = history_table(one)
    curves = history[history["metric"] == metric]
    if curves.empty:
        raise SearchError(
            f"{project.folder}: trial {trial} has no {metric} of any fold; run the search again, "
            "or choose another metric"
        )
    curves = curves.sort_values(["split", "fold", "epoch"])
    return pd.DataFrame(
        {
            "model": model,
            "split": curves["split"].map(PUBLISHED_SPLITS),
            "epoch": curves["epoch"] + 1,
            "fold": curves["fold"] + 1,
            metric: curves["value"],
        }
    ).reset_index(drop=True)


def ranked_curves(project: Project, *, metric: str = "auroc", count: int = 9) -> pd.DataFrame:
    """The curves of some trials from the best to the worst, evenly spaced in rank.

    Args:
        project: the project.
        metric: without `val_`.
        count: how many trials at most.

    Returns:
        `trial, rank, score`, the searched hyperparameters, then as `curves_table`; no rows if
        no trial has completed.
    """
    trials = trials_table(project).dropna(subset=["score"]).sort_values("rank")
    kept_in, columns_of = (hyperparameter_columns(project, taken) for taken in ((), (metric,)))
    searched = {kept_in[name]: columns_of[name] for name in searched_values(project)}
    shown = np.unique(np.linspace(0, len(trials) - 1, min(count, len(trials))).round().astype(int))
    parts = []
    for row in trials.iloc[shown].to_dict("records"):
        curves = curves_table(project, model=project.folder.name, metric=metric, trial=row["trial"])
        fixed = {name: row[name] for name in ("trial", "rank", "score")}
        fixed |= {column: row[name] for name, column in searched.items()}
        parts.append(pd.DataFrame({**fixed, **curves}))
    names = ["trial", "rank", "score", *searched.values()]
    columns = [*names, "model", "split", "epoch", "fold", metric]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def best_epoch_scores(curves: pd.DataFrame) -> pd.DataFrame:
    """Each model's validation AUROC of every fold at the best epoch of its mean curve.

    Args:
        curves: in the published layout, of one model or several.

    Returns:
        `model, fold, epoch, value`, models in the order of `curves`, epochs and folds from 1.
    """
    validation = curves[curves["split"] == "validation"]
    parts = []
    for model, rows in validation.groupby("model", sort=False):
        epoch = rows.groupby("epoch")["auroc"].mean().idxmax()
        chosen = rows[rows["epoch"] == epoch]
        parts.append(
            pd.DataFrame(
                {"model": model, "fold": chosen["fold"], "epoch": epoch, "value": chosen["auroc"]}
            )
        )
    columns = ["model", "fold", "epoch", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def published_regime_1(project: Project) -> pd.DataFrame:
    """Regime I in the published layout: `batch_size, dropout_rate, max_val_auroc`."""
    return _with_max_auroc(project, ("batch_size", "dropout_rate"))


def published_regime_2(project: Project) -> pd.DataFrame:
    """Regime II in the published layout: `learning_rate, epsilon, max_val_auroc`."""
    return _with_max_auroc(project, ("learning_rate", "epsilon"))


def write_published_regime_1(project: Project, path: Path) -> None:
    """Write Regime I in the layout of the published `regime_1.csv`."""
    write_table(published_regime_1(project), path)


def write_published_regime_2(project: Project, path: Path) -> None:
    """Write Regime II in the layout of the published `regime_2.csv`."""
    write_table(published_regime_2(project), path)


def write_published_curves(projects: Mapping[str, Project], path: Path) -> None:
    """Write the AUROC curves of models in the layout of the published per-fold files.

    Args:
        projects: a project with one trial for each model's name.
        path: the file.
    """
    write_table(
        pd.concat([curves_table(project, model=name) for name, project in projects.items()]), path
    )


def final_table(records: StudyRecords) -> pd.DataFrame:
    """The figures of the final model.

    Returns:
        `evaluation` (`cross_validation` or `holdout`), `kind` (the first is a `selection score`,
        the second an `estimate`), `metric`, `value`, `std` (over folds), `view_only` (the view-only
        baseline of the same metric). The figures of the most likely scores come first in each
        evaluation. No rows if there are no figures. If the hold-out set was looked at more than
        once, also `looks`: how often, and why.
    """
    rows: list[tuple[str, str, str, float | None, float | None, float | None]] = []
    project = records.cross_validation
    best = project.best if project is not None else None
    if project is not None and best is not None:
        baseline = project.run.view_only_baseline or {}
        for metric, figure in out_of_fold_scores(records).items():
            rows.append((CROSS, "selection score", metric, figure, None, None))
        for name, value in best.metrics.items():
            metric = name.removeprefix("val_")
            rows.append(
                (CROSS, "selection score", metric, value, best.spread(metric), baseline.get(name))
            )
    if records.holdout is not None:
        alone = records.holdout.view_only_baseline
        baseline = {"auroc": alone.auroc, "cortex_auroc": alone.cortex_auroc}
        for metric, figure in holdout_metrics(records).items():
            rows.append((HOLDOUT, "estimate", metric, figure, None, baseline.get(metric)))
    names = ["evaluation", "kind", "metric", "value", "std", "view_only"]
    table = pd.DataFrame(rows, columns=names)
    table = table.astype(dict.fromkeys(names[3:], "float64"))
    if len(records.looks) > 1 and records.holdout is not None:
        is_holdout = table["evaluation"] == HOLDOUT
        table["looks"] = is_holdout.map({True: count_text(records.looks), False: None})
    return table


def study_tables(directory: str | Path) -> dict[str, pd.DataFrame]:
    """The tables of a study folder.

    Args:
        directory: the study's folder, finished or not.

    Returns:
        Some of `baselines` (one row per first model, with chance and the view-only baseline),
        `regime_1` and `regime_2` (`trials_table`), `regime_1_history` and `regime_2_history`
        (`records.trial_tables.history_table`), `nested` (one row per outer fold),
        `nested_summary` (selection score, estimate and the gap), `noise` (each repeat),
        `noise_floor` (their spread), `final` (`final_table`), `predictions` (of the hold-out
        set, `read_predictions`).

    Raises:
        ResumeError: if the folder contains no part of a study.
        SearchError: if the first models were not compared on the same data.
    """
    records = read_study(directory)
    tables = {}
    if records.baselines:
        tables[BASELINES] = baseline_results(records.directory)
    for name, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is not None:
            tables[name] = trials_table(project)
            tables[f"{name}_history"] = history_table(project)
    if records.nested is not None:
        tables[NESTED] = outer_table(records.nested)
        tables[f"{NESTED}_summary"] = summary_table(records.nested)
    if records.noise is not None:
        tables[NOISE] = records.noise.values
        tables[f"{NOISE}_floor"] = noise_spread(records.noise.values)
    final = final_table(records)
    if not final.empty:
        tables[FINAL] = final
    if records.predictions is not None:
        tables[PREDICTIONS] = records.predictions
    return tables


def _with_max_auroc(project: Project, names: tuple[str, ...]) -> pd.DataFrame:
    """The published score is the maximum of the mean curve, whatever epoch the protocol takes."""
    rows = []
    for trial in project.trials:
        if trial.score is None:
            continue
        curves = [fold.validation.get("auroc") for fold in trial.folds]
        if not curves or any(curve is None for curve in curves):
            raise _no_metric(project, trial, "auroc")
        mean = np.mean([curve for curve in curves if curve], axis=0)
        rows.append((*(trial.values[name] for name in names), float(mean.max())))
    return pd.DataFrame(rows, columns=[*names, "max_val_auroc"])


def _no_metric(project: Project, trial: TrialRecord, metric: str) -> SearchError:
    offered = ", ".join(trial.folds[0].validation) if trial.folds else "none"
    return SearchError(
        f"{project.folder}: trial {trial.trial} has no {metric}; its metrics are {offered}"
    )
