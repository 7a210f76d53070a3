"""Keras's AUC recomputed: Keras's figure, and why it is not the exact one."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import auroc, keras_auroc, keras_aurocs, macro_auroc


def draw(
    seed: int, num_rows: int = 400, num_labels: int = 18, crowded: float = 1.0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    truth = rng.random((num_rows, num_labels)) < rng.choice([0.05, 0.3, 0.7], size=num_labels)
    logit = 1.5 * truth + rng.normal(size=truth.shape) - 1
    return truth.astype(np.float64), (1 / (1 + np.exp(-crowded * logit))).astype(np.float32)


def of_keras(
    truth: npt.NDArray[np.float64],
    score: npt.NDArray[np.float32],
    num_thresholds: int = 200,
    batches: int = 1,
) -> float:
    keras = pytest.importorskip("keras")
    metric = keras.metrics.AUC(num_thresholds=num_thresholds, multi_label=True)
    for rows in np.array_split(np.arange(len(truth)), batches):
        metric.update_state(truth[rows], score[rows])
    return float(metric.result())


@pytest.mark.slow
@pytest.mark.parametrize("num_thresholds", [200, 5])
@pytest.mark.parametrize("crowded", [1.0, 6.0])
def test_it_is_the_figure_of_keras(num_thresholds: int, crowded: float) -> None:
    for seed in range(3):
        truth, score = draw(seed, crowded=crowded)
        # Probabilities at the edges of the bins, and labels of one class.
        score[:100] = np.round(score[:100] * 199) / np.float32(199)
        score[100:110] = [[0.0] * 9 + [1.0] * 9]
        truth[:, 3], truth[:, 4] = 0, 1
        found = keras_auroc(truth, score, num_thresholds=num_thresholds)
        expected = of_keras(truth, score, num_thresholds, batches=1 + seed)
        assert found == pytest.approx(expected, abs=2e-6)


def test_it_is_the_exact_area_of_scores_rounded_to_the_bins() -> None:
    truth, score = draw(5)
    bins = np.maximum(np.ceil(score * np.float32(199)), 1)
    np.testing.assert_allclose(keras_aurocs(truth, score), auroc(truth, bins), atol=1e-12)


def test_many_probabilities_in_one_bin_lose_their_order() -> None:
    truth, score = draw(0, crowded=1.0)
    assert keras_auroc(truth, score) == pytest.approx(macro_auroc(truth, score), abs=2e-3)
    # The same order, pressed into the first bin: Keras's figure falls to chance.
    pressed = score / 250
    assert macro_auroc(truth, pressed) == pytest.approx(macro_auroc(truth, score), abs=1e-6)
    assert keras_auroc(truth, pressed) == pytest.approx(0.5)


def test_a_label_without_a_positive_counts_as_zero_there_and_not_at_all_here() -> None:
    truth, score = draw(1, num_labels=4)
    exact = macro_auroc(truth, score)
    truth[:, 0] = 0
    assert keras_aurocs(truth, score)[0] == 0
    assert np.isnan(auroc(truth, score)[0])
    assert keras_auroc(truth, score) < 0.8 * exact
    assert macro_auroc(truth, score) == pytest.approx(auroc(truth, score)[1:].mean())


@pytest.mark.parametrize("score", [[[1.5]], [[np.nan]]])
def test_scores_that_are_no_probabilities_are_refused(score: list[list[float]]) -> None:
    with pytest.raises(MetricError, match="y_prob holds"):
        keras_auroc([[1]], score)
