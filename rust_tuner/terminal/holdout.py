"""What the command line shows of the hold-out set: figures with intervals, and how often looked."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from rust_tuner.analysis.against_view import Standing
from rust_tuner.labels import CORTICES
from rust_tuner.metrics.assessment import VISITS
from rust_tuner.records.looks import Look, holdout_title
from rust_tuner.terminal.table import plain_table

_FIGURE_COLUMNS = ("figure", "of", "average", "value", "low", "high", "defined", "total", "reason")
_NO_INTERVAL = "no interval"
_MORE_OF_LABELS = {
    "average_precision": "average precision",
    "brier": "Brier score",
    "expected_calibration_error": "calibration error",
}
_ANSWERS = {
    "above": "yes",
    "not distinguishable": "cannot be distinguished",
    "below": "no, it lies below",
    "undecided": "cannot be decided",
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
_OF_LABELS = ("auroc", "precision", "recall", "f1")
_SHOWN = {*_OF_LABELS, *_MORE_OF_LABELS, *_OF_SCORES, *_OF_VISITS}


def holdout_table(
    found: dict[str, Any], looks: Iterable[Look] = (), standings: Sequence[Standing] = ()
) -> RenderableType:
    """What the last look at the hold-out set found.

    Args:
        found: the content of `final/holdout.json`.
        looks: all looks so far; where there is more than one, every title says so.
        standings: whether it beats the view alone, from `against_view.holdout_standings`.
    """
    title = holdout_title(looks)
    metrics, baseline = found["metrics"], found["view_only_baseline"]
    undecided = dict.fromkeys(item.reason for item in standings if item.gain is None)
    figures = pd.DataFrame(found.get("figures") or [], columns=list(_FIGURE_COLUMNS))
    figures["reason"] = figures["reason"].fillna("")
    table = plain_table(
        f"{title}: {found['radiographs']} radiographs of {found['patients']} patients",
        "An estimate: nothing that was chosen had seen these patients. Macro averages over the\n"
        f"labels where defined; threshold {found['threshold']:g}.\n"
        "Cortices: 16 labels, each only where its cortex is visible."
        + ("\n" + _brackets(figures, ("labels", "cortices")) if len(figures) else "")
        + "".join(f"\nNot decided: {reason}." for reason in undecided),
    )
    for name in ("", "18 labels", "cortices"):
        table.add_column(name)
    for name in _OF_LABELS:
        heading = name.upper() if name in ("auroc", "f1") else name
        told = (
            _of_figure(figures, name, of, value)
            for of, value in (("labels", metrics[name]), ("cortices", metrics[f"cortex_{name}"]))
        )
        table.add_row(heading, *told)
    for name, heading in _MORE_OF_LABELS.items():
        if len(figures):
            told = (_of_figure(figures, name, of) for of in ("labels", "cortices"))
            table.add_row(heading, *told)
    table.add_section()
    known = (baseline["auroc"], baseline["cortex_auroc"])
    table.add_row(
        "AUROC of the view alone", *("undefined" if v is None else f"{v:.3f}" for v in known)
    )
    if standings:
        table.add_row("gain over it", *(_gain(item) for item in standings))
        table.add_row("beats it", *(_ANSWERS[item.answer] for item in standings))
    if not len(figures):
        return table
    return Group(table, _scores_table(figures, title), _visits_table(figures, found, title))


def _gain(item: Standing) -> str:
    if item.gain is None:
        return "undefined"
    found = item.gain.gain
    told = f"{found.value:+.3f}"
    return told if pd.isna(found.low) else f"{told} ({found.low:.3f} to {found.high:.3f})"


def _scores_table(figures: pd.DataFrame, title: str) -> Table:
    """How the most likely scores agree with the true ones."""
    table = plain_table(
        f"{title}: most likely scores against true ones, where the cortex is visible",
        "Kappa is quadratic-weighted. " + _brackets(figures, (*CORTICES,)),
    )
    for name in ("", *CORTICES, "mean"):
        table.add_column(name)
    for name, heading in _OF_SCORES.items():
        told = (_of_figure(figures, name, of, digits=2) for of in (*CORTICES, "cortices"))
        table.add_row(heading, *(cell.replace(" (", "\n(") for cell in told))
    return table


def _visits_table(figures: pd.DataFrame, found: dict[str, Any], title: str) -> Table:
    """How the totals of visits agree with the true ones."""
    visits = figures[figures["of"] == VISITS]
    table = plain_table(
        f"{title}: RUST totals of {visits['defined'].max():g} visits",
        f"Those with all four cortices, of {visits['total'].max():g}; both views of a visit paired."
        f"\nUnion is a total of at least {found['union_threshold']:g}.\n"
        + _brackets(figures, (VISITS,)),
    )
    table.add_column("")
    table.add_column("")
    for name, heading in _OF_VISITS.items():
        table.add_row(heading, _of_figure(figures, name, VISITS, digits=2))
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
        return f"{told} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"
    return f"{told} ({_NO_INTERVAL})" if row["reason"] else told


def _brackets(figures: pd.DataFrame, groups: Sequence[str]) -> str:
    """What stands in brackets, and why some figures of these groups have no interval."""
    own = figures[figures["of"].isin(groups) & (figures["average"] != "micro")]
    lines = ["In brackets the 95 % interval over patients."]
    for reason, rows in own[own["reason"].astype(bool)].groupby("reason", sort=False):
        names = dict.fromkeys(_named(name) for name in rows["figure"] if name in _SHOWN)
        if names:
            lines.append(f"No interval of {', '.join(names)}: {reason}.")
    return "\n".join(lines)


def _named(figure: str) -> str:
    return {"auroc": "AUROC", "f1": "F1", **_MORE_OF_LABELS, **_OF_SCORES, **_OF_VISITS}.get(
        figure, figure
    )
