"""Display names and number formats: how metrics, columns and values are written for people."""

from collections.abc import Iterable

import numpy as np

from rust_tuner.labels import CORTICES, SCORES, VIEWS
from rust_tuner.scope import SCOPES
from rust_tuner.visible_text import visible as visible

_VIEW_NAMES = {"ap": "AP view", "lateral": "lateral view"}
# The 18 labels, as a person says them.
LABEL_NAMES = {
    **{f"view_{view}": _VIEW_NAMES[view] for view in VIEWS},
    **{
        f"{cortex}_{score}": f"{cortex} cortex, score {score}"
        for cortex in CORTICES
        for score in SCORES
    },
}

METRICS = {**{scope.metric: scope.title for scope in SCOPES}, "loss": "Loss"}


def metric_name(metric: str, *, is_study: bool) -> str:
    """The name of a search's metric; only a study's AUROC is that of its 18 labels."""
    if metric == "auroc" and not is_study:
        return "AUROC"
    return METRICS.get(metric, metric)


def epoch_of_score(rule: object) -> str:
    """The epoch at which trials are scored, by a `score_epoch`; None is the default."""
    if chooses_epoch(rule):
        return "the best epoch of its mean curve"
    return "its last epoch" if rule == "last" else f"epoch {rule} (from 0)"


def chooses_epoch(rule: object) -> bool:
    """Whether a score is the best of several epochs, so that chance helps it."""
    return rule in (None, "best_mean")


# Figures of predictions, by their names in tables.
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "kappa": "quadratic-weighted kappa",
    "within_one": "agreement within one",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "precision": "precision at 0.5",
    "recall": "recall at 0.5",
    "f1": "F1 at 0.5",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
    "mae": "RUST total: mean absolute error",
    "bias": "RUST total: bias",
    "lower_limit": "RUST total: lower limit of agreement",
    "upper_limit": "RUST total: upper limit of agreement",
    "icc": "RUST total: ICC(2,1)",
    "sensitivity": "union: sensitivity",
    "specificity": "union: specificity",
    "positive_predictive_value": "union: positive predictive value",
    "negative_predictive_value": "union: negative predictive value",
}
# Marks the three figures that the published study reports.
AS_PUBLISHED = "as published"


def short_number(value: object) -> str:
    """Format a hyperparameter with up to three significant digits, as briefly as possible.

    A value that a trial lacks is empty.
    """
    if _is_missing(value):
        return ""
    return _bare(f"{value:.3g}") if isinstance(value, float | np.floating) else str(value)


def p_value(value: float) -> str:
    """Format a p-value; one that three digits would round to 0 is `< 0.001`."""
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def power_number(value: float) -> str:
    """Format a value of a logarithmic axis, such as 1e-7 or 2.5e-4, without small raised digits."""
    return _bare(f"{value:.1e}")


def four_digits(value: object) -> str:
    """A hyperparameter with at most four significant digits; empty where a trial lacks it."""
    if _is_missing(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_missing(value: object) -> bool:
    # pandas' own missing value is not equal to itself either, but neither true nor false.
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ == "NAType"


def figure_name(name: str, *, published: bool = False) -> str:
    """The display name of a figure; `published` marks the published study's three figures."""
    text = FIGURES.get(name, words(name))
    is_theirs = published and name in ("auroc", "precision", "recall")
    return f"{text} ({AS_PUBLISHED})" if is_theirs else text


def words(name: str) -> str:
    """A column's or a label's name as words."""
    return LABEL_NAMES.get(name, name.replace("_", " "))


def label_list(labels: Iterable[str], *, join: str = "and") -> str:
    """Several labels in a sentence; the scores of a cortex are named together.

    Args:
        labels: names of `labels.LABELS`.
        join: the word before the last score of a cortex.

    Examples:
        >>> label_list(["medial_3", "medial_4", "posterior_1"])
        'medial cortex, scores 3 and 4; posterior cortex, score 1'
    """
    parts: dict[str, list[str]] = {}
    for label in labels:
        name, score = LABEL_NAMES[label], ""
        if ", score " in name:
            name, _, score = name.partition(", score ")
        parts.setdefault(name, []).extend([score] if score else [])
    return "; ".join(
        f"{name}, score{'s' if len(scores) > 1 else ''} {listed(scores, join=join)}"
        if scores
        else name
        for name, scores in parts.items()
    )


def counted(number: int, noun: str) -> str:
    """A number of things.

    Examples:
        >>> counted(1, "patient"), counted(2, "patient")
        ('1 patient', '2 patients')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def have(number: int, of: int = 0) -> str:
    """The verb after a number of things, or `number of so many`: `has` or `have`."""
    return "has" if 1 in (number, of) else "have"


def listed(items: Iterable[str], *, join: str = "and") -> str:
    """Items in a sentence: `a, b and c`."""
    *first, last = items
    return f"{', '.join(first)} {join} {last}" if first else last


def _bare(number: str) -> str:
    mantissa, _, exponent = number.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if exponent else number
