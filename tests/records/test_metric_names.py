"""Names of metrics: numbered within a model, and the user's own left alone."""

import pytest

from rust_tuner.records.metric_names import renumbered, with_same_names


def test_numbers_are_those_of_the_place_among_their_kind() -> None:
    names = ["loss", "auc_3", "auc_4", "precision_1", "top_5_accuracy_2"]
    assert list(renumbered(names).values()) == [
        "loss",
        "auc",
        "auc_1",
        "precision",
        "top_5_accuracy",
    ]


def test_names_that_agree_are_left_as_they_are() -> None:
    history = {"loss": [1], "precision_1": [2], "precision_2": [3]}
    assert with_same_names([history, history], "precision_2") == [history, history]


@pytest.mark.parametrize("wanted", ["auc", None])
def test_names_that_differ_are_renumbered(wanted: str | None) -> None:
    found = with_same_names([{"loss": 1, "auc_2": 2}, {"loss": 3, "auc": 4}], wanted)
    assert found == [{"loss": 1, "auc": 2}, {"loss": 3, "auc": 4}]


def test_names_are_renumbered_where_the_objective_is_missing_else() -> None:
    assert with_same_names([{"auc_2": 1}] * 2, "auc") == [{"auc": 1}] * 2
    assert with_same_names([{"auc_2": 1}] * 2, "recall") == [{"auc_2": 1}] * 2


def test_other_metrics_stay_other_metrics() -> None:
    histories = [{"auc": 1}, {"recall": 1}]
    assert with_same_names(histories, "auc") == histories
