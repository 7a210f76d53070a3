"""What a study will do, step by step, and about how long each step takes on this machine.

It owns the steps, their order, and the arithmetic from rates to times. The rates come from
`speed`, which measures them; without a measurement they are those of two cores of a server
processor, scaled to the number of cores, and times are orders of magnitude.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rust_tuner.models.space import SearchSpace
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import FROZEN_BASELINES
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.steps.speed import VARIANTS, Speed, typical_speed
from rust_tuner.words import counted

REPORT_AGAIN = "report again"
# The names under which steps report their progress.
FEATURES_TASK, READING_TASK, CROSS_VALIDATION_TASK, REFIT_TASK = (
    "features",
    "reading images",
    "cross_validation",
    "final model",
)
# Dividing the patients, and what is said about their number.
_SPLIT_SECONDS, _SPLIT_SECONDS_EACH = 0.5, 0.002


@dataclass(frozen=True)
class PlannedStep:
    """One step of a study.

    Attributes:
        name: as on the command line.
        what: what it does, in a few words.
        seconds: about how long it takes from its beginning.
        parts: seconds of the tasks by which it reports its progress, by their names.
        done: the share that an earlier run has done, in [0, 1].
    """

    name: str
    what: str
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)
    done: float = 0.0

    @property
    def seconds_left(self) -> float:
        """About how long the rest takes."""
        return self.seconds * (1 - self.done)


def plan_study(
    protocol: Protocol,
    num_radiographs: int,
    models: tuple[str, ...],
    *,
    num_sites: int | None = None,
    speed: Speed | None = None,
    skip: Collection[str] = (),
    batch_size: int | None = None,
    done: Mapping[str, float] | None = None,
) -> list[PlannedStep]:
    """The steps of a study: the searches and their result first, the first models last.

    Args:
        protocol: the scientific choices.
        num_radiographs: radiographs of the manifest.
        models: the first models that will be trained.
        num_sites: how many sites there are, if each fold leaves one out.
        speed: the machine's, as measured; a typical one if None.
        skip: steps that are left out, some of `final`, `report` and `baselines`.
        batch_size: of Regime II and the final model, once Regime I has chosen it; halfway through
            Regime I's range if None.
        done: the share that earlier runs have done, in [0, 1], by step.
    """
    if num_sites is not None:
        protocol = dataclasses.replace(
            protocol, num_folds=num_sites, baseline_folds=num_sites, final_folds=num_sites
        )
    rate = speed or typical_speed(protocol)
    development = num_radiographs * (1 - protocol.holdout_fraction)
    points = grid_points(protocol)
    searched = _searched_batch_sizes(protocol, development)
    chosen = (batch_size,) if batch_size is not None else searched
    trials = protocol.trials * _head(
        rate, development, protocol.num_folds, protocol.epochs, searched
    )
    grid = points * _head(rate, development, protocol.num_folds, protocol.epochs, chosen)
    reading = num_radiographs * rate.check_image
    scale = f"{protocol.num_folds} folds, {counted(protocol.epochs, 'epoch')}"
    steps = [
        PlannedStep(
            "prepare",
            f"check {num_radiographs} radiographs",
            reading + _SPLIT_SECONDS + num_radiographs * _SPLIT_SECONDS_EACH,
            {READING_TASK: reading},
        ),
        _features(protocol, development, rate),
        PlannedStep(
            "regime1",
            f"{counted(protocol.trials, 'trial')}, {scale}; " + _batch_sizes(protocol, development),
            rate.head.trace + trials,
            {REGIME_1: rate.head.trace + trials},
        ),
        PlannedStep(
            "regime2",
            f"{counted(points, 'trial')}, {scale}",
            rate.head.trace + grid,
            {REGIME_2: rate.head.trace + grid},
        ),
        _final(protocol, num_radiographs, development, rate, chosen),
        PlannedStep("report", "tables, figures, one HTML file", rate.report),
        _baselines(protocol, development, models, rate),
        PlannedStep(REPORT_AGAIN, "with the first models", rate.report),
    ]
    left_out = set(skip)
    if "baselines" in left_out or "report" in left_out:
        left_out.add(REPORT_AGAIN)
    return [
        dataclasses.replace(step, done=(done or {}).get(step.name, 0.0))
        for step in steps
        if step.name not in left_out
    ]


def plan_nested(
    protocol: Protocol,
    num_radiographs: int,
    *,
    num_sites: int | None = None,
    speed: Speed | None = None,
) -> list[PlannedStep]:
    """The steps of a nested cross-validation.

    Args:
        protocol: the scientific choices.
        num_radiographs: radiographs of the manifest.
        num_sites: how many sites there are, if each fold leaves one out.
        speed: the machine's, as measured; a typical one if None.
    """
    if num_sites is not None:
        inner = max(num_sites - 1, 2)
        protocol = dataclasses.replace(protocol, outer_folds=num_sites, num_folds=inner)
    rate = speed or typical_speed(protocol)
    development = num_radiographs * (1 - protocol.holdout_fraction)
    outer, points = protocol.outer_folds, grid_points(protocol)
    inside = development * (1 - 1 / outer)
    sizes = _searched_batch_sizes(protocol, inside)
    trial = _head(rate, inside, protocol.num_folds, protocol.epochs, sizes)
    epochs = counted(protocol.epochs, "epoch")
    scale = f"{protocol.num_folds} folds, {epochs}, in each of {outer} outer folds"
    # A refit takes at most as long as one inner fold.
    refit = trial / (protocol.num_folds - 1)
    start = outer * rate.head.trace
    return [
        _features(protocol, development, rate),
        PlannedStep(
            "regime1",
            f"{counted(protocol.trials, 'trial')}, {scale}; {_batch_sizes(protocol, inside)}",
            start + outer * protocol.trials * trial,
        ),
        PlannedStep(
            "regime2", f"{counted(points, 'trial')}, {scale}", start + outer * points * trial
        ),
        PlannedStep(
            "outer scores",
            f"one refit and one look at the validation patients, in each of {outer} outer folds",
            outer * refit,
        ),
    ]


def plan_noise(
    protocol: Protocol,
    num_radiographs: int,
    repeats: int,
    *,
    num_sites: int | None = None,
    speed: Speed | None = None,
) -> list[PlannedStep]:
    """The steps of measuring the noise floor.

    Args:
        protocol: the scientific choices, as the repeated search had them.
        num_radiographs: radiographs of the manifest.
        repeats: how many of each kind.
        num_sites: how many sites there are, if each fold leaves one out.
        speed: the machine's, as measured; a typical one if None.
    """
    if num_sites is not None:
        protocol = dataclasses.replace(protocol, num_folds=num_sites)
    rate = speed or typical_speed(protocol)
    development = num_radiographs * (1 - protocol.holdout_fraction)
    sizes = _searched_batch_sizes(protocol, development)
    trial = _head(rate, development, protocol.num_folds, protocol.epochs, sizes)
    scale = f"{protocol.num_folds} folds, {protocol.epochs} epochs"
    what = f"{repeats} repeats, {scale}"
    steps = [
        _features(protocol, development, rate),
        PlannedStep("other seeds", what, rate.head.trace + repeats * trial),
    ]
    if num_sites is None:
        # Other assignments have other folds, and each search of one trial traces its graph.
        steps.append(PlannedStep("other assignments", what, repeats * (rate.head.trace + trial)))
    return steps


def grid_points(protocol: Protocol) -> int:
    """How many trials Regime II has."""
    return math.prod(map(len, SearchSpace.grid_of(protocol).values()))


def rows_of_a_fold(num_images: float, num_folds: int) -> int:
    """About how many of these images a fold trains on, at least 1."""
    return max(1, round(num_images * (1 - 1 / num_folds)))


def _batch_sizes(protocol: Protocol, num_images: float) -> str:
    """How many images a fold trains on, and which batch sizes hold all of them."""
    rows = rows_of_a_fold(num_images, protocol.num_folds)
    return f"a fold trains on about {rows} images, {protocol.batch_sizes(rows)}"


def _searched_batch_sizes(protocol: Protocol, num_images: float) -> tuple[int, ...]:
    """Batch sizes spread over Regime I's range as it draws them."""
    sizes = protocol.batch_sizes(rows_of_a_fold(num_images, protocol.num_folds))
    count = 9
    if sizes.sampling == "log":
        ratio = sizes.highest / sizes.lowest
        points = [sizes.lowest * ratio ** ((i + 0.5) / count) for i in range(count)]
    else:
        width = sizes.highest - sizes.lowest
        points = [sizes.lowest + width * (i + 0.5) / count for i in range(count)]
    return tuple(max(1, round(point)) for point in points)


def _head(
    rate: Speed, num_images: float, num_folds: int, epochs: int, batch_sizes: tuple[int, ...]
) -> float:
    """Seconds of a trial of the head on cached features, averaged over batch sizes."""
    rows = rows_of_a_fold(num_images, num_folds)
    seconds = [rate.head.trial(rows, num_folds, epochs, size) for size in batch_sizes]
    return sum(seconds) / len(seconds)


def _features(protocol: Protocol, num_images: float, rate: Speed) -> PlannedStep:
    variants = VARIANTS[protocol.flips]
    seconds = rate.features_start + num_images * (rate.decode_image + variants * rate.view)
    what = f"{variants} flip variants of each, once"
    return PlannedStep("features", what, seconds, {FEATURES_TASK: seconds})


def _final(
    protocol: Protocol,
    num_radiographs: int,
    development: float,
    rate: Speed,
    batch_sizes: tuple[int, ...],
) -> PlannedStep:
    folds, epochs = protocol.final_folds, protocol.final_epochs
    crossed = rate.head.trace + _head(rate, development, folds, epochs, batch_sizes)
    rows = max(1, round(development))
    # One model on all rows, trained as one fold is; it is assembled with the backbone, saved and
    # loaded again for the look at the hold-out set.
    refit = rate.head.trace + sum(
        rate.head.trial(rows, 1, epochs, size) for size in batch_sizes
    ) / len(batch_sizes)
    sealed = (num_radiographs - development) * (rate.decode_image + rate.view)
    look = 2 * rate.features_start + sealed
    return PlannedStep(
        "final",
        f"{folds} folds, {epochs} epochs, one refit, one look at the hold-out set",
        crossed + refit + look,
        {CROSS_VALIDATION_TASK: crossed, REFIT_TASK: refit},
    )


def _baselines(
    protocol: Protocol, development: float, models: tuple[str, ...], rate: Speed
) -> PlannedStep:
    folds, epochs = protocol.baseline_folds, protocol.baseline_epochs
    size = protocol.baseline_batch_size
    parts = {}
    for model in models:
        if model in FROZEN_BASELINES:
            parts[model] = rate.head.trace + _head(rate, development, folds, epochs, (size,))
            # A backbone of its own, unless the study uses the same one.
            if not (model.endswith(protocol.weights) and protocol.weights):
                parts[model] += _features(protocol, development, rate).seconds
        else:
            rows = rows_of_a_fold(development, folds)
            validated = development / folds
            parts[model] = folds * rate.models[model].fold(rows, validated, epochs, size)
    what = f"{len(models)} models, {folds} folds, {epochs} epochs"
    return PlannedStep("baselines", what, sum(parts.values()), parts)
