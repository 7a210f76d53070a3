"""Scores as classes: scikit-learn's figures, whichever classes are missing."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from rust_tuner.labels import SCORES
from rust_tuner.metrics import class_figures, score_agreement


@pytest.mark.parametrize("true_classes", [(1, 2, 3, 4), (1, 2, 3), (2, 4), (3,)])
@pytest.mark.parametrize("predicted_classes", [(1, 2, 3, 4), (1, 2), (4,)])
def test_figures_are_those_of_scikit_learn_with_classes_missing_on_either_side(
    true_classes: tuple[int, ...], predicted_classes: tuple[int, ...]
) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.choice(true_classes, size=30)
        answer = np.where(rng.random(30) < 0.5, truth, rng.choice(predicted_classes, size=30))
        found = class_figures(confusion_matrix(truth, answer, labels=SCORES))
        with warnings.catch_warnings():
            # It says that some class is predicted and never true, which is what is tried here.
            warnings.simplefilter("ignore")
            balanced = balanced_accuracy_score(truth, answer)
        assert found.balanced_accuracy == pytest.approx(balanced, abs=1e-12)
        assert found.macro_f1 == pytest.approx(f1_score(truth, answer, average="macro"), abs=1e-12)
        same = f1_score(truth, answer, average="macro", labels=SCORES, zero_division=np.nan)
        assert found.macro_f1 == pytest.approx(same, abs=1e-12)
        # A column a cortex, the others with no score.
        sides = [
            np.stack([side * 1.0] + [np.full(30, np.nan)] * 3, axis=1) for side in (truth, answer)
        ]
        agreement = score_agreement(*sides)
        assert agreement.balanced_accuracy[0] == found.balanced_accuracy
        assert agreement.macro_f1[0] == found.macro_f1
        assert agreement.exact[0] == pytest.approx(accuracy_score(truth, answer))
        assert np.isnan([agreement.balanced_accuracy[1:], agreement.macro_f1[1:]]).all()


def test_a_class_that_is_absent_has_no_figure() -> None:
    found = class_figures(np.diag([3, 0, 2, 0]) + np.eye(4, k=1)[[0, 3, 3, 3]])
    np.testing.assert_array_equal(found.recall, [0.75, np.nan, 1, np.nan])
    np.testing.assert_array_equal(np.isnan(found.f1), [False, False, False, True])
    assert found.balanced_accuracy == 0.875
