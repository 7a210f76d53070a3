"""One trial's failure is recorded and the search goes on; a mistake in the code ends it."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus
from narrowing import not_none
from search_problems import TinyHyperModel, arrays

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import SearchError, TrialError
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.search.failures import (
    are_one_mistake,
    failed_in_a_row,
    fails_the_trial,
    first_mistakes,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("shape"), True),
        (MemoryError(), True),
        (TrialError("nan"), True),
        (keras_tuner.errors.FailedTrialError("oversized"), True),
        (keras_tuner.errors.FatalValueError("stop"), False),
        (SearchError("stop"), False),
        (KeyError("typo"), False),
        (TypeError("typo"), False),
    ],
)
def test_which_errors_fail_one_trial(error: Any, expected: bool) -> None:
    assert fails_the_trial(error) is expected


def test_messages_are_one_mistake_up_to_their_numbers() -> None:
    assert are_one_mistake(["ValueError: 3 of 4", "ValueError: 5 of 0.5"])
    assert not are_one_mistake(["ValueError: 3 of 4", "ValueError: 3 in 4"])
    assert not are_one_mistake(["TrialError: loss is nan"] * 3)
    assert not are_one_mistake([])


def trials(*statuses: Any) -> list[Trial]:
    made = [Trial(keras_tuner.HyperParameters(), str(n), s) for n, s in enumerate(statuses)]
    for trial in made:
        trial.message = "ValueError: no"
    return made


def test_only_the_first_trials_show_a_mistake() -> None:
    failed, completed = TrialStatus.FAILED, TrialStatus.COMPLETED
    assert len(first_mistakes(trials(failed, failed, failed), 9)) == 3
    # All of a search that has no more.
    assert len(first_mistakes(trials(failed, failed), 2)) == 2
    for others in ([failed] * 2, [failed] * 4, [completed, failed, failed], [completed] * 3):
        assert first_mistakes(trials(*others), 9) == []
    assert failed_in_a_row(trials(failed, completed, failed, failed)) == 2


class Failing(TinyHyperModel):
    """Refuses some of its values, before it has declared the others."""

    def __init__(
        self,
        refused: tuple[int, ...] = (2,),
        error: type[ValueError] = ValueError,
        mended: bool = False,
    ) -> None:
        super().__init__()
        self.refused, self.error, self.mended = refused, error, mended

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        pass

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        if hp.Choice("units", [2, 3, 4, 5]) in self.refused and not self.mended:
            raise self.error(f"units={hp.get('units')} do not fit")
        hp.Choice("dropout", [0.0, 0.25])
        return super().build(hp)


def search(folder: Path, hypermodel: "Failing | Wrong", **options: Any) -> CrossValidationTuner:
    objective = keras_tuner.Objective("val_loss", "min")
    tuner = CrossValidationTuner(
        hypermodel,
        GridSearchOracle(objective, **options),
        cv=2,
        directory=folder,
        project_name="search",
        progress=Silent(),
    )
    tuner.search(*arrays(), epochs=1, batch_size=48)
    return tuner


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        *(
            pytest.param(error, marks=pytest.mark.slow)
            for error in (MemoryError, keras_tuner.errors.FailedTrialError, TrialError)
        ),
    ],
)
def test_a_trial_may_fail_at_the_default_values_and_the_search_goes_on(
    error: type[ValueError], tmp_path: Path
) -> None:
    tuner = search(tmp_path, Failing(error=error), max_trials=4)
    results = tuner.results()
    assert results["status"].tolist() == ["FAILED", "FAILED", "COMPLETED", "COMPLETED"]
    assert results["message"][0] == f"{error.__name__}: units=2 do not fit"
    # What is declared after the line that fails is searched as well.
    assert results["dropout"].tolist() == [0.0, 0.25, 0.0, 0.25]
    first = read_project(tuner.project_folder).trials[0]
    assert "raise self.error" in not_none(first.traceback)
    assert search(tmp_path, Failing(error=error), max_trials=4).results().equals(results)


@pytest.mark.parametrize("max_trials", [1, 6])
def test_the_same_mistake_in_the_first_trials_ends_the_search_and_is_mended(
    max_trials: int, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="do not fit") as caught:
            search(tmp_path, Failing(refused=(2, 3)), max_trials=max_trials)
        assert "Mend the code and run the search again" in caught.value.__notes__[0]
        statuses = {trial.status for trial in read_project(tmp_path / "search").trials}
        assert statuses == {"RUNNING"}


@pytest.mark.slow
def test_trials_run_again_once_a_mistake_is_mended(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        search(tmp_path, Failing(refused=(2, 3)), max_trials=3)
    results = search(tmp_path, Failing(mended=True), max_trials=3).results()
    assert results["status"].tolist() == ["COMPLETED"] * 3


@pytest.mark.slow
def test_code_that_failed_at_the_defaults_may_be_mended_later(tmp_path: Path) -> None:
    search(tmp_path, Failing(), max_trials=3)
    results = search(tmp_path, Failing(mended=True), max_trials=4).results()
    assert results["status"].tolist() == ["FAILED", "FAILED", "COMPLETED", "COMPLETED"]


def test_a_mistake_at_every_value_is_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        search(tmp_path, Failing(refused=(2, 3, 4, 5)))
    assert not list(tmp_path.rglob("trial_*"))


@pytest.mark.slow
def test_a_limit_on_failures_in_a_row_is_kept_as_in_keras_tuner(tmp_path: Path) -> None:
    hypermodel = Failing(refused=(2, 3))
    with pytest.raises(SearchError, match=r"4 trials failed one after another, .*units=3"):
        search(tmp_path, hypermodel, max_consecutive_failed_trials=4)
    tuner = search(tmp_path / "more", hypermodel, max_trials=5, max_consecutive_failed_trials=5)
    assert tuner.results()["status"].tolist() == ["FAILED"] * 4 + ["COMPLETED"]


@pytest.mark.slow
def test_folds_that_mistaken_code_trained_are_not_kept(tmp_path: Path) -> None:
    class InTheSecondFold(TinyHyperModel):
        built = 0
        mended = False

        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            self.built += 1
            # Built twice at the start: to declare the space, and to describe the model.
            if self.built > 2 and self.built % 2 == 0 and not self.mended:
                raise ValueError("no second fold")
            model = super().build(hp)
            if self.mended:
                model.compile("sgd", "binary_crossentropy", run_eagerly=True)
            return model

    hypermodel = InTheSecondFold()
    with pytest.raises(ValueError, match="no second fold"):
        search(tmp_path, hypermodel, max_trials=3)
    assert not list(tmp_path.rglob("fold_*"))
    hypermodel.mended = True
    results = search(tmp_path, hypermodel, max_trials=3).results()
    assert results["status"].tolist() == ["COMPLETED"] * 3


class Wrong(TinyHyperModel):
    """A target shape that does not fit shows only in training."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.declare_hyperparameters(hp)
        units = 2 if hp.get("units") == 2 else 5
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        return model


@pytest.mark.slow
def test_a_shape_that_does_not_fit_fails_its_trials_alone(tmp_path: Path) -> None:
    results = search(tmp_path, Wrong()).results()
    assert results["status"].tolist() == ["COMPLETED", "COMPLETED", "FAILED", "FAILED"]
