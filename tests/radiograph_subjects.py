"""Radiographs as a subject of a search, and features of them without images."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner import Protocol
from rust_tuner.data.folds import Folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.models.features import FeatureRecipe, FrozenFeatures
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.progress import Progress, Silent
from rust_tuner.search import subjects
from rust_tuner.search.subjects import radiographs_subject

Extractions = list[tuple[tuple[Path, ...], FeatureRecipe, str | Path | None, tuple[int, ...]]]


def without_a_backbone(monkeypatch: pytest.MonkeyPatch) -> Extractions:
    """Give random numbers as features from now on, and keep what is asked for."""
    asked: Extractions = []

    def extract(
        radiographs: Radiographs,
        recipe: FeatureRecipe,
        *,
        cache: str | Path | None,
        progress: Progress | None,
    ) -> FrozenFeatures:
        asked.append((radiographs.images, recipe, cache, radiographs.rows))
        values = np.random.default_rng(0).normal(size=(len(radiographs), 4, 8))
        return FrozenFeatures(values.astype(np.float32), "ab" * 32)

    monkeypatch.setattr(subjects, "features_of", extract)
    return asked


def of_radiographs(
    development: Development,
    cv: int | Folds | list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = 3,
    *,
    seed: int = 0,
    **changes: Any,
) -> subjects.Subject:
    protocol = Protocol.study(weights="random", image_size=75, **changes)
    hypermodel = TransferLearningHyperModel.from_protocol(protocol, SearchSpace(16, 0.25))
    return radiographs_subject(hypermodel, development, cv, seed=seed, progress=Silent())
