"""Curves and models side by side: what is drawn is the table."""

import numpy as np
import pytest
from report_figures import NAMES, Tables, baseline_scores, lines_of, write_tables

from rust_tuner.analysis.tables import curves_table, ranked_curves
from rust_tuner.figures.curves import draw_baselines, draw_curve_grid, draw_curves
from rust_tuner.figures.style import new_axes, new_figure
from rust_tuner.metrics.fold_interval import fold_interval
from rust_tuner.records.project import Project


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("projects"))


@pytest.fixture
def projects(tables: Tables) -> dict[str, Project]:
    return tables.projects


def test_the_mean_curves_and_the_best_epoch_are_those_of_the_table(
    projects: dict[str, Project],
) -> None:
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves, axes=axes)
    for split, label in (("train", "training"), ("validation", "validation")):
        mean = curves[curves["split"] == split].groupby("epoch")["auroc"].mean()
        np.testing.assert_allclose(np.asarray(lines_of(axes, label).get_ydata()), mean)
        np.testing.assert_array_equal(
            np.asarray(lines_of(axes, label).get_xdata()), np.arange(1, 41)
        )
    marker = lines_of(axes, "epoch 3")
    assert list(np.asarray(marker.get_xdata())) == [3]
    assert len(axes.get_lines()) == 2 * 10 + 2 + 2


def test_a_chosen_epoch_is_marked_instead_of_the_best(projects: dict[str, Project]) -> None:
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves, axes=axes, epoch=7)
    mean = curves[(curves["split"] == "validation") & (curves["epoch"] == 7)]["auroc"].mean()
    assert list(np.asarray(lines_of(axes, "epoch 7").get_ydata())) == [pytest.approx(mean)]


def test_the_best_epoch_of_a_loss_is_its_lowest(projects: dict[str, Project]) -> None:
    curves = curves_table(projects["lenet1998"], model="m", metric="loss")
    axes = new_axes()
    draw_curves(curves, axes=axes, metric="loss")
    means = curves[curves["split"] == "validation"].groupby("epoch")["loss"].mean()
    assert list(np.asarray(lines_of(axes, "epoch").get_xdata())) == [means.idxmin()]
    assert means.idxmin() == 40


def test_training_and_validation_differ_without_colour(projects: dict[str, Project]) -> None:
    axes = new_axes()
    draw_curves(curves_table(projects["lenet1998"], model="m"), axes=axes)
    training, validation = (lines_of(axes, label) for label in ("training", "validation"))
    assert training.get_linestyle() != validation.get_linestyle()


def test_a_single_epoch_can_be_seen(projects: dict[str, Project]) -> None:
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves[curves["epoch"] == 1], axes=axes)
    assert lines_of(axes, "validation").get_marker() == "o"


@pytest.mark.parametrize(("shown", "panels"), [(1, 1), (4, 6), (9, 9)])
def test_each_panel_is_one_trial_from_the_best_to_the_worst(
    shown: int, panels: int, projects: dict[str, Project]
) -> None:
    figure = new_figure(height=4)
    curves = ranked_curves(projects["regime_1"], count=shown)
    draw_curve_grid(curves, figure=figure, names=NAMES)
    used = [axes for axes in figure.axes if axes.axison]
    assert len(figure.axes) == panels
    assert len(used) == shown
    firsts = curves.drop_duplicates("rank")
    for axes, row in zip(used, firsts.to_dict("records"), strict=True):
        title = axes.get_title(loc="left")
        assert title.startswith(f"#{row['rank']}: {row['score']:.3f}")
        assert f"{row['batch_size']}, " in title


def test_models_stand_from_the_top_with_mean_and_interval(tables: Tables) -> None:
    scores = baseline_scores(tables)
    axes = new_axes()
    draw_baselines(scores, axes=axes, view_only=0.8, names={"lenet1998": "LeNet"})
    labels = [label.get_text() for label in axes.get_yticklabels()]
    expected = fold_interval(scores.loc[scores["model"] == "lenet1998", "value"])
    assert labels[0] == f"LeNet\n{expected.value:.3f} ({expected.low:.3f}-{expected.high:.3f})"
    assert labels[1].startswith("inceptionv3_radimagenet\n")
    assert axes.yaxis_inverted()
    ends = [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert list(np.asarray(ends[0].get_xdata())) == [expected.low, expected.high]
    assert set(np.asarray(lines_of(axes, "view only: 0.800").get_xdata())) == {0.8}
    assert set(np.asarray(lines_of(axes, "chance").get_xdata())) == {0.5}


def test_a_lone_fold_has_no_interval(tables: Tables) -> None:
    scores = baseline_scores(tables)
    axes = new_axes()
    draw_baselines(scores[scores["fold"] == 0], axes=axes)
    assert not [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert "(" not in axes.get_yticklabels()[0].get_text()
