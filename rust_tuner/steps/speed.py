"""How fast this machine does what a study consists of: rates, and a few seconds that measure them.

Nothing here reads a radiograph's labels or trains on one: models are timed on random numbers, and
only the decoding of images on a few files of the manifest. `plan` turns rates into times.
"""

import contextlib
import functools
import io
import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rust_tuner.data.images import check_content, load_image
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import Framing, framed
from rust_tuner.errors import ImageError, ManifestError
from rust_tuner.labels import NUM_LABELS
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.weights import PHANTOMS, RANDOM
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import END_TO_END, LENET
from rust_tuner.seeds import generator

# Measured by experiments.benchmarks on two cores.
_IMAGES_PER_SECOND = 15.0
_PRODUCTS_PER_SECOND = 1.5e11
_TRAINED_IMAGES_PER_SECOND = {LENET: 45.0, END_TO_END: 4.0}
_CORES, _SIDE = 2, 299
# The flip variants of an image that pass through the frozen backbone.
VARIANTS = {"none": 1, "horizontal": 2, "horizontal_and_vertical": 4}
_HEAD = (2048, 1024, 512, 256, NUM_LABELS)
_REPORT_SECONDS = 30.0
# A report takes as long as this many figures.
_REPORT_FIGURES = 60.0
# A head is timed on at most this many rows a fold and this batch size; longer epochs are multiples.
_TIMED_ROWS, _TIMED_BATCH = 768, 512
_TIMED_FILES = 6
# Tracing the training of a model takes this many times as long as building it.
_TRACING = 6.0
# Differences of times are noise on a busy machine: an epoch takes at least this part of the trial
# that was timed for it, and its rows at least this part of the epoch.
_LEAST_EPOCH, _LEAST_ROWS = 0.125, 0.05


@dataclass(frozen=True)
class HeadSpeed:
    """The training of heads on cached features, all folds together.

    Attributes:
        trace: seconds until the first step of a new graph.
        overhead: seconds a fold and trial, such as initial weights and records.
        step: seconds a fold and step, whatever its size; most of it updates the weights.
        row: seconds a fold and row, each epoch, including validation and metrics.
    """

    trace: float
    overhead: float
    step: float
    row: float

    def trial(self, rows: int, num_folds: int, epochs: int, batch_size: int) -> float:
        """Seconds of a trial whose folds each train on `rows` rows."""
        epoch = math.ceil(rows / batch_size) * self.step + rows * self.row
        return num_folds * (self.overhead + epochs * epoch)


@dataclass(frozen=True)
class ModelSpeed:
    """The training of a model on images, one fold after another.

    Attributes:
        start: seconds of a fold until its first step: building the model and tracing its graph.
        step: seconds a step, whatever its size.
        image: seconds an image that is trained on.
        validated: seconds an image that is validated.
    """

    start: float
    step: float
    image: float
    validated: float

    def fold(self, rows: int, validated: float, epochs: int, batch_size: int) -> float:
        """Seconds of a fold."""
        epoch = math.ceil(rows / batch_size) * self.step + rows * self.image
        return self.start + epochs * (epoch + validated * self.validated)


@dataclass(frozen=True)
class Speed:
    """Rates of a machine, in seconds.

    Attributes:
        check_image: an image that `prepare` checks.
        decode_image: an image that is decoded for the backbone.
        view: one flip variant of an image through the frozen backbone.
        features_start: building the backbone and tracing it.
        head: the heads on cached features.
        models: the models that are trained on images, by name.
        report: the report.
    """

    check_image: float
    decode_image: float
    view: float
    features_start: float
    head: HeadSpeed
    models: dict[str, ModelSpeed] = field(default_factory=dict)
    report: float = _REPORT_SECONDS


def typical_speed(protocol: Protocol) -> Speed:
    """The rates of two cores of a server processor, scaled to the cores of this machine."""
    cores = (os.cpu_count() or _CORES) / _CORES
    share = min(1.0, (protocol.image_size / _SIDE) ** 2) / cores
    products = sum(first * second for first, second in itertools.pairwise(_HEAD))
    forward = 2.0 * products / _PRODUCTS_PER_SECOND / cores
    return Speed(
        check_image=0.01,
        decode_image=0.0,
        view=share / _IMAGES_PER_SECOND,
        features_start=0.0,
        head=HeadSpeed(trace=2.0, overhead=0.0, step=0.0, row=3 * forward),
        models={
            name: ModelSpeed(0.0, 0.0, share / rate, 0.0)
            for name, rate in _TRAINED_IMAGES_PER_SECOND.items()
        },
    )


def measure_speed(
    protocol: Protocol,
    radiographs: Radiographs,
    *,
    models: Collection[str] = (),
    with_search: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Measure this machine's rates with a few steps of each kind; takes a few seconds.

    Args:
        protocol: the scientific choices.
        radiographs: all of them; a few of their files are decoded.
        models: the first models that will be trained; those on images are timed.
        with_search: whether to time the backbone and the heads.
        clock: gives seconds.
    """
    speed = typical_speed(protocol)
    check, decode = _files(radiographs, protocol, clock) or (speed.check_image, speed.decode_image)
    speed = replace(speed, check_image=check, decode_image=decode)
    on_images = [name for name in models if name in _TRAINED_IMAGES_PER_SECOND]
    if with_search or END_TO_END in on_images:
        # The network of its name is the only other one; weights do not matter for the time.
        is_demonstration = protocol.weights == PHANTOMS
        backbone = _Backbone(protocol, clock, PHANTOMS if is_demonstration else RANDOM)
        speed = replace(speed, features_start=backbone.start, view=backbone.view)
        if END_TO_END in on_images:
            if is_demonstration:
                backbone = _Backbone(protocol, clock, RANDOM)
            speed.models[END_TO_END] = backbone.trained()
        del backbone
    if with_search:
        development = len(radiographs) * (1 - protocol.holdout_fraction)
        rows = round(development * (1 - 1 / protocol.num_folds))
        speed = replace(speed, head=_head(protocol, max(rows, 2), clock))
    if LENET in on_images:
        speed.models[LENET] = _lenet(protocol, clock)
    return replace(speed, report=_REPORT_FIGURES * _figure(clock))


def _seconds(clock: Callable[[], float], work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start


def _files(
    radiographs: Radiographs, protocol: Protocol, clock: Callable[[], float]
) -> tuple[float, float] | None:
    """Seconds to check an image, and to decode it; None if one cannot be read."""
    few = np.unique(np.linspace(0, len(radiographs) - 1, _TIMED_FILES).astype(int))
    sample = radiographs.subset(few)
    readings = framed(sample.readings, Framing.of(protocol.crop, protocol.remove_borders))
    # What is wrong with an image is reported by the step that needs it.
    with contextlib.suppress(ManifestError, ImageError):
        check = _seconds(clock, lambda: check_content(sample))
        decode = _seconds(
            clock,
            lambda: [
                load_image(path, size=protocol.image_size, resize=protocol.resize, reading=reading)
                for path, reading in zip(sample.images, readings, strict=True)
            ],
        )
        # Images are decoded by two threads.
        cores = min(2, os.cpu_count() or 1)
        return check / len(few), decode / len(few) / cores
    return None


class _Backbone:
    """A backbone, timed."""

    def __init__(self, protocol: Protocol, clock: Callable[[], float], weights: str) -> None:
        from rust_tuner.models.backbones import build_backbone, find_weights
        from rust_tuner.models.features import forward_pass

        side = protocol.image_size
        variants = VARIANTS[protocol.flips]
        picture = np.zeros((variants, side, side, 3), np.float32)
        begin = clock()
        self._model = build_backbone(
            find_weights(weights), image_size=side, precision=protocol.precision
        )
        self._clock, self._side = clock, side
        self._build = clock() - begin
        forward = forward_pass(self._model, protocol.extractor)
        first = _seconds(clock, lambda: forward(picture))
        again = min(_seconds(clock, lambda: forward(picture)) for _ in range(2))
        self.start = self._build + max(first - again, 0.0)
        self.view = again / variants

    def trained(self) -> ModelSpeed:
        """The speed of training all of it, from two eager steps, which need no tracing."""
        import keras
        from keras import ops

        model, clock = self._model, self._clock
        model.trainable = True
        if keras.backend.backend() != "tensorflow":
            # Forward and backward together take about three times as long as forward.
            return ModelSpeed(_TRACING * self._build, 0.0, 3 * self.view, self.view)
        import tensorflow as tf

        def step(size: int) -> None:
            images = np.zeros((size, self._side, self._side, 3), np.float32)
            with tf.GradientTape() as tape:
                loss = ops.sum(model(images, training=True))
            for gradient in tape.gradient(loss, model.trainable_variables):
                gradient.numpy()

        step(1)
        few, more = 2, 6
        seconds = {size: _seconds(clock, functools.partial(step, size)) for size in (few, more)}
        image = (seconds[more] - seconds[few]) / (more - few)
        return ModelSpeed(
            _TRACING * self._build, 0.0, max(image, seconds[more] / more / 2), self.view
        )


def _head(protocol: Protocol, rows: int, clock: Callable[[], float]) -> HeadSpeed:
    """The speed of the head, from short trials at two batch sizes."""
    from rust_tuner.models.features import FrozenFeatures
    from rust_tuner.models.fold_batches import TrainingData
    from rust_tuner.models.fold_parallel import FoldParallelTrainer
    from rust_tuner.models.hypermodels import TransferLearningHyperModel
    from rust_tuner.models.runtime import empty_aligned
    from rust_tuner.models.space import SearchSpace
    from rust_tuner.records.folds import FoldStore
    from rust_tuner.search.cross_validation import array_metrics
    from rust_tuner.search.fold_runs import run_folds_together
    from rust_tuner.steps.refit import declared_values

    sizes = protocol.batch_sizes(rows)
    timed_rows = min(rows, _TIMED_ROWS)
    large = min(sizes.highest, _TIMED_BATCH, timed_rows)
    small = min(sizes.lowest, large)
    num_folds = protocol.num_folds
    total = max(math.ceil(timed_rows * num_folds / (num_folds - 1)), 2 * num_folds)
    rng = generator(protocol.seed, "speed")
    values = empty_aligned((total, VARIANTS[protocol.flips], NUM_FEATURES))
    values[:] = rng.random(values.shape[-1], dtype=np.float32)
    targets = (rng.random((total, NUM_LABELS)) < 0.3).astype(np.float32)
    fold_of = np.arange(total) % num_folds
    folds = [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))
        for fold in range(num_folds)
    ]
    # Without folds that have both classes, there is nothing to score.
    metrics = array_metrics(targets, folds)
    trainer = FoldParallelTrainer(TrainingData(FrozenFeatures(values, ""), targets, metrics))

    def trial(batch_size: int, epochs: int) -> float:
        space = SearchSpace(batch_size=batch_size, dropout_rate=0.25)
        hypermodel = TransferLearningHyperModel.from_protocol(protocol, space)
        begin = clock()
        outcome = run_folds_together(
            lambda: hypermodel.build_head(declared_values(hypermodel)),
            trainer,
            folds,
            epochs=epochs,
            batch_size=batch_size,
            seed=protocol.seed,
        )
        with tempfile.TemporaryDirectory() as folder:
            store = FoldStore(Path(folder) / "trial", {})
            for record in outcome.folds:
                store.save(record)
        return clock() - begin

    # Short epochs are timed several times.
    more = min(4, max(1, _TIMED_ROWS // (2 * timed_rows)))
    try:
        first, short, long, other = (
            trial(large, 1),
            trial(large, 1),
            trial(large, 1 + more),
            trial(small, more),
        )
    finally:
        trainer.release()
    in_fold = len(folds[0][0])
    steps = [math.ceil(in_fold / size) for size in (large, small)]
    epoch = max((long - short) / more, _LEAST_EPOCH * long / (1 + more))
    overhead = max(short - epoch, 0.0)
    slow_epoch = max((other - overhead) / more, epoch)
    step = (slow_epoch - epoch) / (steps[1] - steps[0]) if steps[1] > steps[0] else 0.0
    step = min(step, (1 - _LEAST_ROWS) * epoch / steps[0])
    return HeadSpeed(
        trace=max(first - short, 0.0),
        overhead=overhead / num_folds,
        step=step / num_folds,
        row=(epoch - steps[0] * step) / in_fold / num_folds,
    )


def _lenet(protocol: Protocol, clock: Callable[[], float]) -> ModelSpeed:
    from rust_tuner.models.hypermodels import ImageHyperModel
    from rust_tuner.models.runtime import release
    from rust_tuner.steps.refit import declared_values

    hypermodel = ImageHyperModel.from_protocol(protocol, "lenet1998")
    begin = clock()
    model = hypermodel.build(declared_values(hypermodel))
    build = clock() - begin

    def step(size: int) -> None:
        shape = (size, protocol.image_size, protocol.image_size, 3)
        targets = np.zeros((size, NUM_LABELS), np.float32)
        model.train_on_batch(np.zeros(shape, np.float32), targets)

    few, more = 2, min(16, max(protocol.baseline_batch_size, 4))
    first, _, short, long = (
        _seconds(clock, functools.partial(step, size)) for size in (few, more, few, more)
    )
    release((*model.variables, *model.optimizer.variables))
    image = max((long - short) / (more - few), long / more / 4)
    return ModelSpeed(build + 2 * first, max(long - more * image, 0.0), image, image / 3)


def _figure(clock: Callable[[], float]) -> float:
    """Seconds to draw a figure as reports do, once the libraries are loaded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def draw() -> None:
        figure = Figure(figsize=(7, 4))
        FigureCanvasAgg(figure)
        for axes in figure.subplots(1, 2):
            axes.plot(np.arange(20), np.arange(20), "o-", label="x")
            axes.legend()
        for kind in ("png", "svg"):
            figure.savefig(io.BytesIO(), format=kind)

    draw()
    return _seconds(clock, draw)
