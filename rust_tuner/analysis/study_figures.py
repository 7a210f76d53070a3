"""The figures of a study's hold-out set and out-of-fold predictions: the one place each is from.

The terminal, the page, its drawings and files, the summary and the checklists all take them from
here, so that a figure has one value and one interval wherever it stands.
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
from rust_tuner.records.predictions import difference_from
from rust_tuner.records.project import Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.scope import SCOPES

# What an interval is over.
OVER = "interval_over"
PATIENTS, FOLDS = "patients", "folds"
# What the tuned model's cross-validation predicted, in words.
DEVELOPMENT_TOTALS = "the out-of-fold predictions of the tuned model's cross-validation"

_COLUMNS = (
    *("figure", "of", "average", "counted", "value", "low", "high"),
    *("defined", "total", "reason"),
)
# Of the most likely scores, where the cortex is visible: first wherever figures stand.
SCORE_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "kappa")
ERROR = "expected_calibration_error"
_NAMES_OF_METRICS = ("auroc", "precision", "recall", "f1")
# Figures of records of earlier versions that have another name now, or none.
_FORMERLY = {"exact": "accuracy"}
_DROPPED = ("icc_analytic",)
# Further apart two values are not one that was written and read.
_AS_WRITTEN = 1e-6

Key = tuple[str, str, str, str]
Row = dict[str, Any]


def holdout_figures(records: StudyRecords) -> pd.DataFrame:
    """Every figure of the hold-out set that is known.

    What the look recorded stands; what its version did not know yet is computed from
    `final/predictions.csv`, and so is an interval of an earlier version that does not hold its
    estimate.

    Returns:
        As `figures_table`, and `interval_over`; empty where nothing is known.
    """
    computed = None
    if records.predictions is not None and not foreign_predictions(records):
        union = union_of(records)
        computed = figures_table(
            as_predictions(records.predictions),
            union_threshold=union.threshold,
            union_cutoff=union.value,
        )
    return recorded_figures(records.holdout or {}, computed)


def foreign_predictions(records: StudyRecords) -> str:
    """Why `final/predictions.csv` is not what `final/holdout.json` tells of; empty where it is."""
    if records.holdout is None or records.predictions is None:
        return ""
    fault = difference_from(records.predictions, records.holdout)
    return (
        f"final/predictions.csv is not what final/holdout.json was made of ({fault}), so no figure "
        "is taken from it; restore it from a copy."
        if fault
        else ""
    )


def recorded_figures(
    found: Mapping[str, Any], computed: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The figures of `final/holdout.json`; see `holdout_figures`.

    Args:
        found: its content; empty where there is none.
        computed: from `figures_table`, of the same predictions; None where they are not there.
    """
    table = pd.DataFrame(columns=list(_COLUMNS)) if computed is None else computed
    rows: dict[Key, Row] = {_key(row): row for row in _records(table)}
    for row in _recorded(found):
        key = _key(row)
        if row["figure"] in _DROPPED or math.isnan(row["value"]):
            continue
        if _holds(row):
            rows[key] = row
        elif key not in rows:
            reason = "the interval that was recorded does not hold the figure"
            rows[key] = row | {"low": math.nan, "high": math.nan, "reason": reason}
    for key, value in _values(found):
        known = rows.get(key)
        if known is None and key[1] not in LABELS:
            known = dict.fromkeys(_COLUMNS) | dict(zip(_COLUMNS, key, strict=False))
            known |= {"low": math.nan, "high": math.nan, "reason": ""}
        if known is not None:
            rows[key] = _with_value(known, value)
    result = pd.DataFrame(list(rows.values()), columns=list(_COLUMNS))
    types = {"defined": "Int64", "total": "Int64"}
    types |= dict.fromkeys(("value", "low", "high"), "float64")
    return result.astype(types).assign(**{OVER: PATIENTS})


def holdout_metrics(records: StudyRecords) -> dict[str, float | None]:
    """The main figures of the hold-out set: of the most likely scores first, then as recorded."""
    found = (records.holdout or {}).get("metrics") or {}
    figures = holdout_figures(records)
    rest = {name: value for name, value in found.items() if name not in SCORE_FIGURES}
    return _score_figures(figures) | rest


def out_of_fold_scores(records: StudyRecords) -> dict[str, float | None]:
    """The figures of the tuned model's most likely scores out of fold; none where not known."""
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
        union: where the model says union.

    Returns:
        As `holdout_figures`.

    Raises:
        ResumeError: as `out_of_fold_predictions`.
    """
    table = figures_table(
        out_of_fold_predictions(project),
        union_threshold=union.threshold,
        union_cutoff=union.value,
    ).assign(**{OVER: PATIENTS})
    best = project.best
    assert best is not None
    for scope in SCOPES:
        if scope.objective not in best.metrics:
            continue
        found = best.interval(scope.metric)
        is_here = (table["figure"] == "auroc") & (table["of"] == scope.key)
        is_here &= table["average"] == "macro"
        reason = "fewer than two folds" if math.isnan(found.low) else ""
        for name, value in (
            ("value", found.value),
            ("low", found.low),
            ("high", found.high),
            ("reason", reason),
            (OVER, FOLDS),
        ):
            table[name] = table[name].mask(is_here, value)
    return table


def union_of(records: StudyRecords) -> UnionCutoff:
    """What union is in a study, and from which predicted total on the model says so."""
    protocol = (records.study or {}).get("protocol") or {}
    threshold = float(protocol.get("union_threshold", UNION_THRESHOLD))
    found = records.holdout
    if found is None:
        return development_cutoff(records.cross_validation, threshold=threshold)
    return recorded_cutoff(found, threshold)


def recorded_cutoff(found: Mapping[str, Any], threshold: float = UNION_THRESHOLD) -> UnionCutoff:
    """The cut-off of `final/holdout.json`; of an earlier version's the threshold itself."""
    threshold = float(found.get("union_threshold") or threshold)
    known = found.get("union_cutoff")
    if not isinstance(known, Mapping):
        how = "not chosen, the threshold of the true total was taken by an earlier version"
        return UnionCutoff(threshold, threshold, how)
    youden = known.get("youden")
    return UnionCutoff(
        float(known["value"]),
        threshold,
        str(known["how"]),
        chosen=bool(known["chosen"]),
        youden=math.nan if youden is None else float(youden),
        visits=int(known["visits"]),
        united=int(known["united"]),
    )


def development_cutoff(project: Project | None, *, threshold: float) -> UnionCutoff:
    """Choose the cut-off on the tuned model's out-of-fold predictions of the development set.

    Args:
        project: its cross-validation; None where there is none.
        threshold: a true total of at least this is union.
    """
    try:
        if project is None:
            raise LookupError("there is no cross-validation of the tuned model")
        totals = out_of_fold_predictions(project).totals
    except DAMAGED as error:
        how = f"not chosen, the threshold of the true total is taken: {error}"
        return UnionCutoff(threshold, threshold, how)
    return choose_union_cutoff(totals, threshold=threshold, of=DEVELOPMENT_TOTALS)


def union_text(union: UnionCutoff) -> str:
    """What union is, and from which predicted total on the model says so, as a sentence."""
    return (
        f"Union: a true total of at least {union.threshold:g}, a predicted one of at least "
        f"{union.value:g} ({union.how})."
    )


def find_figure(
    figures: pd.DataFrame, name: str, of: str, *, average: str | None = None
) -> Row | None:
    """A figure by its name and what it is of; None where it is not there.

    Args:
        figures: from `holdout_figures` or `figures_table`.
        name: such as `auroc`.
        of: such as `cortices`.
        average: `micro`; the macro or single one where None.
    """
    of_average = figures["average"]
    is_meant = of_average != "micro" if average is None else of_average == average
    rows = figures[(figures["figure"] == name) & (figures["of"] == of) & is_meant]
    return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}


def _score_figures(figures: pd.DataFrame) -> dict[str, float | None]:
    """The means of the most likely scores' figures; None where undefined."""
    rows = {name: find_figure(figures, name, CORTEX_GROUP) for name in SCORE_FIGURES}
    known = {name: float(row["value"]) for name, row in rows.items() if row is not None}
    return {name: None if math.isnan(value) else value for name, value in known.items()}


def _records(table: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _recorded(found: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of a record, each whole and by today's names."""
    for item in found.get("figures") or []:
        row = dict.fromkeys(_COLUMNS) | {name: item.get(name) for name in _COLUMNS}
        row["figure"] = _FORMERLY.get(str(row["figure"]), str(row["figure"]))
        row["average"], row["reason"] = row["average"] or "", row["reason"] or ""
        row["counted"] = row["counted"] or (EVERY_ROW if row["of"] == ALL_LABELS else VISIBLE)
        for name in ("value", "low", "high"):
            number = row[name]
            row[name] = math.nan if number is None else float(number)
        yield row


def _values(found: Mapping[str, Any]) -> Iterator[tuple[Key, float]]:
    """The values of a record that stand beside its list of figures."""
    metrics = found.get("metrics") or {}
    for scope in SCOPES:
        counted = VISIBLE if scope.is_masked else EVERY_ROW
        for name in _NAMES_OF_METRICS:
            value = metrics.get(f"{scope.prefix}{name}")
            if value is not None:
                yield (name, scope.key, "macro", counted), float(value)
    for row in found.get("labels") or []:
        for name in _NAMES_OF_METRICS:
            if row.get(name) is not None:
                yield (name, str(row["label"]), "", EVERY_ROW), float(row[name])


def _with_value(row: Row, value: float) -> Row:
    """A row with the value that was written; an interval of another value is left out."""
    own = row["value"]
    if own is None or not abs(own - value) <= _AS_WRITTEN:
        return row | {"value": value, "low": math.nan, "high": math.nan}
    return row | {
        "value": value,
        "low": float(np.fmin(row["low"], value)) if not math.isnan(row["low"]) else math.nan,
        "high": float(np.fmax(row["high"], value)) if not math.isnan(row["high"]) else math.nan,
    }


def _holds(row: Row) -> bool:
    """Whether an interval holds its value, or there is none."""
    if math.isnan(row["low"]) or math.isnan(row["high"]):
        return math.isnan(row["low"]) and math.isnan(row["high"])
    return bool(row["low"] <= row["value"] <= row["high"])


def _key(row: Mapping[str, Any]) -> Key:
    return row["figure"], row["of"], row["average"], row["counted"]
