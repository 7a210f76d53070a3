"""How alike radiographs are: only of one view, both ways alike, and more so for one leg."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.data.likeness import likeness_of_features, likeness_of_pictures
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import fingerprint
from rust_tuner.data.radiographs import Radiographs


@pytest.fixture(scope="module")
def radiographs(phantom_manifest: Path) -> Radiographs:
    return load_manifest(phantom_manifest)


@pytest.fixture(scope="module")
def views(radiographs: Radiographs) -> npt.NDArray[np.str_]:
    return radiographs.table["view"].to_numpy().astype(str)


def require_a_likeness(alike: npt.NDArray[np.float32], views: npt.NDArray[np.str_]) -> None:
    same_view = views[:, None] == views
    np.fill_diagonal(same_view, False)
    assert (np.isfinite(alike) == same_view).all()
    np.testing.assert_array_equal(alike, alike.T)
    for view in set(views):
        pairs = alike[np.ix_(views == view, views == view)]
        assert np.nanmean(pairs) == pytest.approx(0, abs=1e-3)
        assert np.nanstd(pairs) == pytest.approx(1, abs=1e-3)


def test_visits_of_one_leg_are_more_alike_than_other_legs(
    radiographs: Radiographs, views: npt.NDArray[np.str_]
) -> None:
    alike = likeness_of_pictures(fingerprint(radiographs), views)
    require_a_likeness(alike, views)
    owners = radiographs.patient_ids
    same = owners[:, None] == owners
    assert np.nanmean(alike[same]) > np.nanmean(alike[~same]) + 0.5


def test_features_that_carry_who_it_is_are_more_alike_for_one_person() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 2)
    features = rng.normal(size=(20, 100))[people] + 0.5 * rng.normal(size=(40, 100))
    views = np.full(40, "ap")
    alike = likeness_of_features(features.astype(np.float32), views)
    require_a_likeness(alike, views)
    same = people[:, None] == people
    assert np.nanmin(alike[same]) > np.nanquantile(alike[~same], 0.99)


def test_features_that_are_all_the_same_are_neither_alike_nor_not() -> None:
    alike = likeness_of_features(np.ones((4, 8), dtype=np.float32), np.full(4, "ap"))
    assert (alike[~np.eye(4, dtype=bool)] == 0).all()


def test_one_radiograph_of_a_view_is_like_no_other() -> None:
    alike = likeness_of_features(np.ones((1, 8), dtype=np.float32), np.array(["ap"]))
    assert np.isnan(alike).all()
