"""How a search went: the best so far, and how its best trials spread."""

import numpy as np
import pytest
from report_figures import NAMES, lines_of, write_tables

from rust_tuner.analysis.drawn import with_boxes
from rust_tuner.analysis.tables import fold_scores, trials_table
from rust_tuner.figures.search import draw_fold_boxes, draw_search_progress
from rust_tuner.figures.style import new_axes
from rust_tuner.records.project import Project


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    return write_tables(tmp_path_factory.mktemp("projects")).projects


def test_the_step_line_is_the_best_so_far(projects: dict[str, Project]) -> None:
    table = trials_table(projects["regime_1"])
    scores = [0.5, 0.4, np.nan, 0.6, 0.3, 0.6, 0.7, 0.2, 0.7, 0.1, 0.8, 0.75]
    best = [0.5, 0.5, 0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.8, 0.8]
    table = table.assign(score=scores, best_so_far=best)
    axes = new_axes()
    draw_search_progress(table, axes=axes, view_only=0.65)
    np.testing.assert_array_equal(np.asarray(lines_of(axes, "best so far").get_ydata()), best)
    np.testing.assert_array_equal(np.asarray(lines_of(axes, "trial").get_ydata()), table["score"])
    assert set(np.asarray(lines_of(axes, "view only: 0.650").get_ydata())) == {0.65}
    assert axes.get_title(loc="left") == "n = 11 trials"


def test_only_the_best_ten_have_a_box_and_every_fold_a_point(projects: dict[str, Project]) -> None:
    scores = fold_scores(projects["regime_1"], "auroc")
    axes = new_axes()
    draw_fold_boxes(scores, axes=axes, names=NAMES)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label.split(":")[0] for label in labels] == [f"#{rank}" for rank in range(1, 11)]
    assert len(axes.collections) == 10
    for rank, points in enumerate(axes.collections, 1):
        folds = scores.loc[scores["rank"] == rank, "value"]
        np.testing.assert_allclose(np.sort(np.asarray(points.get_offsets())[:, 1]), np.sort(folds))
    boxes = with_boxes(scores[scores["rank"] <= 10]).drop_duplicates("rank").set_index("rank")
    means = [line for line in axes.get_lines() if line.get_marker() == "D"]
    assert [np.asarray(line.get_ydata())[0] for line in means] == pytest.approx(
        boxes["mean"].tolist()
    )
