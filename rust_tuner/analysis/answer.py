"""The answer of a study in one sentence, how far to rely on it, and what to do next.

It is the content of the report's first screen and of the live page. The figures themselves belong
to `study_figures`, the full list of warnings to `verdict`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.against_view import holdout_standings, nested_standings, standings
from rust_tuner.analysis.assessment import as_predictions
from rust_tuner.analysis.next_step import FEW_PATIENTS, NextStep, is_unfinished, next_step
from rust_tuner.analysis.study_figures import (
    find_figure,
    foreign_predictions,
    holdout_figures,
    out_of_fold_figures,
    union_of,
)
from rust_tuner.analysis.verdict import FEW_POSITIVES, MODEL_NAMES, SEARCH_NAMES
from rust_tuner.metrics.figure import CORTEX_GROUP, VISITS
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import CORTEX_SCOPE
from rust_tuner.words import short_number, words

Reliance = Literal["nothing yet", "no", "not yet", "with caution", "yes"]

# An interval of the AUROC that extends further to one side leaves the question open.
_WIDE = 0.05
_REASONS_SHOWN = 4
_CHANCE = 0.5
_TITLES: dict[Reliance, str] = {
    "nothing yet": "There is nothing to rely on yet",
    "no": "Do not rely on it",
    "not yet": "Not yet: this is a selection score",
    "with caution": "With caution",
    "yes": "Yes, as an estimate for patients like these",
}


@dataclass(frozen=True)
class BestValues:
    """The best hyperparameters.

    Attributes:
        values: name and value, as text.
        source: the trial they come from, and how many are tied with it.
    """

    values: tuple[tuple[str, str], ...]
    source: str


@dataclass(frozen=True)
class Answer:
    """The first screen of a report.

    Attributes:
        stage: what is done, in a few words.
        sentence: the figures that count; what stands between two `**` is their value.
        reliance: how far it can be relied on.
        reasons: why not, the most serious first.
        best: the best hyperparameters, or None.
        next: what to run next.
    """

    stage: str
    sentence: str
    reliance: Reliance
    reasons: tuple[str, ...]
    best: BestValues | None
    next: NextStep

    @property
    def title(self) -> str:
        """How far the answer can be relied on, as a heading."""
        return _TITLES[self.reliance]


@dataclass(frozen=True)
class _Main:
    """The main figures of some predictions: rows of a table of figures, or None."""

    mae: dict[str, Any] | None
    kappa: dict[str, Any] | None
    auroc: dict[str, Any] | None
    # The mean absolute error of giving every visit the median total.
    constant: float = math.nan


def answer(records: StudyRecords) -> Answer:
    """The answer of a study, finished or not."""
    stage, sentence, main, number = _said(records)
    reliance, reasons = _reliance(records, main, number)
    return Answer(
        stage=stage,
        sentence=sentence,
        reliance=reliance,
        reasons=tuple(reasons[:_REASONS_SHOWN]),
        best=best_values(records),
        next=next_step(records, is_reliable=reliance != "no"),
    )


def best_values(records: StudyRecords) -> BestValues | None:
    """The best hyperparameters of the last search that has any."""
    for name, project in ((REGIME_2, records.regime_2), (REGIME_1, records.regime_1)):
        if project is None or project.best is None:
            continue
        best = project.best
        values = tuple((words(key), short_number(value)) for key, value in best.values.items())
        ended = sum(trial.score is not None for trial in project.trials)
        source = f"Trial {best.trial}, the best of {ended} in {SEARCH_NAMES[name]}"
        return BestValues(values, f"{source}. {tied_clause(project)}".strip())
    return None


def tied_clause(project: Project) -> str:
    """How many trials are tied with the best one, and what that means; empty without a second."""
    compared = project.ties
    tied = sum(tie.tied for tie in compared.values()) - 1
    if len(compared) < 2:
        return ""
    if tied < 1:
        return "No other trial is tied with it: its folds show that it is better."
    others = "other trial is" if tied == 1 else "other trials are"
    return (
        f"{tied} {others} tied with it: the folds differ too little to say which is the best, so "
        "any of them may be."
    )


def _said(records: StudyRecords) -> tuple[str, str, _Main | None, int]:
    """Stage, sentence, figures, and the number of patients behind them."""
    if records.holdout is not None:
        main = _holdout_main(records)
        number = records.holdout.patients
        start = f"On {number} patients that no training and no choice used"
        return "Final model evaluated", f"{start}, {_figures_text(main)}.", main, number
    last = _last_search(records)
    if last is None:
        return _before_searches(records)
    name, project = last
    best = project.best
    ended = sum(trial.has_ended for trial in project.trials)
    total = project.run.num_trials
    done = f"{name}: {ended} of {total} trials" if is_unfinished(project) else f"{name} finished"
    if best is None:
        sentence = f"{name} has begun: {ended} of {total} trials have ended, none with a score."
        return done, sentence, None, 0
    main = _search_main(records, project, best)
    patients = _development_patients(records)
    of = f" of {patients} development patients" if patients else ""
    what = (
        "the tuned model was tested on patients that it was tuned on: "
        if project is records.cross_validation
        else f"the best of {ended} trials was chosen by its score: "
    )
    start = f"In {project.run.subject.num_folds}-fold cross-validation{of}, {what}"
    return done, f"{start}{_figures_text(main)}.", main, patients


def _before_searches(records: StudyRecords) -> tuple[str, str, _Main | None, int]:
    done = {name: item for name, item in records.baselines.items() if item.best is not None}
    if done:

        def score(name: str) -> float:
            best = done[name].best
            assert best is not None
            return best.metrics.get(CORTEX_SCOPE.objective, -math.inf)

        name = max(done, key=score)
        best = done[name].best
        assert best is not None
        main = _search_main(records, done[name], best)
        start = f"The best of {len(done)} first models is {MODEL_NAMES[name]}: "
        return "First models", f"{start}{_figures_text(main)}.", main, 0
    study = records.study
    if study is None:
        sentence = "No part of this study can be read, so there is no result."
        return "Nothing to read", sentence, None, 0
    sealed = (
        "" if records.split is None else f"; {len(records.split.holdout)} patients are set aside"
    )
    sentence = (
        f"**{study.radiographs} radiographs of {study.patients} patients** are prepared{sealed}. "
        "Nothing has been trained yet, so there is no result."
    )
    return "Prepared", sentence, None, study.patients


def _last_search(records: StudyRecords) -> tuple[str, Project] | None:
    """The last search that has begun; the one before where it has no score yet."""
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


def _holdout_main(records: StudyRecords) -> _Main:
    figures = holdout_figures(records)
    constant = math.nan
    if records.predictions is not None and not foreign_predictions(records):
        constant = _constant_error(as_predictions(records.predictions).totals.reference)
    return _main_of(figures, constant)


def _search_main(records: StudyRecords, project: Project, best: TrialRecord) -> _Main:
    try:
        figures = out_of_fold_figures(project, union_of(records))
        constant = _constant_error(out_of_fold_predictions(project).totals.reference)
        return _main_of(figures, constant)
    except DAMAGED:
        found = best.interval(CORTEX_SCOPE.metric)
        row = {"value": found.value, "low": found.low, "high": found.high}
        return _Main(None, None, None if math.isnan(found.value) else row)


def _main_of(figures: pd.DataFrame, constant: float) -> _Main:
    rows = [
        find_figure(figures, name, of)
        for name, of in (("mae", VISITS), ("kappa", CORTEX_GROUP), ("auroc", CORTEX_GROUP))
    ]
    mae, kappa, auroc = (None if row is None or pd.isna(row["value"]) else row for row in rows)
    return _Main(mae, kappa, auroc, constant)


def _constant_error(totals: npt.NDArray[Any]) -> float:
    """The mean absolute error of the median total for every visit."""
    known = np.asarray(totals, dtype=np.float64)
    return float(np.abs(known - np.median(known)).mean()) if len(known) else math.nan


def _figures_text(main: _Main) -> str:
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
        beside = [*_ends(main.auroc, 3), f"chance: {_CHANCE:.3f}"]
        auroc = f"**{main.auroc['value']:.3f}**{_bracket(beside)}"
        parts.append(f"the AUROC of visible cortices was {auroc}")
    if not parts:
        return "the figures are undefined"
    return ", and ".join([", ".join(parts[:-1]), parts[-1]]) if parts[1:] else parts[0]


def _ends(row: dict[str, Any], digits: int) -> list[str]:
    low, high = row.get("low"), row.get("high")
    if pd.isna(low) or pd.isna(high):
        return ["too few patients for an interval"]
    return [f"95 % interval {low:z.{digits}f} to {high:z.{digits}f}"]


def _bracket(parts: Sequence[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def _reliance(records: StudyRecords, main: _Main | None, number: int) -> tuple[Reliance, list[str]]:
    if main is None:
        reasons = (
            ["No trial has a score yet."] if records.projects else ["No model is trained yet."]
        )
        return "nothing yet", [*_untrained(records), *reasons, *_few_prepared(records)]
    grave = [*_untrained(records), *_failed_checks(records), *_not_above(records)]
    if main.auroc is None:
        grave.append("The AUROC of visible cortices is undefined.")
    if records.holdout is None:
        reasons = [
            "The score was used to choose, so chance helped; it is too high by an unknown amount.",
            *_no_estimate(records),
            *_few_prepared(records),
            *_small(records),
        ]
        return ("no" if grave else "not yet"), [*grave, *reasons]
    light = [*_looks(records), *_no_better_total(main), *_wide(main, number), *_few(records)]
    light += [*_small(records), *_damaged(records)]
    if grave:
        return "no", [*grave, *light]
    return ("with caution", light) if light else ("yes", ["Research use only."])


def _untrained(records: StudyRecords) -> list[str]:
    runs = (records.regime_2, records.regime_1, records.cross_validation)
    asked = [
        project.run.subject.weights.asked
        for project in runs
        if project is not None and project.run.subject.weights is not None
    ]
    return [
        f"The backbone {fault}, so no figure says anything about radiographs of patients."
        for kind, fault in UNTRAINED.items()
        if kind in asked
    ]


def _failed_checks(records: StudyRecords) -> list[str]:
    failed = [] if records.checks is None else list(records.checks.of("failed"))
    return [f"A check failed: {failed[0].title}."] if failed else []


def _not_above(records: StudyRecords) -> list[str]:
    """Why the visible cortices are not shown to be read better than by chance."""
    if records.holdout is not None:
        found = holdout_standings(records)
    else:
        last = _last_search(records)
        found = () if last is None else standings(last[1])
    for item in found:
        if item.metric == CORTEX_SCOPE.metric and item.doubt:
            what = "The AUROC of visible cortices"
            if item.gain is None:
                return [f"{what}: {item.doubt}."]
            return [f"{what} {item.doubt.partition(':')[0]}."]
    return []


def _no_estimate(records: StudyRecords) -> list[str]:
    nested = records.nested
    if nested is None or nested.summary is None:
        return ["No patient outside the search has been looked at."]
    found = nested.summary.estimate.figure(CORTEX_SCOPE.metric)
    above = [item for item in nested_standings(nested) if item.metric == CORTEX_SCOPE.metric]
    what = "" if all(item.is_above for item in above) else ", not shown to be above chance"
    return [
        f"Nested cross-validation estimates the AUROC of visible cortices of the whole procedure "
        f"at {found.mean:.3f}{what}."
    ]


def _looks(records: StudyRecords) -> list[str]:
    number = len(records.looks)
    if number < 2:
        return []
    return [f"The hold-out set was looked at {number} times; an earlier look may have helped."]


def _no_better_total(main: _Main) -> list[str]:
    if main.mae is None or math.isnan(main.constant) or main.mae["value"] < main.constant:
        return []
    return ["The RUST total is no better than the same total for every visit."]


def _wide(main: _Main, number: int) -> list[str]:
    if main.auroc is None:
        return []
    low, high, value = (main.auroc.get(name) for name in ("low", "high", "value"))
    if pd.isna(low) or pd.isna(high):
        return [f"{number} patients are too few for an interval of the AUROC."]
    assert low is not None and high is not None and value is not None
    if number >= FEW_PATIENTS and max(high - value, value - low) <= _WIDE:
        return []
    few = "are few" if number < FEW_PATIENTS else "leave much open"
    return [f"{number} patients {few}: the AUROC may be anywhere from {low:.2f} to {high:.2f}."]


def _few(records: StudyRecords) -> list[str]:
    labels = () if records.holdout is None else records.holdout.labels
    few = sum(row.positives < FEW_POSITIVES for row in labels)
    if not few:
        return []
    return [f"{few} of {len(labels)} labels have fewer than {FEW_POSITIVES} positives."]


def _few_prepared(records: StudyRecords) -> list[str]:
    """That the patients set aside are few, where they are not used yet."""
    number = 0 if records.split is None else len(records.split.holdout)
    if records.split is None or number >= FEW_PATIENTS:
        return []
    return [f"Only {number} patients are set aside, so their figures will have wide intervals."]


def _small(records: StudyRecords) -> list[str]:
    is_small = records.study is not None and records.study.is_small
    return ["The small scale is for trying things out, not for results."] if is_small else []


def _damaged(records: StudyRecords) -> list[str]:
    number = len(records.problems)
    return [f"{number} records are damaged; see the warnings."] if number else []


def _development_patients(records: StudyRecords) -> int:
    return 0 if records.split is None else len(records.split.development)
