"""Line breaks on the terminal: between words, and in long names after separators."""

import re
from collections.abc import Iterable

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

# A piece of a name, with the separators at its end.
_PIECE = re.compile(r"[^/\\_.\-]*[/\\_.\-]+|[^/\\_.\-]+")
_LONGEST_SUFFIX = 5
_JOINED = "\u00a0"
_INDENT = re.compile(r" *(- )?")


def wrap_words(text: str, width: int) -> str:
    """Break lines between words; a word that is too long is broken like a name.

    Later lines of a paragraph are indented as its first, and below the text of a `- `.
    """
    return "\n".join(line for one in text.split("\n") for line in _wrapped(one, width))


def print_lines(console: Console, lines: Iterable[Text]) -> None:
    """Print lines, wrapped on a terminal; elsewhere each stays one line."""
    for line in lines:
        if console.is_terminal and line.cell_len > console.width:
            line = Text(wrap_words(line.plain, console.width), style=line.style)
        console.print(line, highlight=False, soft_wrap=True)


def fold_name(name: str, width: int) -> list[str]:
    """A file name or path in lines, broken after `/`, `_`, `-` and `.` if possible."""
    lines = [""]
    for piece in _pieces(name):
        if cell_len(lines[-1]) + cell_len(piece) <= width:
            lines[-1] += piece
            continue
        if not lines[-1]:
            lines.pop()
        lines += chop_cells(piece, width) if cell_len(piece) > width else [piece]
    return lines


def longest_piece(name: str) -> int:
    """The width of the longest part of a name that `fold_name` does not break."""
    return max(map(cell_len, _pieces(name)), default=0)


class Words:
    """A text that breaks between words, and long names at their separators."""

    def __init__(self, text: str, style: str = "") -> None:
        """Wrap a text.

        Args:
            text: with a line for each paragraph.
            style: of rich.
        """
        self.text = text
        self.style = style

    def __str__(self) -> str:
        """The text."""
        return self.text

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as its longest piece of a word, up to its longest line."""
        pieces = [longest_piece(word) for word in self.text.split()]
        most = max((cell_len(line) for line in self.text.split("\n")), default=0)
        return Measurement(min(max(pieces, default=0), options.max_width), most).with_maximum(
            options.max_width
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The wrapped lines."""
        wrapped = wrap_words(self.text, max(1, options.max_width))
        yield Text(wrapped, style=self.style, no_wrap=True, overflow="ignore")


def _pieces(name: str) -> list[str]:
    """The parts between which a name is broken; a suffix such as `.png` stays with its name."""
    pieces: list[str] = _PIECE.findall(name)
    if len(pieces) > 1 and pieces[-2].endswith(".") and len(pieces[-1]) <= _LONGEST_SUFFIX:
        pieces[-2:] = ["".join(pieces[-2:])]
    return pieces


def _wrapped(line: str, width: int) -> list[str]:
    indent = _INDENT.match(line)
    start = indent[0] if indent else ""
    start = start if cell_len(start) < width // 2 else ""
    lines = [start]
    is_empty = True
    # A number stays with its sign of per cent or its deviation.
    joined = line[len(start) :].replace(" %", f"{_JOINED}%").replace(" ± ", f"{_JOINED}±{_JOINED}")
    for word in joined.split(" "):
        if not word:
            continue
        room = width - cell_len(lines[-1]) - (0 if is_empty else 1)
        if cell_len(word) <= room:
            lines[-1] += word if is_empty else f" {word}"
        else:
            first, *rest = fold_name(word, width - len(start))
            if is_empty:
                lines[-1] += first
            else:
                lines.append(" " * len(start) + first)
            lines += [" " * len(start) + part for part in rest]
        is_empty = False
    return [line.replace(_JOINED, " ") for line in lines]
