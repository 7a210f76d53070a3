"""The hold-out set on the terminal: figures with intervals, and the number of looks."""

import dataclasses
import re
from collections.abc import Iterable, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from rust_tuner.analysis.against_view import Standing
from rust_tuner.analysis.columns import Column
from rust_tuner.analysis.study_figures import (
    find_figure,
    recorded_cutoff,
    recorded_figures,
    union_text,
)
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import UnionCutoff
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, VISITS
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.looks import Look, holdout_title
from rust_tuner.scope import AUROCS, SCOPES
from rust_tuner.terminal.table import add_results, plain_table
from rust_tuner.words import counted, figure_name


def _figures_of(of: str, header: str) -> Column:
    return Column(of, header, "interval", narrow=header)


# Marks a figure without an interval.
_NO_INTERVAL = "*"
_PATIENTS = re.compile(r"(?P<number>\d+) patients? (?P<of_what>.*)")
_ESTIMATE = "An estimate: no training or choice used these patients."
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
_HEADING = Column("figure", "figure", narrow="")
_BY_SCOPE = [_HEADING, *(_figures_of(scope.key, scope.short) for scope in SCOPES)]
_BY_CORTEX = [
    dataclasses.replace(_HEADING, kind="interval"),
    _figures_of(CORTEX_GROUP, "mean"),
    *(_figures_of(cortex, cortex) for cortex in CORTICES),
]
_OF_TOTALS = [_HEADING, _figures_of(VISITS, "")]


def holdout_table(
    holdout: Holdout,
    looks: Iterable[Look] = (),
    standings: Sequence[Standing] = (),
    *,
    figures: pd.DataFrame | None = None,
) -> RenderableType:
    """The figures of the last look at the hold-out set, those of the most likely scores first.

    Args:
        holdout: the content of `final/holdout.json`.
        looks: all looks so far; if there is more than one, every title says so.
        standings: whether it beats the view alone, from `against_view.holdout_standings`.
        figures: from `study_figures.holdout_figures`; only those of the record if None.
    """
    title = holdout_title(looks)
    table = recorded_figures(holdout) if figures is None else figures
    parts: list[Table] = []
    if (table["figure"] == _OF_SCORES[0]).any():
        parts.append(_scores_table(table, holdout, title))
    parts.append(_labels_table(table, holdout, title, standings, is_first=not parts))
    if (table["of"] == VISITS).any():
        parts.append(_visits_table(table, recorded_cutoff(holdout), title))
    return parts[0] if len(parts) == 1 else Group(*parts)


def _size(holdout: Holdout) -> str:
    radiographs = counted(holdout.radiographs, "radiograph")
    return f"{radiographs} of {counted(holdout.patients, 'patient')}"


def _labels_table(
    figures: pd.DataFrame,
    holdout: Holdout,
    title: str,
    standings: Sequence[Standing],
    *,
    is_first: bool,
) -> Table:
    """Figures of the probabilities of the labels: the three of the published study, and more."""
    undecided = dict.fromkeys(item.reason for item in standings if item.gain is None)
    size = f": {_size(holdout)}" if is_first else ""
    lines = [
        *([_ESTIMATE] if is_first else []),
        "As published: the three figures of the published study, over the 18 labels. At 0.5: a "
        "label counts as predicted if its own probability is at least 0.5; often none of a "
        "cortex's four labels reaches that.",
        "Macro averages over the labels for which a figure is defined; k of n if not for all.",
        "Cortices: 16 labels, each only where its cortex is visible.",
        *_brackets(figures, (ALL_LABELS, CORTEX_GROUP), (*_PUBLISHED, *_MORE_OF_LABELS)),
        *(f"Not decided: {reason}." for reason in undecided),
    ]
    table = plain_table(f"{title}: probabilities of the labels{size}", "\n".join(lines))
    rows = []
    for name in (*_PUBLISHED, *_MORE_OF_LABELS):
        cells = {scope.key: _of_figure(figures, name, scope.key) for scope in SCOPES}
        if any(cells.values()):
            heading = figure_name(name, published=True).replace(" (", "\n(")
            rows.append(
                {"figure": heading} | {of: text or "undefined" for of, text in cells.items()}
            )
    add_results(table, rows, _BY_SCOPE)
    table.add_section()
    baseline = holdout.view_only_baseline.by_name
    values = [baseline[name] for name in AUROCS]
    table.add_row(
        "AUROC of the view alone", *("undefined" if v is None else f"{v:.3f}" for v in values)
    )
    if standings:
        table.add_row("gain over it", *(_gain(item) for item in standings))
        table.add_row("beats it", *(_ANSWERS[item.answer] for item in standings))
    return table


def _gain(item: Standing) -> str:
    if item.gain is None:
        return "undefined"
    gain = item.gain.gain
    text = f"{gain.value:+z.3f}"
    return text if pd.isna(gain.low) else f"{text} ({gain.low:z.3f} to {gain.high:z.3f})"


def _scores_table(figures: pd.DataFrame, holdout: Holdout, title: str) -> Table:
    """How the most likely scores agree with the true ones."""
    lines = [
        _ESTIMATE,
        "The most likely score of each visible cortex counts, however low its probability. "
        "Balanced accuracy and macro F1 are means over the scores that occur, k of n if not all "
        "occur; kappa is quadratic-weighted.",
        *_brackets(figures, (*CORTICES, CORTEX_GROUP), _OF_SCORES),
    ]
    table = plain_table(f"{title}: most likely scores of {_size(holdout)}", "\n".join(lines))
    rows = []
    for name in _OF_SCORES:
        cells = {
            of: _of_figure(figures, name, of, digits=2) or "undefined"
            for of in (CORTEX_GROUP, *CORTICES)
        }
        heading = _SHORT.get(name, figure_name(name)).replace(" ", "\n")
        rows.append(
            {"figure": heading} | {of: cell.replace(" (", "\n(") for of, cell in cells.items()}
        )
    add_results(table, rows, _BY_CORTEX)
    return table


def _visits_table(figures: pd.DataFrame, union: UnionCutoff, title: str) -> Table:
    """How the totals of visits agree with the true ones."""
    visits = figures[figures["of"] == VISITS]
    lines = [
        f"Visits with all four cortices, out of {visits['total'].max():g}; the two views of a "
        "visit are paired.",
        union_text(union),
        *_brackets(figures, (VISITS,), tuple(_OF_VISITS)),
    ]
    table = plain_table(
        f"{title}: RUST totals of {visits['defined'].max():g} visits", "\n".join(lines)
    )
    rows = [
        {
            "figure": heading,
            VISITS: _of_figure(figures, name, VISITS, digits=2, counts=False) or "undefined",
        }
        for name, heading in _OF_VISITS.items()
    ]
    add_results(table, rows, _OF_TOTALS)
    return table


def _of_figure(
    figures: pd.DataFrame, name: str, of: str, *, digits: int = 3, counts: bool = True
) -> str:
    """A figure with its interval, and its number of labels if not all; empty if unknown."""
    row = find_figure(figures, name, of)
    if row is None:
        return ""
    if pd.isna(row["value"]):
        return "undefined"
    text = f"{row['value']:z.{digits}f}"
    if not pd.isna(row["low"]):
        text += f" ({row['low']:z.{digits}f} to {row['high']:z.{digits}f})"
    elif row["reason"]:
        text += f" {_NO_INTERVAL}"
    if counts and not pd.isna(row["defined"]) and row["defined"] < row["total"]:
        text += f"\n{row['defined']} of {row['total']}"
    return text


def _brackets(figures: pd.DataFrame, groups: Sequence[str], names: Sequence[str]) -> list[str]:
    """What the brackets contain, and why some figures of these groups have no interval."""
    shown = figures[figures["of"].isin(groups) & figures["figure"].isin(names)]
    shown = shown[shown["average"] != "micro"]
    lines = []
    if shown["low"].notna().any():
        lines.append("In brackets: 95 % interval over patients.")
    # Reasons that differ in the number of patients only are one note.
    notes: dict[str, tuple[list[str], list[int]]] = {}
    for row in shown[shown["reason"].astype(bool)].to_dict("records"):
        few = _PATIENTS.fullmatch(row["reason"])
        reason = few["of_what"] if few else row["reason"]
        titles, counts = notes.setdefault(reason, ([], []))
        titles.append(_named(row["figure"]))
        counts += [int(few["number"])] if few else []
    for reason, (titles, counts) in notes.items():
        text = f"{_range(counts)} {reason}" if counts else reason
        lines.append(f"{_NO_INTERVAL} No interval for {', '.join(dict.fromkeys(titles))}: {text}.")
    return lines


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    number = str(low) if low == high else f"{low} to {high}"
    return f"{number} patient" if number == "1" else f"{number} patients"


def _named(figure: str) -> str:
    return _SHORT.get(figure) or _OF_VISITS.get(figure) or figure_name(figure)
