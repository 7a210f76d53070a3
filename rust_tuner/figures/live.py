"""Draws the live page's two plots as small SVGs, without Matplotlib: cheap beside a search.

Colours are CSS variables of the page, and nothing in a plot comes from a file's text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rust_tuner.analysis.live import Curves

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 38


def curves_svg(curves: Curves) -> str:
    """Every fold's curve thin, their mean thick, the view-only baseline dashed."""
    folds = [fold.values for fold in curves.folds]
    shortest = min(map(len, folds))
    mean = [sum(fold[epoch] for fold in folds) / len(folds) for epoch in range(shortest)]
    last = max(curves.epochs, *map(len, folds))
    panel = _Panel.of([value for fold in folds for value in fold], curves.view_only, last)
    lines = [panel.line(fold, "fold") for fold in folds]
    return panel.drawn([*lines, panel.line(mean, "mean")], below="epoch")


def scores_svg(scores: Sequence[float], *, total: int, view_only: float | None) -> str:
    """The score of each trial as a dot, and the best so far as a line.

    Args:
        scores: of the trials in the order of their run, at least one.
        total: how many trials there will be.
        view_only: the view-only baseline, or None.
    """
    panel = _Panel.of(scores, view_only, max(total, len(scores)))
    best = [max(scores[: number + 1]) for number in range(len(scores))]
    return panel.drawn([panel.dots(scores), panel.line(best, "mean")], below="trial")


@dataclass(frozen=True)
class _Panel:
    """Values against numbers from 1 to `last`."""

    low: float
    high: float
    last: int
    view_only: float | None

    @classmethod
    def of(cls, values: Iterable[float], view_only: float | None, last: int) -> "_Panel":
        """A panel that holds some values, with a margin."""
        shown = [*values, *([] if view_only is None else [view_only])]
        margin = 0.08 * (max(shown) - min(shown)) or 0.02
        return cls(min(shown) - margin, max(shown) + margin, last, view_only)

    def x(self, number: int) -> float:
        """Where a number is, in pixels."""
        share = (number - 1) / max(1, self.last - 1)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share

    def y(self, value: float) -> float:
        """Where a value is, in pixels."""
        share = (self.high - value) / (self.high - self.low)
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * share

    def line(self, values: Sequence[float], style: str) -> str:
        """A line through values; a dot if there is only one."""
        places = " ".join(f"{self.x(n):.1f},{self.y(v):.1f}" for n, v in enumerate(values, 1))
        dot = self.dots(values) if len(values) == 1 else ""
        return f'<polyline class="{style}" points="{places}"/>{dot}'

    def dots(self, values: Sequence[float]) -> str:
        """A dot for each value."""
        return "".join(
            f'<circle class="dot" cx="{self.x(n):.1f}" cy="{self.y(v):.1f}" r="3"/>'
            for n, v in enumerate(values, 1)
        )

    def drawn(self, content: Iterable[str], *, below: str) -> str:
        """The whole SVG: scales, baseline and content."""
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}"'
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="curves">']
        step = (self.high - self.low) / 10
        for value in (self.low + step, (self.low + self.high) / 2, self.high - step):
            y = f"{self.y(value):.1f}"
            parts.append(
                f'<line class="grid" {ends} y1="{y}" y2="{y}"/>'
                f'<text x="{_LEFT - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end">'
                f"{value:.3f}</text>"
            )
        parts += [
            f'<text x="{self.x(n):.1f}" y="{_HEIGHT - 21}" text-anchor="middle">{n}</text>'
            for n in sorted({1, (self.last + 1) // 2, self.last})
        ]
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{below}</text>')
        if self.view_only is not None:
            y = f"{self.y(self.view_only):.1f}"
            parts.append(f'<line class="view" {ends} y1="{y}" y2="{y}"/>')
        return "".join([*parts, *content, "</svg>"])
