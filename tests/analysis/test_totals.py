"""Totals of visits: both views together, and visits where their names say they were."""

import numpy as np
import pandas as pd
import pytest
from report_predictions import make_predictions

from rust_tuner.analysis.totals import trajectory_table, visit_scale, visit_table
from rust_tuner.labels import CORTICES, LABELS, decode_probabilities
from rust_tuner.metrics import paired_totals


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return make_predictions(rows=80)


def test_true_totals_are_those_of_the_scores(predictions: pd.DataFrame) -> None:
    visits = visit_table(predictions)
    keys = ["patient_id", "visit"]
    scores = predictions.groupby(keys, sort=False)[list(CORTICES)].max()
    expected = scores.sum(axis=1).rename("total").reset_index()
    assert len(visits) == 40
    assert list(visits["true_total"]) == list(expected["total"])
    assert list(visits["patient_id"]) == list(expected["patient_id"])


def test_predicted_totals_sum_the_most_likely_score_of_each_visible_cortex(
    predictions: pd.DataFrame,
) -> None:
    visits = visit_table(predictions).set_index(["patient_id", "visit"])
    for key, rows in predictions.groupby(["patient_id", "visit"]):
        total = 0
        for cortex in CORTICES:
            row = rows[rows[cortex].notna()].iloc[0]
            total += 1 + int(np.argmax([row[f"probability_{cortex}_{n}"] for n in (1, 2, 3, 4)]))
        assert visits.loc[key, "predicted_total"] == total  # type: ignore[index]


def test_a_visit_without_all_four_cortices_has_no_total(predictions: pd.DataFrame) -> None:
    lacking = predictions.copy()
    lacking.loc[0, "medial"] = np.nan
    lone = lacking.drop(index=[6])
    visits = visit_table(lone)
    assert len(visits) == 38
    assert not ((visits["patient_id"] == "000") & (visits["visit"] == "6 weeks")).any()


def test_repeated_exposures_of_a_visit_are_averaged(predictions: pd.DataFrame) -> None:
    again = predictions.iloc[[0]].assign(medial=1.0)
    first = predictions.assign(medial=predictions["medial"].where(predictions.index != 0, 4.0))
    both = pd.concat([first, again])
    visits = visit_table(both)
    alone = visit_table(first)
    assert len(visits) == len(alone)
    assert visits["true_total"].iloc[0] == alone["true_total"].iloc[0] - 1.5
    assert visits["predicted_total"].iloc[0] == alone["predicted_total"].iloc[0]


@pytest.mark.parametrize(
    ("names", "places", "unit"),
    [
        (["baseline", "3 months", "12 months"], [0, 3, 12], "months"),
        (["6 weeks", "1 year", "Baseline"], [6, 365.25 / 7, 0], "weeks"),
        (["baseline_arm_1", "3_months_arm_1", "3_months_arm_2"], [0, 3, 3], "months"),
        (["2wk", "10 d"], [14, 10], "days"),
        (["6 mo", "1 yr"], [6, 12], "months"),
        (["2", "10", "1"], [2, 10, 1], None),
        (["visit 1", "V2"], [1, 2], None),
    ],
)
def test_names_that_tell_a_time_or_number_give_the_place(
    names: list[str], places: list[float], unit: str | None
) -> None:
    scale = visit_scale(names)
    assert [scale.places[name] for name in names] == pytest.approx(places)
    assert (scale.unit, scale.is_ordinal) == (unit, False)


@pytest.mark.parametrize("names", [["pre-op", "post-op"], ["baseline", "last seen"], ["baseline"]])
def test_other_names_stand_in_their_order(names: list[str]) -> None:
    scale = visit_scale([names[0], *names])
    assert list(scale.places.values()) == list(range(1, len(names) + 1))
    assert scale.unit is None
    assert scale.is_ordinal


def test_patients_stand_from_the_smallest_to_the_largest_error(predictions: pd.DataFrame) -> None:
    visits = visit_table(predictions)
    chosen = trajectory_table(visits, count=5)
    assert chosen.attrs["patients"] == 20
    patients = list(dict.fromkeys(chosen["patient_id"]))
    assert len(patients) == 5
    off = (visits["predicted_total"] - visits["true_total"]).abs()
    errors = off.groupby(visits["patient_id"]).mean()
    assert errors[patients[0]] == errors.min()
    assert errors[patients[-1]] == errors.max()
    assert list(errors[patients]) == sorted(errors[patients])
    for _, rows in chosen.groupby("patient_id"):
        assert list(rows["visit"]) == ["6 weeks", "3 months"]
        assert list(rows["place"]) == pytest.approx([6, 3 * 30.4375 / 7])
        assert (rows["error"] == errors[rows["patient_id"].iloc[0]]).all()


def test_a_patient_seen_once_has_no_trajectory(predictions: pd.DataFrame) -> None:
    visits = visit_table(predictions)
    once = visits[(visits["patient_id"] != "003") | (visits["visit"] == "6 weeks")]
    chosen = trajectory_table(once, count=100)
    assert "003" not in set(chosen["patient_id"])
    assert chosen.attrs["patients"] == 19
    assert trajectory_table(visits[visits["visit"] == "6 weeks"]).empty


def test_totals_are_those_of_the_metrics(predictions: pd.DataFrame) -> None:
    again = pd.concat([predictions, predictions.iloc[[0]].assign(medial=1.0)], ignore_index=True)
    visits = visit_table(again)
    truth = again[list(CORTICES)].to_numpy()
    answers = decode_probabilities(again[[f"probability_{label}" for label in LABELS]].to_numpy())
    likeliest = np.where(np.isnan(truth), np.nan, answers.most_likely)
    expected = paired_totals(truth, likeliest, again["patient_id"], again["visit"])
    np.testing.assert_array_equal(visits["true_total"], expected.reference)
    np.testing.assert_array_equal(visits["predicted_total"], expected.predicted)
    assert list(visits["patient_id"]) == list(expected.patient_ids)
