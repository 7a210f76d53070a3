"""The figures of a study's hold-out set and out-of-fold predictions, from one source.

The terminal, the page, its drawings and files, the summary and the checklists all use them, so that
a figure has the same value and interval everywhere.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rust_tuner.analysis.assessment import as_predictions, figures_table
from rust_tuner.labels import LABELS, UNION_THRESHOLD
from rust_tuner.metrics import UnionCutoff, choose_union_cutoff
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, EVERY_ROW, VISIBLE
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.predictions import difference_from
from rust_tuner.records.project import Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.scope import SCOPES

# What an interval is over.
OVER = "interval_over"
PATIENTS, FOLDS = "patients", "folds"
# The predictions of the tuned model's cross-validation, in words.
DEVELOPMENT_TOTALS = "the out-of-fold predictions of the tuned model's cross-validation"

_COLUMNS = (
    *("figure", "of", "average", "counted", "value", "low", "high"),
    *("defined", "total", "reason"),
)
# Of the most likely scores, where the cortex is visible; these come first in every list.
SCORE_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "kappa")
ERROR = "expected_calibration_error"
_NAMES_OF_METRICS = ("auroc", "precision", "recall", "f1")
# Figures of records of earlier versions that have another name now, or none.
_FORMERLY = {"exact": "accuracy"}
_DROPPED = ("icc_analytic",)
# Values further apart than this are different, not rounded.
_AS_WRITTEN = 1e-6

Key = tuple[str, str, str, str]
Row = dict[str, Any]


def holdout_figures(records: StudyRecords) -> pd.DataFrame:
    """Every known figure of the hold-out set.

    Recorded figures are used as they are. Figures that an earlier version did not record are
    computed from `final/predictions.csv`, and so are its intervals that do not contain their
    estimate.

    Returns:
        As `figures_table`, and `interval_over`; empty if no figure is known.
    """
    computed = None
    if records.predictions is not None and not foreign_predictions(records):
        union = union_of(records)
        computed = figures_table(
            as_predictions(records.predictions),
            union_threshold=union.threshold,
            union_cutoff=union.value,
        )
    return recorded_figures(records.holdout, computed)


def foreign_predictions(records: StudyRecords) -> str:
    """Why `final/predictions.csv` does not match `final/holdout.json`; empty if it does."""
    if records.holdout is None or records.predictions is None:
        return ""
    fault = difference_from(records.predictions, records.holdout)
    return (
        f"final/predictions.csv does not match final/holdout.json ({fault}), so its figures are "
        "not used; restore it from a copy."
        if fault
        else ""
    )


def recorded_figures(holdout: Holdout | None, computed: pd.DataFrame | None = None) -> pd.DataFrame:
    """The figures of `final/holdout.json`; see `holdout_figures`.

    Args:
        holdout: its content; None if it is missing.
        computed: from `figures_table`, of the same predictions; None if they are missing.
    """
    table = pd.DataFrame(columns=list(_COLUMNS)) if computed is None else computed
    rows: dict[Key, Row] = {_key(row): row for row in _records(table)}
    for row in _recorded(holdout) if holdout is not None else ():
        key = _key(row)
        if row["figure"] in _DROPPED or math.isnan(row["value"]):
            continue
        if _holds(row):
            rows[key] = row
        elif key not in rows:
            reason = "the recorded interval does not contain the figure"
            rows[key] = row | {"low": math.nan, "high": math.nan, "reason": reason}
    for key, value in _values(holdout) if holdout is not None else ():
        row_of_key = rows.get(key)
        if row_of_key is None and key[1] not in LABELS:
            row_of_key = dict.fromkeys(_COLUMNS) | dict(zip(_COLUMNS, key, strict=False))
            row_of_key |= {"low": math.nan, "high": math.nan, "reason": ""}
        if row_of_key is not None:
            rows[key] = _with_value(row_of_key, value)
    result = pd.DataFrame(list(rows.values()), columns=list(_COLUMNS))
    types = {"defined": "Int64", "total": "Int64"}
    types |= dict.fromkeys(("value", "low", "high"), "float64")
    return result.astype(types).assign(**{OVER: PATIENTS})


def holdout_metrics(records: StudyRecords) -> dict[str, float | None]:
    """The main figures of the hold-out set: the most likely scores first, then as recorded."""
    metrics = {} if records.holdout is None else records.holdout.metrics.by_name
    figures = holdout_figures(records)
    rest = {name: value for name, value in metrics.items() if name not in SCORE_FIGURES}
    return _score_figures(figures) | rest


def out_of_fold_scores(records: StudyRecords) -> dict[str, float | None]:
    """The figures of the tuned model's most likely scores out of fold; empty if unknown."""
    project = records.cross_validation
    if project is None:
        return {}
    try:
        return _score_figures(out_of_fold_figures(project, union_of(records)))
    except DAMAGED:
        return {}


def out_of_fold_figures(project: Project, union: UnionCutoff) -> pd.DataFrame:
    """Every figure of a project's best trial out of fold.

    Both macro AUROCs are the trial's own scores with their one interval, over folds; the others
    have theirs over patients.

    Args:
        project: a search on radiographs.
        union: the definition of union.

    Returns:
        As `holdout_figures`.

    Raises:
        ResumeError: as `out_of_fold_predictions`.
    """
    table = figures_table(
        out_of_fold_predictions(project), union_threshold=union.threshold, union_cutoff=union.value
    ).assign(**{OVER: PATIENTS})
    best = project.best
    assert best is not None
    for scope in SCOPES:
        if scope.objective not in best.metrics:
            continue
        figure = best.interval(scope.metric)
        is_here = (table["figure"] == "auroc") & (table["of"] == scope.key)
        is_here &= table["average"] == "macro"
        for name, value in (
            ("value", figure.value),
            ("low", figure.low),
            ("high", figure.high),
            ("reason", figure.reason),
            (OVER, FOLDS),
        ):
            table[name] = table[name].mask(is_here, value)
    return table


def union_of(records: StudyRecords) -> UnionCutoff:
    """The threshold of union in a study, and the cut-off of the predicted total."""
    asked = None if records.study is None else records.study.protocol.get("union_threshold")
    threshold = float(asked) if isinstance(asked, int | float) else UNION_THRESHOLD
    holdout = records.holdout
    if holdout is None:
        return development_cutoff(records.cross_validation, threshold=threshold)
    return recorded_cutoff(holdout, threshold)


def recorded_cutoff(holdout: Holdout, threshold: float = UNION_THRESHOLD) -> UnionCutoff:
    """The cut-off of `final/holdout.json`; the threshold itself for an earlier version."""
    threshold = holdout.union_threshold or threshold
    cutoff = holdout.union_cutoff
    if cutoff is None:
        how = "not chosen: an earlier version used the threshold of the true total"
        return UnionCutoff(threshold, threshold, how)
    return UnionCutoff(
        cutoff.value,
        threshold,
        cutoff.how,
        chosen=cutoff.chosen,
        youden=math.nan if cutoff.youden is None else cutoff.youden,
        visits=cutoff.visits,
        united=cutoff.united,
    )


def development_cutoff(project: Project | None, *, threshold: float) -> UnionCutoff:
    """Choose the cut-off on the tuned model's out-of-fold predictions of the development set.

    Args:
        project: its cross-validation, or None.
        threshold: a true total of at least this is union.
    """
    try:
        if project is None:
            raise LookupError("there is no cross-validation of the tuned model")
        totals = out_of_fold_predictions(project).totals
    except DAMAGED as error:
        how = f"not chosen, the threshold of the true total is used: {error}"
        return UnionCutoff(threshold, threshold, how)
    return choose_union_cutoff(totals, threshold=threshold, of=DEVELOPMENT_TOTALS)


def union_text(union: UnionCutoff) -> str:
    """The thresholds of union, for true and predicted totals, as a sentence."""
    return (
        f"Union: a true total of at least {union.threshold:g}, a predicted one of at least "
        f"{union.value:g} ({union.how})."
    )


def find_figure(
    figures: pd.DataFrame, name: str, of: str, *, average: str | None = None
) -> Row | None:
    """A figure by its name and group; None if it is missing.

    Args:
        figures: from `holdout_figures` or `figures_table`.
        name: such as `auroc`.
        of: such as `cortices`.
        average: `micro`, or None for the macro or single one.
    """
    of_average = figures["average"]
    is_meant = of_average != "micro" if average is None else of_average == average
    rows = figures[(figures["figure"] == name) & (figures["of"] == of) & is_meant]
    return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}


def _score_figures(figures: pd.DataFrame) -> dict[str, float | None]:
    """The means of the most likely scores' figures; None if undefined."""
    rows = {name: find_figure(figures, name, CORTEX_GROUP) for name in SCORE_FIGURES}
    values = {name: float(row["value"]) for name, row in rows.items() if row is not None}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _records(table: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _recorded(holdout: Holdout) -> Iterator[Row]:
    """The rows of a record, complete and with current names."""
    for item in holdout.figures:
        row: Row = {name: item.get(name) for name in _COLUMNS}
        row["figure"] = _FORMERLY.get(str(row["figure"]), str(row["figure"]))
        row["average"], row["reason"] = row["average"] or "", row["reason"] or ""
        row["counted"] = row["counted"] or (EVERY_ROW if row["of"] == ALL_LABELS else VISIBLE)
        for name in ("value", "low", "high"):
            number = row[name]
            row[name] = math.nan if number is None else float(number)
        yield row


def _values(holdout: Holdout) -> Iterator[tuple[Key, float]]:
    """The values of a record that are outside its list of figures."""
    metrics = holdout.metrics.by_name
    for scope in SCOPES:
        counted = VISIBLE if scope.is_masked else EVERY_ROW
        for name in _NAMES_OF_METRICS:
            value = metrics.get(f"{scope.prefix}{name}")
            if value is not None:
                yield (name, scope.key, "macro", counted), float(value)
    for row in holdout.labels:
        values = (row.auroc, row.precision, row.recall, row.f1)
        for name, value in zip(_NAMES_OF_METRICS, values, strict=True):
            if value is not None:
                yield (name, row.label, "", EVERY_ROW), value


def _with_value(row: Row, value: float) -> Row:
    """A row with the recorded value; an interval of another value is left out."""
    current = row["value"]
    if current is None or not abs(current - value) <= _AS_WRITTEN:
        return row | {"value": value, "low": math.nan, "high": math.nan}
    return row | {
        "value": value,
        "low": float(np.fmin(row["low"], value)) if not math.isnan(row["low"]) else math.nan,
        "high": float(np.fmax(row["high"], value)) if not math.isnan(row["high"]) else math.nan,
    }


def _holds(row: Row) -> bool:
    """Whether an interval contains its value, or there is no interval."""
    if math.isnan(row["low"]) or math.isnan(row["high"]):
        return math.isnan(row["low"]) and math.isnan(row["high"])
    return bool(row["low"] <= row["value"] <= row["high"])


def _key(row: Mapping[str, Any]) -> Key:
    return row["figure"], row["of"], row["average"], row["counted"]
