"""Every figure at a column's width: nothing is cut off, too small, or written over something else.

They are drawn from published and made-up tables; what each shows is tested beside its module.
"""

import re
from typing import Any

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.text import Text
from report_figures import FIGURES, Tables, write_tables

from rust_tuner.figures.style import COLUMN_WIDTH, DOUBLE_WIDTH, SMALLEST_TEXT


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return write_tables(tmp_path_factory.mktemp("projects"))


@pytest.fixture(scope="module", params=FIGURES, ids=lambda make: make.__name__)
def figure(request: pytest.FixtureRequest, tables: Tables) -> Any:
    before = dict(matplotlib.rcParams)
    drawn = request.param(tables)
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.pyplot.get_fignums() == []
    drawn.draw_without_rendering()
    return drawn


def shown_texts(figure: Any) -> list[Any]:
    """Texts that are drawn; tick labels beyond the limits of their axis exist, but are not."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high:
                    hidden |= {id(tick.label1), id(tick.label2)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden
    ]


def test_text_is_no_smaller_than_7_points_and_none_is_cut_off(figure: Any) -> None:
    assert figure.get_figwidth() in (COLUMN_WIDTH, DOUBLE_WIDTH)
    texts = [text for text in shown_texts(figure) if text.get_window_extent().width > 0]
    assert len(texts) > 8
    inside = figure.bbox.padded(1).get_points()
    for text in texts:
        assert text.get_fontsize() >= SMALLEST_TEXT, text
        # Raised digits of mathematical text would be smaller than the text itself.
        assert "$" not in text.get_text()
        corners = text.get_window_extent().get_points()
        assert (corners[0] >= inside[0]).all(), text
        assert (corners[1] <= inside[1]).all(), text


def test_no_two_texts_overlap(figure: Any) -> None:
    texts = shown_texts(figure)
    boxes = [text.get_window_extent() for text in texts]
    for place, (one, box) in enumerate(zip(texts, boxes, strict=True)):
        for other, beside in zip(texts[place + 1 :], boxes[place + 1 :], strict=True):
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            overlap = across > 1 and along > 1
            assert not overlap, f"{one.get_text()!r} and {other.get_text()!r}"


def test_no_text_lies_over_the_panel_of_another(figure: Any) -> None:
    """But for a legend's and what stands in a panel on purpose."""
    for axes in figure.axes:
        inside = axes.get_window_extent().padded(-2)
        for text in shown_texts(figure):
            if text.axes is axes or (text.axes is None and text.figure is None):
                continue
            box = text.get_window_extent()
            across = min(box.x1, inside.x1) - max(box.x0, inside.x0)
            along = min(box.y1, inside.y1) - max(box.y0, inside.y0)
            assert not (across > 1 and along > 1), f"{text.get_text()!r} over {axes}"


def test_how_many_it_shows_stands_in_it(figure: Any) -> None:
    texts = " ".join(text.get_text() for text in shown_texts(figure))
    assert re.search(r"n = \d|n folds: \d|\d+ (folds|patients|trials|visits)", texts), texts


def is_number(text: str) -> bool:
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True


def test_every_axis_has_a_name_or_words_at_its_ticks(figure: Any) -> None:
    panels = [axes for axes in figure.axes if axes.axison]
    shared = {"x": figure._supxlabel, "y": figure._supylabel}
    for which in ("x", "y"):
        for axes in panels:
            ticks = [label.get_text() for label in getattr(axes, f"get_{which}ticklabels")()]
            # Of panels that share an axis the outer ones name it.
            if not any(ticks) or shared[which] is not None:
                continue
            others = getattr(axes, f"_share{which}") or axes
            alike = [
                other for other in panels if (getattr(other, f"_share{which}") or other) is others
            ]
            named = any(getattr(other, f"get_{which}label")() for other in alike)
            assert named or not any(map(is_number, ticks)), (which, ticks)


def test_colours_of_lines_stay_apart_in_greyscale_or_by_another_sign(figure: Any) -> None:
    """Two named lines of one panel differ in style or marker, not in colour alone."""
    for axes in figure.axes:
        looks: dict[Any, Any] = {}
        for line in axes.get_lines():
            if line.get_label().startswith("_"):
                continue
            look = (
                str(line._dash_pattern),
                line.get_marker(),
                str(line.get_markerfacecolor()) == "none",
                round(line.get_linewidth(), 2),
                np.round(line.get_markersize(), 1),
            )
            assert look not in looks, (line.get_label(), looks.get(look))
            looks[look] = line.get_label()
