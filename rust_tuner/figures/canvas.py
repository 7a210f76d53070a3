"""A canvas that remembers how large texts are, from one figure to the next.

Figures share most of their texts, and a layout measures each many times. The canvas draws exactly
what Matplotlib's own canvases do; a version of Matplotlib that measures in another way is slower
here, not different.
"""

import io
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import TextToPath

Value = TypeVar("Value")
_Heights = tuple[float, float, float] | tuple[None, None, None]

# A report of many searches has about a thousand.
_MOST_REMEMBERED = 10_000
# Settings that decide how large a text is.
_OF_TEXT = ("font.", "text.", "mathtext.")
_POINTS_PER_INCH = 72
# Tables of a font, and where its line gap, ascent and descent are in each.
_TABLES = {
    "OS/2": ("sTypoLineGap", "sTypoAscender", "sTypoDescender"),
    "hhea": ("lineGap", "ascent", "descent"),
}

_remembered: dict[Hashable, Any] = {}
_numbers: dict[Hashable, int] = {}


class Canvas(FigureCanvasAgg):
    """Draws a figure as PNG or SVG."""

    def get_renderer(self) -> RendererAgg:
        """The renderer of the figure's size and resolution."""
        width, height = self.get_width_height(physical=True)
        key = width, height, self.figure.dpi
        if self._lastKey != key:
            self.renderer = _Pixels(width, height, self.figure.dpi)
            self._lastKey = key
        renderer: RendererAgg = self.renderer
        return renderer

    def print_svg(
        self, filename: io.BytesIO, *, metadata: dict[str, str | None], **options: object
    ) -> None:
        """Draw as SVG; `Figure.savefig` calls it, after it has set the resolution of images."""
        figure = self.figure
        resolution, figure.dpi = figure.dpi, _POINTS_PER_INCH
        width, height = figure.get_size_inches()
        text = io.StringIO()
        size = (width * _POINTS_PER_INCH, height * _POINTS_PER_INCH)
        paths = _Paths(*size, text, image_dpi=resolution, metadata=metadata)
        # Draws what is to be an image within the SVG, such as the colours of a colour bar.
        mixed: Any = MixedModeRenderer
        renderer = mixed(figure, width, height, resolution, paths)
        figure.draw(renderer)
        renderer.finalize()
        filename.write(text.getvalue().encode())


class _Pixels(RendererAgg):
    """Matplotlib's renderer of PNGs."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)  # type: ignore[no-untyped-call]
        self._settings = _settings_of_text()

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        measure: Any = super().get_text_width_height_descent
        key = ("pixels", self._settings, self.dpi, s, prop, ismath)
        size: tuple[float, float, float] = _remember(key, lambda: measure(s, prop, ismath))
        return size

    def _get_font_height_metrics(self, prop: FontProperties) -> _Heights:
        return _heights(prop, self.dpi, self._settings)


class _Paths(RendererSVG):
    """Matplotlib's renderer of SVGs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)  # type: ignore[no-untyped-call]
        self._text2path = _TextToPath()
        self._settings = _settings_of_text()

    def _get_font_height_metrics(self, prop: FontProperties) -> _Heights:
        return _heights(prop, _POINTS_PER_INCH, self._settings)


class _TextToPath(TextToPath):
    """Matplotlib's outlines of texts."""

    def __init__(self) -> None:
        super().__init__()
        self._settings = _settings_of_text()

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        measure = super().get_text_width_height_descent
        key = ("paths", self._settings, s, prop, ismath)
        return _remember(key, lambda: measure(s, prop, ismath))

    def get_glyphs_with_font(
        self,
        font: Any,
        s: str,
        glyph_map: Any = None,
        return_new_glyphs_only: bool = False,
        **options: Any,
    ) -> Any:
        outline = super().get_glyphs_with_font
        if not return_new_glyphs_only:
            return outline(font, s, glyph_map, **options)
        # Not by its file, since fonts of one file may differ in those that they fall back on.
        key = ("outlines", self._settings, font, s, tuple(options.items()))
        placed, glyphs, rectangles = _remember(key, lambda: outline(font, s, **options))
        new = {name: glyph for name, glyph in glyphs.items() if name not in (glyph_map or {})}
        return placed, new, rectangles


def _heights(prop: FontProperties, dpi: float, settings: int) -> _Heights:
    """The ascent, descent and line gap of a font, which Matplotlib 3.11 reads for each text.

    It asks its renderer first, by the name of the method above; other versions do not ask. All are
    None where it does not find them in the font either.
    """

    def read() -> _Heights:
        font: Any = get_font(fontManager._find_fonts_by_props(prop))
        for name, fields in _TABLES.items():
            table, head = font.get_sfnt_table(name), font.get_sfnt_table("head")
            if table is not None and head is not None:
                # Multiplied in Matplotlib's order, for the same last digit.
                scale = 1 / head["unitsPerEm"] * prop.get_size_in_points() * dpi / 72
                gap, ascent, descent = (table[field] * scale for field in fields)
                return ascent, -descent, gap
        return None, None, None

    return _remember(("heights", settings, dpi, prop.copy()), read)


def _settings_of_text() -> int:
    """A number for the settings that decide how large a text is, which are long to compare."""
    settings = tuple(
        (name, repr(matplotlib.rcParams[name]))
        for name in matplotlib.rcParams
        if name.startswith(_OF_TEXT)
    )
    return _numbers.setdefault(settings, len(_numbers))


def _remember(key: Hashable, compute: Callable[[], Value]) -> Value:
    value: Value | None = _remembered.get(key)
    if value is None:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        value = _remembered[key] = compute()
    return value
