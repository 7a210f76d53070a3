"""Intervals of shares and their means, by hand: scikit-learn's figures without each patient."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.metrics.assessment import Predictions, assess
from rust_tuner.metrics.score_figures import score_figures

FloatArray = npt.NDArray[np.float64]
PATIENTS = 60
PRESENT = list(SCORES)


def test_a_mean_is_no_less_certain_than_its_parts_together() -> None:
    """Two of 15 patients have all errors, which leaves the variance one degree of freedom."""
    truth = np.tile([1.0, 2.0, 3.0, 4.0], (PATIENTS // 4, 1))
    answer = truth.copy()
    answer[0, 0], answer[1, 1] = 2.0, 3.0
    figures = score_figures(truth, answer, np.arange(len(truth)))
    mean, *parts = (one for one in figures if one.figure == "accuracy")
    assert mean.low == pytest.approx(np.mean([part.low for part in parts]))
    assert mean.low < mean.value < mean.high <= np.mean([part.high for part in parts]) + 1e-12


def unseen(share: float, patients: int) -> float:
    """What a share's variance is larger by with two more patients on either side."""
    nearer = (share * patients + 2) / (patients + 4)
    return float(max(nearer * (1 - nearer) - share * (1 - share), 0) / patients)


def of_recalls(truth: FloatArray, answer: FloatArray) -> list[float]:
    recalls = recall_score(truth, answer, labels=PRESENT, average=None)
    return [
        unseen(recall, int((truth == score).sum()))
        for score, recall in zip(PRESENT, recalls, strict=True)
    ]


def of_accuracy(truth: FloatArray, answer: FloatArray) -> float:
    return unseen(accuracy_score(truth, answer), len(truth))


def of_balanced_accuracy(truth: FloatArray, answer: FloatArray) -> float:
    return sum(of_recalls(truth, answer)) / len(PRESENT) ** 2


def of_macro_f1(truth: FloatArray, answer: FloatArray) -> float:
    """An F1 is twice the hits, of as many as are true or predicted."""
    slopes = [
        2 * (truth == score).sum() / ((truth == score).sum() + (answer == score).sum())
        for score in PRESENT
    ]
    pairs = zip(slopes, of_recalls(truth, answer), strict=True)
    return float(sum(slope**2 * one for slope, one in pairs)) / len(PRESENT) ** 2


Statistic = Callable[[FloatArray, FloatArray], float]
FIGURES: dict[str, tuple[Statistic, Statistic]] = {
    "accuracy": (accuracy_score, of_accuracy),
    "balanced_accuracy": (
        lambda truth, answer: recall_score(truth, answer, labels=PRESENT, average="macro"),
        of_balanced_accuracy,
    ),
    "macro_f1": (
        lambda truth, answer: f1_score(truth, answer, labels=PRESENT, average="macro"),
        of_macro_f1,
    ),
}


@pytest.fixture
def scores() -> tuple[FloatArray, FloatArray]:
    """A rare score that is always recognised, and predicted much more often than it is true."""
    rng = np.random.default_rng(0)
    truth = rng.choice([1.0, 3.0, 4.0], size=(PATIENTS, len(CORTICES)))
    answer = np.where(rng.random(truth.shape) < 0.7, truth, 3.0)
    for column in range(len(CORTICES)):
        rare = rng.permutation(PATIENTS)
        truth[rare[:6], column], answer[rare[:12], column] = 2.0, 2.0
    return truth, answer


@pytest.mark.parametrize(
    ("name", "cortices"),
    [
        # One share, such as the accuracy of a cortex, has an interval of another kind.
        ("accuracy", [0, 1, 2, 3]),
        ("balanced_accuracy", [0]),
        ("balanced_accuracy", [0, 1, 2, 3]),
        ("macro_f1", [0]),
        ("macro_f1", [0, 1, 2, 3]),
    ],
)
def test_an_interval_is_that_of_the_jackknife_and_of_what_it_does_not_see(
    name: str, cortices: list[int], scores: tuple[FloatArray, FloatArray]
) -> None:
    statistic, variance_unseen = FIGURES[name]
    truth, answer = scores

    def mean(of: Statistic, rows: npt.NDArray[np.intp]) -> float:
        parts = [of(truth[rows, column], answer[rows, column]) for column in cortices]
        return float(np.mean(parts))

    everyone = np.arange(PATIENTS)
    left = np.array([mean(statistic, np.delete(everyone, one)) for one in everyone])
    apart = left - left.mean()
    variance = (PATIENTS - 1) / PATIENTS * (apart**2).sum()
    variance += mean(variance_unseen, everyone) / len(cortices)
    kurtosis = PATIENTS * (apart**4).sum() / (apart**2).sum() ** 2
    degrees = min(PATIENTS - 1, 2 * PATIENTS / (kurtosis - 1))
    value = mean(statistic, everyone)
    of = "cortices" if len(cortices) > 1 else CORTICES[0]
    (found,) = (
        one for one in score_figures(truth, answer, everyone) if (one.figure, one.of) == (name, of)
    )
    assert found.value == pytest.approx(value, abs=1e-12)
    reach = stats.t.ppf(0.975, degrees) * np.sqrt(variance) / (value * (1 - value))
    ends = special.expit(special.logit(value) + np.array([-reach, reach]))
    assert (found.low, found.high) == pytest.approx(tuple(ends), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_an_interval_contains_its_mean_where_folds_lack_a_label(seed: int) -> None:
    """Averaged over folds, a mean is not that of its labels, of which one is known worse."""
    rng = np.random.default_rng(seed)
    count = 240
    owner = np.arange(count)
    folds = owner % 6
    scores = rng.integers(1, 5, (count, len(CORTICES)))
    # In two of the folds nobody has a score of 4, which the model hardly knows.
    scores[(folds < 2)[:, None] & (scores == 4)] = 3
    labels = (scores[:, :, None] == np.array(SCORES)).reshape(count, -1).astype(np.float64)
    known = np.tile([4.0, 4.0, 4.0, 0.3], len(CORTICES))
    logits = known * labels + rng.normal(size=labels.shape) - 1
    view = owner[:, None] % 2 == np.arange(2)
    predictions = Predictions(
        np.concatenate([view, labels], axis=1),
        np.ones(labels.shape, bool),
        np.concatenate([view * 1.0, special.expit(logits)], axis=1),
        owner.astype(object),
        owner.astype(object),
        folds,
    )
    shown = [one for one in assess(predictions) if not np.isnan(one.low)]
    assert any((one.figure, one.average) == ("average_precision", "macro") for one in shown)
    for one in shown:
        assert one.low <= one.value <= one.high, one
