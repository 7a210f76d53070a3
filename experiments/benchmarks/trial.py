"""One Regime I trial: folds together, against one after another, PyTorch, and the backbone.

    python -m experiments.benchmarks.trial [--batch-sizes 32,128,512,1600] [--repeats 2]
        [--figure docs/benchmark]

2,490 images, 6 folds, 20 epochs, the study's head, metrics included. PyTorch is timed where it is
installed. The way with the backbone in the loop is measured on a few steps and extrapolated.
Below it, where the time of the package's own way goes. With `--figure` the times are drawn, to
PNG, SVG and CSV.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.benchmarks.common import (
    DROPOUT_RATE,
    EPOCHS,
    IMAGES,
    NUM_FOLDS,
    Timing,
    configuration,
    folds_of,
    needed_flops,
    print_table,
    synthetic_data,
    synthetic_features,
    timed,
)
from experiments.benchmarks.profile import print_profile, profile
from rust_tuner.figures.style import (
    DOUBLE_WIDTH,
    GREY,
    PALETTE,
    SMALLEST_TEXT,
    new_figure,
    save_figure,
    styled,
)
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.architectures import TransferLearningModel
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.runtime import start_backend
from rust_tuner.search.fold_runs import run_folds_together

WAYS = (
    "folds together",
    "PyTorch, fused Adam",
    "Keras fit, fold by fold",
    "backbone in the loop (extrapolated)",
)
MARKERS = ("o", "s", "^", "D")


def folds_together(trainer: FoldParallelTrainer, batch_size: int) -> Callable[[], object]:
    """The package's own way."""
    hypermodel, hyperparameters = configuration(batch_size)
    return lambda: run_folds_together(
        lambda: hypermodel.build_head(hyperparameters),
        trainer,
        folds_of(),
        epochs=EPOCHS,
        batch_size=batch_size,
        seed=0,
    )


def keras_fit(features: FrozenFeatures, data: TrainingData, batch_size: int) -> None:
    """Keras `fit`, one fold after another, on the cached features; validation AUROC only."""
    hypermodel, hyperparameters = configuration(batch_size)
    values = features.values
    rng = np.random.default_rng(0)
    for training, validation in folds_of():
        model = hypermodel.build_head(hyperparameters)
        for _ in range(EPOCHS):
            variants = rng.integers(values.shape[1], size=len(training))
            model.fit(
                values[training, variants],
                data.targets[training],
                batch_size=batch_size,
                verbose=0,
            )
            answers = model.predict(values[validation, 0], batch_size=batch_size, verbose=0)
            macro_auroc(data.targets[validation], answers)
        keras.utils.clear_session()


def torch_loop(features: FrozenFeatures, data: TrainingData, batch_size: int) -> None:
    """A plain PyTorch loop with its fused Adam, one fold after another; validation AUROC only."""
    import torch
    from torch import nn

    values = torch.from_numpy(features.values).flatten(0, 1)
    num_variants = features.num_variants
    targets = torch.from_numpy(data.targets)
    for training, validation in folds_of():
        layers: list[nn.Module] = []
        sizes = [values.shape[1], 1024, 512, 256]
        for first, second in itertools.pairwise(sizes):
            layers += [nn.Linear(first, second), nn.ReLU(), nn.Dropout(DROPOUT_RATE)]
        model = nn.Sequential(*layers, nn.Linear(256, targets.shape[1]))
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
        loss_of = nn.BCEWithLogitsLoss()
        rows, held = torch.from_numpy(training), torch.from_numpy(validation)
        for _ in range(EPOCHS):
            model.train()
            order = rows[torch.randperm(len(rows))]
            variants = torch.randint(num_variants, (len(order),))
            for batch, variant in zip(
                order.split(batch_size), variants.split(batch_size), strict=True
            ):
                adam.zero_grad()
                loss = loss_of(model(values[batch * num_variants + variant]), targets[batch])
                loss.backward()
                adam.step()
            model.eval()
            with torch.inference_mode():
                answers = torch.sigmoid(model(values[held * num_variants])).numpy()
            macro_auroc(data.targets[validation], answers)


def backbone_images_per_second(batch_size: int = 32, steps: int = 3) -> float:
    """Training steps with the frozen InceptionV3 in the loop, as published."""
    model = TransferLearningModel(weights="random")
    model.compile("adam", "binary_crossentropy", jit_compile=False)
    images = np.random.default_rng(0).random((batch_size, 299, 299, 3), dtype=np.float32)
    targets = np.zeros((batch_size, 18), dtype=np.float32)
    model.train_on_batch(images, targets)
    start = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(images, targets)
    return float(steps * batch_size / (time.perf_counter() - start))


def attainable_gflops(batch_size: int) -> float:
    """The rate of the head's first and largest product, by itself."""
    left = tf.random.uniform((NUM_FOLDS, min(batch_size, 2075), 2048))
    right = tf.random.uniform((NUM_FOLDS, 2048, 1024))
    product = tf.function(tf.matmul)
    product(left, right)
    repeats = max(2, round(200 / left.shape[1]) * 4)
    start = time.perf_counter()
    for _ in range(repeats):
        result = product(left, right)
    float(result[0, 0, 0])
    operations = 2.0 * repeats * NUM_FOLDS * left.shape[1] * 2048 * 1024
    return float(operations / (time.perf_counter() - start) / 1e9)


@styled
def draw_times(times: pd.DataFrame, *, figure: Figure) -> None:
    """Seconds a trial on a logarithmic axis, by batch size and way."""
    axes = figure.subplots()
    ways = [way for way in WAYS if way in set(times["way"])]
    sizes = sorted(times["batch_size"].unique())
    for place, way in enumerate(ways):
        own = times[times["way"] == way].set_index("batch_size")["seconds"][sizes]
        heights = np.arange(len(sizes)) + 0.19 * place
        axes.plot(own, heights, MARKERS[place], markersize=4, label=way, color=PALETTE[place])
        for height, seconds in zip(heights, own, strict=True):
            told = f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"
            axes.text(1.12 * seconds, height, told, va="center", fontsize=SMALLEST_TEXT)
    for between in range(1, len(sizes)):
        axes.axhline(between - 0.215, color=GREY, linewidth=0.3)
    axes.set_xscale("log")
    axes.set_xlim(right=4 * times["seconds"].max())
    axes.set_yticks(np.arange(len(sizes)) + 0.285, [str(size) for size in sizes])
    axes.invert_yaxis()
    axes.set_ylabel("batch size")
    axes.set_xlabel("seconds a trial, logarithmic")
    axes.set_title(f"One trial: {IMAGES:,} images, {NUM_FOLDS} folds, {EPOCHS} epochs")
    figure.legend(loc="outside lower center", ncols=len(ways))


def main() -> None:
    """Time every way at every batch size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch-sizes", default="1600,512,128,32")
    parser.add_argument("--repeats", type=int, default=2, help="of every way, in turns")
    parser.add_argument("--figure", type=Path, help="path without suffix")
    arguments = parser.parse_args()
    start_backend()
    try:
        import torch

        torch_version = torch.__version__
    except ImportError:
        torch_version = None

    features = synthetic_features()
    data = synthetic_data(features)
    trainer = FoldParallelTrainer(data)
    speed = backbone_images_per_second()
    # Each epoch of each fold sees all images once, for training or for validation.
    backbone = IMAGES * NUM_FOLDS * EPOCHS / speed
    folds_together(trainer, 2048)()
    rows, drawn = [], []
    batch_sizes = [int(part) for part in arguments.batch_sizes.split(",")]
    for batch_size in batch_sizes:
        ways: list[Callable[[], object]] = [
            folds_together(trainer, batch_size),
            partial(keras_fit, features, data, batch_size),
        ]
        if torch_version:
            ways.append(partial(torch_loop, features, data, batch_size))
        rates, times = [], []
        # In turns, so that what slows the machine for a while slows all of them.
        for _ in range(arguments.repeats):
            rates.append(attainable_gflops(batch_size))
            times.append([timed(way) for way in ways])
        ours, fit, *others = (Timing(column) for column in zip(*times, strict=True))
        plain = others[0] if others else Timing((float("nan"),))
        attainable = statistics.median(rates)
        seconds = (ours.median, plain.median, fit.median, backbone)
        drawn += [(batch_size, *pair) for pair in zip(WAYS, seconds, strict=True)]
        achieved = needed_flops(IMAGES, NUM_FOLDS, EPOCHS) / ours.median / 1e9
        rows.append(
            (
                batch_size,
                str(ours),
                f"{fit} = {fit.median / ours.median:.1f}x",
                f"{plain} = {plain.median / ours.median:.1f}x" if torch_version else "-",
                f"{backbone / 3600:.1f} h = {backbone / ours.median:.0f}x",
                f"{achieved:.0f} of {attainable:.0f} = {achieved / attainable:.0%}",
            )
        )
    print_table(
        f"One trial: {IMAGES} images, {NUM_FOLDS} folds, {EPOCHS} epochs; seconds and ratios",
        [
            "batch size",
            "folds together",
            "Keras fit, fold by fold",
            "PyTorch, fused Adam",
            "backbone in the loop",
            "GFLOP/s",
        ],
        rows,
        [
            f"Backbone in the loop: {speed:.1f} images/s in training steps of 32, extrapolated.",
            f"PyTorch {torch_version or 'is not installed'}. GFLOP/s: needed matrix products of "
            "the trial, of the rate of its first product by itself.",
        ],
    )
    if arguments.figure is not None:
        table = pd.DataFrame(drawn, columns=["batch_size", "way", "seconds"]).dropna()
        figure = new_figure(width=DOUBLE_WIDTH, height=2.6)
        draw_times(table, figure=figure)
        save_figure(figure, arguments.figure, table)
    print_profile({batch_size: profile(data, batch_size) for batch_size in batch_sizes})


if __name__ == "__main__":
    main()
