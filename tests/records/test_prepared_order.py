"""A study keeps the order of rows that it was prepared with, however its manifest is sorted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rust_tuner import Protocol, Study, load_manifest
from rust_tuner.data.row_record import prepared_hashes, prepared_order, row_record
from rust_tuner.errors import ResumeError


@pytest.fixture
def manifest(tmp_path: Path, phantom_manifest: Path) -> Path:
    """Of images that a test may change."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    return tmp_path / "radiographs" / phantom_manifest.name


@pytest.fixture
def study(tmp_path: Path, manifest: Path, tiny_protocol: Protocol) -> Path:
    """A prepared study whose visits have names that do not say when they were."""
    table = pd.read_csv(manifest, dtype="str", keep_default_na=False)
    visits = {visit: f"clinic {chr(90 - n)}" for n, visit in enumerate(table["visit"].unique())}
    table["visit"] = table["visit"].map(visits)
    table.to_csv(manifest, index=False)
    Study(tmp_path / "study", manifest, tiny_protocol).prepare()
    return tmp_path / "study"


def sort(manifest: Path, *columns: str, ascending: bool = False) -> None:
    table = pd.read_csv(manifest, dtype="str", keep_default_na=False)
    table.sort_values(list(columns), ascending=ascending).to_csv(manifest, index=False)


@pytest.mark.parametrize("columns", [("view", "patient_id"), ("visit",)])
@pytest.mark.parametrize("plain_ids", [False, True])
def test_a_sorted_manifest_is_the_same_study(
    tmp_path: Path,
    manifest: Path,
    tiny_protocol: Protocol,
    study: Path,
    columns: tuple[str, ...],
    plain_ids: bool,
) -> None:
    if plain_ids:
        study = tmp_path / "plain"
        Study(study, manifest, tiny_protocol, plain_ids=True).prepare()
    before = Study(study).prepare().radiographs
    files = {
        path: path.read_bytes()
        for path in study.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    sort(manifest, *columns)
    now = Study(study).prepare().radiographs
    pd.testing.assert_frame_equal(now.table, before.table)
    pd.testing.assert_frame_equal(now.written, before.written)
    assert now.readings == before.readings
    assert {path: path.read_bytes() for path in files} == files


def test_names_of_renamed_images_are_written_again(manifest: Path, study: Path) -> None:
    table = pd.read_csv(manifest, dtype="str", keep_default_na=False)
    for name in table["image"]:
        (manifest.parent / name).rename((manifest.parent / name).with_suffix(".x.png"))
    table["image"] = table["image"].str.replace(".png", ".x.png")
    table.to_csv(manifest, index=False)
    sort(manifest, "view")
    Study(study).prepare()
    names = pd.read_csv(study / "private" / "images.csv")
    assert all(Path(path).is_file() for path in names["image"])
    written = Study(study).prepare().radiographs.written["image"]
    assert set(written) <= set(names["written_image"])


def test_another_row_is_still_refused(manifest: Path, study: Path) -> None:
    table = pd.read_csv(manifest, dtype="str", keep_default_na=False)
    table.iloc[:-1].sort_values("view").to_csv(manifest, index=False)
    with pytest.raises(ResumeError, match="is missing"):
        Study(study).prepare()


def test_rows_that_are_alike_keep_their_order(manifest: Path) -> None:
    loaded = load_manifest(manifest)
    twice = loaded.subset(np.r_[np.arange(len(loaded)), 0])
    hashes = [str(n) for n in range(len(twice))]
    record = row_record(twice, twice, hashes)
    order = prepared_order(twice.subset(np.arange(len(twice))[::-1]), record)
    assert order is not None
    assert sorted(order[0]) == list(range(len(twice)))
    assert order[1] == record["row"]
    assert prepared_hashes(twice, record)[1:-1] == hashes[1:-1]
    assert prepared_hashes(twice, record)[0] is None
    assert prepared_order(loaded, record) is None
    assert prepared_order(loaded, {}) is None
    assert prepared_hashes(loaded, {}) == [None] * len(loaded)
