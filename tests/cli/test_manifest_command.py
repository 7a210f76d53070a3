"""The command `manifest` overwrites nothing unasked, and names the options of the next step."""

from pathlib import Path

import numpy as np
import pytest
from command import run
from PIL import Image


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for patient in ("1", "2"):
        pixels = rng.integers(0, 4096, (40, 30), dtype=np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{patient}_6w_ap.tif")
    (tmp_path / "s.csv").write_text("patient;visit;medial\n1;6w;2\n2;6w;3\n")
    return tmp_path


def arguments(archive: Path, *more: str) -> tuple[str, ...]:
    return (
        *("manifest", "--images", str(archive), "--scores", str(archive / "s.csv")),
        *("--out", str(archive / "m.csv"), "--pattern", "{patient_id}_{visit}_{view}.tif", *more),
    )


def test_a_manifest_is_replaced_only_if_that_is_asked_for(archive: Path) -> None:
    (archive / "m.csv").write_text("mine")
    result = run(*arguments(archive), code=1)
    assert "m.csv exists" in result.stderr and "--overwrite" in result.stderr
    assert (archive / "m.csv").read_text() == "mine"
    result = run(*arguments(archive, "--overwrite", "--remove-borders"))
    assert "note: 2 16-bit images use 12 bits" in result.stderr
    assert "--remove-borders" in result.stderr.splitlines()[-1]


def test_a_sheet_of_a_text_file_is_refused(archive: Path) -> None:
    result = run(*arguments(archive, "--sheet", "One"), code=1)
    assert "s.csv is not an Excel file and has no sheets; leave out --sheet One" in result.stderr


def test_another_crop_is_refused(archive: Path) -> None:
    result = run(*arguments(archive, "--crop", "middle"), code=1)
    assert "crop='middle'; expected none, or centre:" in result.stderr


def test_images_that_nobody_has_scored_are_counted(archive: Path) -> None:
    assert "no score" not in run(*arguments(archive)).stderr
    (archive / "s.csv").write_text("patient;visit;medial\n1;6w;2\n2;6w;\n")
    result = run(*arguments(archive, "--overwrite"))
    assert "2 images with their scores" in result.stderr
    assert "note: the table has no score of 1 of these images" in " ".join(result.stderr.split())


def test_what_all_images_lack_is_one_note(archive: Path) -> None:
    result = run(*arguments(archive, "--crop", "centre:150"))
    lines = [line for line in result.stderr.splitlines() if "spacing" in line or "millimet" in line]
    assert len(lines) == 1
    assert lines[0].endswith("(2 images)")


@pytest.mark.parametrize(
    "pattern", ["*{patient_id}*{visit}*{view}*.tif", "{patient_id}{view}.tif", "{patient_id}**"]
)
def test_parts_of_a_pattern_with_nothing_between_them_are_refused(
    pattern: str, archive: Path
) -> None:
    result = run(*arguments(archive, "--pattern", pattern), code=1)
    assert "nothing separates" in " ".join(result.stderr.split())


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_manifest_needs_the_name_of_a_file(name: str, archive: Path) -> None:
    result = run(*arguments(archive, "--out", name, "--overwrite"), code=1)
    assert "is a folder; give the manifest a file name" in " ".join(result.stderr.split())
