"""Radiographs as images: decoded once, and otherwise the subject that their features are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from narrowing import is_a
from radiograph_subjects import Extractions, of_radiographs, without_a_backbone
from search_problems import TinyHyperModel

from rust_tuner import CrossValidationTuner, GridSearchOracle, Protocol, load_manifest
from rust_tuner.data.folds import Folds
from rust_tuner.data.images import load_image
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import MetricError, SearchError
from rust_tuner.labels import NUM_LABELS
from rust_tuner.models.compiled_once import CompiledOnce
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.hypermodels import ImageHyperModel
from rust_tuner.progress import Silent
from rust_tuner.search import subjects
from rust_tuner.search.fold_runs import run_folds
from rust_tuner.search.mean_curves import CrossValidation
from rust_tuner.search.subjects import images_subject


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> Extractions:
    """Features without images: what was asked for, instead of the backbone's answer."""
    return without_a_backbone(monkeypatch)


@pytest.fixture(scope="module")
def pictures(phantom_manifest: Path) -> Development:
    return Development(load_manifest(phantom_manifest))


@pytest.fixture(scope="module")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def of_images(pictures: Development, image_cache: Path) -> Callable[..., subjects.Subject]:
    def make(
        cv: int = 3,
        *,
        seed: int = 0,
        development: Development = pictures,
        kind: str = "lenet1998",
        **changes: Any,
    ) -> subjects.Subject:
        protocol = Protocol.study(image_size=75, **changes)
        hypermodel = ImageHyperModel.from_protocol(protocol, kind)  # type: ignore[arg-type]
        return images_subject(
            hypermodel, development, cv, seed=seed, cache=image_cache, progress=Silent()
        )

    return make


def test_images_come_decoded_in_the_order_of_the_radiographs(
    of_images: Callable[..., subjects.Subject], pictures: Development
) -> None:
    inputs = of_images(resize="letterbox").data.inputs
    assert is_a(np.ndarray, inputs).shape == (len(pictures.radiographs), 75, 75, 3)
    for row in (0, 5, -1):
        path = pictures.radiographs.images[row]
        np.testing.assert_array_equal(
            is_a(np.ndarray, inputs)[row], load_image(path, size=75, resize="letterbox")
        )


def test_images_are_decoded_once_into_a_file_that_is_mapped(
    of_images: Callable[..., subjects.Subject], image_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = of_images().data.inputs
    kept = list((image_cache / "images").iterdir())
    again = of_images(seed=1).data.inputs
    assert list((image_cache / "images").iterdir()) == kept
    owner = again
    while not isinstance(owner, np.memmap):
        owner = is_a(np.ndarray, owner).base  # type: ignore[assignment]
    assert not is_a(np.ndarray, again).flags.writeable
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("masked_loss", [False, True])
def test_images_have_the_folds_targets_figures_and_baseline_of_the_features(
    of_images: Callable[..., subjects.Subject], pictures: Development, masked_loss: bool
) -> None:
    ours = of_images(masked_loss=masked_loss)
    theirs = of_radiographs(pictures, masked_loss=masked_loss)
    for name in ("folds", "targets", "num_folds", "masked_loss", "image_size", "preprocessing"):
        assert ours.identity[name] == theirs.identity[name]
    assert ours.view_only == theirs.view_only
    np.testing.assert_array_equal(ours.data.targets, theirs.data.targets)
    rows = ours.folds[1][1]
    answers = np.random.default_rng(3).uniform(size=(len(rows), NUM_LABELS)).astype(np.float32)
    asked = ([answers], [rows], ["here"])
    assert ours.data.metrics(*asked) == theirs.data.metrics(*asked)
    assert set(ours.data.metrics(*asked)[0]) == {"loss", "auroc", "cortex_auroc"}


def test_the_identity_of_images_follows_content_model_and_preprocessing(
    of_images: Callable[..., subjects.Subject], pictures: Development, tmp_path: Path
) -> None:
    identity = of_images().identity
    assert of_images().identity == identity
    assert identity["model"] == "lenet1998"
    assert (identity["weights"]["asked"], identity["weights"]["file"]) == ("random", None)
    assert len(identity["weights"]["sha256"]) == 64
    assert identity["num_replicas"] == 1
    table = pictures.radiographs.table.copy()
    table["image"] = table["image"].to_numpy()[::-1]
    changed = {
        "inputs": of_images(development=Development(Radiographs(table))),
        "folds": of_images(seed=1),
        "targets": of_images(masked_loss=True),
        "resize": of_images(resize="letterbox"),
        "flips": of_images(flips="none"),
        "precision": of_images(precision="bfloat16"),
        "model": of_images(kind="inceptionv3_end2end"),
    }
    for name, other in changed.items():
        assert other.identity[name] != identity[name], name
    assert changed["resize"].identity["inputs"] != identity["inputs"]
    assert changed["flips"].identity["inputs"] == identity["inputs"]


@pytest.mark.slow
def test_an_image_model_is_compiled_with_the_metric_that_it_is_given(
    of_images: Callable[..., subjects.Subject],
) -> None:
    subject = of_images()
    running = RunningPredictions((4, NUM_LABELS))
    hp = keras_tuner.HyperParameters()
    model = subject.build(hp, running)
    model.train_on_batch(is_a(np.ndarray, subject.data.inputs)[:4], subject.data.targets[:4])
    assert float(running.result()) == 4
    assert hp.values["batch_size"] == 128
    assert subject.keeps_running


@pytest.mark.slow
def test_folds_share_one_models_functions_and_are_bitwise_those_of_models_of_their_own(
    of_images: Callable[..., subjects.Subject],
) -> None:
    subject = of_images(masked_loss=True, flips="horizontal")
    # The second is longer than the first, whose metric all use, and than the third.
    shortest = min(len(training) for training, _ in subject.folds)
    sides = zip(subject.folds, (2, 0, 4), strict=True)
    folds = [(training[: shortest - less], validation) for (training, validation), less in sides]

    def trained(compiled: CompiledOnce | None) -> tuple[CrossValidation, list[keras.Model]]:
        models: list[keras.Model] = []

        def noted(model: keras.Model) -> tuple[()]:
            models.append(model)
            return ()

        outcome = run_folds(
            lambda running: subject.build(keras_tuner.HyperParameters(), running),
            subject.data,
            folds,
            epochs=2,
            batch_size=7,
            seed=0,
            keep_running=True,
            compiled=compiled,
            callbacks=noted,
        )
        return outcome, models

    shared, models = trained(CompiledOnce())
    assert all(model is models[0] for model in models)
    alone, models = trained(None)
    assert len({id(model) for model in models}) == len(folds)
    for one, other in zip(shared.folds, alone.folds, strict=True):
        assert one.training == other.training
        assert one.validation == other.validation
        ours, theirs = (is_a(np.ndarray, fold.predictions) for fold in (one, other))
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.slow
def test_a_users_model_without_the_metric_has_no_training_figures_but_its_own(
    of_images: Callable[..., subjects.Subject],
) -> None:
    subject = of_images()
    outcome = run_folds(
        # As a `build` that does not pass on the metrics that it is given.
        lambda running: subject.build(keras_tuner.HyperParameters(), None),
        subject.data,
        subject.folds[:1],
        epochs=1,
        batch_size=7,
        seed=0,
        keep_running=True,
    )
    (fold,) = outcome.folds
    assert list(fold.training) == ["loss"]
    assert "auroc" in fold.validation


def test_several_devices_keep_no_training_predictions(
    of_images: Callable[..., subjects.Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageHyperModel, "num_replicas", 2)
    subject = of_images()
    assert not subject.keeps_running
    assert subject.identity["num_replicas"] == 2


def test_a_fold_of_images_with_nothing_to_score_is_named_before_any_is_decoded(
    tmp_path: Path,
) -> None:
    table = phantom_table(patients=8, seed=0)
    rows = np.flatnonzero(table["view"] == "ap")[:4]
    table = table.iloc[rows].reset_index(drop=True)
    table["patient_id"] = [f"p{n}" for n in range(4)]
    table[["medial", "lateral", "anterior", "posterior"]] = [1, 1, None, None]
    folds = Folds(assignment=np.array([0, 0, 1, 1]), num_folds=2, seed=0)
    development = Development(Radiographs(table))
    with pytest.raises(MetricError, match=r"^fold 0: AUROC is undefined for all 18 labels"):
        images_subject(
            ImageHyperModel("lenet1998", image_size=75),
            development,
            folds,
            seed=0,
            cache=tmp_path,
            progress=Silent(),
        )
    assert list(tmp_path.iterdir()) == []


def test_radiographs_need_a_hypermodel_that_says_how_it_takes_them(
    tmp_path: Path, pictures: Development
) -> None:
    oracle = GridSearchOracle(keras_tuner.Objective("val_auroc", "max"))
    tuner = CrossValidationTuner(TinyHyperModel(), oracle, cv=2, directory=tmp_path)
    with pytest.raises(SearchError, match="TinyHyperModel has no frozen backbone and no recipe"):
        tuner.search(pictures)
