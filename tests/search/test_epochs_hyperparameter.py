"""A hyperparameter that sets the number of epochs: every part of a search counts its epochs."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd
import pytest
from search_problems import arrays

from rust_tuner import (
    CrossValidationTuner,
    RandomSearchOracle,
    SuccessiveHalvingOracle,
    export_best_hyperparameters,
)
from rust_tuner.analysis.stopped import stopped_note
from rust_tuner.errors import SearchError
from rust_tuner.search.hopeless import StopRule
from rust_tuner.search.reserved_names import fewest_epochs

OBJECTIVE = keras_tuner.Objective("val_loss", "min")


class Model(keras_tuner.HyperModel):  # type: ignore[misc]
    """Logistic regression, whose folds train together; its rate decides the ranks of trials."""

    def __init__(self, epochs: int | None) -> None:
        super().__init__()
        self.epochs = epochs

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        # The other name is in its place, so that the rates are the same.
        hp.Fixed("other" if self.epochs is None else "epochs", self.epochs or 12)
        rate = hp.Float("rate", 1e-5, 1.0, sampling="log")
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="sigmoid")])
        model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
        return model


def searched(
    folder: Path, oracle: Any, own_epochs: int | None, epochs: int, **changes: Any
) -> CrossValidationTuner:
    x, y, groups = arrays()
    tuner = CrossValidationTuner(
        Model(own_epochs),
        oracle,
        cv=2,
        directory=folder,
        project_name="search",
        score_epoch=changes.pop("score_epoch", "best_mean"),
    )
    tuner.search(x, y, groups, epochs=epochs, verbose=0, **changes)
    return tuner


def halving() -> SuccessiveHalvingOracle:
    return SuccessiveHalvingOracle(OBJECTIVE, 6, factor=2, seed=0)


def test_rungs_lie_before_the_last_epoch_of_the_trial(tmp_path: Path) -> None:
    own = searched(tmp_path / "own", halving(), 12, 1)
    plain = searched(tmp_path / "plain", halving(), None, 12)
    columns = ["trial", "status", "score", "epoch", "rate"]
    pd.testing.assert_frame_equal(own.results()[columns], plain.results()[columns])
    assert (own.results()["status"] == "PRUNED").any()


def test_the_epochs_that_stopping_saves_are_those_of_the_trials(tmp_path: Path) -> None:
    rule = StopRule(first_epoch=2, in_a_row=1, level=0.9)
    oracle = RandomSearchOracle(OBJECTIVE, 6, seed=0)
    tuner = searched(tmp_path, oracle, 12, 2, stop_hopeless=rule)
    trained = tuner.history().groupby("trial")["epoch"].nunique()
    assert trained.max() == 12
    saved = 1 - trained.sum() / (12 * 6)
    assert saved > 0
    assert f"saved {saved:.0%} of all epochs" in str(stopped_note(tuner.project))


def test_the_best_trial_is_exported_with_its_own_epochs(tmp_path: Path) -> None:
    tuner = searched(tmp_path, RandomSearchOracle(OBJECTIVE, 1, seed=0), 3, 1)
    best = export_best_hyperparameters(tmp_path / "search", tmp_path / "best.json")
    assert (best["epochs"], best["hyperparameters"]) == (3, tuner.best_hyperparameters.values)
    assert tuner.best_hyperparameters.get("epochs") == 3


def test_the_epoch_of_the_score_is_one_of_the_trials(tmp_path: Path) -> None:
    oracle = RandomSearchOracle(OBJECTIVE, 1, seed=0)
    tuner = searched(tmp_path / "more", oracle, 4, 2, score_epoch=3)
    assert list(tuner.results()["epoch"]) == [3]
    with pytest.raises(SearchError, match=r"=3 with 2 epochs \(the fewest that the hyperparameter"):
        searched(tmp_path / "fewer", oracle, 2, 20, score_epoch=3)
    assert not list((tmp_path / "fewer").rglob("*.json"))


def test_the_fewest_epochs_are_those_of_any_values() -> None:
    hp = keras_tuner.HyperParameters()
    assert fewest_epochs(hp.space, 20) == 20
    hp.Boolean("long")
    with hp.conditional_scope("long", [True]):
        hp.Choice("epochs", [40, 30])
    assert fewest_epochs(hp.space, 20) == 20
    hp.Int("tuner/epochs", 32, 64, step=2, sampling="log")
    # KerasTuner's own name counts first, and is always there.
    assert fewest_epochs(hp.space, 20) == 32
    flags = keras_tuner.HyperParameters()
    flags.Boolean("epochs")
    assert fewest_epochs(flags.space, 20) == 20


def test_epochs_of_one_branch_count_there_alone(tmp_path: Path) -> None:
    class Branched(Model):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            hp.Boolean("long")
            with hp.conditional_scope("long", [True]):
                hp.Choice("epochs", [6, 7])
            return super().build(hp)

    x, y, groups = arrays()
    oracle = RandomSearchOracle(OBJECTIVE, 6, seed=0)
    tuner = CrossValidationTuner(Branched(None), oracle, cv=2, directory=tmp_path)
    tuner.search(x, y, groups, epochs=3, verbose=0)
    lengths = tuner.history().groupby("trial")["epoch"].nunique()
    assert {3, 6, 7} >= set(lengths) > {3}
    run = tuner.project.run
    assert run.epochs_hyperparameter == "epochs"
    for trial in tuner.project.trials:
        assert run.epochs_of(trial.values) == lengths[trial.trial]
    # As an earlier version recorded it, whose trials read it as well.
    older = run.of({k: v for k, v in run.to_json().items() if k != "epochs_hyperparameter"})
    assert [older.epochs_of(t.values) for t in tuner.project.trials] == lengths.tolist()
