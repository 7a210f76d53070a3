"""What is drawn stands in the table: means, intervals and boxes are those of the folds."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import boxplot_stats

from rust_tuner.analysis.drawn import best_epoch, with_boxes, with_intervals, with_means
from rust_tuner.metrics import fold_interval


@pytest.fixture
def scores() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    values = np.clip(rng.normal(0.8, 0.05, size=(3, 6)), 0, 1)
    values[1, 0] = 0.3
    rows = [(rank, fold, values[rank, fold]) for fold in range(6) for rank in rng.permutation(3)]
    return pd.DataFrame(rows, columns=["rank", "fold", "value"])


def test_each_row_has_the_interval_of_its_model(scores: pd.DataFrame) -> None:
    found = with_intervals(scores, by=("rank",))
    pd.testing.assert_frame_equal(found[list(scores)], scores)
    for _, rows in found.groupby("rank"):
        expected = fold_interval(rows["value"], bounds=(0, 1))
        for name, value in (
            ("mean", expected.value),
            ("low", expected.low),
            ("high", expected.high),
        ):
            assert rows[name].unique().tolist() == [value]


def test_boxes_are_those_that_matplotlib_draws(scores: pd.DataFrame) -> None:
    found = with_boxes(scores)
    for _, rows in found.groupby("rank"):
        (box,) = boxplot_stats(rows["value"])
        for name, own in (
            *(("mean", "mean"), ("median", "med"), ("lower_quartile", "q1")),
            *(("upper_quartile", "q3"), ("lower_whisker", "whislo"), ("upper_whisker", "whishi")),
        ):
            assert rows[name].unique() == pytest.approx([box[own]])


def test_means_are_those_of_each_split_and_epoch(scores: pd.DataFrame) -> None:
    curves = scores.rename(columns={"rank": "epoch", "value": "auroc"}).assign(split="validation")
    found = with_means(curves, "auroc")
    expected = curves.groupby("epoch")["auroc"].agg(["mean", "min", "max"])
    for row in found.to_dict("records"):
        own = (row["mean"], row["lowest"], row["highest"])
        assert own == pytest.approx(tuple(expected.loc[row["epoch"]]))


def test_a_table_without_rows_keeps_its_columns(scores: pd.DataFrame) -> None:
    assert list(with_intervals(scores[:0], by=("rank",)))[-3:] == ["mean", "low", "high"]
    assert "median" in with_boxes(scores[:0])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        *((name, 3) for name in ("loss", "mae", "mean_squared_error", "bone_rmse", "KLDivergence")),
        *((name, 1) for name in ("auroc", "accuracy", "f1_score", "precision_at_recall", "AUC_1")),
        ("dose", None),
    ],
)
def test_the_best_epoch_is_the_lowest_of_an_error_and_none_where_the_name_does_not_say(
    metric: str, expected: int | None
) -> None:
    assert best_epoch(pd.Series([0.9, 0.5, 0.1], index=[1, 2, 3]), metric) == expected
