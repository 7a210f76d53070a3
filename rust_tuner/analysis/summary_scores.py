"""The results of a study as one table: the score of each part, its interval, the view alone."""

import pandas as pd

from rust_tuner.analysis.first_models import best_first_model, finished_first_models
from rust_tuner.analysis.study_figures import find_figure, holdout_figures
from rust_tuner.analysis.verdict import SEARCH_NAMES, view_only_of
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.scope import AUROCS, SCOPES
from rust_tuner.words import counted

# A choice was made by it, so chance helped; or it is of patients that no choice used.
SELECTION, ESTIMATE = "selection score", "estimate"

_COLUMNS = ("part", "kind", "metric", "value", "low", "high", "view_only")


def summary_scores(records: StudyRecords) -> pd.DataFrame:
    """The best score of every part that has one, from the first models to the hold-out set.

    Returns:
        `part`, `kind` (`selection score` or `estimate`), `metric` (`auroc` or `cortex_auroc`),
        `value`, its 95 % interval `low` and `high` (over folds, `fold_interval`; for the hold-out
        set over patients; empty if unknown), `view_only`.
    """
    rows: list[tuple[object, ...]] = []

    def add(part: str, project: Project) -> None:
        baseline = view_only_of(project)
        title = f"{part}, {project.run.subject.num_folds} folds"
        for metric in AUROCS:
            best = project.best
            if best is not None and f"val_{metric}" in best.metrics:
                interval = best.interval(metric)
                figure = (interval.value, interval.low, interval.high)
                rows.append((title, SELECTION, metric, *figure, baseline.get(metric)))

    done, model = finished_first_models(records), best_first_model(records)
    if model is not None:
        add(f"best of {counted(len(done), 'first model')}", done[model])
    for name, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is not None and project.best is not None:
            number = sum(trial.score is not None for trial in project.trials)
            add(f"{SEARCH_NAMES[name]}: best of {counted(number, 'trial')}", project)
    if records.cross_validation is not None:
        add("tuned model, cross-validated", records.cross_validation)
    nested = records.nested
    if nested is not None and nested.summary is not None:
        part_title = f"nested cross-validation, {nested.outer_folds} outer folds"
        for metric in AUROCS:
            outer = nested.summary.estimate.figure(metric)
            view = nested.summary.view_only_baseline.figure(metric)
            rows.append(
                (part_title, ESTIMATE, metric, outer.mean, outer.low, outer.high, view.mean)
            )
    if records.holdout is not None:
        figures = holdout_figures(records)
        patients = counted(records.holdout.patients, "patient")
        part_title = f"tuned model, hold-out set of {patients}"
        if len(records.looks) > 1:
            part_title += f", looked at {len(records.looks)} times"
        for scope in SCOPES:
            row = find_figure(figures, "auroc", scope.key) or {}
            figure = (row.get(name) for name in ("value", "low", "high"))
            baseline_value = records.holdout.view_only_baseline.by_name[scope.metric]
            rows.append((part_title, ESTIMATE, scope.metric, *figure, baseline_value))
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.astype(dict.fromkeys(_COLUMNS[3:], "float64"))
