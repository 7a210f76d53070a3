"""Shuffled labels: view and visibility stay, and every patient has the scores of another one."""

import numpy as np
import pandas as pd
import pytest

from rust_tuner import split_holdout
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import SplitError
from rust_tuner.labels import CORTICES
from rust_tuner.steps.checks.shuffling import shuffled_between_patients


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def development() -> Development:
    return Development(Radiographs(phantom_table(patients=400, seed=5)))


def constant_scores(patients: int = 4, visits: int = 2) -> Development:
    """Each patient has a score of its own in all cortices of all visits."""
    rows = []
    for number in range(patients):
        for visit in range(visits):
            for view, shown in (("ap", CORTICES[:2]), ("lateral", CORTICES[2:])):
                row = {"image": f"{number}{visit}{view}.png", "patient_id": f"P{number}"}
                row |= {"visit": str(visit), "view": view, **dict.fromkeys(shown, number + 1)}  # type: ignore[arg-type]
                rows.append(row)
    return Development(Radiographs(pd.DataFrame(rows)))


def test_all_but_the_scores_stays_where_it_is(development: Development) -> None:
    shuffled = shuffled_between_patients(development, generator())
    before, after = development.radiographs, shuffled.radiographs
    texts = ["image", "patient_id", "visit", "view"]
    pd.testing.assert_frame_equal(before.table[texts], after.table[texts])
    np.testing.assert_array_equal(before.visible, after.visible)
    assert not np.array_equal(before.labels, after.labels)


def test_every_patient_takes_over_the_scores_of_one_other_patient() -> None:
    development = constant_scores()
    for seed in range(20):
        table = shuffled_between_patients(development, generator(seed)).radiographs.table
        taken = {}
        for patient, rows in table.groupby("patient_id"):
            scores = np.unique(rows[list(CORTICES)].stack().dropna())
            assert len(scores) == 1
            taken[patient] = int(scores[0])
        own = {f"P{number}": number + 1 for number in range(4)}
        assert all(taken[patient] != own[patient] for patient in own)
        # Each gives once.
        assert sorted(taken.values()) == [1, 2, 3, 4]


def test_visits_do_not_keep_their_order() -> None:
    """Bone heals: if first visits took over the scores of first visits, images would tell them."""
    rows = []
    for number in range(40):
        for visit in range(4):
            row = {"image": f"{number}{visit}.png", "patient_id": f"P{number}", "visit": str(visit)}
            rows.append(
                row | {"view": "ap", **dict.fromkeys(CORTICES, np.nan), "medial": visit + 1}
            )
    development = Development(Radiographs(pd.DataFrame(rows)))
    order = np.tile(np.arange(4), 40)
    together = []
    for seed in range(20):
        table = shuffled_between_patients(development, generator(seed)).radiographs.table
        assert sorted(table["medial"]) == sorted(order + 1)
        together.append(np.corrcoef(order, table["medial"].astype(float))[0, 1])
    assert abs(np.mean(together)) < 0.1


def test_scores_of_one_radiograph_stay_together() -> None:
    table = constant_scores(patients=4, visits=3).radiographs.table
    shown = table["view"] == "ap"
    table.loc[shown, "medial"] = table.loc[shown, "lateral"] = np.arange(shown.sum()) % 4 + 1
    shuffled = shuffled_between_patients(Development(Radiographs(table)), generator())
    after = shuffled.radiographs.table[shown]
    np.testing.assert_array_equal(after["medial"].astype(float), after["lateral"].astype(float))


def test_scores_are_about_as_frequent_as_before_and_tell_nothing_of_the_true_ones(
    development: Development,
) -> None:
    shuffled = shuffled_between_patients(development, generator()).radiographs
    before, after = development.radiographs.labels[:, 2:], shuffled.labels[:, 2:]
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=0.03)
    visible = development.radiographs.visible
    for label in range(before.shape[1]):
        rows = visible[:, label]
        together = np.corrcoef(before[rows, label], after[rows, label])[0, 1]
        # Of about 300 rows, by chance alone 0.06.
        assert abs(together) < 0.25


def test_the_same_seed_gives_the_same_labels_and_another_one_others(
    development: Development,
) -> None:
    first, again, other = (
        shuffled_between_patients(development, generator(seed)).radiographs.labels
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_score_that_only_one_patient_has_cannot_be_shuffled() -> None:
    table = constant_scores().radiographs.table
    table.loc[table["patient_id"] != "P0", "medial"] = np.nan
    with pytest.raises(
        SplitError, match=r"only one patient has a score \(cortex medial, view ap\)"
    ):
        shuffled_between_patients(Development(Radiographs(table)), generator())
    with pytest.raises(SplitError, match="the scores of one patient cannot be shuffled"):
        shuffled_between_patients(constant_scores(patients=1), generator())


def test_the_holdout_set_is_refused(development: Development) -> None:
    _, holdout = split_holdout(development.radiographs)
    with pytest.raises(SplitError, match="the sealed hold-out set cannot be used"):
        shuffled_between_patients(holdout, generator())  # type: ignore[arg-type]
