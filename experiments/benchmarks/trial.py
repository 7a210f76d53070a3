"""One Regime I trial: folds together against every other way of training them, in turns.

    python -m experiments.benchmarks.trial [--batch-sizes 16,32,128,512,1600] [--turns 3]
        [--epochs 3] [--ways together,jax,torch] [--at-once 1] [--no-backbone]
        [--figure docs/benchmark]

2,490 images, 6 folds, the study's head with dropout, Adam. All ways take the same rows in the same
number of steps, from a table of features in memory, draw flips and dropout masks anew, and score
each fold's validation side after each epoch. Folds together scores the training side as well, by
two metrics, which the peers leave out. Each turn trains `--epochs` epochs, and its cost is
extrapolated to 20 from all but the first. The first turn at a batch size holds its compilation.

With `--at-once 2`, two trials run at the same time, each on half of the cores, as a search with
`workers=2` does; the cost is that of a trial, so half of the time that both take. It is so for the
peers as well.

A way whose package is not installed is left out, and the table says so. oneDNN is on as the package
switches it on, for the ways in Keras too. Where other work loads the machine, compare CPU seconds,
with OMP_WAIT_POLICY=PASSIVE, so that PyTorch's threads do not count their waiting. The way with the
backbone in the loop is measured on a few steps and extrapolated. Where the time of the package's
own way goes is printed by `experiments.benchmarks.profile`.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.benchmarks.problem import EPOCHS, IMAGES, NUM_FOLDS
from experiments.benchmarks.ways import WAYS, Costs, Ways, installed, print_without_tensorflow
from rust_tuner.figures.style import (
    DOUBLE_WIDTH,
    GREY,
    PALETTE,
    SMALLEST_TEXT,
    new_figure,
    save_figure,
    styled,
)

BACKBONE = "backbone in the loop (extrapolated)"
MARKERS = "os^DvP*X"
_LINE = 0.14  # inches
_IN_FIGURE = ("together", "jax", "torch_stacked", "torch", "fit")


def measure(
    ways: Ways, names: list[str], batch_sizes: list[int], *, turns: int, epochs: int
) -> pd.DataFrame:
    """One row a batch size and way.

    Args:
        ways: run the trials.
        names: of the ways; the first is what the others are compared with.
        batch_sizes: one after another.
        turns: warm ones, after the first, at each batch size.
        epochs: of each turn, at least 2.

    Returns:
        Columns batch_size, way, first, first_cpu, seconds, lowest, highest and cpu_seconds; all
        are seconds of a trial of 20 epochs.
    """
    rows = []
    for batch_size in batch_sizes:
        # In turns, so that what slows the machine for a while slows all of them.
        turned = [[ways.cost(name, batch_size, epochs) for name in names] for _ in range(turns + 1)]
        for name, (first, *warm) in zip(names, zip(*turned, strict=True), strict=True):
            costs = Costs(first, tuple(warm))
            seconds = [cost.seconds for cost in warm]
            rows.append(
                {
                    "batch_size": batch_size,
                    "way": WAYS[name].title,
                    "first": first.seconds,
                    "first_cpu": first.cpu_seconds,
                    "seconds": costs.median("seconds"),
                    "lowest": min(seconds),
                    "highest": max(seconds),
                    "cpu_seconds": costs.median("cpu_seconds"),
                }
            )
    return pd.DataFrame(rows)


def ratios(times: pd.DataFrame) -> pd.DataFrame:
    """The times, and each way's as a multiple of the first way's at the same batch size."""
    quantities = ["seconds", "cpu_seconds", "first", "first_cpu"]
    ours = times.groupby("batch_size", sort=False)[quantities].transform("first")
    return times.join((times[quantities] / ours).add_prefix("ratio_"))


def backbone_seconds(batch_size: int = 32, steps: int = 3) -> float:
    """A trial with the frozen InceptionV3 in the loop, as published, from a few steps."""
    from rust_tuner.models.architectures import TransferLearningModel
    from rust_tuner.models.runtime import start_backend

    start_backend()
    model = TransferLearningModel(weights="random")
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    images = np.random.default_rng(0).random((batch_size, 299, 299, 3), dtype=np.float32)
    targets = np.zeros((batch_size, 18), dtype=np.float32)
    model.train_on_batch(images, targets)
    start = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(images, targets)
    # Each epoch of each fold sees all images once, for training or for validation.
    return (time.perf_counter() - start) / (steps * batch_size) * IMAGES * NUM_FOLDS * EPOCHS


@styled
def draw_times(times: pd.DataFrame, *, figure: Figure) -> None:
    """Seconds a trial on a logarithmic axis, by batch size and way."""
    axes = figure.subplots()
    ways = list(times["way"].unique())
    sizes = sorted(times["batch_size"].unique())
    apart = 0.76 / len(ways)
    for place, way in enumerate(ways):
        own = times[times["way"] == way].set_index("batch_size")["seconds"][sizes]
        heights = np.arange(len(sizes)) + apart * place
        axes.plot(
            own,
            heights,
            MARKERS[place],
            markersize=4,
            label=way,
            color=PALETTE[place % len(PALETTE)],
        )
        for height, seconds in zip(heights, own, strict=True):
            label = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"
            axes.text(1.12 * seconds, height, label, va="center", fontsize=SMALLEST_TEXT)
    for between in range(1, len(sizes)):
        axes.axhline(between - (1 - 0.76) / 2 - apart / 2, color=GREY, linewidth=0.3)
    axes.set_xscale("log")
    axes.set_xlim(right=4 * times["seconds"].max())
    axes.set_yticks(np.arange(len(sizes)) + 0.38 - apart / 2, [str(size) for size in sizes])
    axes.invert_yaxis()
    axes.set_ylabel("batch size")
    axes.set_xlabel("seconds a trial, logarithmic")
    axes.set_title(f"One trial: {IMAGES:,} images, {NUM_FOLDS} folds, {EPOCHS} epochs")
    figure.legend(loc="outside lower center", ncols=3)


def main() -> None:
    """Time every way at every batch size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch-sizes", default="1600,512,128,32,16")
    parser.add_argument("--ways", default=",".join(WAYS), help="the first is compared with")
    parser.add_argument("--turns", type=int, default=3, help="warm turns of every way")
    parser.add_argument("--epochs", type=int, default=3, help="of a turn, at least 2")
    parser.add_argument("--gpu", action="store_true", help="JAX and PyTorch on a GPU")
    parser.add_argument("--at-once", type=int, default=1, help="trials at the same time")
    parser.add_argument("--backbone", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--figure", type=Path, help="path without suffix")
    arguments = parser.parse_args()
    asked = arguments.ways.split(",")
    names = installed(asked)
    batch_sizes = [int(part) for part in arguments.batch_sizes.split(",")]
    with Ways(at_once=arguments.at_once, on_gpu=arguments.gpu) as ways:
        versions = {key: v for name in names for key, v in ways.versions(name).items()}
        times = measure(ways, names, batch_sizes, turns=arguments.turns, epochs=arguments.epochs)
    print_without_tensorflow()
    from experiments.benchmarks.common import print_table

    missing = [WAYS[name].title for name in asked if name not in names]
    print_table(
        f"One trial of {arguments.at_once} at once: {IMAGES} images, {NUM_FOLDS} folds, {EPOCHS} "
        f"epochs; above 1 is slower than {WAYS[names[0]].title}",
        ["batch size", "way", "warm s", "ratio", "CPU s", "ratio", "first s", "CPU s", "ratio"],
        [
            (
                row.batch_size,
                row.way,
                f"{row.seconds:.1f} ({row.lowest:.1f}-{row.highest:.1f})",
                f"{row.ratio_seconds:.2f}",
                f"{row.cpu_seconds:.1f}",
                f"{row.ratio_cpu_seconds:.2f}",
                f"{row.first:.1f}",
                f"{row.first_cpu:.1f}",
                f"{row.ratio_first_cpu:.2f}",
            )
            for row in ratios(times).itertuples()
        ],
        [
            f"Median (range) of {arguments.turns} warm turns of {arguments.epochs} epochs, "
            f"extrapolated to {EPOCHS}. First: with what this batch size compiles; ratio of CPU.",
            f"oneDNN in TensorFlow: {'on' if versions.get('onednn') else 'off'}. "
            + ", ".join(f"{key} {value}" for key, value in versions.items() if key != "onednn")
            + f". Not installed: {', '.join(missing) or 'none'}.",
            f"OMP_WAIT_POLICY: {os.environ.get('OMP_WAIT_POLICY', 'not set')}. Load of the machine "
            f"at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}.",
        ],
    )
    drawn = times[times["way"].isin([WAYS[name].title for name in _IN_FIGURE])]
    if arguments.backbone:
        backbone = backbone_seconds()
        print(f"With the backbone in the loop, extrapolated: {backbone / 3600:.1f} h a trial.")
        rows = [{"batch_size": b, "way": BACKBONE, "seconds": backbone} for b in batch_sizes]
        drawn = pd.concat([drawn, pd.DataFrame(rows)])
    if arguments.figure is not None:
        table = drawn[["batch_size", "way", "seconds"]]
        # A line of text for each way and batch size.
        figure = new_figure(width=DOUBLE_WIDTH, height=1.2 + len(table) * _LINE)
        draw_times(table, figure=figure)
        save_figure(figure, arguments.figure, table)


if __name__ == "__main__":
    main()
