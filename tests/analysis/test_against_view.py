"""Whether a figure beats the view alone: one rule for searches, outer folds and hold-out set."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search
from narrowing import not_none
from report_predictions import make_predictions
from report_searches import write_json, write_regime_1
from report_studies import write_study

from rust_tuner.analysis.against_view import (
    Standing,
    holdout_standings,
    nested_standings,
    standings,
    study_standings,
)
from rust_tuner.files import read_json
from rust_tuner.metrics import Gain, Interval
from rust_tuner.records.folder import read_study
from rust_tuner.records.project import read_project


def standing(low: float, high: float, view_only: float = 0.8, metric: str = "auroc") -> Standing:
    reference = max(view_only, 0.5)
    middle = (low + high) / 2
    gain = Interval(middle, low, high, reason="" if low == low else "no patient changes it")
    return Standing(metric, Gain(reference + middle, view_only, reference, gain, 40))


def test_a_gain_whose_interval_is_above_zero_leaves_no_doubt() -> None:
    found = standing(0.01, 0.05)
    assert (found.answer, found.is_above, found.doubt) == ("above", True, "")
    assert found.in_words == (
        "0.830 against 0.800, gain +0.030 (95 % over 40 patients +0.010 to +0.050)"
    )


def test_a_gain_whose_interval_contains_zero_is_not_distinguishable() -> None:
    found = standing(-0.02, 0.02)
    assert found.answer == "not distinguishable"
    assert found.doubt.startswith("cannot be distinguished from the view-only baseline: 0.800")


def test_an_interval_that_ends_at_zero_is_doubted() -> None:
    assert not standing(0.0, 0.1).is_above


def test_a_gain_whose_interval_is_below_zero_says_so() -> None:
    assert standing(-0.2, -0.1).answer == "below"
    assert standing(-0.2, -0.1).doubt.startswith("lies below the view-only baseline")


@pytest.mark.parametrize(
    ("view_only", "beside", "reference"),
    [
        (0.5, "chance, which the view alone does not exceed", "0.500"),
        (0.45, "chance, which the view alone does not reach", "chance (0.500)"),
    ],
)
def test_where_the_view_tells_no_more_than_chance_chance_is_named(
    view_only: float, beside: str, reference: str
) -> None:
    assert (
        f"from {beside}: 0.500 against {reference}, gain" in standing(-0.05, 0.05, view_only).doubt
    )


def test_an_undefined_interval_is_not_distinguishable() -> None:
    found = standing(math.nan, math.nan)
    assert found.answer == "not distinguishable"
    assert "(no interval: no patient changes it)" in found.doubt


def test_without_predictions_it_is_undecided_and_no_other_rule_takes_over(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1"))
    found = standings(project)
    assert {item.answer for item in found} == {"undecided"}
    assert "cannot be decided: no predictions by patient" in found[0].doubt


def test_a_search_without_a_view_only_baseline_has_no_standing(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1"))
    run = project.run.with_changes(view_only_baseline={})
    assert standings(dataclasses.replace(project, run=run)) == ()


def test_both_figures_of_a_search_stand_beside_its_own_baseline(tmp_path: Path) -> None:
    radiographs = phantom_rows(patients=50)
    good = write_judged_search(tmp_path / "good", radiographs, skilled(radiographs))
    found = standings(good)
    for item in found:
        assert not_none(item.gain).baseline == pytest.approx(
            good.run.view_only[f"val_{item.metric}"], abs=1e-9
        )
        assert not_none(item.gain).model == pytest.approx(
            not_none(good.best).metrics[f"val_{item.metric}"], abs=1e-9
        )
    assert [item.answer for item in found] == ["above", "above"]
    view = write_judged_search(tmp_path / "view", radiographs, of_the_view(radiographs))
    assert not any(item.is_above for item in standings(view))


def test_every_part_of_a_study_is_judged_by_its_predictions(tmp_path: Path) -> None:
    records = read_study(write_study(tmp_path / "study"))
    found = study_standings(records)
    assert list(found) == ["regime_1", "regime_2", "cross_validation", "nested", "holdout"]
    assert all(item.answer != "undecided" for items in found.values() for item in items)
    assert found["nested"] == nested_standings(not_none(records.nested))
    assert found["holdout"] == holdout_standings(records)


def without_skill(rows: int, seed: int = 0) -> pd.DataFrame:
    """Predictions of a reader that guesses every cortex."""
    table = make_predictions(rows, seed)
    rng = np.random.default_rng(seed)
    for name in table.columns:
        if name.startswith("probability_") and "view" not in name:
            table[name] = rng.random(rows)
    return table


@pytest.mark.slow
def test_twelve_patients_a_hair_above_chance_do_not_beat_the_view(tmp_path: Path) -> None:
    """The figure of the record is above the baseline; the interval over patients decides."""
    study = write_study(tmp_path / "study")
    record = read_json(study / "final" / "holdout.json")
    record |= {"patients": 12, "radiographs": 48}
    record["metrics"] |= {"cortex_auroc": 0.505}
    write_json(study / "final" / "holdout.json", record)
    above = 0
    for seed in range(12):
        without_skill(48, seed).to_csv(study / "final" / "predictions.csv", index=False)
        (_, cortices) = holdout_standings(read_study(study))
        assert not_none(cortices.gain).num_patients == 12
        above += cortices.is_above
    assert above <= 2


@pytest.mark.parametrize("missing", ["predictions", "rows"])
def test_a_hold_out_set_without_predictions_or_development_labels_is_undecided(
    missing: str, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study")
    if missing == "predictions":
        (study / "final" / "predictions.csv").unlink()
    else:
        for path in study.rglob("rows.csv"):
            path.unlink()
    found = holdout_standings(read_study(study))
    assert {item.answer for item in found} == {"undecided"}
    expected = "no predictions by patient" if missing == "predictions" else "development set"
    assert expected in found[0].reason


def test_a_nested_cross_validation_without_predictions_is_undecided(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    (study / "nested" / "predictions.csv").write_text("nothing")
    found = nested_standings(not_none(read_study(study).nested))
    assert {item.answer for item in found} == {"undecided"}
