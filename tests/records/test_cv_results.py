"""What is best of a metric, by its name alone."""

import pytest

from rust_tuner.records.cv_results import best_of


@pytest.mark.parametrize(
    "metric",
    [
        *("loss", "age_loss", "poisson", "poisson_1", "nrmse", "age_mae", "error", "abs_err"),
        *("brier", "log_cosh", "false_positives", "r_false_negatives", "perplexity", "hinge"),
    ],
)
def test_of_errors_the_lowest_is_best(metric: str) -> None:
    assert best_of(metric) == "min"


@pytest.mark.parametrize(
    "metric",
    [
        *("auroc", "accuracy", "binary_acc", "f1_score[2]", "my_score", "out_true_positives"),
        *("r2", "neg_brier_score", "neg_mean_squared_error", "cosine_similarity", "kappa"),
    ],
)
def test_of_scores_the_highest_is_best(metric: str) -> None:
    assert best_of(metric) == "max"


@pytest.mark.parametrize("metric", ["mine", "throughput", "share"])
def test_of_other_names_nothing_is_guessed(metric: str) -> None:
    assert best_of(metric) is None
