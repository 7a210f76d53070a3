"""Folds with one class among the validation rows, and targets that are not zeros and ones."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from notes import Notes
from search_problems import TinyHyperModel

from rust_tuner import CrossValidationTuner, RandomSearchOracle
from rust_tuner.errors import MetricError, SearchError
from rust_tuner.search.binary_targets import one_class_note, other_targets_note

ROWS = 24
PARTS = np.split(np.arange(ROWS), 4)
FOLDS = [(np.setdiff1d(np.arange(ROWS), part), part) for part in PARTS]


def targets(*positive: int, num_labels: int | None = None) -> npt.NDArray[np.float32]:
    """Zeros (n,) or (n, labels), and ones in the first label of some rows."""
    shape: tuple[int, ...] = (ROWS,) if num_labels is None else (ROWS, num_labels)
    y = np.zeros(shape, dtype=np.float32)
    if num_labels is None:
        y[list(positive)] = 1
    else:
        y[::2, 1:] = 1
        y[list(positive), 0] = 1
    return y


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.bool_])
@pytest.mark.parametrize("num_labels", [None, 1, 3])
def test_folds_with_one_class_are_counted(num_labels: int | None, kind: Any) -> None:
    y: Any = targets(0, 13, num_labels=num_labels).astype(kind)
    note = one_class_note(y, FOLDS, ["val_loss", "val_recall"])
    assert note.startswith("WARNING: in 2 of 4 folds (1, 3) ")
    assert ("a label of y" in note) == (num_labels == 3)


@pytest.mark.parametrize(
    ("y", "objective"),
    [
        (targets(0, 7, 13, 20), "val_recall"),
        (targets(0), "val_loss"),
        (targets(0), "val_binary_accuracy"),
        (targets(0), "val_mean_absolute_error_1"),
        (targets(0) * 2, "val_recall"),
        (targets(0) * 0.5, "val_recall"),
        (targets(0).astype(str), "val_recall"),
        (None, "val_recall"),
        ({"a": targets(0)}, "val_recall"),
        (np.zeros((ROWS, 2, 2)), "val_recall"),
    ],
)
def test_where_both_classes_are_there_or_do_not_matter_there_is_no_note(
    y: Any, objective: str
) -> None:
    assert one_class_note(y, FOLDS, ["val_loss", objective]) == ""


class WithMetrics(TinyHyperModel):
    def __init__(self, outputs: int, metrics: list[Any]) -> None:
        super().__init__()
        self._outputs, self._metrics = outputs, metrics

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        output = keras.layers.Dense(self._outputs, activation="sigmoid")
        model = keras.Sequential([keras.Input((4,)), output])
        model.compile("sgd", "binary_crossentropy", metrics=self._metrics, run_eagerly=True)
        return model


def search(
    folder: Path, y: npt.NDArray[Any], objective: str, metrics: list[Any]
) -> tuple[CrossValidationTuner, list[str]]:
    said = Notes()
    tuner = CrossValidationTuner(
        WithMetrics(1 if y.ndim == 1 else y.shape[1], metrics),
        RandomSearchOracle(keras_tuner.Objective(objective, "max"), max_trials=1),
        cv=FOLDS,
        directory=folder,
        project_name="search",
        progress=said,
    )
    tuner.search(np.random.default_rng(0).normal(size=(ROWS, 4)), y, epochs=1)
    return tuner, said.said


@pytest.mark.parametrize(
    ("y", "metric", "objective", "message"),
    [
        (targets(0, 7, 13), keras.metrics.AUC(name="auc"), "val_auc", "fold 3: .* y is 0 in all 6"),
        (targets(0, 7, 13), "AUC", "val_AUC", "fold 3: val_AUC is undefined"),
        (1 - targets(0, 13), keras.metrics.AUC(), "val_auc", "fold 1: .* y is 1 in all 6"),
        (targets(*range(6), num_labels=1), keras.metrics.AUC(name="a"), "val_a", "fold 0: .* is 1"),
        (
            targets(0, 13, num_labels=2),
            keras.metrics.AUC(multi_label=True, name="auc"),
            "val_auc",
            "fold 1: .* label 0 of y is 0",
        ),
    ],
)
def test_keras_auc_is_refused_where_it_would_count_zero(
    y: npt.NDArray[Any], metric: Any, objective: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(MetricError, match=message):
        search(tmp_path, y, objective, [metric])


@pytest.mark.slow
def test_keras_auc_of_all_labels_together_is_taken_where_these_have_both_classes(
    tmp_path: Path,
) -> None:
    y = targets(0, 13, num_labels=2)
    tuner, lines = search(tmp_path, y, "val_auc", [keras.metrics.AUC(name="auc")])
    assert tuner.results()["status"].tolist() == ["COMPLETED"]
    assert any("in 2 of 4 folds (1, 3) a label of y has one class alone" in line for line in lines)


@pytest.mark.slow
def test_a_search_by_recall_is_warned_of_folds_without_positive_rows(tmp_path: Path) -> None:
    _, lines = search(tmp_path, targets(0, 7, 13), "val_recall", [keras.metrics.Recall()])
    (note,) = [line for line in lines if "one class alone" in line]
    assert note.startswith("WARNING: in 1 of 4 folds (3) y has")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (targets(0, 7, 13, 20) * 2, "y is 2.0 in row 0"),
        (np.where(targets(0, 7, 13, 20) == 1, np.nan, 0), "y is nan in row 0"),
        (-targets(3, 7, 13, 20), "y is -1.0 in row 3"),
        (targets(5, 7, 13, 20, num_labels=2) * 3, "y is 3.0 in row 0, column 1"),
    ],
)
def test_other_targets_are_named_where_auroc_is_the_objective(
    y: npt.NDArray[Any], message: str
) -> None:
    note = other_targets_note(y, ["val_loss", "val_auroc"])
    assert note.startswith(f"WARNING: {message}, but val_auroc is computed only for")
    assert other_targets_note(y, ["val_loss"]) == ""


@pytest.mark.parametrize("y", [targets(0, 7), targets(0, num_labels=3), None, {"a": targets(0)}])
def test_zeros_and_ones_and_other_structures_are_not(y: Any) -> None:
    assert other_targets_note(y, ["val_loss", "val_auroc"]) == ""


@pytest.mark.slow
def test_a_metric_of_ones_own_of_that_name_takes_any_targets(tmp_path: Path) -> None:
    y = targets(0, 7, 13, 20) * 2
    own = keras.metrics.MeanSquaredError(name="auroc")
    tuner, lines = search(tmp_path, y, "val_auroc", [own])
    assert tuner.results()["status"].tolist() == ["COMPLETED"]
    assert any("val_auroc is computed only for" in line for line in lines)


def test_without_such_a_metric_the_search_ends_after_that_warning(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="val_auroc is not among the metrics"):
        search(tmp_path, targets(0, 7, 13, 20) * 2, "val_auroc", [])
