"""One person under two ids: what the data can tell is found, and what they cannot is said."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hold_out_sets import sealed
from narrowing import not_none

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.steps.checks.same_person import check_same_person, likeness_of_visits


def people(
    count: int, *, visits: int = 2, views: tuple[str, str] = ("ap", "lateral")
) -> Radiographs:
    """Radiographs of `count` people, each with some visits."""
    rows = [
        {
            "image": f"{person}_{visit}_{view}.png",
            "patient_id": f"P{person:03d}",
            "visit": str(visit),
            "view": view,
            "medial": None,
            "lateral": None,
            "anterior": None,
            "posterior": None,
        }
        for person in range(count)
        for visit in range(visits)
        for view in views
    ]
    return Radiographs(pd.DataFrame(rows))


def alike_by(
    radiographs: Radiographs, owners: npt.NDArray[np.object_], *, strength: int, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Z-scores of pairs of one view, raised where both are of one person."""
    count = len(radiographs)
    noise = np.random.default_rng(seed).standard_normal((count, count))
    alike = (noise + noise.T) / np.sqrt(2) + strength * (owners[:, None] == owners)
    views = radiographs.table["view"].to_numpy()
    alike[views[:, None] != views] = np.nan
    np.fill_diagonal(alike, np.nan)
    raised: npt.NDArray[np.float32] = alike.astype(np.float32)
    return raised


def renamed(radiographs: Radiographs, person: str, visit: str, name: str) -> Radiographs:
    """The same radiographs with one visit of a person under another id."""
    table = radiographs.table.copy()
    table.loc[(table["patient_id"] == person) & (table["visit"] == visit), "patient_id"] = name
    return Radiographs(table)


def test_where_legs_can_be_told_apart_and_no_two_ids_are_alike_it_passes() -> None:
    radiographs = people(30)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=8)
    verdict = check_same_person(radiographs, {"pictures": alike}, None)
    assert verdict.status == "passed"
    assert verdict.reason.startswith("No person found under two ids. 1740 pairs of visits")
    assert "AUROC of 1.00 (0.88 to 1.00; 30 pairs of visits of 30 ids)" in verdict.reason
    assert "30 of these 30 are alike enough to be flagged" in verdict.reason


def test_a_person_under_two_ids_is_named_with_both_sides() -> None:
    radiographs = people(30)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=8)
    double = renamed(radiographs, "P003", "1", "Q1")
    verdict = check_same_person(double, {"pictures": alike}, sealed(double, "Q1"))
    assert verdict.status == "warning"
    (line,) = verdict.findings
    assert line.startswith(
        "patient P003 (visit 0, development set) and patient Q1 (visit 1, hold-out set): likeness"
    )
    assert verdict.figures["flagged"] == 1


def test_pairs_across_the_holdout_border_stand_first() -> None:
    radiographs = people(30)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=8)
    double = renamed(renamed(radiographs, "P003", "1", "Q1"), "P004", "1", "Q2")
    split = sealed(double, "Q2")
    first, second = check_same_person(double, {"pictures": alike}, split).findings
    assert "Q2" in first
    assert "Q1" in second


def test_where_legs_cannot_be_told_apart_silence_is_no_pass() -> None:
    radiographs = people(30)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=1)
    verdict = check_same_person(radiographs, {"pictures": alike}, None)
    assert verdict.status == "not_run"
    assert verdict.reason.startswith("These data cannot show whether one person has two ids.")
    assert "None stands out, but that says little" in verdict.reason
    assert 0.7 < not_none(verdict.figures["auroc"]) < 0.95
    assert not_none(verdict.figures["share_of_one_id_seen"]) < 0.5


def test_without_ids_that_came_twice_nothing_can_be_measured() -> None:
    radiographs = people(30, visits=1)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=8)
    verdict = check_same_person(radiographs, {"pictures": alike}, None)
    assert verdict.status == "not_run"
    assert "Only 0 pairs of visits are of one id, too few to measure" in verdict.reason
    assert "auroc" not in verdict.figures


@pytest.mark.parametrize("count", (0, 1))
def test_one_person_and_none_have_nobody_to_be_compared_with(count: int) -> None:
    radiographs = people(count) if count else people(1).subset(np.array([], dtype=np.int64))
    alike = alike_by(radiographs, radiographs.patient_ids, strength=8)
    verdict = check_same_person(radiographs, {"pictures": alike}, None)
    assert verdict.status == "not_run"
    assert verdict.reason == "No two ids have radiographs of one view."


def test_fewer_than_four_in_a_hundred_clean_sets_raise_an_alarm() -> None:
    radiographs = people(20)
    alarms = sum(
        check_same_person(
            radiographs,
            {"pictures": alike_by(radiographs, radiographs.patient_ids, strength=1, seed=seed)},
            None,
        ).status
        == "warning"
        for seed in range(150)
    )
    assert alarms <= 6


def test_views_and_ways_of_comparing_add_up() -> None:
    radiographs = people(30)
    owners = radiographs.patient_ids
    weak = {str(seed): alike_by(radiographs, owners, strength=1, seed=seed) for seed in (0, 1)}
    both = likeness_of_visits(radiographs, weak).ranks.mean()
    one = likeness_of_visits(radiographs, {"0": weak["0"]}).ranks.mean()
    one_view = radiographs.table["view"].to_numpy() == "ap"
    rows = np.flatnonzero(one_view)
    less = likeness_of_visits(
        radiographs.subset(rows), {"0": weak["0"][np.ix_(rows, rows)]}
    ).ranks.mean()
    assert less < one < both


def test_the_interval_holds_its_estimate() -> None:
    radiographs = people(25, visits=3)
    likeness = likeness_of_visits(
        radiographs, {"pictures": alike_by(radiographs, radiographs.patient_ids, strength=1)}
    )
    area = likeness.auroc_interval()
    assert area.value == likeness.ranks.mean()
    assert area.low < area.value < area.high
    assert len(likeness.known) == 75


@pytest.mark.parametrize("several", [1, 4])
def test_few_ids_with_several_visits_give_no_interval(several: int) -> None:
    table = people(30, visits=1).table
    visits = [
        table[table["patient_id"] == name].assign(visit=f"again {number}")
        for name in table["patient_id"].unique()[:several]
        for number in range(5)
    ]
    more = Radiographs(pd.concat([table, *visits], ignore_index=True))
    alike = {"pictures": alike_by(more, more.patient_ids, strength=2)}
    area = likeness_of_visits(more, alike).auroc_interval()
    assert math.isnan(area.low)
    reason = check_same_person(more, alike, None).reason
    ids = "1 id)" if several == 1 else f"{several} ids)"
    assert f"(no interval: too few ids; {15 * several} pairs of visits of {ids}" in reason


@pytest.mark.parametrize(("several", "visits"), [(5, 5), (10, 2), (40, 2)])
def test_the_interval_covers_over_ids(several: int, visits: int) -> None:
    table = people(several, visits=visits).table
    others = people(10).table
    others["patient_id"] = "other " + others["patient_id"].astype(str)
    radiographs = Radiographs(pd.concat([table, others], ignore_index=True))
    areas = [
        likeness_of_visits(
            radiographs,
            {"pictures": alike_by(radiographs, radiographs.patient_ids, strength=1, seed=seed)},
        ).auroc_interval()
        for seed in range(100)
    ]
    truth = np.mean([area.value for area in areas])
    assert np.mean([area.low <= truth <= area.high for area in areas]) >= 0.9


def test_what_was_left_out_is_said() -> None:
    radiographs = people(3)
    alike = alike_by(radiographs, radiographs.patient_ids, strength=1)
    verdict = check_same_person(radiographs, {"pictures": alike}, None, left_out="No features.")
    assert verdict.reason.endswith("No features.")
