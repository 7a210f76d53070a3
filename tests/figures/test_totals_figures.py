"""Totals, their differences and healing: every visit is drawn, and lines are the agreement's."""

import dataclasses
import itertools
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from narrowing import is_a
from report_figures import lines_of
from report_predictions import make_predictions

from rust_tuner.analysis.totals import trajectory_table, visit_table
from rust_tuner.figures.style import new_axes, new_figure
from rust_tuner.figures.totals import draw_bland_altman, draw_totals, draw_trajectories
from rust_tuner.metrics import Interval, total_agreement
from rust_tuner.metrics.agreement import TotalAgreement


@pytest.fixture(scope="module")
def visits() -> pd.DataFrame:
    return visit_table(make_predictions(rows=80))


@pytest.fixture(scope="module")
def agreement(visits: pd.DataFrame) -> TotalAgreement:
    return total_agreement(visits["true_total"], visits["predicted_total"])


def counts(x: "pd.Series[Any]", y: "pd.Series[Any]") -> dict[Hashable, int]:
    return pd.DataFrame({"x": x, "y": y}).value_counts().to_dict()


def test_each_place_has_a_marker_whose_area_is_its_number_of_visits(
    visits: pd.DataFrame, agreement: TotalAgreement
) -> None:
    axes = new_axes()
    draw_totals(visits, axes=axes, agreement=agreement)
    (marks,) = axes.collections
    expected = counts(visits["true_total"], visits["predicted_total"])
    areas = {
        tuple(xy): size
        for xy, size in zip(
            np.asarray(marks.get_offsets()),
            np.asarray(marks.get_sizes()),  # type: ignore[attr-defined]
            strict=True,
        )
    }
    unit = min(areas.values())
    assert {place: round(size / unit) for place, size in areas.items()} == expected
    assert max(expected.values()) > 1
    for number in (1, max(expected.values())):
        line = lines_of(axes, f"{number} visit")
        assert line.get_markersize() ** 2 == pytest.approx(unit * number)
    title = axes.get_title(loc="left")
    assert title.startswith(f"n = 40 visits of 20 patients\nMAE {agreement.mae:.2f} points; ICC ")
    assert f"({agreement.icc.low:.2f} to {agreement.icc.high:.2f})" in title
    assert axes.get_xlim() == axes.get_ylim()


def test_differences_stand_at_their_means_between_the_limits(
    visits: pd.DataFrame, agreement: TotalAgreement
) -> None:
    axes = new_axes()
    draw_bland_altman(visits, axes=axes, agreement=agreement)
    marks = axes.collections[0]
    difference = visits["predicted_total"] - visits["true_total"]
    expected = counts((visits["true_total"] + visits["predicted_total"]) / 2, difference)
    assert {tuple(xy) for xy in np.asarray(marks.get_offsets())} == set(expected)
    heights = [
        np.asarray(line.get_ydata())[0]
        for line in axes.get_lines()
        if len(np.asarray(line.get_ydata()))
    ]
    lines = (agreement.bias, agreement.upper_limit, agreement.lower_limit)
    assert heights == pytest.approx([line.value for line in lines] + [0])
    low, high = axes.get_ylim()
    assert low < agreement.lower_limit.low
    assert high > agreement.upper_limit.high
    texts = [text.get_text() for text in axes.texts]
    assert f"bias\n{agreement.bias.value:+.2f}" in texts


def test_one_visit_has_a_bias_and_no_limits(visits: pd.DataFrame) -> None:
    one = visits.head(1)
    axes = new_axes()
    agreement = total_agreement(one["true_total"], one["predicted_total"])
    draw_bland_altman(one, axes=axes, agreement=agreement)
    assert [text.get_text().split("\n")[0] for text in axes.texts] == ["bias"]
    axes = new_axes()
    draw_totals(one, axes=axes, agreement=agreement)
    assert "ICC undefined" in axes.get_title(loc="left")
    assert "n = 1 visit of 1 patient" in axes.get_title(loc="left")


def test_each_panel_is_a_patient_with_true_and_predicted_totals(visits: pd.DataFrame) -> None:
    chosen = trajectory_table(visits, count=4)
    figure = new_figure(height=4)
    draw_trajectories(chosen, figure=figure, unit="weeks")
    used = [axes for axes in figure.axes if axes.axison]
    for axes, (_, rows) in zip(used, chosen.groupby("patient_id", sort=False), strict=True):
        for label, side in (("true", "true_total"), ("predicted", "predicted_total")):
            line = lines_of(axes, label)
            np.testing.assert_array_equal(line.get_xdata(), rows["place"])
            np.testing.assert_array_equal(line.get_ydata(), rows[side])
        assert axes.get_title(loc="left") == f"MAE {rows['error'].iloc[0]:.1f}"
    assert figure.get_suptitle().startswith("4 of n = 20 patients")
    assert used[-1].get_xlabel() == "Weeks"


def test_an_order_that_is_no_time_is_said_to_be_one(visits: pd.DataFrame) -> None:
    chosen = trajectory_table(
        visits.assign(visit=visits["visit"].map({"6 weeks": "a", "3 months": "b"}))
    )
    figure = new_figure(height=4)
    draw_trajectories(chosen, figure=figure, is_ordinal=True)
    assert "not of time" in figure.get_suptitle()
    ticks = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert ticks == ["a", "b"]


def test_limits_without_an_interval_lie_inside_the_panel(visits: pd.DataFrame) -> None:
    two = visits.head(2).assign(true_total=[6.0, 13.0], predicted_total=[12.0, 8.0])
    agreement = total_agreement(two["true_total"], two["predicted_total"])
    bare = dataclasses.replace(
        agreement,
        **{  # type: ignore[arg-type]
            name: Interval(getattr(agreement, name).value, np.nan, np.nan)
            for name in ("bias", "lower_limit", "upper_limit")
        },
    )
    axes = new_axes(height=3.0)
    draw_bland_altman(two, axes=axes, agreement=bare)
    low, high = axes.get_ylim()
    assert low < bare.lower_limit.value < bare.upper_limit.value < high
    # What lies outside would leave no room for the panel, and Matplotlib would warn.
    is_a(Figure, axes.figure).draw_without_rendering()


def test_labels_of_equal_lines_stand_apart(visits: pd.DataFrame) -> None:
    same = visits.dropna(subset=["true_total"]).head(6).assign(true_total=8.0, predicted_total=9.0)
    agreement = total_agreement(same["true_total"], same["predicted_total"])
    axes = new_axes(height=3.0)
    draw_bland_altman(same, axes=axes, agreement=agreement)
    is_a(Figure, axes.figure).draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))
