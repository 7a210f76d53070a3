"""How our figures look and how they are saved, and the curves of a cross-validation.

A figure function takes a tidy table and an `Axes`, or a `Figure` where it draws several panels;
it computes no score. Colours hold for colour-blind readers, and every distinction has a second
sign (line style, marker, text) that greyscale keeps. No pyplot state.
"""

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rust_tuner.files import atomic_write
from rust_tuner.labels import NUM_LABELS
from rust_tuner.report.tables import write_table

# A journal's single and double column, in inches.
COLUMN_WIDTH = 3.35
DOUBLE_WIDTH = 6.9
RESOLUTION = 300
SMALLEST_TEXT = 7

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

PALETTE: tuple[tuple[float, float, float], ...] = tuple(sns.color_palette("colorblind"))
BLUE, ORANGE, GREEN, VERMILION = PALETTE[:4]
GREY = (0.35, 0.35, 0.35)
SEQUENTIAL = "cividis"

METRICS = {
    "auroc": f"AUROC, {NUM_LABELS} labels",
    "cortex_auroc": "AUROC, visible cortices",
    "loss": "Loss",
}

_REFERENCE: dict[str, Any] = {
    "color": VERMILION,
    "linewidth": 0.9,
    "linestyle": (0, (5, 1.5, 1, 1.5)),
}
# (name, colour, line style) of the two splits in the published layout.
_SPLITS = (("train", "training", ORANGE, (0, (3, 1.2))), ("validation", "validation", BLUE, "-"))


@styled
def new_figure(*, width: float = COLUMN_WIDTH, height: float = 2.5) -> Figure:
    """An empty figure without pyplot, in inches; its layout keeps text inside."""
    return Figure(figsize=(width, height), layout="constrained")


@styled
def new_axes(*, width: float = COLUMN_WIDTH, height: float = 2.5) -> Axes:
    """The one panel of a new figure; its `figure` is what is saved."""
    return new_figure(width=width, height=height).subplots()


@styled
def save_figure(figure: Figure, path: str | Path, data: pd.DataFrame) -> list[Path]:
    """Write a figure as PNG (300 dpi) and SVG, and the table behind it as CSV, each atomically.

    Args:
        figure: the figure.
        path: without suffix; `.png`, `.svg` and `.csv` are appended.
        data: the table that was drawn.

    Returns:
        The three files.

    Raises:
        StorageError: where one cannot be written.
    """
    stem = Path(path)
    files = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg", "csv")]
    for file in files[:2]:
        with atomic_write(file) as stream:
            stream.write(_rendered(figure, file.suffix.removeprefix(".")))
    write_table(data, files[2])
    return files


@styled
def _rendered(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    # No date, so that equal tables give equal files.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=RESOLUTION, metadata=metadata)
    return buffer.getvalue()


@styled
def draw_curves(
    curves: pd.DataFrame,
    *,
    axes: Axes,
    metric: str = "auroc",
    epoch: int | None = None,
    view_only: float | None = None,
    title: str = "",
) -> None:
    """One model's training and validation curves: each fold thin, their mean thick.

    Args:
        curves: `split, epoch, fold` and the metric, as published; epochs from 1.
        axes: where to draw.
        metric: the column.
        epoch: the chosen epoch, from 1; the best of the mean validation curve where None.
        view_only: the view-only baseline, drawn as a line.
        title: over the number of folds.
    """
    num_folds = curves["fold"].nunique()
    _draw_fold_lines(curves, axes=axes, metric=metric)
    validation = curves[curves["split"] == "validation"]
    mean = validation.groupby("epoch")[metric].mean()
    if epoch is None and len(mean):
        best = mean.argmin() if metric == "loss" else mean.argmax()
        epoch = int(mean.index.to_numpy()[best])
    if epoch is not None and epoch in mean.index:
        axes.axvline(epoch, color=GREY, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=0)
        axes.plot(
            [epoch],
            [mean[epoch]],
            marker="o",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=BLUE,
            linestyle="none",
            label=f"epoch {epoch}: {mean[epoch]:.3f}",
            zorder=5,
        )
    if view_only is not None:
        draw_reference(axes, view_only, label=f"view only: {view_only:.3f}")
    axes.set_xlabel("Epoch")
    axes.set_ylabel(METRICS.get(metric, metric))
    _whole_epochs(axes, curves)
    lines = [title] if title else []
    axes.set_title("\n".join([*lines, f"n = {num_folds} folds and their mean"]))
    legend_below(axes, num_columns=2)


@styled
def draw_curve_grid(
    curves: pd.DataFrame,
    *,
    figure: Figure,
    metric: str = "auroc",
    names: tuple[str, ...] = (),
    num_trials: int | None = None,
    view_only: float | None = None,
) -> None:
    """Small multiples: the curves of some trials from the best to the worst.

    Args:
        curves: from `tables.ranked_curves`.
        figure: where to draw.
        metric: the column.
        names: the hyperparameters that stand over each panel.
        num_trials: of how many completed trials they are.
        view_only: the view-only baseline, drawn as a line.
    """
    ranks = sorted(curves["rank"].unique())
    num_columns = min(3, len(ranks))
    num_rows = -(-len(ranks) // num_columns)
    panels = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False)
    for panel, rank in zip(panels.flat, ranks, strict=False):
        rows = curves[curves["rank"] == rank]
        _draw_fold_lines(rows, axes=panel, metric=metric)
        first = rows.iloc[0]
        values = ", ".join(short_number(first[name]) for name in names)
        panel.set_title(
            "\n".join(filter(None, [f"#{rank}: {first['score']:.3f}", values])),
            fontsize=SMALLEST_TEXT,
        )
        _whole_epochs(panel, curves, count=2)
        if view_only is not None:
            draw_reference(panel, view_only, label=f"view only: {view_only:.3f}")
    for panel in panels.flat[len(ranks) :]:
        panel.set_axis_off()
    for column in range(num_columns):
        shown = [row for row in range(num_rows) if row * num_columns + column < len(ranks)]
        panels[shown[-1], column].tick_params(labelbottom=True)
        panels[shown[-1], column].set_xlabel("Epoch")
    told = f" of {num_trials}" if num_trials else ""
    over = [f"Rank{told}: score" + (f"; {', '.join(map(words, names))}" if names else "")]
    folds = curves["fold"].nunique()
    figure.suptitle(f"{over[0]}\nn = {folds} folds each", ha="left", x=0.01)
    figure.supylabel(METRICS.get(metric, metric), fontsize=7.5)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


@styled
def draw_baselines(
    scores: pd.DataFrame,
    *,
    axes: Axes,
    metric: str = "auroc",
    view_only: float | None = None,
    chance: float | None = 0.5,
    names: dict[str, str] | None = None,
) -> None:
    """The first models side by side: folds, their mean and standard deviation.

    Args:
        scores: `model, fold, value`, such as from `tables.best_epoch_scores`; drawn in its order
            from the top.
        axes: where to draw.
        metric: what the values are.
        view_only: the view-only baseline, drawn as a line.
        chance: drawn as a line.
        names: what to call the models.
    """
    models = list(dict.fromkeys(scores["model"]))
    told = []
    for place, model in enumerate(models):
        values = scores.loc[scores["model"] == model, "value"].to_numpy(dtype=np.float64)
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        told.append(f"{(names or {}).get(model, model)}\n{values.mean():.3f} ± {spread:.3f}")
        axes.plot(
            values,
            np.full(len(values), place - 0.16),
            linestyle="none",
            marker="o",
            markersize=3,
            markerfacecolor="none",
            markeredgecolor=GREY,
            markeredgewidth=0.6,
        )
        axes.errorbar(
            values.mean(),
            place + 0.16,
            xerr=spread,
            color=BLUE,
            marker="D",
            markersize=4,
            capsize=2.5,
            linewidth=1.2,
        )
    if chance is not None:
        axes.axvline(chance, color=GREY, linewidth=0.8, linestyle=":", label="chance")
    if view_only is not None:
        axes.axvline(view_only, label=f"view only: {view_only:.3f}", **_REFERENCE)
    axes.set_yticks(range(len(models)), told)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"Validation {METRICS.get(metric, metric)}")
    folds = sorted(set(scores.groupby("model")["fold"].nunique()))
    number = "-".join(str(n) for n in folds)
    axes.set_title(f"○ n = {number} folds; ◆ mean ± SD", x=0)
    legend_below(axes, num_columns=2)


def draw_reference(axes: Axes, value: float, *, label: str) -> None:
    """The horizontal line that a score has to be read against."""
    axes.axhline(value, label=label, **_REFERENCE)


def legend_below(axes: Axes, *, num_columns: int) -> None:
    """The legend below the figure, where no curve can run through it; once a figure."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    handles, labels = axes.get_legend_handles_labels()
    if handles and not figure.legends:
        figure.legend(handles, labels, loc="outside lower center", ncols=num_columns)


def short_number(value: object) -> str:
    """A hyperparameter in as few characters as three digits take."""
    return _bare(f"{value:.3g}") if isinstance(value, float | np.floating) else str(value)


def power_number(value: float) -> str:
    """A value of a logarithmic axis, such as 1e-7 or 2.5e-4; no raised digits, which are small."""
    return _bare(f"{value:.1e}")


def write_cells(axes: Axes, texts: npt.NDArray[np.str_]) -> None:
    """Write into the cells of a heat map, black or white by what is behind.

    Args:
        axes: with the heat map.
        texts: (rows, columns).
    """
    mesh = axes.collections[0]
    mesh.update_scalarmappable()
    red, green, blue, alpha = np.asarray(mesh.get_facecolor()).reshape((*texts.shape, 4)).T
    # Above this relative luminance black has the better contrast.
    is_light = (0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18) | (alpha == 0)
    for (row, column), text in np.ndenumerate(texts):
        axes.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            color="black" if is_light[column, row] else "white",
            fontsize=SMALLEST_TEXT,
        )


def _bare(number: str) -> str:
    mantissa, _, exponent = number.partition("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}" if exponent else number


def words(name: str) -> str:
    """A column's name as words."""
    return name.replace("_", " ")


def _draw_fold_lines(curves: pd.DataFrame, *, axes: Axes, metric: str) -> None:
    for split, name, colour, style in _SPLITS:
        rows = curves[curves["split"] == split]
        if rows.empty:
            continue
        for _, fold in rows.groupby("fold"):
            axes.plot(fold["epoch"], fold[metric], color=colour, linewidth=0.4, alpha=0.45)
        mean = rows.groupby("epoch")[metric].mean()
        lone = "o" if len(mean) == 1 else None
        axes.plot(
            mean.index,
            mean,
            color=colour,
            linestyle=style,
            linewidth=1.6,
            marker=lone,
            markersize=3,
            label=name,
            zorder=4,
        )


def _whole_epochs(axes: Axes, curves: pd.DataFrame, *, count: int = 5) -> None:
    last = int(curves["epoch"].max())
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, last) if last / step <= count)
    axes.set_xticks([1, *range(step, last + 1, step)] if step > 1 else range(1, last + 1))
    axes.set_xlim(1 - 0.02 * last, last * 1.02)
