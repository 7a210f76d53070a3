"""Display names and number formats: how metrics, columns and values are written for people."""

import re
from collections.abc import Iterable

import numpy as np

from rust_tuner.labels import CORTICES, SCORES, VIEWS
from rust_tuner.scope import SCOPES

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

METRICS = {
    **{scope.metric: scope.title for scope in SCOPES},
    "loss": "Loss",
}

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

# Control characters except tab and line feed, lone surrogates, line separators, and characters that
# change the direction of text.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def short_number(value: object) -> str:
    """Format a hyperparameter with up to three significant digits, as briefly as possible."""
    return _bare(f"{value:.3g}") if isinstance(value, float | np.floating) else str(value)


def power_number(value: float) -> str:
    """Format a value of a logarithmic axis, such as 1e-7 or 2.5e-4, without small raised digits."""
    return _bare(f"{value:.1e}")


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


def listed(items: Iterable[str], *, join: str = "and") -> str:
    """Items in a sentence: `a, b and c`."""
    *first, last = items
    return f"{', '.join(first)} {join} {last}" if first else last


def _bare(number: str) -> str:
    mantissa, _, exponent = number.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if exponent else number


def visible(text: str) -> str:
    """Escape control characters, so that a terminal shows them and does not act on them.

    Names, cells and messages may come from other people's files. Line breaks and tabs are kept.
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
