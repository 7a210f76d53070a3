"""Figures per cortex: what is drawn and written is the table."""

import numpy as np
import pytest
from report_studies import make_predictions
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
def predictions():
    return make_predictions(rows=80)


def test_counts_and_agreement_are_written_into_the_matrices(predictions):
    table = confusion_table(predictions)
    figure = new_figure(height=3.4)
    draw_confusion(table, figure=figure)
    for axes, (cortex, rows) in zip(figure.axes, table.groupby("cortex", sort=False), strict=False):
        counts = rows["count"].to_numpy().reshape(4, 4)
        written = {t.get_position(): t.get_text() for t in axes.texts}
        for true in range(4):
            for predicted in range(4):
                assert written[predicted + 0.5, true + 0.5] == str(counts[true, predicted])
        told = f"{cortex}: {np.trace(counts)} of n = {counts.sum()}"
        assert axes.get_title(loc="left") == told


def test_each_curve_of_a_cortex_has_a_style_of_its_own_and_its_figure(predictions):
    points = roc_table(label_table(predictions))
    figure = new_figure(height=4)
    draw_roc(points, figure=figure)
    for axes, (_, rows) in zip(figure.axes, points.groupby("cortex", sort=False), strict=True):
        curves = axes.get_lines()[1:]
        assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in curves}) == 4
        for line, (score, own) in zip(curves, rows.groupby("score"), strict=True):
            assert line.get_label() == f"{score}: {own['auroc'].iloc[0]:.2f}"
            np.testing.assert_array_equal(line.get_ydata(), own["true_positive_rate"])


def test_the_area_below_a_precision_recall_curve_is_the_figure_beside_it(predictions):
    points = precision_recall_table(label_table(predictions))
    figure = new_figure(height=4.7)
    draw_precision_recall(points, figure=figure)
    for axes, (_, rows) in zip(figure.axes, points.groupby("cortex", sort=False), strict=True):
        for line, (score, own) in zip(axes.get_lines(), rows.groupby("score"), strict=True):
            area = auc(line.get_xdata(), line.get_ydata())
            assert area == pytest.approx(own["average_precision"].iloc[0])
            share = own["positives"].iloc[0] / own["rows"].iloc[0]
            assert line.get_label() == f"{score}: {area:.2f} ({share:.2f})"


def test_an_undefined_figure_is_no_number(predictions):
    changed = predictions.assign(medial=predictions["medial"].replace(4, 3))
    figure = new_figure(height=4)
    draw_roc(roc_table(label_table(changed)), figure=figure)
    assert figure.axes[0].get_lines()[-1].get_label() == "4: -"
