"""What a user's own `run_trial` returns is the score of the trial, as in KerasTuner."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from guide_models import eager, getting_started, search
from keras_tuner.engine.trial import Trial

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import SearchError


class OwnTrial(CrossValidationTuner):
    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        kwargs["epochs"] = 3
        metrics = super().run_trial(trial, *args, **kwargs)
        return metrics | {"val_loss": 7.0 + int(trial.trial_id)}


@pytest.mark.slow
def test_what_an_overridden_run_trial_returns_is_the_score(tmp_path: Path) -> None:
    for _ in range(2):
        tuner = search(tmp_path, eager, tuner=OwnTrial, max_trials=2)
        assert tuner.results()["score"].tolist() == [7.0, 8.0]
        assert sorted(tuner.history()["epoch"].unique()) == [0, 1, 2]


class BlackBox(CrossValidationTuner):
    ran = 0

    def run_trial(self, trial: Trial, *args: object, **kwargs: object) -> dict[str, float]:
        type(self).ran += 1
        result: dict[str, float] = trial.hyperparameters.get("units") - 4.0
        return result


def test_a_run_trial_without_folds_is_recorded_and_not_run_again(tmp_path: Path) -> None:
    BlackBox.ran = 0
    for _ in range(2):
        tuner = search(tmp_path, getting_started, tuner=BlackBox, max_trials=3)
        assert sorted(tuner.results()["score"]) == [-2.0, -2.0, -2.0]
    assert BlackBox.ran == 3
    assert tuner.project.problems == ()


def test_a_run_trial_that_returns_nothing_or_something_else_is_refused(tmp_path: Path) -> None:
    class Nothing(BlackBox):
        def run_trial(self, trial: Trial, *args: object, **kwargs: object) -> dict[str, float]:
            return {"loss": 1.0}

    with pytest.raises(SearchError, match="returned no val_loss, which is the objective"):
        search(tmp_path, getting_started, tuner=Nothing)


class TwoObjectives(CrossValidationTuner):
    """The first trial is best by both objectives."""

    def run_trial(self, trial: Trial, *args: object, **kwargs: object) -> dict[str, float]:
        number = int(trial.trial_id)
        return {"val_loss": 1.0 + number, "val_accuracy": 0.9 - 0.1 * number}


class TwoCurves(CrossValidationTuner):
    """As `TwoObjectives`, at the second epoch."""

    def run_trial(self, trial: Trial, *args: object, **kwargs: object) -> dict[str, float]:
        number = int(trial.trial_id)
        history = keras.callbacks.History()
        history.history = {
            "val_loss": [9.0, 1.0 + number, 9.0],
            "val_accuracy": [0.1, 0.9 - 0.1 * number, 0.1],
        }
        result: dict[str, float] = history
        return result


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TwoObjectives, TwoCurves])
def test_a_run_trial_returns_several_objectives_by_their_names(
    kind: type[TwoObjectives] | type[TwoCurves], tmp_path: Path
) -> None:
    objectives = [
        keras_tuner.Objective("val_loss", "min"),
        keras_tuner.Objective("val_accuracy", "max"),
    ]
    for _ in range(2):
        oracle = GridSearchOracle(objectives, max_trials=3)
        tuner = search(tmp_path, eager, tuner=kind, oracle=oracle)
        results = tuner.results()
        assert results["trial"].tolist() == ["0000", "0001", "0002"]
        assert results["val_accuracy"].tolist() == pytest.approx([0.9, 0.8, 0.7])
        assert tuner.project.problems == ()


def test_a_number_for_several_objectives_is_refused(tmp_path: Path) -> None:
    oracle = GridSearchOracle(["val_loss", "val_accuracy"])
    with pytest.raises(SearchError, match=r"return a dict of val_loss, val_accuracy"):
        search(tmp_path, eager, tuner=BlackBox, oracle=oracle)
