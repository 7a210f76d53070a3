"""A refit trains as a fold of a search does, and is a function of its place."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from narrowing import not_none
from report_searches import change_json
from search_problems import each_fold
from studies import StudyFolder

from rust_tuner.errors import SearchError, TrialError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import FoldPlace, TrainingData
from rust_tuner.models.fold_training import train_fold
from rust_tuner.models.schedules import batch_sizes
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.protocol import Protocol
from rust_tuner.records.project import read_project
from rust_tuner.steps.refit import HYPERPARAMETERS, fit_head, tuned_hypermodel, tuned_values

VALUES = {"batch_size": 8, "dropout_rate": 0.25, "learning_rate": 1e-3, "epsilon": 1e-7}
PLACE = FoldPlace(0, 3, 7)


@pytest.fixture(scope="module")
def data() -> tuple[FrozenFeatures, npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 2, 2048)).astype(np.float32)
    labels = (rng.random((30, 18)) < 0.4).astype(np.float32)
    return FrozenFeatures(values, "x"), labels


def answers_of(head: keras.Model, features: FrozenFeatures) -> npt.NDArray[Any]:
    return np.asarray(head(features.values[:, 0], training=False))


@pytest.mark.slow
def test_a_refit_gives_what_a_fold_of_a_search_would_give(
    data: tuple[FrozenFeatures, npt.NDArray[np.float32]], tiny_protocol: Protocol
) -> None:
    features, labels = data
    hypermodel = tuned_hypermodel(tiny_protocol, VALUES)
    seen = FrozenFeatures(features.values[:24], "x")
    head = fit_head(hypermodel, seen, labels[:24], epochs=2, place=PLACE)
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hyperparameters)
    with seeded_weights(PLACE):
        model = hypermodel.build_head(hyperparameters)
    curves = train_fold(
        model,
        TrainingData(features, labels, each_fold(lambda answers, rows, where: {})),
        np.arange(24),
        np.arange(24, 30),
        sizes=batch_sizes(24, 8),
        epochs=2,
        place=PLACE,
    )
    held = FrozenFeatures(features.values[24:], "x")
    np.testing.assert_allclose(answers_of(head, held), curves.predictions[-1], atol=1e-6)


@pytest.mark.slow
def test_a_refit_is_a_function_of_its_place_and_its_epochs(
    data: tuple[FrozenFeatures, npt.NDArray[np.float32]], tiny_protocol: Protocol
) -> None:
    features, labels = data
    hypermodel = tuned_hypermodel(tiny_protocol, VALUES)

    def answers(place: FoldPlace, epochs: int) -> npt.NDArray[Any]:
        return answers_of(
            fit_head(hypermodel, features, labels, epochs=epochs, place=place), features
        )

    first = answers(PLACE, 1)
    np.testing.assert_array_equal(first, answers(PLACE, 1))
    assert not np.array_equal(first, answers(FoldPlace(0, 3, 8), 1))
    assert not np.array_equal(first, answers(PLACE, 2))


def test_the_tuned_values_are_the_best_trials_four(finished_study: StudyFolder) -> None:
    project = read_project(finished_study.directory / "regime_2")
    values = tuned_values(project)
    assert list(values) == list(HYPERPARAMETERS)
    assert values == not_none(project.best).values


def test_a_search_without_a_score_gives_no_values_and_says_why(finished_copy: StudyFolder) -> None:
    folder = finished_copy.directory / "regime_2"
    for path in folder.glob("trial_*/trial.json"):
        change_json(path, status="FAILED", score=None, best_step=None, message="loss is nan")
    with pytest.raises(SearchError, match=r"none of the 2 trials .* \(trial 0000: loss is nan\)"):
        tuned_values(read_project(folder))


def test_a_fit_that_diverges_is_not_named_as_a_fold() -> None:
    values = {"batch_size": 4, "dropout_rate": 0.0, "learning_rate": 1e30, "epsilon": 1e-7}
    hypermodel = tuned_hypermodel(Protocol.study(weights="random"), values)
    features = FrozenFeatures(np.full((8, 1, 2048), 1e6, np.float32), "abc")
    with pytest.raises(TrialError, match=r"^fit on all radiographs, epoch \d"):
        fit_head(
            hypermodel,
            features,
            np.ones((8, 18), np.float32),
            epochs=3,
            place=FoldPlace(0, 0, 3, name="fit on all radiographs"),
        )


def test_an_unfinished_search_gives_no_values(finished_copy: StudyFolder) -> None:
    folder = finished_copy.directory / "regime_2"
    (folder / "trial_0001" / "trial.json").unlink()
    with pytest.raises(SearchError, match="has 1 of 2 trials; finish the search first"):
        tuned_values(read_project(folder))
