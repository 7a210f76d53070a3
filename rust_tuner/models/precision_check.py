"""Whether the frozen backbone is slower in bfloat16 than in float32, timed on a few images.

Some processors compute bfloat16 faster and others slower, and no list of them would stay complete.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rust_tuner.models.architectures import feature_extractor
from rust_tuner.models.backbones import build_backbone
from rust_tuner.models.feature_recipe import FeatureRecipe
from rust_tuner.models.runtime import release
from rust_tuner.tensorflow_notices import without_notices

FloatArray = npt.NDArray[np.float32]
Forward = Callable[[FloatArray], object]

# For fewer images, building the other backbone takes longer than what it could save.
WORTH_TIMING = 8
TIMED_IMAGES = 3
# What is less is noise.
_CLEARLY_SLOWER = 1.1


def note_if_slower(
    recipe: FeatureRecipe,
    forward: Forward,
    batches: Sequence[FloatArray],
    num_images: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> str | None:
    """Compare a backbone in bfloat16 with the same one in float32.

    Args:
        recipe: of the features, in bfloat16.
        forward: its pass.
        batches: the variants of a few images, one image each.
        num_images: how many will be passed through it.
        clock: gives seconds.

    Returns:
        A note if it is slower; else None.
    """
    exact = replace(recipe, precision="float32")
    backbone = build_backbone(exact.weights, image_size=exact.image_size)
    try:
        reference = feature_extractor(backbone).predict_on_batch
        # The first pass makes oneDNN say what it lacks for bfloat16.
        with without_notices():
            ratio = ratio_of_times(forward, reference, batches, clock=clock)
    finally:
        release(backbone.variables)
    if ratio < _CLEARLY_SLOWER:
        return None
    return (
        f"note: bfloat16 takes {ratio:.1f} times as long as float32 on this processor (timed on "
        f"{len(batches)} of {num_images} images); use float32"
    )


def ratio_of_times(
    one: Forward,
    other: Forward,
    batches: Sequence[FloatArray],
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """How many times as long as the other a pass takes, by its quickest of a few.

    The first pass of each compiles it and is left out. They take turns, so that other work on the
    machine affects both.
    """
    seconds: dict[Forward, list[float]] = {one: [], other: []}
    for batch, forward in itertools.product((batches[0], *batches), (one, other)):
        start = clock()
        forward(batch)
        seconds[forward].append(clock() - start)
    return min(seconds[one][1:]) / max(min(seconds[other][1:]), 1e-9)
