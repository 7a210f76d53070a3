"""Whether a figure beats the view alone: the rule, and its wording.

It decides this for every part of a study; the terminal, the page, the checks and the checklists use
the same decision. The interval itself belongs to `metrics.gain`.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from rust_tuner.analysis.assessment import as_predictions
from rust_tuner.analysis.nested import OUTER_FOLD
from rust_tuner.labels import CORTICES, NUM_VIEWS, encode
from rust_tuner.metrics import Gain, Predictions, gain_over, view_only_of_folds, view_only_scores
from rust_tuner.metrics.gain import CHANCE_AUROC
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.nested import NESTED_PREDICTIONS, Nested
from rust_tuner.records.predictions import read_predictions
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.rows import out_of_fold_predictions, problems_of, read_rows
from rust_tuner.scope import AUROCS
from rust_tuner.words import counted

METRICS_JUDGED = AUROCS
NO_PREDICTIONS = "no predictions by patient"
PARTS = {
    REGIME_1: "Regime I",
    REGIME_2: "Regime II",
    "cross_validation": "The tuned model's cross-validation",
    "nested": "Nested cross-validation",
    "holdout": "Hold-out set",
}

Answer = Literal["above", "not distinguishable", "below", "undecided"]


@dataclass(frozen=True)
class Standing:
    """A figure of a model against a baseline without images.

    Attributes:
        metric: `auroc` or `cortex_auroc`.
        gain: over the view-only baseline, or over chance if that is higher; None if it cannot
            be decided.
        reason: why it cannot be decided; empty otherwise.
    """

    metric: str
    gain: Gain | None
    reason: str = ""

    @property
    def answer(self) -> Answer:
        """`above` or `below` if the whole interval of the gain is; `undecided` without a gain."""
        if self.gain is None:
            return "undecided"
        if self.gain.gain.low > 0:
            return "above"
        return "below" if self.gain.gain.high < 0 else "not distinguishable"

    @property
    def is_above(self) -> bool:
        """Whether the model beats the baseline; never with an undefined interval."""
        return self.answer == "above"

    @property
    def in_words(self) -> str:
        """The figure, its reference, and the gain with its interval."""
        if self.gain is None:
            return f"cannot be decided: {self.reason}"
        gain = self.gain
        ends = (
            f"no interval: {gain.gain.reason}"
            if math.isnan(gain.gain.low)
            else f"95 % over {counted(gain.num_patients, 'patient')} {gain.gain.low:+.3f} to "
            f"{gain.gain.high:+.3f}"
        )
        reference = f"{gain.reference:.3f}"
        if gain.baseline < CHANCE_AUROC:
            reference = f"chance ({reference})"
        return f"{gain.model:.3f} against {reference}, gain {gain.gain.value:+.3f} ({ends})"

    @property
    def doubt(self) -> str:
        """The reason to doubt the model; empty if it is better than the baseline."""
        if self.gain is None:
            return f"whether it beats the view alone cannot be decided: {self.reason}"
        if self.is_above:
            return ""
        what = "lies below" if self.answer == "below" else "cannot be distinguished from"
        return f"{what} {self._baseline}: {self.in_words}"

    @property
    def figures(self) -> dict[str, float | None]:
        """The numbers behind the decision, by name."""
        if self.gain is None:
            return {}
        gain = self.gain
        return {
            self.metric: gain.model,
            f"{self.metric}_view_only": gain.baseline,
            f"{self.metric}_gain": gain.gain.value,
            f"{self.metric}_gain_low": gain.gain.low,
            f"{self.metric}_gain_high": gain.gain.high,
        }

    @property
    def _baseline(self) -> str:
        assert self.gain is not None
        if round(self.gain.baseline, 3) == CHANCE_AUROC:
            return "chance, which the view alone does not exceed"
        if self.gain.baseline < CHANCE_AUROC:
            return "chance, which the view alone does not reach"
        return "the view-only baseline"


def standings_of(
    predictions: Predictions, view_scores: npt.NDArray[np.floating]
) -> tuple[Standing, ...]:
    """Compare predictions with those of the view alone, by both AUROCs.

    A model beats the view alone if the 95 % interval over patients of its gain is above 0; see
    `metrics.gain_over`.

    Args:
        predictions: of n radiographs.
        view_scores: (n, 18) predictions from the view alone.
    """
    digest = hashlib.sha256(repr(predictions.patient_ids.tolist()).encode())
    arrays = (predictions.labels, predictions.visible, predictions.probabilities, view_scores)
    for array in (*arrays, predictions.folds):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return _standings_of(_Asked(digest.hexdigest(), predictions, view_scores))


def standings(project: Project) -> tuple[Standing, ...]:
    """Compare the best trial of a search with the view alone, by its out-of-fold predictions.

    Returns:
        Empty if there is no completed trial or no view-only baseline, as in a search on arrays.
    """
    if project.best is None or not project.run.view_only_baseline:
        return ()
    try:
        predictions = out_of_fold_predictions(project)
        assert predictions.folds is not None
        return standings_of(predictions, view_only_of_folds(predictions.labels, predictions.folds))
    except DAMAGED:
        return _undecided(NO_PREDICTIONS)


def against_view_lines(project: Project) -> list[tuple[str, bool]]:
    """The best trial beside the view-only baseline: a line for each AUROC, and whether to doubt it.

    Returns:
        Empty for a search without a view-only baseline.
    """
    baseline = project.run.view_only
    lines = []
    for item in standings(project):
        name = f"val_{item.metric}"
        baseline_text = (
            f"{name} of the view alone {baseline[name]:.4f}" if name in baseline else name
        )
        verdict = (
            f"WARNING: {item.doubt}" if item.doubt else f"the trial is above it: {item.in_words}"
        )
        lines.append((f"{baseline_text}; {verdict}", bool(item.doubt)))
    return lines


def nested_standings(nested: Nested) -> tuple[Standing, ...]:
    """Compare the models of the outer folds with the view alone, by `nested/predictions.csv`."""
    if nested.summary is None:
        return ()
    try:
        table = read_predictions(nested.folder / NESTED_PREDICTIONS)
        folds = table[OUTER_FOLD].to_numpy(np.int64)
        predictions = dataclasses.replace(as_predictions(table), folds=folds)
        return standings_of(predictions, view_only_of_folds(predictions.labels, folds))
    except DAMAGED:
        return _undecided(NO_PREDICTIONS)


def holdout_standings(records: StudyRecords) -> tuple[Standing, ...]:
    """Compare the tuned model on the hold-out set with the view alone, by `final/predictions.csv`.

    The view-only baseline uses the prevalences of the development set, whose labels are recorded
    with the out-of-fold predictions of the searches.
    """
    if records.holdout is None:
        return ()
    if records.predictions is None:
        return _undecided(NO_PREDICTIONS)
    development = _development_labels(records)
    if development is None:
        return _undecided("no search has recorded the labels of the development set")
    try:
        predictions = as_predictions(records.predictions)
        return standings_of(predictions, view_only_scores(development, predictions.labels))
    except DAMAGED as error:
        return _undecided(str(error))


def study_standings(records: StudyRecords) -> Mapping[str, tuple[Standing, ...]]:
    """The standings of every part of a study that has a score, by its name in `PARTS`."""
    projects = {
        REGIME_1: records.regime_1,
        REGIME_2: records.regime_2,
        "cross_validation": records.cross_validation,
    }
    by_part = {name: standings(item) for name, item in projects.items() if item is not None}
    if records.nested is not None:
        by_part["nested"] = nested_standings(records.nested)
    by_part["holdout"] = holdout_standings(records)
    return {name: items for name, items in by_part.items() if items}


@dataclass(frozen=True)
class _Asked:
    """Predictions and their baseline, equal if their content is equal."""

    digest: str
    predictions: Predictions = field(compare=False)
    view_scores: npt.NDArray[np.floating] = field(compare=False)


# A report shows the same decision in several places, and it takes seconds for thousands of rows.
@functools.lru_cache(maxsize=32)
def _standings_of(asked: _Asked) -> tuple[Standing, ...]:
    predictions = asked.predictions
    view_problems = problems_of(dataclasses.replace(predictions, probabilities=asked.view_scores))
    items = []
    for name, (truth, score, mask) in problems_of(predictions).items():
        metric = name.removeprefix("val_")
        gain = gain_over(
            truth,
            score,
            view_problems[name][1],
            predictions.patient_ids,
            mask,
            strata=predictions.labels[:, :NUM_VIEWS].argmax(axis=1),
            folds=predictions.folds,
        )
        if math.isnan(gain.model):
            reason = "no label has both a positive and a negative radiograph"
            items.append(Standing(metric, None, reason))
        else:
            items.append(Standing(metric, gain))
    return tuple(items)


def _undecided(reason: str) -> tuple[Standing, ...]:
    return tuple(Standing(metric, None, reason) for metric in METRICS_JUDGED)


def _development_labels(records: StudyRecords) -> npt.NDArray[np.float32] | None:
    for project in records.projects.values():
        try:
            rows = read_rows(project)
        except DAMAGED:
            continue
        return encode(rows["view"].tolist(), rows[list(CORTICES)].to_numpy(dtype=np.float64))
    return None
