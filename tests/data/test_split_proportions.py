"""Proportions of a split: every label in each fold as in the whole, every patient sealed alike."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from rust_tuner.data.folds import make_folds
from rust_tuner.data.manifest import Radiographs
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.splits import Development, split_holdout
from rust_tuner.labels import CORTICES, LABELS

# The published table: how many patients have how many radiographs, how often the two cortices of
# a radiograph have which scores (by view), and how often only one of them has a score.
PATIENT_SIZES = {2: 944, 6: 70, 4: 123, 3: 17, 5: 8, 1: 45}
NUM_AP = 1493
CORTICES_OF = {"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")}
BOTH = {
    "ap": [[79, 49, 28, 7], [17, 254, 89, 9], [11, 42, 392, 11], [1, 3, 11, 235]],
    "lateral": [[81, 37, 22, 4], [27, 258, 75, 10], [7, 56, 379, 16], [3, 3, 10, 216]],
}
ALONE = {
    "anterior": [6, 9, 8, 15],
    "posterior": [7, 28, 31, 23],
    "medial": [5, 34, 20, 19],
    "lateral": [3, 11, 12, 11],
}


def published_table(seed: int) -> Radiographs:
    """A table with exactly the published counts, healing being alike within a patient."""
    rng = np.random.default_rng(seed)
    sizes = rng.permutation([size for size, many in PATIENT_SIZES.items() for _ in range(many)])
    owners = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    view = np.where(place % 2 == 0, "ap", "lateral").astype(object)
    surplus = np.flatnonzero(np.isin(owners, np.flatnonzero(sizes % 2)) & (place % 2 == 0))
    last = surplus[np.append(owners[surplus][1:] != owners[surplus][:-1], True)]
    excess = int((view == "ap").sum()) - NUM_AP
    view[rng.choice(last, excess, replace=False)] = "lateral"
    scores = pd.DataFrame(np.nan, index=range(len(owners)), columns=list(CORTICES))
    healing = rng.normal(size=len(sizes))[owners] + 0.3 * place + rng.normal(0, 0.5, len(owners))
    for name, cortices in CORTICES_OF.items():
        first, second = cortices
        pairs = [
            (a + 1.0, b + 1.0) for a in range(4) for b in range(4) for _ in range(BOTH[name][a][b])
        ]
        for a in range(4):
            pairs += [(a + 1.0, np.nan)] * ALONE[first][a] + [(np.nan, a + 1.0)] * ALONE[second][a]
        pairs.sort(key=lambda pair: np.nanmean(pair))
        rows = rng.permutation(np.flatnonzero(view == name))[: len(pairs)]
        rows = rows[np.argsort(healing[rows])]
        scores.loc[rows, [first, second]] = np.array(pairs)
    return Radiographs(
        pd.DataFrame(
            {
                "image": [f"{n}.png" for n in range(len(owners))],
                "patient_id": [f"p{owner}" for owner in owners],
                "visit": (place // 2).astype(str),
                "view": view,
            }
        ).join(scores)
    )


def worst_deviation(labels: npt.NDArray[np.float32], assignment: npt.NDArray[np.int64]) -> float:
    """The largest relative deviation of a label's prevalence in a fold from the whole."""
    whole = labels.mean(axis=0, dtype=np.float64)
    folds = [labels[assignment == fold].mean(axis=0, dtype=np.float64) for fold in set(assignment)]
    return float(np.abs(np.stack(folds) / whole - 1).max())


@pytest.fixture(scope="module", params=range(4))
def published(request: pytest.FixtureRequest) -> Radiographs:
    return published_table(request.param)


def test_the_simulated_table_has_the_published_counts(published: Radiographs) -> None:
    counts = dict(zip(LABELS, published.labels.sum(axis=0).astype(int).tolist(), strict=True))
    assert len(published) == 2936
    assert len(set(published.patient_ids)) == 1207
    assert (counts["view_ap"], counts["view_lateral"]) == (1493, 1443)
    assert [counts[f"medial_{n}"] for n in (1, 2, 3, 4)] == [149, 404, 478, 251]
    assert [counts[f"lateral_{n}"] for n in (1, 2, 3, 4)] == [121, 365, 498, 257]
    assert [counts[f"anterior_{n}"] for n in (1, 2, 3, 4)] == [169, 378, 464, 265]
    assert [counts[f"posterior_{n}"] for n in (1, 2, 3, 4)] == [115, 376, 551, 285]


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 1234567))]
)
def test_prevalences_of_six_folds_are_near_the_whole(published: Radiographs, seed: int) -> None:
    folds = make_folds(Development(published), 6, seed)
    assert worst_deviation(published.labels, folds.assignment) < 0.10
    sizes = np.bincount(folds.assignment)
    assert np.abs(sizes / sizes.mean() - 1).max() < 0.02
    assert folds.warnings == ()


@pytest.mark.slow
def test_folds_that_ignore_labels_are_far_from_the_whole() -> None:
    deviations = []
    for table in map(published_table, range(4)):
        assignment = np.empty(len(table), dtype=np.int64)
        folds = GroupKFold(6).split(table.labels, None, table.patient_ids)
        for fold, (_, rows) in enumerate(folds):
            assignment[rows] = fold
        deviations.append(worst_deviation(table.labels, assignment))
    assert min(deviations) > 0.30
    assert max(deviations) > 0.40


@pytest.mark.slow
def test_prevalences_of_ten_folds_are_near_the_whole(published: Radiographs) -> None:
    assert worst_deviation(published.labels, make_folds(published, 10, 0).assignment) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_prevalences_of_the_holdout_set_are_near_the_whole(
    published: Radiographs, seed: int
) -> None:
    development, holdout = split_holdout(published, 0.15, seed)
    for side, share in ((development, 0.85), (holdout, 0.15)):
        prevalence = side.radiographs.labels.mean(axis=0) / published.labels.mean(axis=0)
        assert np.abs(prevalence - 1).max() < 0.10
        assert abs(len(side) / len(published) / share - 1) < 0.03
        num_patients = len(set(side.radiographs.patient_ids))
        assert abs(num_patients / 1207 / share - 1) < 0.03


def sealed_over_seeds(radiographs: Radiographs, seeds: int) -> npt.NDArray[np.bool_]:
    """(seeds, patients) who is sealed, the patients in the order of their ids."""
    everyone = np.unique(radiographs.patient_ids.astype(str))
    sealed = [split_holdout(radiographs, 0.15, seed)[1].radiographs for seed in range(seeds)]
    return np.array([np.isin(everyone, side.patient_ids.astype(str)) for side in sealed])


def require_a_random_sample(sealed: npt.NDArray[np.bool_]) -> None:
    """Seeds share a fraction of their patients, and no tenth of the ids is sealed more often."""
    seeds, num_patients = sealed.shape
    fraction = sealed.mean()
    shared = [
        (sealed[one] & sealed[other]).sum() / sealed[one].sum()
        for one in range(seeds)
        for other in range(one)
    ]
    assert abs(np.mean(shared) - fraction) < 0.03
    never = num_patients * (1 - fraction) ** seeds
    assert abs((~sealed.any(axis=0)).sum() - never) < 4 * np.sqrt(never)
    tenths = [part.mean() for part in np.array_split(sealed, 10, axis=1)]
    error = np.sqrt(fraction * (1 - fraction) / (sealed.size / 10))
    assert np.abs(np.array(tenths) - fraction).max() < 4 * error


@pytest.mark.slow
def test_the_hold_out_set_is_a_random_sample() -> None:
    table = phantom_table(patients=120, seed=0)
    require_a_random_sample(sealed_over_seeds(Radiographs(table), 16))


@pytest.mark.slow
def test_the_hold_out_set_of_the_published_table_is_a_random_sample() -> None:
    require_a_random_sample(sealed_over_seeds(published_table(0), 16))
