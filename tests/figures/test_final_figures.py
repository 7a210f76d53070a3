"""Figures per cortex: what is drawn and written is the table."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from report_predictions import make_predictions
from sklearn.metrics import auc

from rust_tuner.figures.final import draw_confusion, draw_precision_recall, draw_roc
from rust_tuner.figures.style import new_figure
from rust_tuner.records.predictions import (
    confusion_table,
    label_table,
    precision_recall_table,
    roc_table,
)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return make_predictions(rows=160)


def test_counts_and_agreement_are_written_into_the_matrices(predictions: pd.DataFrame) -> None:
    table = confusion_table(predictions)
    figure = new_figure(height=3.7)
    draw_confusion(table, figure=figure)
    for axes, (cortex, rows) in zip(figure.axes, table.groupby("cortex", sort=False), strict=False):
        counts = rows["count"].to_numpy().reshape(4, 4)
        written = {t.get_position(): t.get_text() for t in axes.texts}
        for true in range(4):
            for predicted in range(4):
                assert written[predicted + 1, true + 1] == str(counts[true, predicted])
        expected = f"{cortex}: {np.trace(counts)} of n = {counts.sum()}"
        assert axes.get_title(loc="left") == expected


def test_each_curve_of_a_cortex_has_a_style_of_its_own_and_its_figure(
    predictions: pd.DataFrame,
) -> None:
    points = roc_table(label_table(predictions))
    figure = new_figure(height=4)
    draw_roc(points, figure=figure)
    for axes, (_, rows) in zip(figure.axes, points.groupby("cortex", sort=False), strict=True):
        curves = axes.get_lines()[1:]
        assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in curves}) == 4  # type: ignore[attr-defined]
        for line, (score, own) in zip(curves, rows.groupby("score"), strict=True):
            expected = f"{own['auroc'].iloc[0]:.2f} (n = {own['positives'].iloc[0]})"
            assert line.get_label() == f"{score}: {expected}"
            np.testing.assert_array_equal(line.get_ydata(), own["true_positive_rate"])


def test_the_area_below_a_precision_recall_curve_is_the_figure_beside_it(
    predictions: pd.DataFrame,
) -> None:
    points = precision_recall_table(label_table(predictions))
    figure = new_figure(height=4.7)
    draw_precision_recall(points, figure=figure)
    for axes, (_, rows) in zip(figure.axes, points.groupby("cortex", sort=False), strict=True):
        for line, (score, own) in zip(axes.get_lines(), rows.groupby("score"), strict=True):
            area = auc(line.get_xdata(), line.get_ydata())
            assert area == pytest.approx(own["average_precision"].iloc[0])
            share = own["positives"].iloc[0] / own["rows"].iloc[0]
            number = own["positives"].iloc[0]
            assert line.get_label() == f"{score}: {area:.2f} ({share:.2f}; n = {number})"


@pytest.mark.parametrize("positives", [0, 1, 9])
def test_a_score_with_fewer_than_ten_positives_has_its_number_and_no_curve(
    positives: int, predictions: pd.DataFrame
) -> None:
    is_four = predictions["medial"] == 4
    few = is_four & (is_four.cumsum() > positives)
    changed = predictions.assign(medial=predictions["medial"].mask(few, 3))
    labels = label_table(changed)
    for draw, table in (
        (draw_roc, roc_table(labels)),
        (draw_precision_recall, precision_recall_table(labels)),
    ):
        figure = new_figure(height=4.7)
        draw(table, figure=figure)
        texts = [text.get_text() for text in not_none(figure.axes[0].get_legend()).get_texts()]
        assert texts[3] == f"4: too few (n = {positives})"
        drawn = [line.get_label() for line in figure.axes[0].get_lines()]
        assert not [label for label in drawn if str(label).startswith("4")]


@pytest.mark.slow
def test_wrong_cells_look_wrong_and_stronger_where_they_are_further_off_or_more(
    predictions: pd.DataFrame,
) -> None:
    table = confusion_table(predictions)
    figure = new_figure(height=3.7)
    draw_confusion(table, figure=figure)
    medial = table[table["cortex"] == "medial"].to_dict("records")
    colours: dict[int, list[Any]] = {}
    for row, cell in zip(medial, figure.axes[0].patches, strict=True):
        middle = (cell.get_x() + cell.get_width() / 2, cell.get_y() + cell.get_height() / 2)  # type: ignore[attr-defined]
        assert middle == pytest.approx((row["predicted_score"], row["true_score"]))
        if row["count"]:
            distance = abs(row["predicted_score"] - row["true_score"])
            *colour, opacity = cell.get_facecolor()  # type: ignore[str-unpack]
            colours.setdefault(min(distance, 2), []).append((tuple(colour), row["share"], opacity))
        else:
            assert cell.get_facecolor()[3] == 0  # type: ignore[misc]
    for cells in colours.values():
        assert len({colour for colour, _, _ in cells}) == 1
        ordered = sorted(cells, key=lambda cell: cell[1])
        assert [opacity for *_, opacity in ordered] == sorted(opacity for *_, opacity in cells)
    assert len({cells[0][0] for cells in colours.values()}) == 3


def test_a_cortex_that_nobody_scored_is_named(predictions: pd.DataFrame) -> None:
    labels = label_table(predictions.assign(anterior=np.nan))
    for draw, table in (
        (draw_roc, roc_table(labels)),
        (draw_precision_recall, precision_recall_table(labels)),
    ):
        figure = new_figure(height=4.7)
        draw(table, figure=figure)
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles[2] == "anterior: not scored"
        assert titles[0].startswith("medial, n = ")
