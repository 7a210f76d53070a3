"""The page shows which part of a radiograph is used, and 16-bit files as a study reads them."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from rust_tuner.data.image_folder import FoundImage
from rust_tuner.data.matching import Pair
from rust_tuner.data.reading import Framing
from rust_tuner.data.sheet_scores import ScoredView
from rust_tuner.report.contact_sheet import write_contact_sheet


def pairs(folder: Path) -> list[Pair]:
    made: list[Pair] = []
    for patient in ("P1", "P2"):
        pixels = np.zeros((180, 180), np.uint16)
        rng = np.random.default_rng(len(made))
        pixels[45:135, 45:135] = rng.integers(0, 4096, (90, 90))
        path = folder / f"{patient}.png"
        Image.fromarray(pixels).save(path)
        made.append(Pair(ScoredView(2, patient, "1", None, "ap"), FoundImage(path), "1"))
    return made


def pictures(page: Path) -> list[np.ndarray]:
    texts = re.findall(r"base64,([^\"]+)", page.read_text())
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in texts]


def test_files_of_12_bits_are_shown_bright_and_named(tmp_path: Path) -> None:
    (note,) = write_contact_sheet(tmp_path / "page.html", pairs(tmp_path))
    assert note.startswith("2 16-bit images use 12 bits")
    first, _ = pictures(tmp_path / "page.html")
    assert first[60:120, 60:120].mean() > 100
    assert "orange" not in (tmp_path / "page.html").read_text()


def test_what_is_removed_is_outside_a_frame(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_contact_sheet(page, pairs(tmp_path), framing=Framing.of("none", True))
    first, _ = pictures(page)
    # Orange: more red than blue, at the edge only.
    orange = first[:, :, 0].astype(int) - first[:, :, 2] > 60
    assert orange[:, 40:50].any() and orange[40:50].any()
    assert not orange[:35].any() and not orange[60:120, 60:120].any()
    assert "orange frame" in page.read_text()


def test_an_image_without_spacing_has_its_error_on_the_page(tmp_path: Path) -> None:
    said = write_contact_sheet(
        tmp_path / "page.html", pairs(tmp_path), framing=Framing.of("centre:50", False)
    )
    assert sum("no pixel spacing" in line for line in said) == 2
