"""What the command line shows of the hold-out set: figures with intervals, and how often looked."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from rust_tuner.analysis.against_view import Standing
from rust_tuner.analysis.study_figures import (
    find_figure,
    recorded_cutoff,
    recorded_figures,
    union_text,
)
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import UnionCutoff
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, VISITS
from rust_tuner.records.looks import Look, holdout_title
from rust_tuner.scope import AUROCS, SCOPES
from rust_tuner.terminal.table import plain_table
from rust_tuner.words import figure_name

_NO_INTERVAL = "no interval"
_ESTIMATE = "An estimate: nothing that was chosen had seen these patients."
_ANSWERS = {
    "above": "yes",
    "not distinguishable": "cannot be distinguished",
    "below": "no, it lies below",
    "undecided": "cannot be decided",
}
_OF_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "within_one")
_PUBLISHED = ("auroc", "precision", "recall")
_MORE_OF_LABELS = ("f1", "average_precision", "brier", "expected_calibration_error")
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
_SHORT = {"kappa": "weighted kappa", "within_one": "within one"}
_SHOWN = {*_OF_SCORES, *_PUBLISHED, *_MORE_OF_LABELS, *_OF_VISITS}


def holdout_table(
    found: dict[str, Any],
    looks: Iterable[Look] = (),
    standings: Sequence[Standing] = (),
    *,
    figures: pd.DataFrame | None = None,
) -> RenderableType:
    """What the last look at the hold-out set found: the most likely scores first.

    Args:
        found: the content of `final/holdout.json`.
        looks: all looks so far; where there is more than one, every title says so.
        standings: whether it beats the view alone, from `against_view.holdout_standings`.
        figures: from `study_figures.holdout_figures`; those of the record alone where None.
    """
    title = holdout_title(looks)
    known = recorded_figures(found) if figures is None else figures
    parts: list[Table] = []
    if (known["figure"] == _OF_SCORES[0]).any():
        parts.append(_scores_table(known, found, title))
    parts.append(_labels_table(known, found, title, standings, is_first=not parts))
    if (known["of"] == VISITS).any():
        parts.append(_visits_table(known, recorded_cutoff(found), title))
    return parts[0] if len(parts) == 1 else Group(*parts)


def _labels_table(
    figures: pd.DataFrame,
    found: dict[str, Any],
    title: str,
    standings: Sequence[Standing],
    *,
    is_first: bool,
) -> Table:
    """What the probabilities of the labels are worth: the study's three figures, and more."""
    undecided = dict.fromkeys(item.reason for item in standings if item.gain is None)
    counted = f": {found['radiographs']} radiographs of {found['patients']} patients"
    lines = [
        *([_ESTIMATE] if is_first else []),
        "As published: of the 18 labels, the three figures that the published study gave. At 0.5 "
        "a label counts as predicted where its own probability is at least 0.5, which often none "
        "of a cortex's four is.",
        "Macro averages over the labels where a figure is defined; k of n where not over all.",
        "Cortices: 16 labels, each only where its cortex is visible.",
        *_brackets(figures, (ALL_LABELS, CORTEX_GROUP), (*_PUBLISHED, *_MORE_OF_LABELS)),
        *(f"Not decided: {reason}." for reason in undecided),
    ]
    table = plain_table(
        f"{title}: probabilities of the labels{counted if is_first else ''}", "\n".join(lines)
    )
    for name in ("", *(scope.short for scope in SCOPES)):
        table.add_column(name)
    for name in (*_PUBLISHED, *_MORE_OF_LABELS):
        told = [_of_figure(figures, name, of) for of in (scope.key for scope in SCOPES)]
        if any(told):
            heading = figure_name(name, published=True).replace(" (", "\n(")
            table.add_row(heading, *(text or "undefined" for text in told))
    table.add_section()
    baseline = found["view_only_baseline"]
    known = [baseline[name] for name in AUROCS]
    table.add_row(
        "AUROC of the view alone", *("undefined" if v is None else f"{v:.3f}" for v in known)
    )
    if standings:
        table.add_row("gain over it", *(_gain(item) for item in standings))
        table.add_row("beats it", *(_ANSWERS[item.answer] for item in standings))
    return table


def _gain(item: Standing) -> str:
    if item.gain is None:
        return "undefined"
    found = item.gain.gain
    told = f"{found.value:+z.3f}"
    return told if pd.isna(found.low) else f"{told} ({found.low:z.3f} to {found.high:z.3f})"


def _scores_table(figures: pd.DataFrame, found: dict[str, Any], title: str) -> Table:
    """How the most likely scores agree with the true ones."""
    lines = [
        _ESTIMATE,
        "Of each visible cortex the most likely score counts, however low its probability. "
        "Balanced accuracy and macro F1 are means over the scores that occur, k of n where not "
        "all do; kappa is quadratic-weighted.",
        *_brackets(figures, (*CORTICES, CORTEX_GROUP), _OF_SCORES),
    ]
    table = plain_table(
        f"{title}: most likely scores of {found['radiographs']} radiographs of "
        f"{found['patients']} patients",
        "\n".join(lines),
    )
    for name in ("", "mean", *CORTICES):
        table.add_column(name)
    for name in _OF_SCORES:
        told = (
            _of_figure(figures, name, of, digits=2) or "undefined"
            for of in (CORTEX_GROUP, *CORTICES)
        )
        heading = _SHORT.get(name, figure_name(name)).replace(" ", "\n")
        table.add_row(heading, *(cell.replace(" (", "\n(") for cell in told))
    return table


def _visits_table(figures: pd.DataFrame, union: UnionCutoff, title: str) -> Table:
    """How the totals of visits agree with the true ones."""
    visits = figures[figures["of"] == VISITS]
    lines = [
        f"Those with all four cortices, of {visits['total'].max():g}; both views of a visit "
        "paired.",
        union_text(union),
        *_brackets(figures, (VISITS,), tuple(_OF_VISITS)),
    ]
    table = plain_table(
        f"{title}: RUST totals of {visits['defined'].max():g} visits", "\n".join(lines)
    )
    table.add_column("")
    table.add_column("")
    for name, heading in _OF_VISITS.items():
        told = _of_figure(figures, name, VISITS, digits=2, counts=False)
        table.add_row(heading, told or "undefined")
    return table


def _of_figure(
    figures: pd.DataFrame, name: str, of: str, *, digits: int = 3, counts: bool = True
) -> str:
    """A figure with its interval, and over how many labels where not over all; empty if unknown."""
    row = find_figure(figures, name, of)
    if row is None:
        return ""
    if pd.isna(row["value"]):
        return "undefined"
    told = f"{row['value']:z.{digits}f}"
    if not pd.isna(row["low"]):
        told += f" ({row['low']:z.{digits}f} to {row['high']:z.{digits}f})"
    elif row["reason"]:
        told += f" ({_NO_INTERVAL})"
    if counts and not pd.isna(row["defined"]) and row["defined"] < row["total"]:
        told += f"\n{row['defined']} of {row['total']}"
    return told


def _brackets(figures: pd.DataFrame, groups: Sequence[str], names: Sequence[str]) -> list[str]:
    """What stands in brackets, and why some figures of these groups have no interval."""
    own = figures[figures["of"].isin(groups) & figures["figure"].isin(names)]
    own = own[own["average"] != "micro"]
    lines = []
    if own["low"].notna().any():
        lines.append("In brackets the 95 % interval over patients.")
    for reason, rows in own[own["reason"].astype(bool)].groupby("reason", sort=False):
        told = dict.fromkeys(_named(name) for name in rows["figure"] if name in _SHOWN)
        lines.append(f"No interval of {', '.join(told)}: {reason}.")
    return lines


def _named(figure: str) -> str:
    return _SHORT.get(figure) or _OF_VISITS.get(figure) or figure_name(figure)
