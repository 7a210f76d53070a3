"""Hold-out predictions: only visible cortices count, and figures are the references'."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_predictions import make_predictions
from sklearn.metrics import auc, average_precision_score, confusion_matrix, roc_auc_score

from rust_tuner.errors import RustTunerError
from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.records.predictions import (
    confusion_table,
    label_table,
    precision_recall_table,
    read_predictions,
    roc_table,
)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return make_predictions(rows=80)


@pytest.fixture
def path(tmp_path: Path, predictions: pd.DataFrame) -> Path:
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    return tmp_path / "predictions.csv"


def test_predictions_come_back_as_they_were_written(path: Path, predictions: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(read_predictions(path), predictions, check_dtype=False)
    assert read_predictions(path)["patient_id"][0] == "000"


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("probability_medial_1", 1.5, "row 3: probability_medial_1=1.5; a probability is in 0-1"),
        ("probability_medial_1", "x", "row 3: probability_medial_1=x; a probability"),
        ("probability_medial_1", np.nan, "row 3: probability_medial_1=nan; a probability"),
        ("medial", 5, r"row 3: medial=5.0; a RUST score is 1-4 or empty"),
        ("medial", "high", "row 3: medial=high; a RUST score"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_place(
    column: str, value: str | float, told: str, tmp_path: Path, predictions: pd.DataFrame
) -> None:
    table = predictions.astype({column: object})
    table.loc[2, column] = value
    table.to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(RustTunerError, match=rf"predictions\.csv {told}"):
        read_predictions(tmp_path / "predictions.csv")


def test_a_missing_column_is_named(tmp_path: Path, predictions: pd.DataFrame) -> None:
    predictions.drop(columns="probability_view_ap").to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(RustTunerError, match=r"p\.csv lacks the column probability_view_ap"):
        read_predictions(tmp_path / "p.csv")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("")
    with pytest.raises(RustTunerError, match=r"p\.csv is not a CSV"):
        read_predictions(tmp_path / "p.csv")


def test_a_label_has_a_row_only_where_its_cortex_is_visible(predictions: pd.DataFrame) -> None:
    labels = label_table(predictions)
    for cortex in CORTICES:
        shown = set(predictions.loc[predictions[cortex].notna(), "image"])
        rows = labels[labels["cortex"] == cortex]
        assert set(rows["image"]) == shown
        assert len(rows) == 4 * len(shown)
        assert (rows.groupby("image")["positive"].sum() == 1).all()


def test_roc_curves_enclose_the_reference_area(predictions: pd.DataFrame) -> None:
    points = roc_table(label_table(predictions))
    for cortex in CORTICES:
        shown = predictions[predictions[cortex].notna()]
        for score in SCORES:
            rows = points[(points["cortex"] == cortex) & (points["score"] == score)]
            truth = shown[cortex] == score
            expected = roc_auc_score(truth, shown[f"probability_{cortex}_{score}"])
            assert rows["auroc"].iloc[0] == pytest.approx(expected)
            enclosed = auc(rows["false_positive_rate"], rows["true_positive_rate"])
            assert enclosed == pytest.approx(expected)
            assert rows["positives"].iloc[0] == truth.sum()
            assert rows["rows"].iloc[0] == len(shown)


def test_average_precision_is_the_reference(predictions: pd.DataFrame) -> None:
    points = precision_recall_table(label_table(predictions))
    shown = predictions[predictions["anterior"].notna()]
    rows = points[(points["cortex"] == "anterior") & (points["score"] == 2)]
    expected = average_precision_score(shown["anterior"] == 2, shown["probability_anterior_2"])
    assert rows["average_precision"].iloc[0] == pytest.approx(expected)


@pytest.mark.parametrize("table", [roc_table, precision_recall_table])
def test_a_label_of_one_class_has_no_curve_and_no_figure(
    table: Callable[[pd.DataFrame], pd.DataFrame], predictions: pd.DataFrame
) -> None:
    changed = predictions.assign(medial=predictions["medial"].replace(4, 3))
    points = table(label_table(changed))
    rows = points[(points["cortex"] == "medial") & (points["score"] == 4)]
    assert len(rows) == 1
    assert rows["positives"].item() == 0
    assert rows.iloc[0, 2:5].isna().all()


def test_nothing_visible_is_an_error_that_says_so(predictions: pd.DataFrame) -> None:
    blind = predictions.assign(**dict.fromkeys(CORTICES, np.nan))
    with pytest.raises(RustTunerError, match="no radiograph has a visible cortex"):
        roc_table(label_table(blind))


def test_confusion_counts_are_the_reference(predictions: pd.DataFrame) -> None:
    counts = confusion_table(predictions)
    for cortex in CORTICES:
        shown = predictions[predictions[cortex].notna()]
        columns = [f"probability_{cortex}_{score}" for score in SCORES]
        likeliest = shown[columns].to_numpy().argmax(axis=1) + 1
        expected = confusion_matrix(shown[cortex].astype(int), likeliest, labels=SCORES)
        own = counts[counts["cortex"] == cortex]
        grid = own.pivot(index="true_score", columns="predicted_score", values="count")
        np.testing.assert_array_equal(grid.to_numpy(), expected)
        shares = own.groupby("true_score")["share"].sum()
        np.testing.assert_allclose(shares, 1)


def test_a_true_score_that_does_not_occur_has_no_share(predictions: pd.DataFrame) -> None:
    changed = predictions.assign(medial=predictions["medial"].replace(4, 3))
    counts = confusion_table(changed)
    rows = counts[(counts["cortex"] == "medial") & (counts["true_score"] == 4)]
    assert rows["share"].isna().all()
    assert (rows["count"] == 0).all()
