"""Images to extract features of, their recipes, and a quick network in InceptionV3's place."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.models.backbones import find_weights
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import FeatureRecipe

SIZE = 75
COUNT = 10

FloatArray = npt.NDArray[np.float32]

RANDOM = find_weights("random")
ALL_FLIPS = FeatureRecipe(RANDOM, SIZE, "squash", "horizontal_and_vertical")
NO_FLIPS = FeatureRecipe(RANDOM, SIZE, "squash", "none")


def write_image(path: Path, seed: int, *, flip: Callable[[Any], Any] = lambda x: x) -> Path:
    """A smooth picture without any symmetry."""
    pixels = np.random.default_rng(seed).uniform(-1, 1, (80, 60)).cumsum(0).cumsum(1)
    pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
    Image.fromarray(flip(pixels.astype(np.uint8))).save(path)
    return path


class Stand:
    """A quick forward pass: a hash of each image in the place of its features."""

    def predict_on_batch(self, batch: FloatArray) -> FloatArray:
        answers = np.empty((len(batch), NUM_FEATURES), dtype=np.float32)
        for row, picture in enumerate(batch):
            digest = hashlib.sha256(np.ascontiguousarray(picture).data).digest()
            answers[row] = np.resize(np.frombuffer(digest, np.uint8), NUM_FEATURES)
        return answers


class Decoded:
    """Counts the images that are decoded, by the real decoder."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path, **options: Any) -> FloatArray:
        self.names.append(path.name)
        return load_image(path, **options)

    def take(self) -> list[str]:
        names, self.names = sorted(self.names), []
        return names


def entries_of(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.f32"))


def entry_of(cache: Path, image: Path) -> Path:
    (entry,) = cache.rglob(f"{hashlib.sha256(image.read_bytes()).hexdigest()}.f32")
    return entry
