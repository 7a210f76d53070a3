"""The range of a metric follows from its name, and is unknown for any other."""

import math

import pytest
import sklearn.metrics

from rust_tuner.metrics.ranges import metric_range


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", (0, 1)),
        ("val_sparse_categorical_accuracy", (0, 1)),
        ("auc_3", (0, 1)),
        ("exact_auroc", (0, 1)),
        ("f1_score[4]", (0, 1)),
        ("age_mae", (0, math.inf)),
        ("binary_crossentropy", (0, math.inf)),
        ("cosine_similarity", (-1, 1)),
        ("r2_score", (-math.inf, 1)),
        ("val_neg_mean_absolute_error", (-math.inf, 0)),
        ("d2_pinball_score", (-math.inf, 1)),
        # A name may begin or end like a scorer's.
        ("false_neg_rate", None),
        ("neg_head_accuracy", (0, 1)),
        ("d2_mae", (0, math.inf)),
        ("loss", None),
        ("my_loss", None),
        ("score", None),
        ("grace", None),
    ],
)
def test_a_range_follows_from_the_name(name: str, expected: tuple[float, float] | None) -> None:
    assert metric_range(name) == expected


def test_every_scorer_of_classes_and_numbers_has_a_range() -> None:
    known = {name for name in sklearn.metrics.get_scorer_names() if metric_range(name)}
    assert {"roc_auc_ovr_weighted", "jaccard_samples", "top_k_accuracy", "neg_log_loss"} <= known
