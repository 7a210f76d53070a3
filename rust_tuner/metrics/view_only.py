"""What a predictor that knows only the view would score: the baseline of every AUROC here."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics.ranking import FloatArray, macro_auroc
from rust_tuner.scope import SCOPES


@dataclass(frozen=True)
class ViewOnlyBaseline:
    """The scores of a predictor that knows only the view.

    Attributes:
        auroc: 18-label macro AUROC.
        cortex_auroc: 16-label macro AUROC, each cortex only where it is visible.
    """

    auroc: float
    cortex_auroc: float


def view_only_baseline(
    training_labels: npt.ArrayLike,
    validation_labels: npt.ArrayLike,
    validation_visible: npt.ArrayLike,
    *,
    where: str = "",
) -> ViewOnlyBaseline:
    """Score the predictor that predicts, for each view, that view's prevalence of every label.

    Args:
        training_labels: (m, 18) label vectors that the prevalences are taken from.
        validation_labels: (n, 18) label vectors to predict.
        validation_visible: (n, 16) bool, which cortex labels are visible.
        where: what the data are, such as `fold 3`, for the error message.

    Raises:
        MetricError: as `macro_auroc`.

    Examples:
        >>> import numpy as np
        >>> from rust_tuner.data.phantoms import phantom_table
        >>> from rust_tuner import Radiographs
        >>> known = Radiographs(phantom_table(patients=60, seed=0))
        >>> others = Radiographs(phantom_table(patients=60, seed=1))
        >>> baseline = view_only_baseline(known.labels, others.labels, others.visible)
        >>> print(f"{baseline.auroc:.3f}, visible cortices {baseline.cortex_auroc:.3f}")
        0.804, visible cortices 0.500
    """
    score = view_only_scores(training_labels, validation_labels)
    validation = np.asarray(validation_labels, dtype=np.float64)
    visible = np.asarray(validation_visible)
    return ViewOnlyBaseline(
        *(macro_auroc(*scope.problem(validation, score, visible), where=where) for scope in SCOPES)
    )


def view_only_scores(
    training_labels: npt.ArrayLike, validation_labels: npt.ArrayLike
) -> FloatArray:
    """The scores (n, 18) of a predictor that knows only each row's view.

    Args:
        training_labels: (m, 18) label vectors that the prevalences are taken from.
        validation_labels: (n, 18) label vectors, of which only the view is used.

    Examples:
        >>> from rust_tuner.data.phantoms import phantom_table
        >>> from rust_tuner import Radiographs
        >>> labels = Radiographs(phantom_table(patients=60, seed=0)).labels
        >>> scores = view_only_scores(labels, labels)
        >>> scores.shape
        (150, 18)
        >>> len(set(map(tuple, scores)))
        2
    """
    training = np.asarray(training_labels, dtype=np.float64)
    validation = np.asarray(validation_labels, dtype=np.float64)
    overall = training.mean(axis=0)
    score = np.tile(overall, (len(validation), 1))
    for view in range(NUM_VIEWS):
        shown = training[:, view] == 1
        if shown.any():
            score[validation[:, view] == 1] = training[shown].mean(axis=0)
    return score
