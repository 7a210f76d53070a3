"""An array search trains folds together where it may, says so, and goes on as it was begun."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd
import pytest
from cleared_caches import clearings
from notes import Notes
from search_problems import TinyHyperModel, TracedHyperModel, run_array_search_together, run_search

from rust_tuner import CrossValidationTuner
from rust_tuner.files import read_json
from rust_tuner.search import opening

WITHOUT = ["seconds", "folds_trained"]


def ways(tuner: CrossValidationTuner) -> list[Any]:
    return tuner.results()["folds_trained"].tolist()


def with_statistics() -> TracedHyperModel:
    hypermodel = TracedHyperModel()
    hypermodel.trains_statistics = True
    return hypermodel


@pytest.mark.slow
def test_the_results_say_that_folds_were_trained_together_and_repeat_bitwise(
    tmp_path: Path,
) -> None:
    first = run_array_search_together(tmp_path / "first", "grid")
    assert ways(first) == ["together", "together"]
    assert {"auroc", "accuracy", "loss"} == set(first.history()["metric"])
    again = run_array_search_together(tmp_path / "again", "grid")
    pd.testing.assert_frame_equal(first.history(), again.history(), check_exact=True)
    assert first.out_of_fold().tobytes() == again.out_of_fold().tobytes()


@pytest.mark.slow
def test_what_is_not_trained_together_says_why(tmp_path: Path) -> None:
    tuner = run_search(tmp_path / "eager", "grid", max_trials=1)
    assert ways(tuner) == ["one after another: the model is compiled with run_eagerly"]
    hypermodel = with_statistics()
    tuner = run_search(tmp_path / "other", "grid", hypermodel=hypermodel, max_trials=1, epochs=1)
    (way,) = ways(tuner)
    assert way == (
        "one after another: layer batch_normalization is a BatchNormalization that trains"
    )


@pytest.mark.slow
def test_a_model_that_is_only_looked_at_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(TinyHyperModel):
        built = 0

        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            Counting.built += 1
            return super().build(hp)

    def count(name: str) -> int:
        Counting.built = 0
        run_search(tmp_path / name, "grid", hypermodel=Counting(), max_trials=1)
        return Counting.built

    looked_at = count("looked at")
    # Where folds never train together, nothing is looked at.
    monkeypatch.setattr(opening, "together_of", lambda folder, subject: {})
    assert looked_at == count("one after another")


@pytest.mark.slow
def test_a_search_that_began_one_after_another_continues_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(opening, "together_of", lambda folder, subject: {})
        run_array_search_together(tmp_path, "grid", max_trials=1, epochs=1)
    tuner = run_array_search_together(tmp_path, "grid", max_trials=2, epochs=1)
    assert ways(tuner) == 2 * ["one after another: so the search was begun"]
    assert "arrays_together" not in read_json(tuner.project_folder / "search.json")


@pytest.mark.slow
def test_together_and_one_after_another_give_the_same_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = run_array_search_together(tmp_path / "together", "grid", max_trials=4)
    monkeypatch.setattr(opening, "together_of", lambda folder, subject: {})
    alone = run_array_search_together(tmp_path / "alone", "grid", max_trials=4)
    pd.testing.assert_frame_equal(
        together.results().drop(columns=WITHOUT),
        alone.results().drop(columns=WITHOUT),
        rtol=2e-5,
        check_exact=False,
    )


class OnlyRates(TracedHyperModel):
    """Its trials differ in numbers that their compiled functions take as they are."""

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        hp.Fixed("units", 2)
        hp.Fixed("dropout", 0.0)
        hp.Choice("rate", [0.01, 0.1])


def cleared_by_trial(directory: Path, hypermodel: TracedHyperModel) -> list[int]:
    """How often caches had been cleared when each trial had its records."""
    cleared: dict[str, int] = {}
    with clearings() as counted:

        class Counting(Notes):
            def recorded(self, folder: Path, trial: str | None = None) -> None:
                if trial is not None:
                    cleared[trial] = len(counted)

        run_search(
            directory, "grid", hypermodel=hypermodel, max_trials=2, progress=Counting(), epochs=1
        )
    assert list(cleared) == ["0000", "0001"]
    return list(cleared.values())


needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the caches are TensorFlow's"
)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("trains_statistics", [False, True], ids=["together", "one by one"])
def test_compiled_functions_stay_ready_from_trial_to_trial(
    trains_statistics: bool, tmp_path: Path
) -> None:
    hypermodel = OnlyRates()
    hypermodel.trains_statistics = trains_statistics
    cleared = cleared_by_trial(tmp_path, hypermodel)
    assert cleared[0] == cleared[-1]


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("trains_statistics", [False, True], ids=["together", "one by one"])
def test_compiled_functions_that_no_later_trial_uses_are_freed(
    trains_statistics: bool, tmp_path: Path
) -> None:
    class OtherUnits(OnlyRates):
        def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
            hp.Choice("units", [2, 3])
            hp.Fixed("dropout", 0.0)

    hypermodel = OtherUnits()
    hypermodel.trains_statistics = trains_statistics
    cleared = cleared_by_trial(tmp_path, hypermodel)
    assert cleared[0] < cleared[-1]
