"""The consoles that the command line prints on, with any encoding and any text.

Control characters are written out, and characters that the encoding lacks are replaced.
"""

import codecs
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.measure import Measurement
from rich.segment import Segment

from rust_tuner.standard_error import heedless_stderr
from rust_tuner.visible_text import visible

_HANDLER = "rust_tuner.plain"
_PLAIN = {
    "±": "+/-",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u00d7": "x",
    "…": "...",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "µ": "u",
    "•": "*",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "─": "-",
    "│": "|",
}


def new_console(*, stderr: bool = False) -> Console:
    """A console on standard output, or on standard error."""
    console = Console(file=heedless_stderr()) if stderr else Console()
    console.push_render_hook(_VisibleText())
    return console


def prepare_streams() -> None:
    """Let both standard streams accept any text, even if their encoding is ASCII or cp1252.

    Characters that the encoding lacks are replaced; Python would raise `UnicodeEncodeError`.
    """
    codecs.register_error(_HANDLER, _as_plain)
    for stream in (sys.stdout, sys.stderr):
        # A test or a notebook may have replaced it by a stream without encodings.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def _as_plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    unknown = error.object[error.start : error.end]
    plain = "".join(
        _PLAIN.get(character, character.encode("ascii", "backslashreplace").decode())
        for character in unknown
    )
    return plain, error.end


class _VisibleText(RenderHook):
    """Writes control characters out in everything printed, except those of the console itself."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [item if isinstance(item, Control) else _Visible(item) for item in renderables]


class _Visible:
    def __init__(self, shown: ConsoleRenderable) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _made_visible(console.render(self._shown, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._shown)


def _made_visible(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control:
            yield segment
        else:
            yield Segment(visible(segment.text), segment.style)
