"""Draws the curves of a trial as a small SVG, without Matplotlib: cheap enough beside a search."""

from collections.abc import Sequence

from rust_tuner.analysis.live import Curves

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 32


def curves_svg(curves: Curves) -> str:
    """Every fold's curve thin, their mean thick, the view-only baseline dashed.

    Colours are CSS variables of the page. Nothing in it comes from a file's text.
    """
    values = [value for fold in curves.folds for value in fold.values]
    if curves.view_only is not None:
        values.append(curves.view_only)
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.02
    low, high = low - margin, high + margin
    last = max(curves.epochs, *(len(fold.values) for fold in curves.folds))

    def x(epoch: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (epoch - 1) / max(1, last - 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    def line(points: Sequence[float], style: str) -> str:
        places = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in enumerate(points, 1))
        dot = ""
        if len(points) == 1:
            dot = f'<circle cx="{x(1):.1f}" cy="{y(points[0]):.1f}" r="3" class="dot"/>'
        return f'<polyline class="{style}" points="{places}"/>{dot}'

    shortest = min(len(fold.values) for fold in curves.folds)
    mean = [
        sum(fold.values[epoch] for fold in curves.folds) / len(curves.folds)
        for epoch in range(shortest)
    ]
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="curves">']
    for value in (low + margin, (low + high) / 2, high - margin):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"/><text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.3f}</text>'
        )
    for epoch in sorted({1, (last + 1) // 2, last}):
        parts.append(
            f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{epoch}</text>'
        )
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 1}" '
        'text-anchor="middle">epoch</text>'
    )
    if curves.view_only is not None:
        place = y(curves.view_only)
        parts.append(
            f'<line class="view" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" '
            f'y2="{place:.1f}"/>'
        )
    parts += [line(fold.values, "fold") for fold in curves.folds]
    parts += [line(mean, "mean"), "</svg>"]
    return "".join(parts)
