"""Splits: no patient on two sides, and nothing left to chance."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score

from rust_tuner.data.folds import Folds, make_folds, make_site_folds
from rust_tuner.data.manifest import Radiographs
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.splits import Development, HoldOut, require_development, split_holdout
from rust_tuner.errors import SplitError


def small_table(patient_ids: list[str], *, seed: int = 0, medial: Any = None) -> Radiographs:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(1, 5, len(patient_ids)) if medial is None else medial
    return Radiographs(
        pd.DataFrame(
            {
                "image": [f"{n}.png" for n in range(len(patient_ids))],
                "patient_id": patient_ids,
                "visit": "1",
                "view": [("ap", "lateral")[n % 2] for n in range(len(patient_ids))],
                "medial": drawn,
                "lateral": None,
                "anterior": None,
                "posterior": None,
            }
        )
    )


@pytest.mark.parametrize("fraction", [0.15, 0.3])
def test_each_site_has_its_share_of_the_hold_out_set(fraction: float) -> None:
    table = phantom_table(patients=120, seed=0)
    owner = table["patient_id"].str[1:].astype(int)
    sites = np.select([owner <= 70, owner <= 110], ["large", "medium"], "small")
    radiographs = Radiographs(table.assign(site=sites))
    for seed in range(4):
        _, holdout = split_holdout(radiographs, fraction, seed)
        assert holdout.radiographs.sites is not None
        for site in ("large", "medium", "small"):
            share = fraction * (sites == site).sum()
            # A patient has up to 6 radiographs; drawn without regard to sites it is often 15 off.
            assert abs((holdout.radiographs.sites == site).sum() - share) <= 4


def test_sites_of_a_patient_each_can_be_split() -> None:
    table = phantom_table(patients=24, seed=0)
    radiographs = Radiographs(table.assign(site=table["patient_id"]))
    _, holdout = split_holdout(radiographs, 0.25, 0)
    assert len(set(holdout.radiographs.patient_ids)) == 6


@pytest.mark.parametrize("num_patients", [2, 3, 7, 12, 40])
@pytest.mark.parametrize("fraction", [0.15, 0.4, 0.5, 0.6, 0.85])
def test_the_asked_number_of_patients_is_sealed(num_patients: int, fraction: float) -> None:
    asked = round(fraction * num_patients)
    if not 0 < asked < num_patients:
        return
    radiographs = Radiographs(phantom_table(patients=num_patients, seed=1))
    for seed in range(3):
        sealed = split_holdout(radiographs, fraction, seed)[1].radiographs
        assert len(set(sealed.patient_ids)) == asked


REMEMBERED: dict[str, Callable[[Development, HoldOut], Radiographs]] = {
    "itself": lambda _, holdout: holdout.radiographs,
    "a subset": lambda _, holdout: holdout.radiographs.subset([0]),
    "a replacement": lambda _, holdout: dataclasses.replace(holdout.radiographs, source="other"),
    "its table": lambda _, holdout: Radiographs(holdout.radiographs.table),
    "a copy of its table": lambda _, holdout: Radiographs(holdout.radiographs.table.copy()),
    "a part of its table": lambda _, holdout: Radiographs(holdout.radiographs.table.iloc[:1]),
    "a changed table": lambda _, holdout: Radiographs(
        holdout.radiographs.table.assign(visit="2").sort_index(ascending=False).reset_index()
    ),
    "both tables": lambda development, holdout: Radiographs(
        pd.concat([development.radiographs.table, holdout.radiographs.table])
    ),
    "a deep copy": lambda _, holdout: copy.deepcopy(holdout.radiographs),
    "a set of its own": lambda development, _: (
        HoldOut(Radiographs(development.radiographs.table.copy())).radiographs
    ),
}


@pytest.mark.parametrize("source", REMEMBERED)
def test_what_is_sealed_remembers_it(source: str) -> None:
    radiographs = small_table([f"p{n // 2}" for n in range(24)])
    development, holdout = split_holdout(radiographs, 0.25, 0)
    sealed = REMEMBERED[source](development, holdout)
    message = r"radiographs belong to sealed patients \(rows .*pass the first of the two sets"
    for use in (Development, split_holdout, lambda value: make_folds(value, 2, 0), make_site_folds):
        with pytest.raises(SplitError, match=message):
            use(sealed)
    # What it was taken from, and the other side, can be used as before.
    assert len(Development(development.radiographs)) == len(development)
    assert len(Development(Radiographs(development.radiographs.table))) == len(development)
    assert len(split_holdout(development.radiographs, 0.25, 0)[1]) > 0
    assert len(split_holdout(radiographs, 0.25, 1)[1]) == len(holdout)


def test_a_split_of_a_split_remembers_both() -> None:
    radiographs = small_table([f"p{n // 2}" for n in range(24)])
    first, outer = split_holdout(radiographs, 0.25, 0)
    second, inner = split_holdout(first.radiographs, 0.25, 0)
    everyone = {*outer.radiographs.patient_ids, *inner.radiographs.patient_ids}
    assert second.radiographs.sealed_patients == everyone
    assert not everyone & set(second.radiographs.patient_ids)


def test_folds_without_a_sealed_set_say_so() -> None:
    radiographs = small_table([f"p{n // 2}" for n in range(24)])
    table = radiographs.table.assign(site=["A", "A", "B", "B"] * 6)
    expected = "no hold-out set was taken from these radiographs, so nothing is sealed"
    assert make_folds(radiographs, 2, 0).warnings[0].startswith(expected)
    assert make_site_folds(Radiographs(table)).warnings[0].startswith(expected)
    development, _ = split_holdout(Radiographs(table), 0.25, 0)
    for seen in (development, development.radiographs):
        for folds in (make_folds(seen, 2, 0), make_site_folds(seen)):
            assert not any(expected in warning for warning in folds.warnings)


@pytest.mark.parametrize("value", [None, "manifest.csv", np.zeros(3)])
def test_what_is_no_table_of_radiographs_is_refused(value: Any) -> None:
    for use in (Development, lambda value: make_folds(value, 2, 0)):
        with pytest.raises(SplitError, match=f"got {type(value).__name__}, expected"):
            use(value)


patients = st.lists(st.sampled_from("abcdefghijkl"), min_size=2, max_size=40).filter(
    lambda ids: len(set(ids)) > 1
)


@settings(max_examples=60, deadline=None)
@given(ids=patients, data=st.data())
def test_no_patient_straddles_a_fold(ids: list[str], data: st.DataObject) -> None:
    num_folds = data.draw(st.integers(2, len(set(ids))))
    radiographs = small_table(ids)
    folds = make_folds(radiographs, num_folds, data.draw(st.integers(0, 9)))
    assert len(folds) == len(list(folds)) == num_folds
    validated = []
    for train, validation in folds:
        assert len(train) and len(validation)
        assert train.dtype == validation.dtype == np.int64
        assert (np.diff(train) > 0).all() and (np.diff(validation) > 0).all()
        of_train, of_validation = (
            radiographs.patient_ids[train],
            radiographs.patient_ids[validation],
        )
        assert not set(of_train) & set(of_validation)
        assert sorted([*train, *validation]) == list(range(len(ids)))
        validated += validation.tolist()
    assert sorted(validated) == list(range(len(ids)))


@settings(max_examples=60, deadline=None)
@given(ids=patients, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_no_patient_is_on_both_sides_of_the_seal(
    ids: list[str], fraction: float, seed: int
) -> None:
    radiographs = small_table(ids)
    if not 0 < round(fraction * len(set(ids))) < len(set(ids)):
        with pytest.raises(SplitError, match=r"leaves the (hold-out|development) set empty"):
            split_holdout(radiographs, fraction, seed)
        return
    development, holdout = split_holdout(radiographs, fraction, seed)
    sealed, seen = holdout.radiographs, development.radiographs
    assert len(holdout) and len(development)
    assert not set(sealed.patient_ids) & set(seen.patient_ids)
    assert sorted([*sealed.rows, *seen.rows]) == list(radiographs.rows)


@settings(max_examples=20, deadline=None)
@given(ids=patients, data=st.data())
def test_the_order_of_rows_does_not_matter(ids: list[str], data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(ids)))))
    radiographs = small_table(ids)
    folds = make_folds(radiographs, 2, 3)
    shuffled = make_folds(radiographs.subset(order), 2, 3)
    np.testing.assert_array_equal(shuffled.assignment, folds.assignment[order])


def test_a_seed_decides_and_the_global_state_does_not() -> None:
    radiographs = small_table([f"p{n % 30}" for n in range(90)])
    results = []
    for state in (0, 1):
        np.random.seed(state)
        before = np.random.get_state()[1].copy()  # type: ignore[index]
        development, _ = split_holdout(radiographs, seed=0)
        results.append((development.radiographs.rows, *make_folds(radiographs, 3, 0).assignment))
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    assert results[0] == results[1]
    assert split_holdout(radiographs, seed=1)[0].radiographs.rows != results[0][0]
    assert tuple(make_folds(radiographs, 3, 1).assignment) != results[0][1:]


def test_one_large_patient_does_not_unbalance_the_others() -> None:
    ids = ["big"] * 60 + [f"p{n}" for n in range(60)]
    sizes = np.bincount(make_folds(small_table(ids), 2, 0).assignment)
    assert np.abs(sizes - 60).max() <= 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: make_folds(r, 4, 0), r"4 folds for 3 patient\(s\); .* take at most 3 folds"),
        (lambda r: make_folds(r, 1, 0), "num_folds=1; expected an integer from 2"),
        (lambda r: make_folds(r, 2.0, 0), r"num_folds=2\.0; expected an integer from 2"),  # type: ignore[arg-type]
        (lambda r: make_folds(r, 2, -1), "seed=-1; expected an integer from 0"),
        (lambda r: make_folds(r, 2, None), "seed=None; expected an integer from 0"),  # type: ignore[arg-type]
        (lambda r: make_folds(r, 2, True), "seed=True; expected an integer from 0"),
        (lambda r: split_holdout(r, 0.0), r"fraction=0\.0; expected a number between 0 and 1"),
        (
            lambda r: split_holdout(r, float("nan")),
            "fraction=nan; expected a number between 0 and 1",
        ),
        (
            lambda r: split_holdout(r, 0.1),
            r"fraction of 0\.1 with 3 patient\(s\) leaves the hold-out set",
        ),
        (lambda r: split_holdout(r, 0.9), r"with 3 patient\(s\) leaves the development set empty"),
        (lambda r: split_holdout(Development(r)), "got Development, expected Radiographs"),  # type: ignore[arg-type]
        (lambda r: split_holdout(HoldOut(r)), "got HoldOut, expected Radiographs"),  # type: ignore[arg-type]
        (lambda r: make_folds(HoldOut(r), 2, 0), "the sealed hold-out set cannot be used"),  # type: ignore[arg-type]
        (lambda r: require_development(HoldOut(r)), "the sealed hold-out set cannot be used"),
        (lambda r: require_development(r), "got Radiographs, expected Development"),
    ],
)
def test_what_cannot_be_split_is_refused(
    call: Callable[[Radiographs], object], message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        call(small_table(["a", "b", "c", "c"]))


def test_a_single_patient_cannot_be_split() -> None:
    alone = small_table(["a", "a"])
    with pytest.raises(
        SplitError, match=r"with 1 patient\(s\) .* at least two patients are needed"
    ):
        split_holdout(alone)
    with pytest.raises(SplitError, match=r"2 folds for 1 patient\(s\).* two patients are needed"):
        make_folds(alone, 2, 0)


def test_the_two_sides_are_types_of_their_own() -> None:
    assert not issubclass(HoldOut, Development | Radiographs)
    assert not issubclass(Development, HoldOut | Radiographs)
    development = Development(small_table(["a", "b"]))
    assert require_development(development) is development
    assert len(development) == 2
    of_development = make_folds(development, 2, 0).assignment
    np.testing.assert_array_equal(
        of_development, make_folds(development.radiographs, 2, 0).assignment
    )


def test_labels_that_too_few_patients_have_are_told() -> None:
    radiographs = small_table(["a", "b", "c", "d"], medial=[1, 1, 1, 2])
    warnings = make_folds(radiographs, 2, 0).warnings
    assert any(
        w.startswith("only 1 of 4 patients has medial cortex, score 2, fewer") for w in warnings
    )
    assert any(w.startswith("no radiograph has anterior cortex, score 3: ") for w in warnings)
    assert not any(w.startswith("medial cortex, score 1, is set") for w in warnings)


def test_folds_serve_as_a_scikit_learn_splitter() -> None:
    folds = make_folds(small_table([f"p{n}" for n in range(12)]), 3, 0)
    assert folds.get_n_splits() == 3
    features, target = np.zeros((12, 1)), np.arange(12) % 2
    assert len(cross_val_score(DummyClassifier(), features, target, cv=folds)) == 3
    with pytest.raises(SplitError, match="11 rows, but the folds were made for 12"):
        list(folds.split(features[:11]))


def test_folds_are_frozen_and_whole() -> None:
    folds = Folds(assignment=np.array([0, 1]), num_folds=2, seed=0)
    with pytest.raises(ValueError, match="read-only"):
        folds.assignment[0] = 1
    with pytest.raises(
        SplitError, match=r"assigned to the folds \[0, 2\]; expected every fold from 0 to 2"
    ):
        Folds(assignment=np.array([0, 2]), num_folds=3, seed=0)
