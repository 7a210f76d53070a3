"""Figures that would look the same are not drawn again, and all others are."""

import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from rust_tuner.figures import origin as origins
from rust_tuner.figures.origin import earlier_svg, origin_of
from rust_tuner.figures.style import Drawing, save_figure
from rust_tuner.report.page import Picture, Room

TABLE = pd.DataFrame({"x": [1.0, 2.0], "name": ["a", None]}, index=[3, 4])


@dataclass(frozen=True)
class Ends:
    """The ends of an interval."""

    low: float
    high: float


def draw_line(table: pd.DataFrame, *, axes: Axes, **options: object) -> None:
    axes.plot(table["x"])


def draw_other(table: pd.DataFrame, *, axes: Axes, **options: object) -> None:
    axes.plot(table["x"], "o")


def origin(
    *given: Any, draw: Any = draw_line, width: float = 3.0, height: float = 2.0, **options: Any
) -> str | None:
    return origin_of(Drawing(functools.partial(draw, *given, **options), width, height))


def with_attrs(table: pd.DataFrame) -> pd.DataFrame:
    table = table.copy()
    table.attrs["patients"] = 3
    return table


CHANGES = [
    lambda: origin(TABLE, draw=draw_other),
    lambda: origin(TABLE, width=3.5),
    lambda: origin(TABLE, height=2.5),
    lambda: origin(TABLE, metric="auroc"),
    lambda: origin(TABLE, metric=None),
    lambda: origin(TABLE, TABLE),
    lambda: origin(TABLE.assign(x=[1.0, np.nextafter(2.0, 3)])),
    lambda: origin(TABLE.assign(x=[1, 2])),
    lambda: origin(TABLE.assign(name=["a", "b"])),
    lambda: origin(TABLE.assign(name=["a", float("nan")]).astype({"name": object})),
    lambda: origin(TABLE.rename(columns={"name": "title"})),
    lambda: origin(TABLE[["name", "x"]]),
    lambda: origin(TABLE.iloc[::-1]),
    lambda: origin(TABLE.reset_index(drop=True)),
    lambda: origin(TABLE.rename_axis("row")),
    lambda: origin(TABLE.astype({"name": "category"})),
    lambda: origin(TABLE.astype({"name": pd.CategoricalDtype(["b", "a"])})),
    lambda: origin(with_attrs(TABLE)),
    lambda: origin(TABLE, ends=Ends(0.0, 1.0)),
    lambda: origin(TABLE, ends=Ends(-0.0, 1.0)),
    lambda: origin(TABLE, ends=(0.0, 1.0)),
    lambda: origin(TABLE, ends=[0, 1]),
    lambda: origin(TABLE, ends={0: 1}),
    lambda: origin(TABLE, ends={0, 1}),
    lambda: origin(TABLE, ends="01"),
    lambda: origin(TABLE, ends=("0", "1")),
    lambda: origin(TABLE, ends=b"01"),
    lambda: origin(TABLE, ends=True),
    lambda: origin(TABLE, ends=1),
    lambda: origin(TABLE, ends=np.float32(1)),
    lambda: origin(TABLE, ends=np.array([0.0, 1.0])),
    lambda: origin(TABLE, ends=np.array([[0.0, 1.0]])),
    lambda: origin(TABLE, ends=np.array([0, 1])),
    lambda: origin(TABLE, ends=np.array([0, None], dtype=object)),
    lambda: origin(TABLE, ends=pd.Series([0.0, 1.0])),
    lambda: origin(TABLE, ends=pd.Series([0.0, 1.0], name="x")),
    lambda: origin(TABLE, ends=pd.Index([0.0, 1.0])),
    lambda: origin(TABLE, ends={"a": np.zeros(2)}),
    lambda: origin(TABLE, ends={"b": np.zeros(2)}),
    lambda: origin(TABLE, end="01"),
]


def test_whatever_changes_a_figure_changes_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [origin(TABLE), *(change() for change in CHANGES)]  # type: ignore[no-untyped-call]
    with matplotlib.rc_context({"lines.dashed_pattern": [2.0, 1.0]}):
        found.append(origin(TABLE))
    with monkeypatch.context() as patch:
        patch.setattr(origins, "_made_by", lambda: "another version")
        found.append(origin(TABLE))
    assert None not in found
    assert len(set(found)) == len(CHANGES) + 3


def test_equal_figures_have_equal_origins() -> None:
    assert origin(TABLE.copy(), b={2, 1}, a=1) == origin(TABLE, a=1, b={1, 2})


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [object(), lambda: 1, Figure, Path("a"), [object()]])
def test_what_cannot_be_hashed_has_no_origin(unknown: object) -> None:
    assert origin(TABLE, ends=unknown) is None


def test_a_function_that_is_defined_in_another_has_no_origin() -> None:
    def draw(*, axes: Axes) -> None:
        axes.plot([1, 2])

    assert origin_of(Drawing(draw, 3, 2)) is None
    assert origin_of(Drawing(lambda axes: None)) is None
    assert earlier_svg(Path("nowhere"), None) is None


def saved(stem: Path) -> str | None:
    """A saved figure, and its origin."""
    drawing = Drawing(functools.partial(draw_line, TABLE), 3, 2)
    found = origin_of(drawing)
    drawing.figure.set_label(str(found))
    save_figure(drawing.figure, stem, TABLE)
    return found


def test_the_files_of_an_earlier_figure_are_told_from_changed_ones(tmp_path: Path) -> None:
    stem = tmp_path / "line"
    found = saved(stem)
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    whole, text = png.read_bytes(), svg.read_bytes()
    assert earlier_svg(stem, found) == text.decode()
    assert earlier_svg(stem, origin(TABLE)) is not None
    assert earlier_svg(stem, origin(TABLE, draw=draw_other)) is None

    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    for content in (whole[:-20], whole[: len(whole) // 2], b"", b"no picture", bytes(broken)):
        png.write_bytes(content)
        assert earlier_svg(stem, found) is None
    # Saved by another program, without the text.
    with Image.open(io.BytesIO(whole)) as image:
        image.save(png)
    assert earlier_svg(stem, found) is None
    png.write_bytes(whole)
    for content in (text[:-10], b"", text + b" ", b"\xff"):
        svg.write_bytes(content)
        assert earlier_svg(stem, found) is None
    svg.unlink()
    assert earlier_svg(stem, found) is None
    svg.mkdir()
    assert earlier_svg(stem, found) is None


def test_a_page_draws_a_figure_again_only_if_it_changed(tmp_path: Path) -> None:
    room = Room(tmp_path)
    calls = []

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}

    def picture(table: pd.DataFrame, name: str = "line") -> Picture:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "rust_tuner.report.page.save_figure",
                lambda *given: calls.append(given[1]) or save_figure(*given),  # type: ignore[func-returns-value]
            )
            drawing = Drawing(functools.partial(draw_line, table), width=6)
            return room.picture(name, drawing, table, caption="c", alt="a")

    first = picture(TABLE)
    before = files()
    assert picture(TABLE) == first
    assert first.is_wide
    assert (len(calls), files()) == (1, before)
    (tmp_path / "figures" / "line.png").unlink()
    (tmp_path / "figures" / "line.csv").write_text("edited")
    assert picture(TABLE) == first
    assert (len(calls), files()) == (2, before)
    assert picture(TABLE.assign(x=[2.0, 5.0])) != first
    assert len(calls) == 3
    # The table behind a figure may have more than is drawn.
    assert picture(TABLE) == first
    assert (len(calls), files()) == (4, before)
