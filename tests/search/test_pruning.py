"""Searches that stop hopeless trials: what is stopped, what is recorded, and every kill."""

import re
import shutil
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from fake_executors import LastFirst, SameProcess
from fault_injection import MOMENTS, Snapshots
from narrowing import not_none
from notes import Notes
from search_problems import AdamHyperModel, arrays, each_fold, make_tuner, trial_states

from rust_tuner import CrossValidationTuner, GridSearchOracle, metrics
from rust_tuner.analysis.export import best_hyperparameters
from rust_tuner.errors import ResumeError, SearchError, TrialError
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData
from rust_tuner.progress import Progress
from rust_tuner.records.project import read_out_of_fold
from rust_tuner.search.executors.given import GivenExecutor
from rust_tuner.search.hopeless import StopRule
from rust_tuner.search.subjects import Subject
from rust_tuner.terminal.searches import best_trials_table
from rust_tuner.terminal.status import status_lines

EPOCHS = 8
RULE = StopRule(first_epoch=1)


class Rates(AdamHyperModel):
    """Begins with the opposite of what is right, which the two small learning rates keep."""

    def declare_hyperparameters(self, hp: Any) -> None:
        hp.Choice("rate", [0.5, 1e-6, 2e-6, 0.4])

    def build(self, hp: Any) -> keras.Model:
        self.declare_hyperparameters(hp)
        inputs = keras.Input((4,))
        wrong = keras.initializers.Identity(gain=-1.0)
        outputs = keras.layers.Dense(2, activation="sigmoid", kernel_initializer=wrong)(inputs)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.Adam(hp.get("rate")), "binary_crossentropy")
        return model


class Alone(Rates):
    """The same, one fold after another."""

    def build(self, hp: Any) -> keras.Model:
        model = super().build(hp)
        model.run_eagerly = True
        return model


def search(
    directory: Path,
    stop_hopeless: bool | StopRule = RULE,
    *,
    hypermodel: Rates | None = None,
    as_features: bool = True,
    max_trials: int | None = None,
    epochs: int = EPOCHS,
    tuner_class: type[CrossValidationTuner] | None = None,
    progress: Progress | None = None,
    executor: Any = None,
    failing: str = "never",
) -> CrossValidationTuner:
    model = hypermodel or Rates()
    tuner = make_tuner(directory, "grid", max_trials, hypermodel=model, progress=progress)
    if tuner_class is not None:
        tuner.__class__ = tuner_class
    x, y, groups = arrays()
    fold_of = groups % 4
    folds = tuple(
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(4)
    )

    def figures_of(answers: Any, rows: Any, where: str) -> dict[str, float]:
        if re.search(failing, where):
            raise TrialError(f"{where}: diverged")
        return {"auroc": metrics.macro_auroc(y[rows], answers)}

    figures = each_fold(figures_of)
    inputs = FrozenFeatures(x[:, None], "arrays") if as_features else x
    subject = Subject(
        data=TrainingData(inputs, y, figures),
        folds=folds,
        build=lambda hp, running: model.build(hp),
        keeps_running=as_features,
        identity={
            "num_folds": 4,
            "units": {"kind": "groups", "training": [18.0] * 4, "validation": [6.0] * 4},
        },
        view_only={},
    )
    tuner.search_subject(
        subject,
        epochs=epochs,
        batch_size=16,
        stop_hopeless=stop_hopeless,
        engine=None if executor is None else GivenExecutor(executor),
    )
    return tuner


def slow_or_overfitting(hp: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((60,)), keras.layers.Dense(256, activation="tanh")])
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(hp.Choice("rate", [1e-4, 0.015])), "binary_crossentropy")
    return model


@pytest.mark.parametrize(
    ("rule", "statuses"), [("best_mean", 2), pytest.param("last", 1, marks=pytest.mark.slow)]
)
def test_a_trial_that_overfits_after_the_best_score_of_all_is_kept_where_that_is_its_score(
    rule: str, statuses: int, tmp_path: Path
) -> None:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(200, 60)).astype("float32")
    y = (x[:, :3].sum(axis=1) + 0.5 * generator.normal(size=200) > 0).astype("float32")[:, None]
    tuner = CrossValidationTuner(
        slow_or_overfitting,
        GridSearchOracle(keras_tuner.Objective("val_loss", "min")),
        cv=6,
        seed=0,
        score_epoch=rule,
        directory=tmp_path,
        project_name="overfitting",
    )
    tuner.search(x, y, epochs=14, batch_size=16, stop_hopeless=StopRule(level=0.1))
    trials = tuner.project.trials
    assert [trial.status for trial in trials].count("COMPLETED") == statuses
    if rule == "best_mean":
        assert not_none(trials[1].score) < not_none(trials[0].score)
        assert not_none(trials[1].epoch) < StopRule().first_epoch


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return search(tmp_path_factory.mktemp("stopped"))


def test_trials_that_learn_nothing_are_stopped_and_the_others_are_as_without_the_rule(
    stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    plain = search(tmp_path, stop_hopeless=False).project.trials
    trials = stopped.project.trials
    assert [trial.status for trial in trials] == ["COMPLETED", "PRUNED", "PRUNED", "COMPLETED"]
    assert (trials[0].score, trials[3].score) == (plain[0].score, plain[3].score)
    for trial, whole in zip(trials[1:3], plain[1:3], strict=True):
        assert trial.score is None and not_none(trial.message).startswith(
            "stopped after epoch 2 (from 0)"
        )
        for fold, longer in zip(trial.folds, whole.folds, strict=True):
            # The epochs that were trained are those of the whole trial.
            assert fold.validation["auroc"] == longer.validation["auroc"][:3]
            assert fold.training["auroc"] == longer.training["auroc"][:3]


def test_tables_export_and_status_say_what_was_stopped(stopped: CrossValidationTuner) -> None:
    results = stopped.results()
    assert results["status"].tolist().count("PRUNED") == 2
    assert results["rank"].isna().tolist() == [False, True, True, False]
    assert results["tied_with_best"].isna().tolist() == [False, True, True, False]
    assert best_hyperparameters(stopped.project).trials.stopped == 2
    table = best_trials_table(stopped.project)
    assert "2 stopped" in str(table.title)
    assert "2 of 4 trials were stopped as hopeless, which saved 31% of all" in str(table.caption)
    lines = "\n".join(str(line) for line in status_lines(stopped.project_folder))
    assert "2 of 4 trials done, 0 failed, 2 stopped as hopeless" in lines


def test_a_finished_search_is_not_run_again_and_keeps_its_rule(
    stopped: CrossValidationTuner,
) -> None:
    folder = stopped.project_folder
    before = {path: path.read_bytes() for path in folder.rglob("trial.json")}
    again = search(folder.parent)
    assert trial_states(again) == trial_states(stopped)
    assert {path: path.read_bytes() for path in folder.rglob("trial.json")} == before
    with pytest.raises(ResumeError, match="stop_hopeless"):
        search(folder.parent, stop_hopeless=False)


# Of a whole search: its second and third trials are stopped, the fourth is completed after them.
@pytest.mark.slow
def test_a_search_with_stopped_trials_killed_at_many_writes_ends_as_if_untouched(
    stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        search(tmp_path / "whole")
    begun = snapshots.writes.index("trial.json")
    for strike in range(begun, len(snapshots.writes), 8):
        # Before, during and after writes, in turns.
        moment = MOMENTS[strike % 3]
        again = search(snapshots.restore(strike, moment, tmp_path / f"{strike}-{moment}"))
        assert trial_states(again) == trial_states(stopped)
        for trial in stopped.project.trials:
            one, other = (
                read_out_of_fold(tuner.project_folder, trial.trial) for tuner in (again, stopped)
            )
            assert one.tobytes() == other.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(SameProcess(1), marks=pytest.mark.slow, id="one"),
        pytest.param(SameProcess(2), id="two"),
        pytest.param(LastFirst(3), marks=pytest.mark.slow, id="three, last first"),
    ],
)
def test_workers_leave_the_trials_of_a_search_in_one_process(
    executor: SameProcess, stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    sent = search(tmp_path, executor=executor)
    assert executor.calls == 4
    assert trial_states(sent) == trial_states(stopped)
    for trial in sent.project.trials:
        one, other = (
            read_out_of_fold(tuner.project_folder, trial.trial) for tuner in (sent, stopped)
        )
        assert one.tobytes() == other.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [None, 3])
def test_a_trial_that_fails_beyond_the_epoch_where_it_is_stopped_is_stopped(
    num_workers: int | None, stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    # A worker that trains it before the first trial has ended does not know the rule's verdict.
    executor = None if num_workers is None else LastFirst(num_workers)
    failing = r"trial 000[12].*epoch [5-7]"
    sent = search(tmp_path, max_trials=3, executor=executor, failing=failing)
    assert trial_states(sent) == trial_states(stopped)[:3]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["fold_2.json", "out_of_fold.npz"])
def test_a_stopped_trial_whose_records_are_damaged_is_run_again(
    lost: str, stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    folder = shutil.copytree(stopped.project_folder, tmp_path / "search")
    (folder / "trial_0001" / lost).unlink()
    said = Notes()
    again = search(tmp_path, progress=said)
    assert any(line.startswith("trial 0001 has damaged fold records") for line in said.said)
    assert trial_states(again) == trial_states(stopped)
    assert (folder / "trial_0001" / lost).exists()


def strikes_of_a_stopped_trial(snapshots: Snapshots) -> range:
    """The second trial is the first that is stopped; its writes are the last ones."""
    return range(len(snapshots.writes) - 14, len(snapshots.writes))


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """Of a search of two trials."""
    folder = tmp_path_factory.mktemp("whole")
    snapshots = Snapshots(folder, tmp_path_factory.mktemp("snapshots"))
    with snapshots.taken():
        search(folder, max_trials=2)
    return snapshots


def assert_resumed(
    snapshots: Snapshots, strike: int, moment: str, stopped: CrossValidationTuner, folder: Path
) -> None:
    again = search(snapshots.restore(strike, moment, folder), max_trials=2)
    assert trial_states(again) == trial_states(stopped)[:2]
    for trial in ("0000", "0001"):
        one, other = (read_out_of_fold(tuner.project_folder, trial) for tuner in (again, stopped))
        assert one.tobytes() == other.tobytes()


@pytest.mark.slow
def test_a_kill_as_a_stopped_trial_is_recorded_ends_in_the_same_search(
    snapshots: Snapshots, stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    writes = [
        (strike, snapshots.writes[strike]) for strike in strikes_of_a_stopped_trial(snapshots)
    ]
    strike = max(number for number, name in writes if name == "trial.json")
    assert_resumed(snapshots, strike, "before", stopped, tmp_path / "killed")


@pytest.mark.slow
def test_a_kill_around_any_write_of_a_stopped_trial_ends_in_the_same_search(
    snapshots: Snapshots, stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    around = strikes_of_a_stopped_trial(snapshots)
    strikes = [(strike, moment) for strike, moment in snapshots.each_state() if strike in around]
    assert len(strikes) >= len(around)
    for strike, moment in strikes:
        folder = tmp_path / f"{strike}-{moment}"
        assert_resumed(snapshots, strike, moment, stopped, folder)


@pytest.mark.slow
def test_a_kill_while_workers_stop_trials_ends_in_the_same_search(
    stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    """The second trial is trained to its end, and then shortened."""
    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        search(tmp_path / "whole", max_trials=2, executor=SameProcess(2))
    begun = snapshots.writes.index("removal of out_of_fold.npz")
    for strike in range(begun - 2, len(snapshots.writes)):
        folder = snapshots.restore(strike, "before", tmp_path / str(strike))
        executor = SameProcess(2) if strike % 2 else None
        again = search(folder, max_trials=2, executor=executor)
        assert trial_states(again) == trial_states(stopped)[:2]


@pytest.mark.slow
def test_trials_on_arrays_whose_folds_train_together_are_stopped_at_the_same_epochs(
    stopped: CrossValidationTuner, tmp_path: Path
) -> None:
    trials = search(tmp_path, as_features=False).project.trials
    assert [(trial.status, trial.message) for trial in trials] == [
        (trial.status, trial.message) for trial in stopped.project.trials
    ]


@pytest.mark.slow
def test_folds_one_after_another_are_not_stopped_and_that_is_said(tmp_path: Path) -> None:
    progress = Notes()
    # The second trial is stopped in its third epoch where the folds train together.
    options: dict[str, Any] = {
        "hypermodel": Alone(),
        "as_features": False,
        "max_trials": 2,
        "epochs": 4,
    }
    tuner = search(tmp_path, progress=progress, **options)
    assert [trial.status for trial in tuner.project.trials] == ["COMPLETED", "COMPLETED"]
    assert [line for line in progress.said if "hopeless" in line] == [
        "note: no trial is stopped as hopeless, because folds are trained one after another"
    ]


def test_a_tuner_that_scores_its_trials_by_itself_cannot_stop_them(tmp_path: Path) -> None:
    class Own(CrossValidationTuner):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
            return super().run_trial(trial, *args, **kwargs)

    with pytest.raises(SearchError, match=r"stop_hopeless with a run_trial"):
        search(tmp_path, tuner_class=Own)
