"""The time of bfloat16 beside that of float32: one note where it is clearly slower."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from notes import Notes
from PIL import Image

from rust_tuner.models import features as features_module
from rust_tuner.models import precision_check
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import FeatureRecipe, extract_features
from rust_tuner.models.precision_check import WORTH_TIMING, ratio_of_times
from rust_tuner.models.weights import find_local_weights

FloatArray = npt.NDArray[np.float32]


class Clock:
    """Moves only while something is computed."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float) -> Any:
        durations: Iterator[float] = iter(seconds)

        def forward(batch: FloatArray) -> FloatArray:
            self.now += next(durations)
            return batch

        return forward


def test_the_quickest_pass_after_the_first_counts() -> None:
    clock = Clock()
    half = clock.takes(50.0, 9.0, 3.0, 4.0)
    exact = clock.takes(0.5, 2.0, 8.0, 7.0)
    assert ratio_of_times(half, exact, [np.zeros(1, np.float32)] * 3, clock=clock) == 1.5


class Backbone:
    variables: tuple[()] = ()


class Extractor:
    def __init__(self, features: FloatArray | None = None) -> None:
        self.seen = 0

    def predict_on_batch(self, batch: FloatArray) -> FloatArray:
        self.seen += 1
        return np.full((len(batch), NUM_FEATURES), batch.mean(), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "count", "ratio", "noted"),
    [
        ("bfloat16", WORTH_TIMING, 1.41, True),
        ("bfloat16", WORTH_TIMING, 1.05, False),
        ("bfloat16", WORTH_TIMING, 0.6, False),
        ("bfloat16", WORTH_TIMING - 1, 1.41, False),
        ("float32", WORTH_TIMING, 1.41, False),
    ],
)
def test_a_slower_bfloat16_is_noted_once_and_changes_no_feature(
    precision: Any,
    count: int,
    ratio: float,
    noted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((80, 80), 10 * number, np.uint8)).save(path)
    for module in (features_module, precision_check):
        monkeypatch.setattr(module, "build_backbone", lambda *args, **options: Backbone())
        monkeypatch.setattr(module, "feature_extractor", lambda backbone: Extractor())
    monkeypatch.setattr(precision_check, "ratio_of_times", lambda *args, **options: ratio)
    weights = find_local_weights("random")
    assert weights is not None
    recipe = FeatureRecipe(weights, 80, "squash", "horizontal", precision)
    notes = Notes()
    found = extract_features(paths, recipe, cache=tmp_path / "cache", progress=notes)
    # Those that were timed are neither lost nor in another place.
    assert np.all(np.diff(found.values[:, 0, 0]) > 0)
    said = [line for line in notes.said if "bfloat16" in line]
    expected = (
        f"note: bfloat16 takes 1.4 times as long as float32 on this processor (timed on 3 of "
        f"{count} images); use float32"
    )
    assert said == ([expected] if noted else [])
