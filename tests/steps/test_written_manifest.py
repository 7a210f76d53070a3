"""The manifest written beside an archive: two legs are kept apart, and faults leave nothing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rust_tuner.data.manifest import load_manifest
from rust_tuner.errors import ManifestError
from rust_tuner.steps.make_manifest import make_manifest

PATTERN = "{patient_id}_{visit}_{view}.png"


def small_pictures(folder: Path, *names: str) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (40, 30), dtype=np.uint8)).save(folder / name)


def test_both_legs_at_one_visit_are_two_visits(tmp_path: Path) -> None:
    names = [f"P1_6w_{view}_{side}.png" for side in "LR" for view in ("ap", "lat")]
    small_pictures(tmp_path / "images", *names)
    (tmp_path / "s.csv").write_text(
        "patient,visit,side,medial,lateral,anterior,posterior\n"
        "P1,6w,left,1,2,3,4\nP1,6w,right,2,2,2,2\n"
    )
    made = make_manifest(
        tmp_path / "images",
        tmp_path / "s.csv",
        tmp_path / "m.csv",
        pattern="{patient_id}_{visit}_{view}_{side}.png",
    )
    radiographs = load_manifest(made.path)
    written = zip(radiographs.images, radiographs.table["visit"], strict=True)
    assert {image.name: visit for image, visit in written} == {
        "P1_6w_ap_L.png": "6w left",
        "P1_6w_lat_L.png": "6w left",
        "P1_6w_ap_R.png": "6w right",
        "P1_6w_lat_R.png": "6w right",
    }


def test_a_refused_manifest_is_not_written_and_its_faults_name_rows_of_the_table(
    tmp_path: Path,
) -> None:
    # The cell of a manifest loses the blank, so that no such file is there.
    small_pictures(tmp_path / "images", "P1_6w_ap.png", " P2_6w_ap.png")
    scores = tmp_path / "scores.csv"
    scores.write_text("patient,visit,medial\nP9,6w,1\nP1,6w,2\nP2,6w,3\n")
    for earlier in (None, "an earlier manifest"):
        path = tmp_path / "images" / "m.csv"
        if earlier is not None:
            path.write_text(earlier)
        with pytest.raises(ManifestError, match=r"^scores\.csv row 4: image=.*; no such file"):
            make_manifest(tmp_path / "images", scores, path, pattern=PATTERN, overwrite=True)
        left = {item.name for item in path.parent.iterdir()}
        kept = set() if earlier is None else {"m.csv"}
        assert left == {"P1_6w_ap.png", " P2_6w_ap.png"} | kept
        assert earlier is None or path.read_text() == earlier


def test_a_manifest_is_not_named_as_an_excel_file(tmp_path: Path) -> None:
    small_pictures(tmp_path / "images", "P1_6w_ap.png")
    scores = tmp_path / "scores.csv"
    scores.write_text("patient,visit,medial\nP1,6w,2\n")
    with pytest.raises(ManifestError, match="a manifest is a CSV file"):
        make_manifest(tmp_path / "images", scores, tmp_path / "m.xlsx", pattern=PATTERN)
    assert not (tmp_path / "m.xlsx").exists()
