"""`pixels.json`: a study reads its files as it did when it was prepared."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from notes import Notes
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.reading import AS_STORED
from rust_tuner.errors import ManifestError, ResumeError
from rust_tuner.protocol import Protocol
from rust_tuner.records.pixels import PIXELS_FILE, read_pixels
from rust_tuner.study import Study

Make = Callable[..., Path]
PROTOCOL = Protocol.study(weights="random", num_folds=2, holdout_fraction=0.3)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A manifest of ten patients with two 16-bit views each, of so many bits."""

    def make(depth: int = 12, /, **columns: Any) -> Path:
        rng, rows = np.random.default_rng(0), []
        for patient in range(10):
            for view in ("ap", "lateral"):
                pixels = rng.integers(0, 1 << depth, (20, 30), dtype=np.uint16)
                pixels[0, 0] = (1 << depth) - 1
                name = f"{patient}_{view}.png"
                Image.fromarray(pixels).save(tmp_path / name)
                shown = ("medial", "lateral") if view == "ap" else ("anterior", "posterior")
                scores = {cortex: 1 + (patient + len(cortex)) % 4 for cortex in shown}
                rows.append(
                    {"image": name, "patient_id": f"P{patient}", "visit": "1", "view": view}
                    | scores
                )
        table = pd.DataFrame(rows).astype(
            dict.fromkeys(("medial", "lateral", "anterior", "posterior"), "Int64")
        )
        path = tmp_path / "m.csv"
        table.assign(**columns).to_csv(path, index=False)
        return path

    return make


def prepared(folder: Path, manifest: Path, protocol: Protocol = PROTOCOL) -> tuple[Study, Notes]:
    notes = Notes()
    study = Study(folder / "study", manifest, protocol, progress=notes)
    study.prepare()
    return study, notes


def test_files_of_12_bits_fill_the_range_and_one_note_says_so(tmp_path: Path, make: Make) -> None:
    study, notes = prepared(tmp_path, make())
    radiographs = study.radiographs()
    assert {reading.bits for reading in radiographs.readings} == {12}
    said = [line for line in notes.said if "16-bit" in line]
    assert len(said) == 1 and said[0].startswith("note: 20 16-bit images use 12 bits")
    path = radiographs.images[0]
    with Image.open(path) as image:
        scaled = np.asarray(image).astype(np.float32) / np.float32(4095) * 2 - 1
    loaded = load_image(path, size=30, resize="letterbox", reading=radiographs.readings[0])
    np.testing.assert_allclose(loaded[5:25, :, 0], scaled, atol=1e-6)
    again = Study(tmp_path / "study")
    assert again.prepare().radiographs.readings == study.prepare().radiographs.readings


def test_pictures_that_show_nothing_are_noted_with_their_rows(tmp_path: Path, make: Make) -> None:
    manifest = make()
    for name, value in (("3_ap.png", 0), ("7_lateral.png", 4095)):
        Image.fromarray(np.full((20, 30), value, np.uint16)).save(tmp_path / name)
    _, notes = prepared(tmp_path, manifest)
    (line,) = [line for line in notes.said if "one value" in line]
    assert line.startswith("note: all pixels of the picture have one value in rows 8, 17; look at")


def test_the_record_says_what_was_done_to_each_image(tmp_path: Path, make: Make) -> None:
    study, _ = prepared(tmp_path, make())
    content = json.loads((study.directory / "study.json").read_text())
    record = read_pixels(study.directory, content["pixels_sha256"])
    assert [image.row for image in record.images] == list(range(2, 22))
    first = record.images[0]
    assert (first.kind, first.width, first.height) == ("PNG", 30, 20)
    assert (first.read_bits, first.highest, first.stated_bits) == (12, 4095, None)
    text = (study.directory / PIXELS_FILE).read_text()
    assert "P0" not in text and str(tmp_path) not in text


def test_a_study_of_an_earlier_version_reads_files_as_stored(tmp_path: Path, make: Make) -> None:
    """Its record has no `pixels_sha256`, and its features stay those of the files."""
    from rust_tuner.models.features import FeatureRecipe, features_sha256
    from rust_tuner.models.weights import BackboneWeights

    study, _ = prepared(tmp_path, make())
    path = study.directory / "study.json"
    content = json.loads(path.read_text())
    new = study.radiographs()
    for name in ("pixels_sha256", "crop", "remove_borders"):
        content.pop(name, None)
        content["protocol"].pop(name, None)
    path.write_text(json.dumps(content))
    (study.directory / PIXELS_FILE).unlink()
    old = Study(study.directory).prepare().radiographs
    assert {replace(one, sha256=None) for one in old.readings} == {AS_STORED}
    assert old.known_bits is None
    weights = BackboneWeights("random", None, "0" * 64)
    recipe = FeatureRecipe(weights, 75, "squash", "none")
    as_stored = features_sha256(old.images, recipe)
    assert features_sha256(old.images, recipe, readings=old.readings) == as_stored
    assert features_sha256(new.images, recipe, readings=new.readings) != as_stored


def test_a_changed_or_lost_record_is_refused(tmp_path: Path, make: Make) -> None:
    study, _ = prepared(tmp_path, make())
    path = study.directory / PIXELS_FILE
    whole = path.read_text()
    path.write_text(whole.replace('"read_bits": 12', '"read_bits": 16', 1))
    with pytest.raises(ResumeError, match=r"pixels\.json.*SHA-256"):
        Study(study.directory).prepare()
    path.unlink()
    with pytest.raises(ResumeError, match=r"pixels\.json is missing; restore it"):
        Study(study.directory).prepare()


def test_a_column_of_the_manifest_says_the_bits(tmp_path: Path, make: Make) -> None:
    study, notes = prepared(tmp_path, make(10))
    assert {reading.bits for reading in study.radiographs().readings} == {10}
    given = make(10, bits=12)
    other = Study(tmp_path / "given", given, PROTOCOL)
    other.prepare()
    assert {reading.bits for reading in other.radiographs().readings} == {12}
    assert any("use 10 bits" in line for line in notes.said)
    with pytest.raises(ResumeError, match="was prepared"):
        make(10, bits=14)
        Study(tmp_path / "given").prepare()


def test_crops_of_the_manifest_are_used_and_belong_to_the_study(tmp_path: Path, make: Make) -> None:
    crop = {"crop_left": 5, "crop_top": 2, "crop_right": 25, "crop_bottom": 12}
    study, _ = prepared(tmp_path, make(16, **crop))
    radiographs = study.radiographs()
    assert {reading.box for reading in radiographs.readings} == {(5, 2, 25, 12)}
    path, reading = radiographs.images[0], radiographs.readings[0]
    with Image.open(path) as image:
        part = np.asarray(image)[2:12, 5:25].astype(np.float32) / np.float32(65535) * 2 - 1
    loaded = load_image(path, size=20, resize="letterbox", reading=reading)
    np.testing.assert_allclose(loaded[5:15, :, 0], part, atol=1e-6)
    make(16, **(crop | {"crop_left": 6}))
    with pytest.raises(ResumeError, match="row 2"):
        Study(study.directory).prepare()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"crop_left": 1}, "column 'crop_top' is missing, but there is 'crop_left'"),
        (
            {"crop_left": 5, "crop_top": 0, "crop_right": 5, "crop_bottom": 9},
            "row 2: crop_left, crop_top, crop_right, crop_bottom are 5, 0, 5, 9",
        ),
        (
            {"crop_left": "x", "crop_top": 0, "crop_right": 5, "crop_bottom": 9},
            "crop_left=x; expected a whole number of pixels",
        ),
        ({"bits": 17}, "row 2: bits=17; expected 1 to 16"),
    ],
)
def test_impossible_numbers_are_named_with_their_row(
    make: Make, columns: dict[str, object], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        load_manifest(make(16, **columns))


def test_a_crop_beyond_the_picture_is_refused_before_anything_is_written(
    tmp_path: Path, make: Make
) -> None:
    manifest = make(16, crop_left=0, crop_top=0, crop_right=31, crop_bottom=20)
    with pytest.raises(ManifestError, match="crop_right=31, crop_bottom=20 of 30 by 20 pixels"):
        prepared(tmp_path, manifest)
    assert not (tmp_path / "study" / PIXELS_FILE).exists()


def test_a_crop_by_millimetres_without_spacing_says_what_to_do(tmp_path: Path, make: Make) -> None:
    protocol = PROTOCOL.with_choices(crop="centre:100")
    with pytest.raises(ManifestError, match="a PNG file has no pixel spacing; give its crop_left"):
        prepared(tmp_path, make(16), protocol)
