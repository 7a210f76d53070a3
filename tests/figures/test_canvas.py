"""The canvas that remembers sizes of texts draws what Matplotlib's own canvases draw."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_figures import FIGURES, Tables, write_tables

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
        figure.savefig(png, format="png", dpi=RESOLUTION)
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


def test_what_it_remembers_of_one_font_does_not_serve_another() -> None:
    for family in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans"):
        style = {"font.family": family}
        assert saved(drawn, with_canvas=True, **style) == saved(drawn, with_canvas=False, **style)
