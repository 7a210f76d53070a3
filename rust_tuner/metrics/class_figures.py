"""Treats the four scores of a cortex as classes: recall and F1 of each, and their means.

Each radiograph has one true and one most likely score for a visible cortex, so these figures count
every radiograph, however low its highest probability is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics.ranking import ratio
from rust_tuner.metrics.weighted_ranking import mean_of_defined

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """Figures of confusion matrices (..., scores, scores), float64.

    As in scikit-learn, absent scores are left out of the mean: balanced accuracy is the mean over
    the scores that occur, macro F1 over those that occur or are predicted.

    Attributes:
        recall: (..., scores) of each score; NaN where it does not occur.
        f1: (..., scores) of each score; NaN where it neither occurs nor is predicted.
        balanced_accuracy: (...) the mean recall; NaN where nothing is counted.
        macro_f1: (...) the mean F1; NaN where nothing is counted.
    """

    recall: FloatArray
    f1: FloatArray
    balanced_accuracy: FloatArray
    macro_f1: FloatArray


def class_figures(confusion: npt.NDArray[Any]) -> ClassFigures:
    """Recall and F1 of the classes of confusion matrices.

    Equal to scikit-learn's `balanced_accuracy_score`, and to its `f1_score` with
    `average="macro"`, whose default labels are those that are true or predicted.

    Args:
        confusion: (..., classes, classes) counts or weights by true and predicted class.

    Examples:
        >>> import numpy as np
        >>> figures = class_figures(np.array([[8, 2], [1, 9]]))
        >>> figures.recall
        array([0.8, 0.9])
        >>> round(float(figures.balanced_accuracy), 2)
        0.85
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    recall, f1 = ratio(hits, true), ratio(2 * hits, true + predicted)
    return ClassFigures(
        recall=recall,
        f1=f1,
        balanced_accuracy=mean_of_defined(recall, axis=-1)[..., 0],
        macro_f1=mean_of_defined(f1, axis=-1)[..., 0],
    )
