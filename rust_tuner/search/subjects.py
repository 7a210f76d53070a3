"""What a search trains on: inputs, targets, folds and metrics, with hashes that identify them.

A subject is made from the development set, or from arrays in `array_subject`; the tuner treats both
alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.content import hash_images
from rust_tuner.data.images import PREPROCESSING
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.files import cache_folder, sha256_of_json
from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import macro_aurocs
from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.features import FrozenFeatures, features_of
from rust_tuner.models.fold_batches import IntArray, Metrics, TrainingData
from rust_tuner.models.fold_callbacks import FoldCallbacks
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.hypermodels import ImageHyperModel, ImageRecipe, TransferLearningHyperModel
from rust_tuner.models.preparation import Preparation
from rust_tuner.progress import Progress
from rust_tuner.records.rows import rows_sha256, rows_table
from rust_tuner.scope import AUROCS
from rust_tuner.search.cross_validation import FoldList
from rust_tuner.search.splitters import Split
from rust_tuner.search.subject_folds import count_units, folds_of, sha256_of_arrays, sha256_of_folds

# Keras clips probabilities to the same range.
_EPSILON = 1e-7


# From hyperparameters, the metric that keeps training predictions or None, and where folds prepare
# their inputs these as well: a compiled model.
Build = Callable[..., keras.Model]


@dataclass(frozen=True, eq=False)
class Subject:
    """What every trial of a search has in common.

    Attributes:
        data: inputs, targets and metrics.
        folds: pairs of training and validation rows.
        build: makes a compiled model from hyperparameters.
        keeps_running: whether `build` compiles the model with the metric that it is given.
        identity: JSON values that name data, folds, weights and preprocessing exactly.
        view_only: fold-averaged figures of a predictor that knows only the view; empty where
            there are no views.
        owns_models: whether nothing else uses the models that `build` makes, so that their memory
            can be released.
        is_users_model: whether `build` runs code of the user, which no recorded version names.
        rows: what `rows_table` gives for radiographs; None for arrays.
        callbacks: the user's, copied for each fold; None where there are none.
        classes: output -> the names of its classes, where targets were text; "" is the only output.
        preparation: what is fitted on the training rows of each fold; None where nothing is.
        own_fit: whether the hypermodel's own `fit` trains each fold.
        split: how arrays were divided; None for radiographs.
    """

    data: TrainingData
    folds: FoldList
    build: Build
    keeps_running: bool
    identity: dict[str, Any]
    view_only: dict[str, float]
    owns_models: bool = False
    is_users_model: bool = False
    rows: pd.DataFrame | None = None
    callbacks: FoldCallbacks | None = None
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    preparation: Preparation | None = None
    own_fit: bool = False
    split: Split | None = None

    def why_alone(self) -> str | None:
        """Why the folds of this subject are trained one after another; None where they need not."""
        if self.own_fit:
            return "HyperModel.fit of the hypermodel trains each fold"
        if self.callbacks is not None:
            return "callbacks are called for each fold"
        if self.preparation is not None:
            return "each fold prepares its own inputs"
        return None

    def data_of(self, fold: int) -> TrainingData:
        """The data as one fold trains on them, prepared by its training rows alone."""
        if self.preparation is None:
            return self.data
        return self.preparation.of_fold(self.data, fold, *self.folds[fold])


@dataclass(frozen=True, eq=False)
class _Folds:
    """The development set with its folds, which are checked before any long work begins."""

    radiographs: Radiographs
    pairs: FoldList
    view_only: dict[str, float]

    @classmethod
    def of(cls, development: Development, cv: Any, seed: int) -> "_Folds":
        return cls(development.radiographs, *folds_of(development, cv, seed))

    def subject(
        self,
        inputs: Any,
        sha256: str,
        build: Build,
        about: Mapping[str, Any],
        *,
        keeps_running: bool = True,
        owns_models: bool = False,
        is_users_model: bool = False,
    ) -> Subject:
        """The subject of a search: inputs with their hash, and whatever else decides its scores."""
        radiographs, pairs = self.radiographs, self.pairs
        rows = rows_table(radiographs, [validation for _, validation in pairs])
        targets = training_targets(radiographs, masked_loss=about["masked_loss"])
        return Subject(
            data=TrainingData(
                inputs, targets, _radiograph_metrics(radiographs, targets), scores_loss=True
            ),
            folds=pairs,
            build=build,
            keeps_running=keeps_running,
            identity={
                "inputs": sha256,
                "targets": targets_sha256(radiographs, masked_loss=about["masked_loss"]),
                "rows": rows_sha256(rows),
                "folds": sha256_of_folds(pairs),
                "num_folds": len(pairs),
                "units": count_units(pairs, radiographs.patient_ids, "patients"),
                **about,
            },
            view_only=self.view_only,
            owns_models=owns_models,
            is_users_model=is_users_model,
            rows=rows,
        )


def radiographs_subject(
    hypermodel: TransferLearningHyperModel,
    development: Development,
    cv: Any,
    *,
    seed: int,
    cache: str | Path | None = None,
    progress: Progress,
) -> Subject:
    """The features of the development set, each image passed through the frozen backbone once.

    Args:
        hypermodel: gives the backbone and the heads.
        development: the development set.
        cv: number of folds, `Folds`, or a scikit-learn splitter.
        seed: for folds that are made from a number.
        cache: folder of the feature cache; the default one where None.
        progress: where the extraction is reported.

    Raises:
        SearchError: where a fold has nothing to score, before any long work begins.
    """
    radiographs = development.radiographs
    folds = _Folds.of(development, cv, seed)
    recipe = hypermodel.feature_recipe()
    features = features_of(radiographs, recipe, cache=cache, progress=progress)

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> keras.Model:
        return hypermodel.build_head(hp, metrics=[running] if running is not None else None)

    return folds.subject(
        features,
        features.sha256,
        build,
        {
            "weights": recipe.weights.to_json(),
            "image_size": recipe.image_size,
            "resize": recipe.resize,
            **recipe.framing.to_json(),
            "preprocessing": PREPROCESSING,
            "flips": recipe.flips,
            "precision": recipe.precision,
            **recipe.engine,
            "masked_loss": hypermodel.masked_loss,
        },
        is_users_model=not is_of_library(type(hypermodel)),
    )


def view_subject(
    hypermodel: TransferLearningHyperModel, development: Development, cv: Any, *, seed: int
) -> Subject:
    """The development set with only its views as input, two numbers per radiograph.

    Args:
        hypermodel: gives the heads.
        development: the development set.
        cv: number of folds, `Folds`, or a scikit-learn splitter.
        seed: for folds that are made from a number.

    Raises:
        SearchError: where a fold has nothing to score.
    """
    radiographs = development.radiographs
    folds = _Folds.of(development, cv, seed)
    views = radiographs.labels[:, :NUM_VIEWS].copy()

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> keras.Model:
        metrics = [running] if running is not None else None
        return hypermodel.build_head(hp, num_features=NUM_VIEWS, metrics=metrics)

    sha256 = sha256_of_arrays(views)
    about = {"precision": hypermodel.precision, "masked_loss": hypermodel.masked_loss}
    return folds.subject(FrozenFeatures(views[:, None], sha256), sha256, build, about)


def images_subject(
    hypermodel: ImageHyperModel,
    development: Development,
    cv: Any,
    *,
    seed: int,
    cache: str | Path | None = None,
    progress: Progress,
) -> Subject:
    """The development set for a model that is trained on the images themselves.

    Images are decoded once for all folds, into a memory-mapped file in the cache.

    Args:
        hypermodel: gives the models and describes their input.
        development: the development set.
        cv: number of folds, `Folds`, or a scikit-learn splitter.
        seed: for folds that are made from a number.
        cache: folder of the feature cache; the file is in its subfolder `images`. The default one
            where None.
        progress: where the decoding is reported.

    Raises:
        SearchError: where a fold has nothing to score, before any long work begins.
        ImageError: naming the first image that cannot be decoded.
    """
    radiographs = development.radiographs
    folds = _Folds.of(development, cv, seed)
    recipe = hypermodel.image_recipe()
    folder = cache_folder(cache)
    images = decode_images(
        radiographs,
        image_size=recipe.image_size,
        resize=recipe.resize,
        framing=recipe.framing,
        cache=folder / "images",
        progress=progress,
    )
    # Where several devices share a batch, each would keep its own predictions in its own order.
    keeps_running = hypermodel.num_replicas == 1

    def build(hp: keras_tuner.HyperParameters, running: RunningPredictions | None) -> keras.Model:
        return hypermodel.build(hp, metrics=[running] if running is not None else None)

    return folds.subject(
        images,
        _sha256_of_images(radiographs, recipe),
        build,
        {
            "model": hypermodel.kind,
            "weights": recipe.weights.to_json(),
            "image_size": recipe.image_size,
            "resize": recipe.resize,
            **recipe.framing.to_json(),
            "preprocessing": recipe.preprocessing,
            "flips": recipe.flips,
            "precision": recipe.precision,
            "masked_loss": hypermodel.masked_loss,
            "num_replicas": hypermodel.num_replicas,
        },
        keeps_running=keeps_running,
        owns_models=True,
        is_users_model=not is_of_library(type(hypermodel)),
    )


def is_radiographs(x: Any) -> bool:
    """Whether the data of a search are radiographs, as a development set or by mistake not."""
    return isinstance(x, Development | HoldOut | Radiographs)


def takes_radiographs(hypermodel: Any) -> bool:
    """Whether a hypermodel is made for radiographs."""
    return hasattr(hypermodel, "feature_recipe") or hasattr(hypermodel, "image_recipe")


def targets_sha256(radiographs: Radiographs, *, masked_loss: bool) -> str:
    """The SHA-256 that names the labels that a search is run on."""
    targets = training_targets(radiographs, masked_loss=masked_loss)
    return sha256_of_arrays(targets, radiographs.visible)


def training_targets(radiographs: Radiographs, *, masked_loss: bool) -> npt.NDArray[np.float32]:
    """The labels (n, 18), with -1 where a label does not count in the loss."""
    targets = radiographs.labels.copy()
    if masked_loss:
        targets[:, NUM_VIEWS:][~radiographs.visible] = -1
    return targets


def _radiograph_metrics(radiographs: Radiographs, targets: npt.NDArray[np.float32]) -> Metrics:
    """Loss, AUROC of all labels, and AUROC of the cortices where they are visible."""
    labels, visible = radiographs.labels, radiographs.visible
    everything = np.ones(labels.shape, dtype=np.bool_)
    cortices = np.concatenate([np.zeros((len(labels), NUM_VIEWS), np.bool_), visible], axis=1)

    def metrics(
        answers: Sequence[npt.NDArray[Any]], rows: Sequence[IntArray], where: Sequence[str]
    ) -> list[dict[str, float]]:
        areas = macro_aurocs(
            [labels[of_fold] for of_fold in rows],
            answers,
            [[counted[of_fold] for of_fold in rows] for counted in (everything, cortices)],
            where=where,
        )
        losses = [
            binary_crossentropy(targets[of_fold], answer)
            for answer, of_fold in zip(answers, rows, strict=True)
        ]
        return [
            {"loss": loss} | dict(zip(AUROCS, both, strict=True))
            for loss, *both in zip(losses, *areas, strict=True)
        ]

    return metrics


def _sha256_of_images(radiographs: Radiographs, recipe: ImageRecipe) -> str:
    """The SHA-256 of the images, in order, and of everything that decides how they are decoded."""
    keys, _ = hash_images(radiographs.images, radiographs.rows, radiographs.readings)
    content = [keys, recipe.image_size, recipe.resize, recipe.preprocessing]
    framing = recipe.framing.to_json()
    return sha256_of_json([*content, framing] if framing else content)


def binary_crossentropy(targets: npt.NDArray[np.float32], answers: npt.NDArray[Any]) -> float:
    """Mean cross-entropy over rows of the mean over the labels that count (not -1), in float64."""
    probability = np.clip(answers.astype(np.float64), _EPSILON, 1 - _EPSILON)
    loss = -np.where(targets > 0, np.log(probability), np.log1p(-probability))
    counted = targets >= 0
    return float(np.mean((loss * counted).sum(axis=1) / counted.sum(axis=1)))
