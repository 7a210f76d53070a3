"""How far a study's answer can be relied on, and the reasons, the gravest first."""

import math
from typing import Literal

import pandas as pd

from rust_tuner.analysis.against_view import holdout_standings, nested_standings, standings
from rust_tuner.analysis.main_figures import MainFigures, last_search
from rust_tuner.analysis.next_step import FEW_PATIENTS
from rust_tuner.analysis.selection import chosen_by_score
from rust_tuner.analysis.verdict import FEW_POSITIVES
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.folder import StudyRecords
from rust_tuner.scope import CORTEX_SCOPE
from rust_tuner.words import counted

Reliance = Literal["nothing yet", "no", "not yet", "with caution", "yes"]

# An interval of the AUROC that extends further to one side leaves the question open.
_WIDE = 0.05


def reliance_of(
    records: StudyRecords, main: MainFigures | None, number: int
) -> tuple[Reliance, list[str]]:
    """How far to rely on an answer, and why not further.

    Args:
        records: the study.
        main: the answer's figures, or None.
        number: the patients behind them.
    """
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
            *_chosen(records),
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
        results = holdout_standings(records)
    else:
        last = last_search(records)
        results = () if last is None else standings(last[1])
    for item in results:
        if item.metric == CORTEX_SCOPE.metric and item.doubt:
            what = "The AUROC of visible cortices"
            if item.gain is None:
                return [f"{what}: {item.doubt}."]
            return [f"{what} {item.doubt.partition(':')[0]}."]
    return []


def _no_estimate(records: StudyRecords) -> list[str]:
    nested = records.nested
    if nested is None or nested.summary is None:
        return ["No patients outside the search have been evaluated."]
    estimate = nested.summary.estimate.figure(CORTEX_SCOPE.metric)
    above = [item for item in nested_standings(nested) if item.metric == CORTEX_SCOPE.metric]
    what = "" if all(item.is_above for item in above) else ", not shown to be above chance"
    return [
        f"Nested cross-validation estimates the AUROC of visible cortices of the whole procedure "
        f"at {estimate.mean:.3f}{what}."
    ]


def _looks(records: StudyRecords) -> list[str]:
    number = len(records.looks)
    if number < 2:
        return []
    return [f"The hold-out set was looked at {number} times; an earlier look may have helped."]


def _no_better_total(main: MainFigures) -> list[str]:
    if main.mae is None or math.isnan(main.constant) or main.mae["value"] < main.constant:
        return []
    return ["The RUST total is no better than the same total for every visit."]


def _wide(main: MainFigures, number: int) -> list[str]:
    if main.auroc is None:
        return []
    low, high, value = (main.auroc.get(name) for name in ("low", "high", "value"))
    if pd.isna(low) or pd.isna(high):
        reason = main.auroc.get("reason")
        return [f"The AUROC has no interval{f': {reason}' if reason else ''}."]
    assert low is not None and high is not None and value is not None
    if number >= FEW_PATIENTS and max(high - value, value - low) <= _WIDE:
        return []
    patients = counted(number, "patient")
    start = f"Only {patients}" if number < FEW_PATIENTS else f"{patients} leave much open"
    return [f"{start}: the AUROC may be anywhere from {low:.2f} to {high:.2f}."]


def _few(records: StudyRecords) -> list[str]:
    labels = () if records.holdout is None else records.holdout.labels
    few = sum(row.positives < FEW_POSITIVES for row in labels)
    if not few:
        return []
    return [f"{few} of {len(labels)} labels have fewer than {FEW_POSITIVES} positives."]


def _few_prepared(records: StudyRecords) -> list[str]:
    """That the patients set aside are few, if they are not used yet."""
    number = 0 if records.split is None else len(records.split.holdout)
    if records.split is None or number >= FEW_PATIENTS:
        return []
    patients = counted(number, "patient")
    return [f"Only {patients} set aside, so the figures will have wide intervals, or none."]


def _small(records: StudyRecords) -> list[str]:
    is_small = records.study is not None and records.study.is_small
    return ["The small scale is for trying things out, not for results."] if is_small else []


def _chosen(records: StudyRecords) -> list[str]:
    """What was chosen by the score of a search, and makes it too high."""
    last = last_search(records)
    chosen = None if last is None else chosen_by_score(last[1])
    if chosen is None:
        return []
    what = (
        "Hyperparameters were chosen on the same folds"
        if chosen == "hyperparameters"
        else f"The {chosen} was chosen by this score"
    )
    return [f"{what}, so the score is too high by an unknown amount."]


def _damaged(records: StudyRecords) -> list[str]:
    number = len(records.problems)
    be = "is" if number == 1 else "are"
    return [f"{counted(number, 'record')} {be} damaged; see the warnings."] if number else []


def development_patients(records: StudyRecords) -> int:
    """The number of patients that searches may use; 0 if the split cannot be read."""
    return 0 if records.split is None else len(records.split.development)
