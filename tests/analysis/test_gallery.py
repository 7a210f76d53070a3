"""The worst errors: ranked by what was misread, found where they lie now, shown small."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from PIL import Image
from report_predictions import make_predictions

from rust_tuner.analysis.gallery import THUMBNAIL_SIZE, find_images, read_thumbnails, worst_errors
from rust_tuner.data.reading import ALL_BITS, AS_STORED, Framing, Reading
from rust_tuner.figures.gallery import draw_gallery, gallery_height
from rust_tuner.figures.style import new_figure
from rust_tuner.labels import CORTICES, SCORES


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return make_predictions(rows=80)


def error_of(row: dict[Hashable, Any]) -> int:
    total = 0
    for cortex in CORTICES:
        if row[cortex] == row[cortex]:
            likeliest = 1 + int(np.argmax([row[f"probability_{cortex}_{n}"] for n in SCORES]))
            total += abs(likeliest - row[cortex])
    return total


def test_the_largest_misreadings_come_first(predictions: pd.DataFrame) -> None:
    worst = worst_errors(predictions, count=10)
    errors = sorted((error_of(row) for row in predictions.to_dict("records")), reverse=True)
    assert list(worst["error"]) == errors[:10]
    assert list(worst["rank"]) == list(range(1, 11))
    for row in worst.to_dict("records"):
        (source,) = predictions[predictions["image"] == row["image"]].to_dict("records")
        assert row["error"] == error_of(source)
        for cortex in CORTICES:
            np.testing.assert_equal(row[f"{cortex}_true"], source[cortex])
            assert np.isnan(row[f"{cortex}_predicted"]) == np.isnan(source[cortex])


def test_of_equal_errors_the_less_certain_comes_first(predictions: pd.DataFrame) -> None:
    worst = worst_errors(predictions, count=80)
    for _, rows in worst.groupby("error"):
        assert rows["expected_error"].is_monotonic_decreasing
    assert worst["error"].nunique() < len(worst)


def test_what_is_read_rightly_or_not_visible_is_no_error(predictions: pd.DataFrame) -> None:
    right = predictions.copy()
    for cortex in CORTICES:
        for score in SCORES:
            right[f"probability_{cortex}_{score}"] = np.where(right[cortex] == score, 0.9, 0.1)
    assert worst_errors(right).empty
    blind = predictions.assign(**dict.fromkeys(CORTICES, np.nan))
    assert worst_errors(blind).empty


def write_manifest(folder: Path, *, patients: int = 2) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = ["image,patient_id,visit,view,medial,lateral,anterior,posterior"]
    for number in range(patients):
        for view in ("ap", "lateral"):
            name = f"images/{number}_{view}.png"
            pixels = np.random.default_rng(number).integers(0, 200, (60, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
            rows.append(f"{name},00{number},1,{view},1,1,,")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def table_of(folder: str | Path) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": [f"{folder}/images/0_ap.png", f"{folder}/images/1_lateral.png"],
            "patient_id": ["000", "001"],
            "visit": "1",
            "view": ["ap", "lateral"],
        }
    )


def test_images_are_found_after_study_and_manifest_moved(tmp_path: Path) -> None:
    table = table_of("/somewhere/else")
    manifest = write_manifest(tmp_path / "moved")
    found = find_images(table, manifest)
    assert {path.name for path, _ in found.values()} == {"0_ap.png", "1_lateral.png"}
    assert all(path.is_file() for path, _ in found.values())
    assert list(found) == list(table["image"])


@pytest.mark.parametrize("manifest", [None, "nothing.csv"])
def test_without_a_manifest_the_recorded_path_is_taken(
    tmp_path: Path, manifest: str | None
) -> None:
    write_manifest(tmp_path)
    place = None if manifest is None else tmp_path / manifest
    found = find_images(table_of(tmp_path), place)
    assert [str(path) for path, _ in found.values()] == list(table_of(tmp_path)["image"])


def test_thumbnails_are_small_and_keep_the_aspect_ratio(tmp_path: Path) -> None:
    write_manifest(tmp_path)
    path = tmp_path / "images" / "0_ap.png"
    (picture,) = read_thumbnails(
        {"a": (path, AS_STORED), "b": (tmp_path / "none.png", AS_STORED)}
    ).values()
    assert picture.shape == (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    assert picture.dtype == np.uint8
    # Half as wide as high: a quarter is black at either side.
    assert not picture[:, : THUMBNAIL_SIZE // 4].any()
    assert picture[:, THUMBNAIL_SIZE // 2].any()
    assert picture.max() == 255


def test_a_black_image_is_black(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), dtype=np.uint8)).save(tmp_path / "black.png")
    (picture,) = read_thumbnails({"a": (tmp_path / "black.png", AS_STORED)}).values()
    assert not picture.any()


def test_each_tile_has_its_picture_or_says_that_there_is_none(predictions: pd.DataFrame) -> None:
    errors = worst_errors(predictions, count=5)
    pictures = {
        name: np.full((THUMBNAIL_SIZE,) * 2, shade, dtype=np.uint8)
        for shade, name in enumerate(errors["image"][:4])
    }
    figure = new_figure(height=gallery_height(5))
    draw_gallery(errors, figure=figure, thumbnails=pictures, num_radiographs=80)
    shades = [not_none(axes.images[0].get_array())[0, 0] for axes in figure.axes[:4]]
    assert shades == [0, 1, 2, 3]
    assert not figure.axes[4].images
    assert [bool(axes.texts) for axes in figure.axes] == [False] * 4 + [True]
    assert figure.axes[4].texts[0].get_text() == "image not\nfound"
    texts = [text.get_text() for text in figure.texts]
    first = errors.iloc[0]
    (line,) = [text for text in texts if text.startswith("#1 ")]
    assert line.startswith(f"#1 {first['view']}: off by {first['error']:.0f}\n")
    shown = [cortex for cortex in CORTICES if first[f"{cortex}_true"] == first[f"{cortex}_true"]]
    assert line.count("→") == len(shown) == 2
    cortex = shown[0]
    true, predicted = first[f"{cortex}_true"], first[f"{cortex}_predicted"]
    assert f"{cortex} {true:.0f} → {predicted:.0f}" in line


def test_a_thumbnail_shows_the_part_and_the_bits_that_the_model_sees(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60), dtype=np.uint16)
    pixels[10:30, 20:40] = np.random.default_rng(0).integers(3000, 4096, (20, 20))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    whole, part, borderless = read_thumbnails(
        {
            "whole": (path, Reading(12)),
            "part": (path, Reading(12, box=(20, 10, 40, 30))),
            "borderless": (path, Reading(12, framing=Framing(remove_borders=True))),
        }
    ).values()
    assert (whole > 150).mean() < 0.2
    assert (part > 150).all()
    assert (borderless > 150).mean() > 0.6


def test_images_are_read_as_the_study_reads_them(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path)
    lines = manifest.read_text().splitlines()
    crops = [",crop_left,crop_top,crop_right,crop_bottom", ",1,2,20,30", *[",,,,"] * 3]
    manifest.write_text("".join(f"{a}{b}\n" for a, b in zip(lines, crops, strict=True)))
    framing = Framing(remove_borders=True)
    found = find_images(table_of(tmp_path), manifest, framing=framing)
    assert [reading for _, reading in found.values()] == [
        Reading(ALL_BITS, (1, 2, 20, 30), framing),
        Reading(ALL_BITS, None, framing),
    ]
    # Without a manifest, what is the same for all images is all that is known.
    (first, _) = find_images(table_of(tmp_path), None, framing=framing).values()
    assert first[1] == Reading(framing=framing)
