"""Phantoms: known scores at published frequencies, in files that follow from the seed."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.phantoms import (
    COLUMNS,
    JOINT_SCORES,
    phantom_table,
    sample_patient,
    write_phantoms,
)
from rust_tuner.errors import ManifestError, ProtocolError
from rust_tuner.labels import CORTICES, SCORES, VIEWS
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS

PUBLISHED_SCORES = {
    "medial": (149, 404, 478, 251),
    "lateral": (121, 365, 498, 257),
    "anterior": (169, 378, 464, 265),
    "posterior": (115, 376, 551, 285),
}
PUBLISHED_SCORED_CORTICES = {0: 252, 1: 242, 2: 2442}
PUBLISHED_RADIOGRAPHS_PER_PATIENT = {1: 45, 2: 944, 3: 17, 4: 123, 5: 8, 6: 70}
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    return phantom_table(patients=2500, seed=0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), patients=8, seed=0)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shares(counts: Mapping[int, int]) -> dict[int, float]:
    total = sum(counts.values())
    return {key: count / total for key, count in counts.items()}


def assert_near(observed: pd.Series, published: Mapping[int, int], tolerance: float) -> None:
    found = observed.value_counts(normalize=True)
    assert set(found.index) <= set(published)
    for key, share in shares(published).items():
        assert found.get(key, 0.0) == pytest.approx(share, abs=tolerance), key


# Patients and scores


def test_scores_of_each_cortex_occur_as_often_as_published(large: pd.DataFrame) -> None:
    for cortex, counts in PUBLISHED_SCORES.items():
        assert_near(large[cortex].dropna(), dict(zip(SCORES, counts, strict=True)), 0.03)


@pytest.mark.parametrize("pair", list(JOINT_SCORES))
def test_the_two_cortices_of_a_radiograph_agree_as_published(
    large: pd.DataFrame, pair: tuple[str, str]
) -> None:
    both = large[list(pair)].dropna()
    table = pd.crosstab(both[pair[0]], both[pair[1]]).reindex(
        index=list(SCORES), columns=list(SCORES), fill_value=0
    )
    published = np.array(JOINT_SCORES[pair])
    np.testing.assert_allclose(
        table.to_numpy() / len(both), published / published.sum(), rtol=0, atol=0.025
    )


def test_cortices_scored_per_radiograph_are_as_published(large: pd.DataFrame) -> None:
    assert_near(large[list(CORTICES)].notna().sum(axis=1), PUBLISHED_SCORED_CORTICES, 0.02)


def test_radiographs_per_patient_are_as_published(large: pd.DataFrame) -> None:
    assert_near(large.groupby("patient_id").size(), PUBLISHED_RADIOGRAPHS_PER_PATIENT, 0.025)


def test_each_visit_has_both_views_but_for_at_most_one_missing_view_a_patient(
    large: pd.DataFrame,
) -> None:
    views = large.groupby(["patient_id", "visit"])["view"].agg(tuple)
    assert set(views) <= {VIEWS, *((view,) for view in VIEWS)}
    incomplete = views[views.map(len) == 1].reset_index()
    assert incomplete["patient_id"].is_unique
    assert 0 < len(incomplete) < 0.05 * len(views)


def test_visits_count_from_one(large: pd.DataFrame) -> None:
    assert set(large["visit"]) == {1, 2, 3}


@given(seed=SEEDS, index=st.integers(1, 10_000))
def test_scores_never_fall_over_the_visits(seed: int, index: int) -> None:
    scores = sample_patient(index, seed=seed).scores
    assert 1 <= len(scores) <= 3
    for earlier, later in itertools.pairwise(scores):
        assert all(earlier[cortex] <= later[cortex] for cortex in CORTICES)


def test_scores_never_fall_in_the_table(large: pd.DataFrame) -> None:
    ordered = large.sort_values(["patient_id", "view", "visit"])
    for cortex in CORTICES:
        scored = ordered.dropna(subset=[cortex])
        steps = scored.groupby(["patient_id", "view"])[cortex].diff().dropna()
        assert (steps >= 0).all()
        assert (steps > 0).any()


def test_the_two_views_of_a_visit_heal_together(large: pd.DataFrame) -> None:
    by_visit = large.groupby(["patient_id", "visit"])[list(CORTICES)]
    totals = by_visit.max().dropna()
    ap = totals["medial"] + totals["lateral"]
    side = totals["anterior"] + totals["posterior"]
    assert 0.5 < np.corrcoef(ap.astype(float), side.astype(float))[0, 1] < 0.95


@pytest.mark.parametrize("view_cortices", [ANATOMICAL_VIEWS, PUBLISHED_VIEWS])
def test_only_the_cortices_of_a_view_are_scored(
    view_cortices: Mapping[str, tuple[str, ...]],
) -> None:
    table = phantom_table(patients=60, seed=1, view_cortices=view_cortices)
    for view, rows in table.groupby("view"):
        shown = set(view_cortices[str(view)])
        for cortex in CORTICES:
            assert rows[cortex].notna().any() == (cortex in shown)


@given(seed=SEEDS, fewer=st.integers(1, 6), more=st.integers(0, 6))
@settings(max_examples=25, deadline=None)
def test_a_patient_does_not_depend_on_the_size_of_the_set(seed: int, fewer: int, more: int) -> None:
    few = phantom_table(patients=fewer, seed=seed)
    many = phantom_table(patients=fewer + more, seed=seed)
    pd.testing.assert_frame_equal(few, many.head(len(few)))


# Files


def test_the_manifest_reader_takes_the_manifest(small: Path) -> None:
    table = pd.read_csv(small)
    assert tuple(table.columns) == COLUMNS
    assert len(load_manifest(small)) == len(table)
    assert table["image"][0] == "images/P0001_v1_ap.png"


def test_images_are_portrait_greyscale_of_varying_size(small: Path) -> None:
    sizes, modes = set(), set()
    for name in pd.read_csv(small)["image"]:
        with Image.open(small.parent / name) as image:
            image.load()
            sizes.add(image.size)
            modes.add(image.mode)
    assert len(sizes) > 5
    assert all(250 <= width <= 600 and 500 <= height <= 1100 for width, height in sizes)
    assert modes == {"L", "I;16"}


def test_the_same_seed_gives_the_same_bytes_in_sets_of_any_size(
    small: Path, tmp_path: Path
) -> None:
    write_phantoms(tmp_path, patients=3, seed=0)
    reference = contents(small.parent)
    images = {name: data for name, data in contents(tmp_path).items() if name != "manifest.csv"}
    assert len(images) >= 3
    assert all(reference[name] == data for name, data in images.items())


def test_another_seed_gives_other_images(small: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path, patients=2, seed=1)
    reference = contents(small.parent)
    shared = [name for name in contents(tmp_path) if name in reference]
    assert shared
    assert all(reference[name] != contents(tmp_path)[name] for name in shared)


def test_an_interrupted_set_has_no_manifest_and_is_finished_by_a_second_call(
    small: Path, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path, patients=2, seed=0, on_progress=interrupt)
    assert len(contents(tmp_path)) == 2
    assert not (tmp_path / "manifest.csv").exists()
    assert write_phantoms(tmp_path, patients=2, seed=0) == tmp_path / "manifest.csv"
    finished = contents(tmp_path)
    images = {name: data for name, data in finished.items() if name != "manifest.csv"}
    assert images.items() <= contents(small.parent).items()
    assert small.read_bytes().startswith(finished["manifest.csv"])
    write_phantoms(tmp_path, patients=2, seed=0)
    assert contents(tmp_path) == finished


def test_progress_counts_every_radiograph_once(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = write_phantoms(
        tmp_path, patients=2, seed=0, on_progress=lambda done, total: calls.append((done, total))
    )
    total = len(pd.read_csv(manifest))
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_another_manifest_in_the_directory_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("mine\n")
    with pytest.raises(ManifestError, match=r"manifest\.csv is not the manifest of patients=2"):
        write_phantoms(tmp_path, patients=2)
    assert contents(tmp_path) == {"manifest.csv": b"mine\n"}


@pytest.mark.parametrize(
    "name", ["notes.txt", "images/mine.png", "images/P0003_v1_ap.png", "data/a.csv", "images"]
)
def test_a_folder_that_holds_something_else_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine\n")
    listed = "data/" if name.startswith("data") else name
    with pytest.raises(ManifestError, match=rf"already holds {listed}; choose a new or empty"):
        write_phantoms(tmp_path, patients=2)
    assert contents(tmp_path) == {name: b"mine\n"}


def test_an_image_of_another_seed_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_phantoms(tmp_path, patients=1, seed=1)
    (tmp_path / "manifest.csv").unlink()
    before = contents(tmp_path)
    with pytest.raises(ManifestError, match="is not the image of patients=1, seed=0, sites=1"):
        write_phantoms(tmp_path, patients=1, seed=0)
    assert contents(tmp_path) == before


def test_a_folder_with_hidden_files_only_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert write_phantoms(tmp_path, patients=1).exists()


def test_a_finished_set_is_not_written_again(tmp_path: Path) -> None:
    write_phantoms(tmp_path, patients=1)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    write_phantoms(tmp_path, patients=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == times


def test_a_file_is_no_folder_for_phantoms(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ManifestError, match="file is a file; choose a new folder"):
        write_phantoms(tmp_path / "file", patients=1)


@pytest.mark.parametrize("patients", [0, -3])
def test_fewer_than_one_patient_is_refused(tmp_path: Path, patients: int) -> None:
    with pytest.raises(ManifestError, match=f"patients={patients}; .* at least 1"):
        write_phantoms(tmp_path, patients=patients)
    assert contents(tmp_path) == {}


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ManifestError, match="seed=-1; expected an integer from 0"):
        phantom_table(patients=1, seed=-1)


@pytest.mark.parametrize("shown", [("medial",), ("medial", "medial"), CORTICES, ("left", "right")])
def test_a_view_without_exactly_two_cortices_is_refused(shown: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError, match=r"view_cortices\['lateral'\].*two different cortices"):
        phantom_table(patients=1, view_cortices={"ap": ("medial", "lateral"), "lateral": shown})


def test_patients_are_of_sites_in_turns_and_are_the_same_patients() -> None:
    plain = phantom_table(patients=7, seed=1)
    table = phantom_table(patients=7, seed=1, sites=3)
    pd.testing.assert_frame_equal(table.drop(columns="site"), plain)
    sites = table.groupby("patient_id", sort=False)["site"].unique().map(list)
    assert sites.tolist() == [["S1"], ["S2"], ["S3"], ["S1"], ["S2"], ["S3"], ["S1"]]
    assert "site" not in plain
    with pytest.raises(ManifestError, match="sites=0; a phantom set has at least 1 site"):
        phantom_table(patients=7, sites=0)
