"""The noise floor: the repeats that are there, and what they vary by."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_repeats import write_noise
from report_searches import curve_value
from scipy import stats

from rust_tuner.analysis.noise import noise_spread
from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json
from rust_tuner.records.noise import begun_repeats, read_noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "noise")


def values_of(values: pd.DataFrame, kind: str, metric: str) -> "pd.Series[float]":
    return values[(values["kind"] == kind) & (values["metric"] == metric)].set_index("repeat")[
        "value"
    ]


def test_every_repeat_has_the_score_of_its_trial(folder: Path) -> None:
    floor = read_noise(folder)
    assert list(floor.values.columns) == ["kind", "repeat", "metric", "value"]
    assert len(floor.values) == 2 * 4 * 2
    for metric in ("auroc", "cortex_auroc"):
        seeds = values_of(floor.values, "seed", metric)
        for repeat in range(4):
            folds = [curve_value(metric, repeat, fold, 2) for fold in range(3)]
            assert seeds[repeat] == pytest.approx(np.mean(folds))
        assigned = values_of(floor.values, "assignment", metric)
        for repeat in range(4):
            folds = [curve_value(metric, 0, fold, 2) for fold in range(3 + repeat % 2)]
            assert assigned[repeat] == pytest.approx(np.mean(folds))
    assert (floor.count("seed"), floor.count("assignment")) == (4, 4)
    assert floor.problems == floor.failures == ()


def test_repeats_that_still_run_or_failed_have_no_score(folder: Path) -> None:
    path = folder / "seeds" / "trial_0002" / "trial.json"
    failed = {"status": "FAILED", "score": None, "message": "TrialError: nan\nmore"}
    path.write_text(json.dumps(read_json(path) | failed))
    path = folder / "assignment_001" / "trial_0000" / "trial.json"
    path.write_text(json.dumps(read_json(path) | {"status": "RUNNING", "score": None}))
    floor = read_noise(folder)
    assert sorted(values_of(floor.values, "seed", "auroc").index) == [0, 1, 3]
    assert sorted(values_of(floor.values, "assignment", "auroc").index) == [0, 2, 3]
    assert floor.failures == ("seed 2 failed: TrialError: nan",)


def test_a_damaged_repeat_is_named_and_the_others_keep_their_numbers(folder: Path) -> None:
    (folder / "seeds" / "trial_0001" / "trial.json").write_text("{")
    floor = read_noise(folder)
    assert sorted(values_of(floor.values, "seed", "auroc").index) == [0, 2, 3]
    (problem,) = floor.problems
    assert problem.startswith("seeds: trial_0001: ")


def test_the_spread_is_that_of_the_repeats(folder: Path) -> None:
    values = read_noise(folder).values
    table = noise_spread(values).set_index(["kind", "metric"])
    for kind, metric in table.index:
        own = values_of(values, kind, metric)
        row = table.loc[(kind, metric)]
        assert row["repeats"] == 4
        assert row["mean"] == pytest.approx(own.mean())
        assert row["std"] == pytest.approx(np.std(own, ddof=1))
        low, high = stats.t.interval(
            0.95, 3, loc=own.mean(), scale=np.std(own, ddof=1) * np.sqrt(1 + 1 / 4)
        )
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        assert row["std_low"] < row["std"] < row["std_high"]
        assert row["difference"] > 2.7 * row["std"]


@pytest.mark.slow
def test_the_ranges_hold_what_they_promise_in_a_simulation() -> None:
    rng = np.random.default_rng(0)
    inside, near, covered = [], [], []
    for _ in range(500):
        drawn = rng.normal(0.75, 0.006, 12)
        values = pd.DataFrame({"kind": "seed", "repeat": range(10), "metric": "auroc"})
        row = noise_spread(values.assign(value=drawn[:10])).iloc[0]
        inside.append(row["low"] <= drawn[10] <= row["high"])
        near.append(abs(drawn[10] - drawn[11]) <= row["difference"])
        covered.append(row["std_low"] <= 0.006 <= row["std_high"])
    # Three standard errors of a share of 500 are 0.03.
    for found in (inside, near, covered):
        assert np.mean(found) == pytest.approx(0.95, abs=0.03)


def test_the_range_of_one_more_repeat_stays_where_aurocs_are() -> None:
    values = pd.DataFrame({"kind": "seed", "repeat": range(3), "metric": "auroc"})
    row = noise_spread(values.assign(value=[0.97, 0.93, 0.985])).iloc[0]
    assert row["high"] == 1.0
    assert 0.8 < row["low"] < row["mean"]


def test_two_repeats_differ_by_no_more_than_aurocs_can() -> None:
    values = pd.DataFrame({"kind": "seed", "repeat": range(2), "metric": "auroc"})
    row = noise_spread(values.assign(value=[0.5, 0.55])).iloc[0]
    assert row["difference"] < 1
    row = noise_spread(values.assign(value=[0.5, 0.65])).iloc[0]
    assert (row["difference"], row["std_high"], row["low"], row["high"]) == (1.0, 0.5, 0.0, 1.0)
    row = noise_spread(values.assign(value=[0.0, 1.0])).iloc[0]
    assert row["std_low"] <= row["std"] <= row["std_high"]


def test_one_repeat_has_a_mean_and_no_spread() -> None:
    values = pd.DataFrame({"kind": ["seed"], "repeat": [0], "metric": ["auroc"], "value": [0.75]})
    row = noise_spread(values).iloc[0]
    assert row["mean"] == 0.75
    assert np.isnan(row["std"])
    assert np.isnan(row["low"])


def test_no_repeat_at_all_is_a_table_without_rows() -> None:
    assert noise_spread(pd.DataFrame(columns=["kind", "repeat", "metric", "value"])).empty


def test_a_folder_without_repeats_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"noise\.json is missing"):
        read_noise(tmp_path)
    (tmp_path / "noise.json").write_text('{"format": 2}')
    with pytest.raises(RustTunerError, match="a format that this version does not know"):
        read_noise(tmp_path)


def test_the_number_of_repeats_is_what_was_begun_or_ten(tmp_path: Path, folder: Path) -> None:
    assert begun_repeats(folder.parent) == 4
    assert begun_repeats(tmp_path / "nothing") == 10
    (folder / "noise.json").write_text("{")
    assert begun_repeats(folder.parent) == 10
