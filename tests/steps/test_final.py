"""The final model: refitted once, and usable by Keras alone."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hold_out_sets import PROBABILITIES, sides_of
from narrowing import as_json, not_none
from notes import Notes
from PIL import Image
from stand_ins import backbone_stand_in
from studies import StudyFolder

from rust_tuner import Protocol, load_manifest, split_holdout
from rust_tuner.data.images import load_image
from rust_tuner.errors import ResumeError, SearchError, SplitError
from rust_tuner.files import read_json, write_json
from rust_tuner.labels import LABELS, NUM_VIEWS
from rust_tuner.records.holdout import Holdout, read_holdout
from rust_tuner.records.looks import MODEL_FILE, PREDICTIONS_FILE
from rust_tuner.records.model_card import read_card
from rust_tuner.records.novelty import read_novelty
from rust_tuner.records.project import Project, read_project
from rust_tuner.steps.final import (
    assemble,
    cross_validate_final,
    fit_final_model,
    load_final_model,
    predict_probabilities,
)
from rust_tuner.steps.predict import model_file, predict_radiographs
from rust_tuner.steps.refit import declared_values, tuned_hypermodel, tuned_values
from rust_tuner.study import Study

VALUES: dict[str, int | float | str | bool] = {
    "batch_size": 8,
    "dropout_rate": 0.1,
    "learning_rate": 1e-3,
    "epsilon": 1e-7,
}


@pytest.fixture(scope="module")
def final_study(evaluated_study: StudyFolder) -> tuple[Study, Holdout | None]:
    study = evaluated_study.open()
    return study, read_holdout(study.directory)


def test_choices_that_an_earlier_look_does_not_have_are_said(evaluated_study: StudyFolder) -> None:
    notes = Notes()
    choices = {"final_epochs": 5}
    study = Study(
        evaluated_study.directory, choices=choices, cache=evaluated_study.cache, progress=notes
    )
    assert study.final() == read_holdout(evaluated_study.directory)
    note = "note: final_epochs=5 is not used, because final was run with final_epochs=2"
    assert notes.said == [note]
    again = Notes()
    evaluated_study.open(progress=again).final()
    assert again.said == []


def test_the_final_model_comes_with_what_new_images_are_compared_with(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, _ = final_study
    development, holdout = sides_of(study)
    card = read_card(model_file(study.directory))
    novelty = read_novelty(model_file(study.directory), card)
    assert not_none(novelty).radiographs == len(development) == len(not_none(novelty).reference)
    assert not_none(novelty).patients == len(set(development.radiographs.patient_ids))
    noise = np.random.default_rng(0).integers(0, 256, (90, 80), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    # The hold-out set has been looked at, so the model may read it.
    images = [tmp_path / "noise.png", *holdout.radiographs.images]
    found = predict_radiographs(study.directory, images)
    assert found["unlike"].iloc[0]
    assert found["distance"].iloc[1:].notna().all()
    # The probabilities are those of the whole model.
    values = np.stack([load_image(path, size=card.input.image_size) for path in images])
    model = load_final_model(model_file(study.directory), image_size=card.input.image_size)
    expected = predict_probabilities(model, values)
    np.testing.assert_allclose(found[list(LABELS[NUM_VIEWS:])], expected[:, NUM_VIEWS:], rtol=1e-5)


@pytest.mark.slow
def test_keras_alone_loads_the_model_and_gives_the_predictions(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, _ = final_study
    final = study.directory / "final"
    table = pd.read_csv(final / PREDICTIONS_FILE)
    card = read_card(final / MODEL_FILE)
    size, resize = as_json(card)["input"]["shape"][0], as_json(card)["input"]["resize"]
    _, holdout = sides_of(study)
    assert list(table["image"]) == list(holdout.radiographs.written["image"])
    paths = holdout.radiographs.images
    images = np.stack([load_image(path, size=size, resize=resize) for path in paths])
    np.save(tmp_path / "images.npy", images)
    script = """
import sys
sys.modules["rust_tuner"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
assert not model.compiled
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""
    paths = [final / MODEL_FILE, tmp_path / "images.npy", tmp_path / "answers.npy"]  # type: ignore[assignment]
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(answers, table[PROBABILITIES], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["a stand-in", pytest.param("real", marks=pytest.mark.slow)])
@pytest.mark.parametrize("preset", [Protocol.study, Protocol.clinical])
def test_the_model_of_every_protocol_is_loaded_without_code_of_its_own(
    tmp_path: Path, preset: Callable[..., Protocol], backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    if backbone != "real":
        monkeypatch.setattr("rust_tuner.models.backbones.build_backbone", backbone_stand_in)
    protocol = preset(weights="random", image_size=75)
    hypermodel = tuned_hypermodel(protocol, VALUES)
    head = hypermodel.build_head(declared_values(hypermodel))
    whole = assemble(hypermodel.feature_recipe(), head)
    whole.save(tmp_path / "model.keras")
    assert head.compiled
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    images = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(images), whole(images))
    ends = [weight.numpy() for weight in loaded.weights[-len(head.weights) :]]
    assert all(np.array_equal(*pair) for pair in zip(ends, head.get_weights(), strict=True))


def test_no_patient_of_the_hold_out_set_was_trained_on(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, _ = final_study
    development, holdout = sides_of(study)
    table = pd.read_csv(study.directory / "final" / PREDICTIONS_FILE, dtype=str)
    sealed = set(holdout.radiographs.written_patients)
    assert set(table["patient_id"]) == sealed
    assert not sealed & set(development.radiographs.written_patients)
    card = read_card(study.directory / "final" / MODEL_FILE)
    assert card["radiographs"] == len(development)


def test_the_model_is_fitted_for_the_epochs_that_the_cross_validation_chose(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    project = read_project(study.directory / "final" / "cross_validation")
    (trial,) = project.trials
    curves = [fold.validation["auroc"] for fold in trial.folds]
    assert len(curves) == study.protocol.final_folds
    epoch = int(np.argmax(np.mean(curves, axis=0)))
    assert trial.epoch == epoch == as_json(found)["epoch"]
    assert read_card(study.directory / "final" / MODEL_FILE)["epochs"] == epoch + 1
    tuned = tuned_values(read_project(study.directory / "regime_2"))
    assert {name: trial.values[name] for name in tuned} == tuned


def test_another_model_never_sees_the_hold_out_set(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, _ = final_study
    root = tmp_path / "other"
    shutil.copytree(study.directory.parent, root)
    folder = root / study.directory.name
    development, _ = sides_of(study)
    with pytest.raises(ResumeError, match="has the figures of another model"):
        fit_final_model(
            development, folder, VALUES, epochs=1, protocol=study.protocol, cache=study.cache
        )


@pytest.mark.parametrize("step", [fit_final_model, cross_validate_final])
def test_nothing_trains_on_the_hold_out_set(
    step: Callable[..., Path] | Callable[..., Project],
    phantom_manifest: Path,
    tmp_path: Path,
    tiny_protocol: Protocol,
) -> None:
    _, holdout = split_holdout(load_manifest(phantom_manifest))
    more: dict[str, Any] = {"epochs": 1} if step is fit_final_model else {"folds": []}
    with pytest.raises((SplitError, SearchError), match="HoldOut"):
        step(holdout, tmp_path, VALUES, protocol=tiny_protocol, **more)
    assert list(tmp_path.rglob("*.keras")) == []


def test_an_unfinished_search_gives_no_final_model(finished_copy: StudyFolder) -> None:
    shutil.rmtree(finished_copy.directory / "regime_2" / "trial_0001")
    with pytest.raises(SearchError, match="has 1 of 2 trials; finish the search first"):
        finished_copy.open().final()
    shutil.rmtree(finished_copy.directory / "regime_2")
    with pytest.raises(SearchError, match="regime_2 has not been run"):
        finished_copy.open().final()


def test_a_model_and_a_record_that_do_not_belong_together_are_refused(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, _ = final_study
    for name in (MODEL_FILE, "model.json"):
        shutil.copy(study.directory / "final" / name, tmp_path / name)
    card = read_json(tmp_path / "model.json")
    write_json(tmp_path / "model.json", card | {"model_sha256": "0" * 64})
    with pytest.raises(ResumeError, match="was written for another model"):
        read_card(tmp_path / MODEL_FILE)
    (tmp_path / "model.json").unlink()
    with pytest.raises(ResumeError, match=r"model\.json is missing"):
        read_card(tmp_path / MODEL_FILE)
