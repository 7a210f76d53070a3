"""Patients are divided whole, in any shares, each label in proportion to its group's share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.data.stratify import stratify_patients


def divide(
    patient_ids: Sequence[str | int],
    labels: npt.NDArray[np.float32] | list[tuple[Any, ...]] | npt.NDArray[np.float64],
    shares: Any,
    *,
    seed: int = 0,
    place: tuple[str | int, ...] = ("test",),
) -> npt.NDArray[np.int64]:
    return stratify_patients(
        np.asarray(patient_ids, dtype=object),
        np.asarray(labels, dtype=np.float32),
        shares=shares,
        seed=seed,
        place=place,
    )


def cohort(
    num_patients: int, *, seed: int = 0, prevalences: tuple[float, ...] = (0.5, 0.25, 0.1)
) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Patients of 1 to 6 radiographs, whose labels are alike within a patient."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(num_patients), rng.integers(1, 7, num_patients))
    tendency = rng.uniform(size=(num_patients, len(prevalences)))[owners]
    noise = rng.uniform(size=tendency.shape)
    labels = 0.7 * tendency + 0.3 * noise < np.array(prevalences)
    return [f"p{owner}" for owner in owners], labels.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.85, 0.15), (0.5, 0.3, 0.2), (0.25,) * 4])
@pytest.mark.parametrize("seed", range(3))
def test_each_group_has_its_share_of_the_rows_and_of_every_label(
    shares: tuple[float, ...], seed: int
) -> None:
    patients, labels = cohort(400)
    groups = divide(patients, labels, shares, seed=seed)
    for group, share in enumerate(shares):
        rows = groups == group
        # Counts are whole, so the nearest to a share may be off by one radiograph.
        assert abs(rows.sum() - share * len(rows)) <= 1
        assert np.abs(labels[rows].sum(axis=0) - share * labels.sum(axis=0)).max() <= 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_patient_is_in_two_groups_and_no_group_is_empty(data: st.DataObject) -> None:
    owners = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=40))
    num_groups = data.draw(st.integers(1, len(set(owners))))
    weights = np.array(
        data.draw(st.lists(st.integers(1, 9), min_size=num_groups, max_size=num_groups))
    )
    labels = data.draw(
        st.lists(st.tuples(*[st.booleans()] * 3), min_size=len(owners), max_size=len(owners))
    )
    groups = divide([f"p{n}" for n in owners], labels, weights / weights.sum())
    assert groups.shape == (len(owners),)
    assert set(groups) == set(range(num_groups))
    assert len(set(zip(owners, groups, strict=True))) == len(set(owners))


def chances(
    patients: list[str],
    labels: npt.NDArray[np.float32],
    shares: tuple[float, ...],
    *,
    group: int,
    seeds: int,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """How often each patient is in a group, and the standard error of that."""
    names = np.unique(patients)
    first = [patients.index(name) for name in names]
    drawn = [divide(patients, labels, shares, seed=seed)[first] == group for seed in range(seeds)]
    expected = np.mean(drawn)
    return names, np.mean(drawn, axis=0), np.sqrt(expected * (1 - expected) / seeds)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.85, 0.15), (0.6, 0.4), (1 / 3, 1 / 3, 1 / 3)])
def test_every_patient_is_in_a_group_with_the_same_probability(shares: tuple[float, ...]) -> None:
    # The last three differ from all others: in size, in a label of their own, and in both.
    patients, labels = cohort(9, prevalences=(0.5, 0.2))
    patients += ["large"] * 12 + ["rare"] + ["both"] * 9
    labels = np.vstack([np.pad(labels, ((0, 0), (0, 1))), np.zeros((22, 3))]).astype(np.float32)
    labels[-10:, 2] = 1
    names, often, error = chances(patients, labels, shares, group=len(shares) - 1, seeds=120)
    np.testing.assert_allclose(often, often.mean(), atol=3.5 * error)  # type: ignore[call-overload]
    assert {"large", "rare", "both"} < set(names)


def test_only_the_draw_depends_on_the_names_of_patients() -> None:
    patients, labels = cohort(40)
    order = np.random.default_rng(0).permutation(len(patients))
    shuffled = divide([patients[row] for row in order], labels[order], (0.85, 0.15))
    np.testing.assert_array_equal(shuffled, divide(patients, labels, (0.85, 0.15))[order])
    # Under other names other patients are drawn, as by another seed.
    renamed = [f"x{99 - int(name[1:])}" for name in patients]
    assert not np.array_equal(
        divide(renamed, labels, (0.85, 0.15)), divide(patients, labels, (0.85, 0.15))
    )


def test_as_many_groups_as_patients_have_one_each() -> None:
    patients, labels = cohort(9)
    groups = divide(patients, labels, np.full(9, 1 / 9))
    assert len(set(zip(patients, groups, strict=True))) == 9
    assert len(set(groups)) == 9


def test_a_patient_with_more_radiographs_than_are_told_apart_keeps_its_place() -> None:
    # 30 radiographs with the label: more than the unary form of a count has levels.
    patients = ["big"] * 30 + [f"p{n}" for n in range(30)]
    groups = divide(patients, np.ones((60, 1)), (0.5, 0.5))
    assert np.bincount(groups).tolist() == [30, 30]
    assert len(set(groups[:30])) == 1


def test_a_label_that_no_row_or_every_row_has_changes_nothing() -> None:
    patients, labels = cohort(60)
    constant = np.column_stack([labels, np.zeros(len(labels))])
    np.testing.assert_array_equal(
        divide(patients, constant, (0.5, 0.5)), divide(patients, labels, (0.5, 0.5))
    )


def test_seed_and_place_decide_and_the_names_of_patients_may_be_numbers() -> None:
    patients, labels = cohort(60)
    groups = divide(patients, labels, (0.5, 0.5))
    np.testing.assert_array_equal(divide(patients, labels, (0.5, 0.5)), groups)
    others = [
        divide(patients, labels, (0.5, 0.5), seed=1),
        divide(patients, labels, (0.5, 0.5), place=("elsewhere",)),
        divide(patients, labels, (0.5, 0.5), place=("test", 2)),
    ]
    for other in others:
        assert not np.array_equal(other, groups)
    numbers = [int(name.removeprefix("p")) for name in patients]
    as_text = [str(number) for number in numbers]
    np.testing.assert_array_equal(
        divide(numbers, labels, (0.5, 0.5)), divide(as_text, labels, (0.5, 0.5))
    )
