"""The best trial against what costs no image: what an interval rules out, and what not."""

import math

import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search
from report_studies import write_regime_1

from rust_tuner.analysis.against_view import Standing, standings
from rust_tuner.metrics import Interval
from rust_tuner.records.project import read_project


def standing(low, high, view_only=0.8, metric="auroc"):
    return Standing(metric, Interval((low + high) / 2, low, high), view_only)


def test_an_interval_above_both_leaves_no_doubt():
    assert standing(0.81, 0.85).doubt == ""


def test_an_interval_that_contains_the_view_only_baseline_is_doubted():
    assert standing(0.78, 0.82).doubt == (
        "its 95 % interval over patients, 0.780 to 0.820, contains the view-only baseline (0.800)"
    )


def test_an_interval_that_ends_at_the_baseline_is_doubted():
    assert standing(0.8, 0.9).doubt


def test_an_interval_below_the_baseline_says_so():
    assert standing(0.6, 0.7).doubt.endswith("lies below the view-only baseline (0.800)")


def test_below_the_baseline_and_at_chance_are_told_apart():
    assert standing(0.45, 0.55).doubt.endswith(
        "lies below the view-only baseline (0.800) and contains chance (0.500)"
    )


def test_of_visible_cortices_the_view_tells_chance_and_is_named_once():
    doubt = standing(0.45, 0.55, view_only=0.5, metric="cortex_auroc").doubt
    assert doubt.endswith("contains chance, which is all that the view tells (0.500)")


def test_an_undefined_interval_is_doubted():
    assert standing(math.nan, math.nan).doubt


def test_both_figures_of_a_search_stand_beside_its_own_baseline(tmp_path):
    radiographs = phantom_rows(patients=50)
    good = write_judged_search(tmp_path / "good", radiographs, skilled(radiographs))
    known = {name.removeprefix("val_"): v for name, v in good.run["view_only_baseline"].items()}
    found = standings(good)
    assert {item.metric: item.view_only for item in found} == known
    assert [item.doubt for item in found] == ["", ""]
    view = write_judged_search(tmp_path / "view", radiographs, of_the_view(radiographs))
    assert all(item.doubt for item in standings(view))


@pytest.mark.parametrize("change", ["view_only_baseline", "rows"])
def test_without_a_baseline_or_predictions_nothing_is_said(tmp_path, change):
    project = read_project(write_regime_1(tmp_path / "regime_1"))
    if change == "view_only_baseline":
        project.run["view_only_baseline"] = {}
    assert standings(project) == ()
