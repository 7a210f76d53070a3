"""The figures that a study's answer is given in, and the sentence that says them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.assessment import as_predictions
from rust_tuner.analysis.study_figures import (
    find_figure,
    foreign_predictions,
    holdout_figures,
    out_of_fold_figures,
    union_of,
)
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.metrics.figure import CORTEX_GROUP, VISITS
from rust_tuner.metrics.gain import CHANCE_AUROC
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import CORTEX_SCOPE


@dataclass(frozen=True)
class MainFigures:
    """The main figures of some predictions: rows of a table of figures, or None."""

    mae: dict[str, Any] | None
    kappa: dict[str, Any] | None
    auroc: dict[str, Any] | None
    # The mean absolute error of giving every visit the median total.
    constant: float = math.nan


def holdout_figures_of(records: StudyRecords) -> MainFigures:
    """Those of the last look at the hold-out set."""
    figures = holdout_figures(records)
    constant = math.nan
    if records.predictions is not None and not foreign_predictions(records):
        constant = _constant_error(as_predictions(records.predictions).totals.reference)
    return _main_of(figures, constant)


def search_figures_of(records: StudyRecords, project: Project, best: TrialRecord) -> MainFigures:
    """Those of a search's best trial, on the patients that each fold left out."""
    try:
        figures = out_of_fold_figures(project, union_of(records))
        constant = _constant_error(out_of_fold_predictions(project).totals.reference)
        return _main_of(figures, constant)
    except DAMAGED:
        figure = best.interval(CORTEX_SCOPE.metric)
        row = {"value": figure.value, "low": figure.low, "high": figure.high}
        return MainFigures(None, None, None if math.isnan(figure.value) else row)


def _main_of(figures: pd.DataFrame, constant: float) -> MainFigures:
    rows = [
        find_figure(figures, name, of)
        for name, of in (("mae", VISITS), ("kappa", CORTEX_GROUP), ("auroc", CORTEX_GROUP))
    ]
    mae, kappa, auroc = (None if row is None or pd.isna(row["value"]) else row for row in rows)
    return MainFigures(mae, kappa, auroc, constant)


def _constant_error(totals: npt.NDArray[Any]) -> float:
    """The mean absolute error of the median total for every visit."""
    values = np.asarray(totals, dtype=np.float64)
    return float(np.abs(values - np.median(values)).mean()) if len(values) else math.nan


def figures_text(main: MainFigures) -> str:
    """The figures as the end of a sentence, with intervals and what chance gives."""
    parts = []
    if main.mae is not None:
        beside = _ends(main.mae, 2)
        if not math.isnan(main.constant):
            beside.append(f"the same total for every visit: {main.constant:.2f}")
        parts.append(
            f"the RUST total was off by **{main.mae['value']:.2f} points** on average"
            + _bracket(beside)
        )
    if main.kappa is not None:
        kappa = f"**{main.kappa['value']:z.2f}**{_bracket(_ends(main.kappa, 2))}"
        parts.append(f"the kappa of the scores was {kappa}")
    if main.auroc is not None:
        beside = [*_ends(main.auroc, 3), f"chance: {CHANCE_AUROC:.3f}"]
        auroc = f"**{main.auroc['value']:.3f}**{_bracket(beside)}"
        parts.append(f"the AUROC of visible cortices was {auroc}")
    if not parts:
        return "the figures are undefined"
    return ", and ".join([", ".join(parts[:-1]), parts[-1]]) if parts[1:] else parts[0]


def _ends(row: dict[str, Any], digits: int) -> list[str]:
    low, high = row.get("low"), row.get("high")
    if pd.isna(low) or pd.isna(high):
        reason = row.get("reason")
        return [f"no interval: {reason}" if reason else "no interval"]
    return [f"95 % interval {low:z.{digits}f} to {high:z.{digits}f}"]


def _bracket(parts: Sequence[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def last_search(records: StudyRecords) -> tuple[str, Project] | None:
    """The last search that has begun; the one before if it has no score yet."""
    searches = [
        (title, project)
        for title, project in (
            (SEARCH_NAMES[REGIME_1], records.regime_1),
            (SEARCH_NAMES[REGIME_2], records.regime_2),
            ("Cross-validation of the tuned model", records.cross_validation),
        )
        if project is not None
    ]
    scored = [item for item in searches if item[1].best is not None]
    return scored[-1] if scored else searches[-1] if searches else None
