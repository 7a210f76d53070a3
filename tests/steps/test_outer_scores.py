"""Scores of an outer fold: the inner models are those of the search, asked about others."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from studies import StudyFolder

from rust_tuner import load_manifest
from rust_tuner.data.folds import Folds, make_folds
from rust_tuner.data.outer_folds import OuterFold, outer_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.labels import LABELS
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.features import extract_features, features_of
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.progress import Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.nested import OuterRecord, outer_folder, read_nested
from rust_tuner.records.project import read_out_of_fold
from rust_tuner.search.subjects import training_targets
from rust_tuner.steps.outer_scores import (
    answers_of_inner_models,
    score_outer_fold,
    view_only_of_fold,
)
from rust_tuner.steps.refit import fit_head, tuned_hypermodel


@pytest.fixture(scope="module")
def protocol(tiny_protocol: Protocol) -> Protocol:
    return dataclasses.replace(tiny_protocol, num_folds=2)


@pytest.fixture(scope="module")
def cut(repeated_study: StudyFolder, protocol: Protocol) -> tuple[OuterFold, OuterRecord, Folds]:
    development = repeated_study.open().prepare()
    fold = outer_folds(development, make_folds(development, 2, protocol.seed))[1]
    record = read_nested(repeated_study.directory / "nested").outer[1]
    return fold, record, make_folds(fold.training, 2, protocol.seed)


@pytest.fixture(scope="module")
def inside(
    repeated_study: StudyFolder, protocol: Protocol, cut: tuple[OuterFold, OuterRecord, Folds]
) -> Callable[..., list[npt.NDArray[np.float32]]]:
    """The inner models of the chosen trial, asked about any pairs of rows of both sides."""
    fold, record, _ = cut
    hypermodel = tuned_hypermodel(protocol, dict(record.hyperparameters))
    sides = (fold.training.radiographs, fold.validation.radiographs)
    images = [image for side in sides for image in side.images]
    features = extract_features(images, hypermodel.feature_recipe(), cache=repeated_study.cache)
    targets = training_targets(sides[0], masked_loss=False)

    def answers(
        pairs: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]], *, others: float = 0.0
    ) -> list[npt.NDArray[np.float32]]:
        padded = np.full((len(sides[1]), targets.shape[1]), others, np.float32)
        return answers_of_inner_models(
            hypermodel,
            features,
            np.concatenate([targets, padded]),
            pairs,
            trial=int(record.trials["regime_2"]),
            epochs=record.epoch + 1,
            seed=protocol.seed,
        )

    return answers


@pytest.mark.slow
def test_the_inner_models_are_those_that_the_search_trained(
    repeated_study: StudyFolder,
    cut: tuple[OuterFold, OuterRecord, Folds],
    inside: Callable[..., list[npt.NDArray[np.float32]]],
) -> None:
    fold, record, folds = cut
    place = outer_folder(repeated_study.directory / "nested", fold.number) / "regime_2"
    known = read_out_of_fold(place, record.trials["regime_2"])
    for answers, (_, validation) in zip(inside(list(folds)), folds, strict=True):
        np.testing.assert_allclose(answers, known[validation], atol=1e-6)


@pytest.mark.slow
def test_the_inner_estimate_is_the_mean_of_the_inner_models_on_the_outer_patients(
    cut: tuple[OuterFold, OuterRecord, Folds], inside: Callable[..., list[npt.NDArray[np.float32]]]
) -> None:
    fold, record, folds = cut
    held = fold.validation.radiographs
    rows = np.arange(len(fold.training), len(fold.training) + len(held))
    pairs = [(training, rows) for training, _ in folds]
    # What is true of the outer patients is not handed on, and would not matter.
    first, second = inside(pairs), inside(pairs, others=1.0)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    areas = [macro_auroc(held.labels, answers) for answers in first]
    assert record.inner_estimate["auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    areas = [macro_auroc(held.labels[:, 2:], answers[:, 2:], held.visible) for answers in first]
    assert record.inner_estimate["cortex_auroc"] == pytest.approx(np.mean(areas), abs=1e-12)


@pytest.mark.slow
def test_the_estimate_is_of_a_refit_for_the_chosen_epochs_on_the_outer_training_patients(
    repeated_study: StudyFolder, protocol: Protocol, cut: tuple[OuterFold, OuterRecord, Folds]
) -> None:
    fold, record, folds = cut
    hypermodel = tuned_hypermodel(protocol, dict(record.hyperparameters))
    recipe, cache = hypermodel.feature_recipe(), repeated_study.cache
    seen, held = fold.training.radiographs, fold.validation.radiographs
    head = fit_head(
        hypermodel,
        extract_features(seen.images, recipe, cache=cache),
        seen.labels,
        epochs=record.epoch + 1,
        place=FoldPlace(protocol.seed, int(record.trials["regime_2"]), len(folds) + fold.number),
    )
    asked = extract_features(held.images, recipe, cache=cache).values[:, 0]
    place = outer_folder(repeated_study.directory / "nested", fold.number)
    table = pd.read_csv(place / "predictions.csv")[[f"probability_{label}" for label in LABELS]]
    np.testing.assert_array_equal(np.asarray(head(asked)), table.to_numpy(np.float32))


@pytest.mark.slow
def test_the_view_alone_reaches_chance_on_visible_cortices(
    cut: tuple[OuterFold, OuterRecord, Folds], phantom_manifest: Path
) -> None:
    fold, record, _ = cut
    assert view_only_of_fold(fold) == record.view_only_baseline
    assert record.view_only_baseline["cortex_auroc"] == 0.5
    assert record.view_only_baseline["auroc"] > 0.6
    assert len(load_manifest(phantom_manifest)) > len(fold.training)


@pytest.mark.slow
def test_an_outer_fold_is_read_as_the_study_reads_it(
    cut: tuple[OuterFold, OuterRecord, Folds], protocol: Protocol, tmp_path: Path
) -> None:
    """Cropped, as every other step reads it: the features of whole pictures are not computed."""
    fold, record, folds = cut

    def cropped(side: Any) -> Any:
        table = side.radiographs.table
        edges = {"crop_left": 10, "crop_top": 10, "crop_right": 90, "crop_bottom": 90}
        return dataclasses.replace(
            side, radiographs=Radiographs(table.assign(**edges), side.radiographs.source)
        )

    fold = dataclasses.replace(
        fold, training=cropped(fold.training), validation=cropped(fold.validation)
    )
    score_outer_fold(
        fold,
        folds,
        dict(record.hyperparameters),
        trial=int(record.trials["regime_2"]),
        epoch=0,
        protocol=protocol,
        cache=tmp_path,
        progress=Silent(),
    )
    kept = set(tmp_path.rglob("*.f32"))
    recipe = tuned_hypermodel(protocol, dict(record.hyperparameters)).feature_recipe()
    for side in (fold.training, fold.validation):
        features_of(side.radiographs, recipe, cache=tmp_path)
    assert set(tmp_path.rglob("*.f32")) == kept
