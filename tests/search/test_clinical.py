"""Masked training: loss and figures of visible cortices alone, folds together as one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from narrowing import as_json, is_a
from stand_ins import backbone_stand_in

from rust_tuner import Protocol, load_manifest, regime_1, split_holdout
from rust_tuner.data.folds import make_folds
from rust_tuner.data.images import load_image
from rust_tuner.data.splits import Development
from rust_tuner.labels import CORTEX_LABELS, NUM_VIEWS
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.models.fold_parallel import FoldParallelTrainer
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.search.fold_runs import run_folds, run_folds_together
from rust_tuner.search.mean_curves import CrossValidation
from rust_tuner.search.subjects import Subject, radiographs_subject

EPOCHS, SEED = 2, 3


@pytest.fixture(scope="module")
def clinical(tiny_protocol: Protocol) -> Protocol:
    small = {
        name: getattr(tiny_protocol, name)
        for name in ("weights", "image_size", "num_folds", "epochs", "trials", "batch_size_range")
    }
    return Protocol.clinical(seed=SEED, **small)


@pytest.fixture(scope="module")
def development(phantom_manifest: Path) -> Development:
    return split_holdout(load_manifest(phantom_manifest), seed=SEED)[0]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features as the clinical protocol has them."""
    return tmp_path_factory.mktemp("clinical")


@pytest.fixture(scope="module")
def subject(development: Development, clinical: Protocol, cache: Path) -> Subject:
    space = SearchSpace(batch_size=8, dropout_rate=0.3)
    with pytest.MonkeyPatch.context() as patch:
        # Any features will do; the search below finds them in the cache.
        patch.setattr("rust_tuner.models.features.build_backbone", backbone_stand_in)
        return radiographs_subject(
            TransferLearningHyperModel.from_protocol(clinical, space),
            development,
            make_folds(development, 3, SEED),
            seed=SEED,
            cache=cache,
            progress=Silent(),
        )


def head(subject: Subject) -> Callable[..., keras.Model]:
    import keras_tuner

    def build(running: list[Any] | None = None) -> keras.Model:
        hyperparameters = keras_tuner.HyperParameters()
        hyperparameters.Fixed("batch_size", 8)
        hyperparameters.Fixed("dropout_rate", 0.3)
        hyperparameters.Fixed("learning_rate", 1e-3)
        hyperparameters.Fixed("epsilon", 1e-7)
        return subject.build(hyperparameters, running)

    return build


def together(subject: Subject, data: TrainingData | None = None) -> CrossValidation:
    trainer = FoldParallelTrainer(data or subject.data)
    return run_folds_together(
        head(subject), trainer, subject.folds, epochs=EPOCHS, batch_size=8, seed=SEED
    )


@pytest.fixture(scope="module")
def outcome(subject: Subject) -> CrossValidation:
    return together(subject)


@pytest.mark.slow
def test_folds_together_are_folds_one_by_one(subject: Subject, outcome: CrossValidation) -> None:
    alone = run_folds(
        head(subject),
        subject.data,
        subject.folds,
        epochs=EPOCHS,
        batch_size=8,
        seed=SEED,
        keep_running=True,
    )
    for one, other in zip(outcome.folds, alone.folds, strict=True):
        np.testing.assert_allclose(
            is_a(np.ndarray, one.predictions),
            is_a(np.ndarray, other.predictions),
            rtol=2e-4,
            atol=2e-6,
        )
        assert one.steps_per_epoch == other.steps_per_epoch
        for split in ("training", "validation"):
            for metric in ("loss", "auroc", "cortex_auroc"):
                curve = getattr(other, split)[metric]
                np.testing.assert_allclose(getattr(one, split)[metric], curve, atol=1e-5)


def test_loss_and_cortex_figures_count_a_cortex_only_where_it_is_visible(
    subject: Subject, outcome: CrossValidation, development: Development
) -> None:
    radiographs = development.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    assert 0.2 < visible.mean() < 0.6
    counted = np.concatenate([np.ones((len(labels), NUM_VIEWS), bool), visible], axis=1)
    for record, (_, rows) in zip(outcome.folds, subject.folds, strict=True):
        for epoch in range(EPOCHS):
            answers = is_a(np.ndarray, record.predictions)[epoch].astype(np.float64)
            own = (labels[rows, NUM_VIEWS:], answers[:, NUM_VIEWS:])
            expected = macro_auroc(*own, visible[rows])
            assert record.validation["cortex_auroc"][epoch] == pytest.approx(expected, abs=1e-12)
            losses = -np.log(np.where(labels[rows] == 1, answers, 1 - answers))
            of_row = [loss[mask].mean() for loss, mask in zip(losses, counted[rows], strict=True)]
            assert record.validation["loss"][epoch] == pytest.approx(np.mean(of_row), rel=1e-5)
            # The whole is counted beside it, as in the published study.
            whole = macro_auroc(labels[rows], answers)
            assert record.validation["auroc"][epoch] == pytest.approx(whole, abs=1e-12)


@pytest.mark.slow
def test_what_stands_where_a_cortex_is_not_visible_does_not_train(
    subject: Subject, outcome: CrossValidation, development: Development
) -> None:
    targets = subject.data.targets
    hidden = targets == -1
    np.testing.assert_array_equal(hidden[:, NUM_VIEWS:], ~development.radiographs.visible)
    other = np.where(hidden, np.float32(-7), targets)
    again = together(subject, TrainingData(subject.data.inputs, other, subject.data.metrics))
    for one, two in zip(outcome.folds, again.folds, strict=True):
        np.testing.assert_array_equal(
            is_a(np.ndarray, one.predictions), is_a(np.ndarray, two.predictions)
        )
    # Counted as negatives they would have trained.
    negative = np.where(hidden, np.float32(0), targets)
    counted = together(subject, TrainingData(subject.data.inputs, negative, subject.data.metrics))
    assert not np.allclose(
        is_a(np.ndarray, outcome.folds[0].predictions),
        is_a(np.ndarray, counted.folds[0].predictions),
        atol=1e-3,
    )


def test_radiographs_keep_their_shape_and_are_flipped_from_left_to_right_only(
    subject: Subject, clinical: Protocol, development: Development
) -> None:
    assert (subject.identity["resize"], subject.identity["flips"]) == ("letterbox", "horizontal")
    assert subject.identity["masked_loss"] is True
    assert is_a(FrozenFeatures, subject.data.inputs).values.shape[:2] == (len(development), 2)
    # Phantoms are taller than wide, so a letterbox has bars of one value at its sides.
    image = load_image(development.radiographs.images[0], size=75, resize=clinical.resize)
    assert np.ptp(image[:, :3]) == np.ptp(image[:, -3:]) == 0
    squashed = load_image(development.radiographs.images[0], size=75, resize="squash")
    assert np.ptp(squashed[:, :3]) > 0


@pytest.mark.slow
def test_a_search_is_scored_by_its_visible_cortices(
    development: Development, clinical: Protocol, subject: Subject, cache: Path, tmp_path: Path
) -> None:
    tuner = regime_1(development, tmp_path, protocol=clinical, cache=cache)
    # On the very features that the tests above have seen.
    assert as_json(tuner.project.run)["subject"]["inputs"] == subject.identity["inputs"]
    project = read_project(tuner.project_folder)
    assert project.objective == "val_cortex_auroc"
    for trial in project.trials:
        found = out_of_fold_predictions(project, trial)
        areas = [
            macro_auroc(part.labels[:, NUM_VIEWS:], part.probabilities[:, NUM_VIEWS:], part.visible)
            for part in (found.subset(np.asarray(found.folds == fold)) for fold in range(3))
        ]
        assert found.visible.shape[1] == len(CORTEX_LABELS)
        assert trial.score == pytest.approx(np.mean(areas), abs=1e-12)
        mean = np.mean([fold.validation["cortex_auroc"] for fold in trial.folds], axis=0)
        assert trial.epoch == int(mean.argmax())
