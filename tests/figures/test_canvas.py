"""The canvas that remembers sizes of texts draws what Matplotlib's own canvases draw."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from PIL import Image
from report_figures import FIGURES, Tables, write_tables

from rust_tuner.figures import canvas
from rust_tuner.figures.canvas import Canvas
from rust_tuner.figures.style import RESOLUTION, STYLE, new_axes


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("projects"))


def drawn() -> Any:
    """Texts of all kinds, and what an SVG holds as an image: the colours of a colour bar."""
    axes = new_axes()
    shown = axes.scatter([1e-3, 1e-1], [2.0, 3.0], c=[0.0, 1.0], s=9)
    axes.set_xscale("log")
    axes.set_title("two lines,\nof which one is longer: Ågg", fontsize=7)
    axes.set_ylabel(r"$\alpha^2$ / µm")
    axes.text(1e-2, 2.5, "turned", rotation=37, ha="right", va="top", alpha=0.5)
    assert isinstance(axes.figure, Figure)
    axes.figure.colorbar(shown, ax=axes)
    return axes.figure


def saved(draw: Callable[[], Figure], *, with_canvas: bool, **style: Any) -> tuple[bytes, bytes]:
    """The pixels of a figure's PNG, and its SVG."""
    with matplotlib.rc_context(STYLE | style):
        figure = draw()
        if with_canvas:
            Canvas(figure)
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", dpi=RESOLUTION, metadata={"Date": None})
        # Only the pixels are compared, so compressing them would be for nothing.
        figure.savefig(png, format="png", dpi=RESOLUTION, pil_kwargs={"compress_level": 0})
    with Image.open(png) as image:
        return np.asarray(image).tobytes(), svg.getvalue()


def test_it_draws_the_pixels_and_bytes_that_matplotlib_draws() -> None:
    expected = saved(drawn, with_canvas=False)
    # The first measures, and the second remembers.
    for _ in range(2):
        assert saved(drawn, with_canvas=True) == expected


@pytest.mark.slow
@pytest.mark.parametrize("make", FIGURES, ids=lambda make: make.__name__)
def test_it_draws_each_figure_as_matplotlib_does(
    make: Callable[[Tables], Figure], tables: Tables
) -> None:
    expected = saved(lambda: make(tables), with_canvas=False)
    assert saved(lambda: make(tables), with_canvas=True) == expected


def alike() -> Any:
    """One text in fonts, sizes and readings that differ, placed by how large it is."""
    axes = new_axes()
    looks: list[dict[str, Any]] = [
        {},
        {"fontsize": 14},
        {"fontweight": "bold"},
        {"fontfamily": "DejaVu Serif"},
        {"parse_math": False},
    ]
    for row, look in enumerate(looks):
        axes.text(0.5, row / 5, "same $x_0$", ha="right", va="top", **look)
        axes.text(1.0, row / 5, "words alone", ha="right", va="top", **look)
    return axes.figure


@pytest.mark.slow
def test_what_it_remembers_of_one_text_does_not_serve_one_that_looks_different() -> None:
    assert saved(alike, with_canvas=True) == saved(alike, with_canvas=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "style",
    [
        pytest.param({"font.family": "DejaVu Serif"}, marks=pytest.mark.slow),
        pytest.param(
            {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans Mono"]},
            marks=pytest.mark.slow,
        ),
        {"mathtext.fontset": "stix"},
    ],
    ids=lambda style: next(reversed(style)),
)
def test_what_it_remembers_under_one_setting_does_not_serve_another(style: dict[str, Any]) -> None:
    usual = {"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}
    expected = [saved(drawn, with_canvas=False, **chosen) for chosen in (usual, usual | style)]
    # Each setting follows the other.
    for number in (0, 1, 0):
        chosen = usual | style if number else usual
        assert saved(drawn, with_canvas=True, **chosen) == expected[number]


def test_it_measures_a_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    measure: Any = RendererAgg.get_text_width_height_descent

    def counted(self: Any, s: str, prop: Any, ismath: Any) -> Any:
        measured.append(s)
        return measure(self, s, prop, ismath)

    monkeypatch.setattr(canvas, "_remembered", {})
    monkeypatch.setattr(RendererAgg, "get_text_width_height_descent", counted)
    saved(drawn, with_canvas=True)
    assert "turned" in measured
    measured.clear()
    saved(drawn, with_canvas=True)
    assert not measured


@pytest.mark.slow
def test_it_forgets_before_it_remembers_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: dict[Any, Any] = {}
    monkeypatch.setattr(canvas, "_remembered", remembered)
    monkeypatch.setattr(canvas, "_MOST_REMEMBERED", 3)
    assert saved(drawn, with_canvas=True) == saved(drawn, with_canvas=False)
    assert 1 <= len(remembered) <= 3
