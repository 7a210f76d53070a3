"""Ours beside the published figures: both sides whole, each with its own view-only line."""

import numpy as np
import pytest
from report_figures import VIEW_ONLY, lines_of, sides, write_tables

from rust_tuner.analysis.tables import best_epoch_scores, curves_table, published_regime_1
from rust_tuner.figures.published import draw_curves_beside, draw_models_beside, draw_trials_beside
from rust_tuner.figures.published_study import read_published
from rust_tuner.figures.style import new_axes, new_figure
from rust_tuner.metrics.fold_interval import fold_interval
from rust_tuner.records.project import Project


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    return write_tables(tmp_path_factory.mktemp("projects")).projects


def test_both_mean_curves_and_view_only_lines_are_drawn(projects: dict[str, Project]) -> None:
    ours = curves_table(projects["lenet1998"], model="final")
    both = sides(read_published("final_model_kfold"), ours)
    axes = new_axes()
    draw_curves_beside(both, axes=axes, view_only=VIEW_ONLY)
    for side, place in (("published", 0), ("here", 1)):
        rows = both[(both["side"] == side) & (both["split"] == "validation")]
        folds = rows.pivot(index="epoch", columns="fold", values="auroc")
        np.testing.assert_allclose(np.asarray(lines_of(axes, side).get_ydata()), folds.mean(axis=1))
        band = axes.collections[place].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(folds.min(axis=None))  # type: ignore[index,union-attr]
        assert band[:, 1].max() == pytest.approx(folds.max(axis=None))  # type: ignore[index,union-attr]
        line = lines_of(axes, f"view only, {side}")
        assert set(np.asarray(line.get_ydata())) == {VIEW_ONLY[side]}
    assert axes.get_title(loc="left") == "n folds: 10 published, 10 here; mean and range"


def test_a_side_without_a_baseline_has_no_line(projects: dict[str, Project]) -> None:
    ours = curves_table(projects["lenet1998"], model="final")
    axes = new_axes()
    draw_curves_beside(sides(ours.iloc[:0], ours), axes=axes, view_only={"published": 0.8})
    assert [line.get_label() for line in axes.get_lines()] == ["here"]


def test_each_model_has_both_means_with_their_intervals(projects: dict[str, Project]) -> None:
    ours = best_epoch_scores(curves_table(projects["lenet1998"], model="lenet1998"))
    theirs = best_epoch_scores(read_published("initial_evaluation"))
    both = sides(theirs, ours)
    axes = new_axes()
    draw_models_beside(both, axes=axes, names={"lenet1998": "LeNet"})
    ends = [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert len(ends) == 5
    for line, own in zip(ends[:2], (theirs[theirs["model"] == "lenet1998"], ours), strict=True):
        expected = fold_interval(own["value"])
        assert list(np.asarray(line.get_xdata())) == [expected.low, expected.high]
    first = axes.get_yticklabels()[0].get_text()
    assert first == f"LeNet\npublished 0.608\nhere {ours['value'].mean():.3f}"
    assert axes.get_yticklabels()[1].get_text() == "inceptionv3_end2end\npublished 0.692"


def test_every_trial_of_both_sides_stands_in_every_panel(projects: dict[str, Project]) -> None:
    theirs, ours = read_published("regime_1"), published_regime_1(projects["regime_1"])
    figure = new_figure()
    names = ("batch_size", "dropout_rate")
    draw_trials_beside(sides(theirs, ours), figure=figure, names=names, view_only=VIEW_ONLY)
    for axes, name in zip(figure.axes, names, strict=True):
        for label, table in (("published (n = 110)", theirs), ("here (n = 12)", ours)):
            line = lines_of(axes, label)
            np.testing.assert_allclose(
                np.asarray(line.get_xydata()), table[[name, "max_val_auroc"]]
            )
