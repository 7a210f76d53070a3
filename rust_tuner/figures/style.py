"""The look of our figures and how they are saved; what they show belongs to the other modules.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/) and Matplotlib's cividis,
which colour-blind readers can distinguish; every distinction has a second sign (line style, marker,
text) that survives greyscale. The state of pyplot is not used.
"""

import functools
import hashlib
import inspect
import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rust_tuner.analysis.tables import write_table
from rust_tuner.figures.canvas import Canvas
from rust_tuner.files import atomic_write
from rust_tuner.words import METRICS

# A journal's single and double column, 85 and 180 mm, in inches.
COLUMN_WIDTH = 85 / 25.4
DOUBLE_WIDTH = 180 / 25.4
RESOLUTION = 300
SMALLEST_TEXT = 7
# The usual width of a character of the smallest text, in inches.
CHARACTER = 0.058
# The name of a PNG's text that says what it was drawn from; see `origin`.
ORIGIN = "rust_tuner origin"
# Half the time of Pillow's default, and files that are a tenth larger.
_COMPRESSION = 3

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": SMALLEST_TEXT,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "figure.titlesize": 8,
    "figure.facecolor": "white",
    "xtick.labelsize": SMALLEST_TEXT,
    "ytick.labelsize": SMALLEST_TEXT,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": SMALLEST_TEXT,
    "legend.title_fontsize": SMALLEST_TEXT,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.2,
    "svg.fonttype": "path",
    # So that equal tables give equal files.
    "svg.hashsalt": "rust_tuner",
}
styled = matplotlib.rc_context(STYLE)

Colour = tuple[float, float, float]
# A function that draws, such as a `functools.partial` that lacks only its axes or its figure.
Draw = Callable[..., object]

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = (
    to_rgb(name) for name in ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
)
PALETTE: tuple[Colour, ...] = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
GREY = (0.35, 0.35, 0.35)
# A cell without a value. The page has neutral colours of its own in dark mode; ink on a coloured
# cell stays as it is, so it is a hair off the neutral black and white.
MISSING = "#ebebeb"
BLACK_INK, WHITE_INK = "#010101", "#fefefe"
SEQUENTIAL = "cividis"

# The look of the reference line that a score is compared with.
REFERENCE: dict[str, Any] = {
    "color": VERMILION,
    "linewidth": 0.9,
    "linestyle": (0, (5, 1.5, 1, 1.5)),
}


@styled
def new_figure(*, width: float = COLUMN_WIDTH, height: float = 2.5) -> Figure:
    """An empty figure without pyplot, its size in inches; its layout keeps text inside."""
    return Figure(figsize=(width, height), layout="constrained")


@styled
def new_axes(*, width: float = COLUMN_WIDTH, height: float = 2.5) -> Axes:
    """The only panel of a new figure; save its `figure`."""
    return new_figure(width=width, height=height).subplots()


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure that is drawn when it is first asked for.

    Attributes:
        draw: a function of `axes`, or of `figure`, such as a `functools.partial`.
        width: in inches.
        height: the same.
    """

    draw: Draw
    width: float = COLUMN_WIDTH
    height: float = 2.5

    @functools.cached_property
    def figure(self) -> Figure:
        """The figure."""
        if "axes" in inspect.signature(self.draw).parameters:
            axes = new_axes(width=self.width, height=self.height)
            self.draw(axes=axes)
            figure = axes.get_figure(root=True)
            assert figure is not None
            return figure
        figure = new_figure(width=self.width, height=self.height)
        self.draw(figure=figure)
        return figure

    @property
    def axes(self) -> list[Axes]:
        """Its panels."""
        return self.figure.axes


@styled
def save_figure(figure: Figure, path: str | Path, data: pd.DataFrame) -> list[Path]:
    """Write a figure as PNG (300 dpi) and SVG, and the table behind it as CSV, each atomically.

    Args:
        figure: the figure; its label, if it has one, is its origin and is kept in the PNG.
        path: without suffix; `.png`, `.svg` and `.csv` are appended.
        data: the table that was drawn.

    Returns:
        The three files.

    Raises:
        StorageError: if one cannot be written.
    """
    # Lay out once for both files; otherwise the layout would be computed again for each.
    lay_out(figure)
    stem = Path(path)
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv")]
    svg = _as_svg(figure)
    for file, content in zip(files, (_as_png(figure, svg), svg), strict=False):
        with atomic_write(file) as stream:
            stream.write(content)
    write_table(data, files[2])
    return files


@styled
def lay_out(figure: Figure) -> None:
    """Lay a figure out once for all that is done with it, without drawing it."""
    Canvas(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)


def origin_text(origin: str, svg: bytes) -> str:
    """What a PNG says of its origin and of the SVG beside it."""
    return f"{origin} {hashlib.sha256(svg).hexdigest()}"


def _as_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No date, so that equal tables give equal files.
    figure.savefig(buffer, format="svg", dpi=RESOLUTION, metadata={"Date": None})
    return buffer.getvalue()


def _as_png(figure: Figure, svg: bytes) -> bytes:
    buffer = io.BytesIO()
    metadata: dict[str, str | None] = {"Software": None}
    if origin := str(figure.get_label()):
        metadata[ORIGIN] = origin_text(origin, svg)
    options = {"compress_level": _COMPRESSION}
    figure.savefig(buffer, format="png", dpi=RESOLUTION, metadata=metadata, pil_kwargs=options)
    return buffer.getvalue()


def draw_reference(axes: Axes, value: float, *, label: str) -> None:
    """Draw the horizontal reference line that a score is compared with."""
    axes.axhline(value, label=label, **REFERENCE)


def legend_below(axes: Axes, *, num_columns: int) -> None:
    """Draw one legend per figure, below it, where no curve can cross it."""
    figure = axes.figure
    assert figure is not None
    handles, labels = axes.get_legend_handles_labels()
    if handles and not figure.legends:
        figure.legend(handles, labels, loc="outside lower center", ncols=num_columns)


def title_above(axes: Axes, text: str) -> None:
    """Draw a title from the figure's left edge, for a panel with long labels on its left."""
    assert axes.figure is not None
    axes.figure.suptitle(text, ha="left", x=0.01)


def ink_on(colour: npt.ArrayLike) -> str:
    """The ink with the better contrast with (4,) red, green, blue and alpha."""
    red, green, blue, alpha = np.asarray(colour, dtype=np.float64)
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    if alpha == 0:
        return "black"
    return BLACK_INK if luminance > 0.18 else WHITE_INK


def wrapped(text: str, longest: int) -> str:
    """Text in lines of at most so many characters, if its words allow."""
    return "\n".join(
        part for line in text.split("\n") for part in textwrap.wrap(line, max(longest, 8))
    )


def score_label(metric: str, num_folds: int | None = None) -> str:
    """The axis label of a search's score."""
    suffix = f"\n(mean of {num_folds} folds)" if num_folds else ""
    return f"Validation {METRICS.get(metric, metric)}{suffix}"
