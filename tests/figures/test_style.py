"""How figures are saved, and how numbers are told in them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from narrowing import is_a
from PIL import Image

from rust_tuner.data.exact_csv import read_exactly
from rust_tuner.errors import StorageError
from rust_tuner.figures.style import (
    COLUMN_WIDTH,
    DOUBLE_WIDTH,
    PALETTE,
    ink_on,
    new_axes,
    save_figure,
)
from rust_tuner.words import power_number, short_number

DATA = pd.DataFrame({"trial": ["0000", "0001"], "score": [0.1 + 0.2, 1 / 3]})


def drawn() -> Figure | SubFigure:
    axes = new_axes()
    axes.plot(DATA["score"])
    axes.imshow(np.eye(3))
    return axes.figure


def test_a_saved_figure_is_a_300_dpi_png_an_svg_and_its_table(tmp_path: Path) -> None:
    files = save_figure(is_a(Figure, drawn()), tmp_path / "deep" / "v1.5 progress", DATA)
    assert [file.name for file in files] == [
        f"v1.5 progress.{end}" for end in ("png", "svg", "csv")
    ]
    with Image.open(files[0]) as image:
        assert image.size == (1003, 750)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert "<svg" in files[1].read_text()
    written = read_exactly(files[2], dtype={"trial": str})
    pd.testing.assert_frame_equal(written, DATA, check_exact=True, check_dtype=False)
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(
        file.name for file in files
    )


def test_equal_tables_give_equal_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        save_figure(is_a(Figure, drawn()), tmp_path / folder / "boxes", DATA)
    for suffix in ("png", "svg", "csv"):
        first, second = (tmp_path / name / f"boxes.{suffix}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_a_figure_that_cannot_be_written_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(StorageError, match=r"curves\.png cannot be written"):
        save_figure(is_a(Figure, drawn()), tmp_path / "figures" / "curves", DATA)


def test_figures_are_as_wide_as_a_journals_columns() -> None:
    assert 25.4 * COLUMN_WIDTH == pytest.approx(85)
    assert 25.4 * DOUBLE_WIDTH == pytest.approx(180)


def luminance(colour: Any) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return (high + 0.05) / (low + 0.05)


def test_ink_contrasts_with_whatever_is_behind() -> None:
    for colour in np.random.default_rng(0).random((200, 3)):
        own = luminance(to_rgb(ink_on([*colour, 1])))
        assert contrast(own, luminance(colour)) >= 4.5
    assert ink_on([0, 0, 0, 0]) == "black"


# Machado, Oliveira and Fernandes, IEEE TVCG 2009, full deficiency; on linear red, green and blue.
PROTAN = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTAN = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


@pytest.mark.parametrize("matrix", [PROTAN, DEUTAN])
def test_the_two_main_colours_stay_apart_for_colour_blind_readers(
    matrix: list[list[float]],
) -> None:
    def seen(colour: tuple[float, float, float]) -> npt.NDArray[np.float64]:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        shown: npt.NDArray[np.float64] = np.clip(np.dot(matrix, linear), 0, 1)
        return shown

    blue, orange = (seen(colour) for colour in PALETTE[:2])
    assert np.linalg.norm(blue - orange) > 0.3
    assert contrast(luminance(PALETTE[0]), luminance(PALETTE[1])) > 2


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1382, "1382"),
        (0.06812, "0.0681"),
        (1e-7, "1e-7"),
        (2.5e-10, "2.5e-10"),
        (0.0, "0"),
        (123456.0, "1.23e5"),
    ],
)
def test_hyperparameters_are_told_in_three_digits(value: float, told: str) -> None:
    assert short_number(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0.1, "1e-1"), (1e-8, "1e-8"), (0.0025, "2.5e-3"), (1.0, "1e0")]
)
def test_logarithmic_axes_count_in_powers_of_ten(value: float, told: str) -> None:
    assert power_number(value) == told
