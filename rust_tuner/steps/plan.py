"""What a study will do, step by step, and about how long each step takes on this machine.

The rates were measured on two cores of a server processor and are scaled to the number of cores.
Another kind of machine may be several times faster or slower, so times are orders of magnitude.
"""

import dataclasses
import itertools
import math
import os
from dataclasses import dataclass

from rust_tuner.labels import NUM_LABELS
from rust_tuner.models.space import SearchSpace
from rust_tuner.protocol import Protocol

# Measured by experiments.benchmarks on two cores.
_IMAGES_PER_SECOND = 15.0
_PRODUCTS_PER_SECOND = 1.5e11
_TRAINED_IMAGES_PER_SECOND = {"lenet1998": 45.0, "inceptionv3_end2end": 4.0}
_CORES, _SIDE = 2, 299
_HEAD = (2048, 1024, 512, 256, NUM_LABELS)
_VARIANTS = {"none": 1, "horizontal": 2, "horizontal_and_vertical": 4}


@dataclass(frozen=True)
class PlannedStep:
    """One step of a study.

    Attributes:
        name: as on the command line.
        what: what it does, in a few words.
        seconds: about how long it takes from its beginning.
    """

    name: str
    what: str
    seconds: float


def plan_study(
    protocol: Protocol,
    num_radiographs: int,
    models: tuple[str, ...],
    *,
    num_sites: int | None = None,
) -> list[PlannedStep]:
    """The steps of a study.

    Args:
        protocol: the scientific choices.
        num_radiographs: radiographs of the manifest.
        models: the first models that will be trained.
        num_sites: how many sites there are, where each fold leaves one out.
    """
    if num_sites is not None:
        protocol = dataclasses.replace(
            protocol, num_folds=num_sites, baseline_folds=num_sites, final_folds=num_sites
        )
    development = num_radiographs * (1 - protocol.holdout_fraction)
    share = _share_of_pixels_and_cores(protocol)
    points = _grid_points(protocol)
    baselines = sum(
        development
        * protocol.baseline_folds
        * protocol.baseline_epochs
        * share
        / _TRAINED_IMAGES_PER_SECOND[model]
        if model in _TRAINED_IMAGES_PER_SECOND
        else _head_seconds(development, protocol.baseline_folds, protocol.baseline_epochs)
        for model in models
    )
    trial = _head_seconds(development, protocol.num_folds, protocol.epochs)
    final = _head_seconds(development, protocol.final_folds, protocol.final_epochs)
    return [
        PlannedStep("prepare", f"check {num_radiographs} radiographs", num_radiographs / 100),
        _features(protocol, development),
        PlannedStep(
            "baselines",
            f"{len(models)} models, {protocol.baseline_folds} folds, "
            f"{protocol.baseline_epochs} epochs",
            baselines,
        ),
        PlannedStep(
            "regime1",
            f"{protocol.trials} trials, {protocol.num_folds} folds, {protocol.epochs} epochs; "
            + _batch_sizes(protocol, development),
            protocol.trials * trial,
        ),
        PlannedStep(
            "regime2",
            f"{points} trials, {protocol.num_folds} folds, {protocol.epochs} epochs",
            points * trial,
        ),
        PlannedStep(
            "final",
            f"{protocol.final_folds} folds, {protocol.final_epochs} epochs, one refit, one look "
            "at the hold-out set",
            final * (1 + 1 / protocol.final_folds),
        ),
        PlannedStep("report", "tables, figures, one HTML file", 30.0),
    ]


def plan_nested(
    protocol: Protocol, num_radiographs: int, *, num_sites: int | None = None
) -> list[PlannedStep]:
    """The steps of a nested cross-validation.

    Args:
        protocol: the scientific choices.
        num_radiographs: radiographs of the manifest.
        num_sites: how many sites there are, where each fold leaves one out.
    """
    if num_sites is not None:
        inner = max(num_sites - 1, 2)
        protocol = dataclasses.replace(protocol, outer_folds=num_sites, num_folds=inner)
    development = num_radiographs * (1 - protocol.holdout_fraction)
    outer, points = protocol.outer_folds, _grid_points(protocol)
    inside = development * (1 - 1 / outer)
    trial = _head_seconds(inside, protocol.num_folds, protocol.epochs)
    scale = f"{protocol.num_folds} folds, {protocol.epochs} epochs, in each of {outer} outer folds"
    # A refit takes at most as long as one inner fold.
    refit = trial / (protocol.num_folds - 1)
    return [
        _features(protocol, development),
        PlannedStep(
            "regime1",
            f"{protocol.trials} trials, {scale}; {_batch_sizes(protocol, inside)}",
            outer * protocol.trials * trial,
        ),
        PlannedStep("regime2", f"{points} trials, {scale}", outer * points * trial),
        PlannedStep(
            "outer scores",
            f"one refit and one look at the validation patients, in each of {outer} outer folds",
            outer * refit,
        ),
    ]


def plan_noise(
    protocol: Protocol, num_radiographs: int, repeats: int, *, num_sites: int | None = None
) -> list[PlannedStep]:
    """The steps of measuring the noise floor.

    Args:
        protocol: the scientific choices, as the repeated search had them.
        num_radiographs: radiographs of the manifest.
        repeats: how many of each kind.
        num_sites: how many sites there are, where each fold leaves one out.
    """
    if num_sites is not None:
        protocol = dataclasses.replace(protocol, num_folds=num_sites)
    development = num_radiographs * (1 - protocol.holdout_fraction)
    trial = _head_seconds(development, protocol.num_folds, protocol.epochs)
    scale = f"{protocol.num_folds} folds, {protocol.epochs} epochs"
    steps = [
        _features(protocol, development),
        PlannedStep("other seeds", f"{repeats} repeats, {scale}", repeats * trial),
    ]
    if num_sites is None:
        what = f"{repeats} repeats, {scale}"
        steps.append(PlannedStep("other assignments", what, repeats * trial))
    return steps


def _batch_sizes(protocol: Protocol, num_images: float) -> str:
    """How many images a fold trains on, and which batch sizes hold all of them."""
    rows = max(1, round(num_images * (1 - 1 / protocol.num_folds)))
    return f"a fold trains on about {rows} images, {protocol.batch_sizes(rows)}"


def _features(protocol: Protocol, num_images: float) -> PlannedStep:
    variants = _VARIANTS[protocol.flips]
    seconds = num_images * variants * _share_of_pixels_and_cores(protocol) / _IMAGES_PER_SECOND
    return PlannedStep("features", f"{variants} flip variants of each, once", seconds)


def _share_of_pixels_and_cores(protocol: Protocol) -> float:
    """The time per image, relative to the machine that the rates were measured on."""
    pixels = min(1.0, (protocol.image_size / _SIDE) ** 2)
    return pixels * _CORES / (os.cpu_count() or _CORES)


def _grid_points(protocol: Protocol) -> int:
    return math.prod(map(len, SearchSpace.grid_of(protocol).values()))


def _head_seconds(num_images: float, num_folds: int, epochs: int) -> float:
    """Seconds of a cross-validation of the head on cached features."""
    products = sum(first * second for first, second in itertools.pairwise(_HEAD))
    operations = 2.0 * epochs * num_images * products * (3 * (num_folds - 1) + 1)
    cores = (os.cpu_count() or _CORES) / _CORES
    # Tracing a new graph takes a second or two, however small the data.
    return 2.0 + operations / _PRODUCTS_PER_SECOND / cores
