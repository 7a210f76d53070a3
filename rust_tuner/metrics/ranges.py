"""The range of a metric by its name, so that no interval leaves it.

Names are those of Keras's metrics and losses, of scikit-learn's scorers, and of this package.
"""

import math
import re

_UNIT = (0.0, 1.0)
_SIGNED_UNIT = (-1.0, 1.0)
_POSITIVE = (0.0, math.inf)
_NEGATIVE = (-math.inf, 0.0)
_BELOW_1 = (-math.inf, 1.0)

# Of the first pattern that the name ends with.
_ENDINGS: tuple[tuple[str, tuple[float, float]], ...] = (
    (r"neg_((mean|median|root|max)_[a-z_]+|log_loss|brier_score)", _NEGATIVE),
    (r"neg_negative_likelihood_ratio", _NEGATIVE),
    (r"cosine_similarity|matthews_corrcoef|(pearson|concordance)_correlation", _SIGNED_UNIT),
    (r"adjusted_rand_score|cohen_kappa", _SIGNED_UNIT),
    (
        r"r2|r2_score|explained_variance|d2_(absolute_error|pinball|tweedie|brier|log_loss)_score",
        _BELOW_1,
    ),
    (r"acc|accuracy|roc_auc(_ov[ro])?(_weighted)?|auc|auroc|average_precision", _UNIT),
    (r"(f1|fbeta|precision|recall|jaccard)(_score)?(_(macro|micro|weighted|samples))?", _UNIT),
    (r"(precision|recall|sensitivity|specificity)(_at_[a-z_]+)?", _UNIT),
    (r"(binary|one_hot|mean|one_hot_mean)_io_?u|io_?u|dice", _UNIT),
    (r"mae|mse|mape|msle|rmse|log_?cosh|huber", _POSITIVE),
    (r"[a-z_]*(absolute|squared|logarithmic|percentage)_error", _POSITIVE),
    (r"[a-z_]*(crossentropy|cross_entropy)|kl_?divergence|[a-z_]*hinge", _POSITIVE),
    (r"(true|false)_(positives|negatives)", _POSITIVE),
)
_SUFFIX = re.compile(r"(\[[\d,]+\]|_\d+)$")


def metric_range(name: str) -> tuple[float, float] | None:
    """The lowest and the highest value that a metric can have.

    Args:
        name: of the metric, with or without `val_`; a metric of one of several outputs, such as
            `age_mae`, counts by its ending.

    Returns:
        The range; None where it is not known, as for `loss` and metrics of one's own.

    Examples:
        >>> metric_range("val_accuracy"), metric_range("f1_score[2]"), metric_range("my_score")
        ((0.0, 1.0), (0.0, 1.0), None)
    """
    base = _SUFFIX.sub("", name)
    for ending, bounds in _ENDINGS:
        if re.fullmatch(rf"([A-Za-z0-9_]*_)?({ending})", base):
            return bounds
    return None
