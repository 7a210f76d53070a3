"""scikit-learn's scorers on the output of a Keras model.

A scorer takes an estimator and calls its `predict` or `predict_proba`; here an estimator that
returns predictions which were made before.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn.metrics
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

# Scorers of numbers, whatever the targets are; the rest score classes where targets are classes.
_OF_NUMBERS = (
    "r2",
    "max_error",
    "neg_max_error",
    "explained_variance",
    "d2_",
    "neg_mean_",
    "neg_median_",
    "neg_root_",
)


class _Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Returns the probabilities that it is asked about."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classes_: Any = np.arange(num_classes)

    def predict_proba(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: N803 (scikit-learn's)
        return X

    def predict(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: N803 (scikit-learn's)
        return np.asarray(X.argmax(axis=1))


class _LabelClassifier(_Classifier):
    """The same for several labels of a row, each of which is predicted from 0.5 on."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        # As scikit-learn's own have it; else two labels would be taken for two classes.
        self.classes_ = [np.arange(2)] * num_classes

    def predict(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: N803 (scikit-learn's)
        return np.asarray((X >= 0.5).astype(int))


class _Regressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Returns the numbers that it is asked about."""

    def predict(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: N803 (scikit-learn's)
        return X


def scorer_names() -> frozenset[str]:
    """The names of scikit-learn's scorers."""
    return frozenset(sklearn.metrics.get_scorer_names())


def is_scorer(score: Any) -> bool:
    """Whether an object is what scikit-learn's `make_scorer` returns."""
    return hasattr(score, "_score_func") and callable(score)


def scorer_function(score: Any) -> Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]:
    """A function of targets and the model's output from a scorer or its name.

    Targets may be classes, one-hot rows, labels or numbers. Outputs are probabilities; values
    outside 0 to 1 are taken for logits.
    """
    scorer = sklearn.metrics.get_scorer(score) if isinstance(score, str) else score
    is_of_numbers = isinstance(score, str) and score.startswith(_OF_NUMBERS)

    def scored(y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> float:
        if is_of_numbers or not _are_classes(y_true, y_score):
            return float(scorer(_Regressor(), y_score.astype(np.float64), y_true))
        if y_score.ndim == 1:
            # The output of one sigmoid.
            positive = _probabilities(y_score.astype(np.float64))
            pair = np.column_stack([1 - positive, positive])
            return float(scorer(_Classifier(2), pair, y_true.astype(int)))
        if y_true.ndim == 2 and not (y_true.sum(axis=1) == 1).all():
            probabilities = _probabilities(y_score.astype(np.float64))
            estimator = _LabelClassifier(y_score.shape[1])
            return float(scorer(estimator, probabilities, y_true.astype(int)))
        classes = y_true.argmax(axis=1) if y_true.ndim == 2 else y_true.astype(int)
        probabilities = _distribution(y_score.astype(np.float64))
        return float(scorer(_Classifier(y_score.shape[1]), probabilities, classes))

    return scored


def _are_classes(y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> bool:
    if y_true.dtype.kind not in "biuf" or not (y_true == np.round(y_true)).all():
        return False
    if y_score.ndim == 1:
        return y_true.ndim == 1 and bool(np.isin(y_true, (0, 1)).all())
    if y_true.ndim == 1:
        return bool(((y_true >= 0) & (y_true < y_score.shape[1])).all())
    return y_true.shape == y_score.shape and bool(np.isin(y_true, (0, 1)).all())


def _probabilities(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if values.min() >= 0 and values.max() <= 1:
        return values
    return 1 / (1 + np.exp(-np.clip(values, -700, 700)))


def _distribution(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if values.min() < 0 or values.max() > 1:
        values = np.exp(values - values.max(axis=1, keepdims=True))
    total = values.sum(axis=1, keepdims=True)
    return np.where(total > 0, values / np.where(total > 0, total, 1), 1 / values.shape[1])
