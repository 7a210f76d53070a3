"""What an earlier run left of its trials is taken up, run again or refused."""

import json
from collections.abc import Callable
from pathlib import Path

import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from rust_tuner import GridSearchOracle
from rust_tuner.errors import ResumeError
from rust_tuner.search.recovery import recover_trials

NUM_POINTS = 6


def open_oracle(folder: Path, max_trials: int | None = None) -> GridSearchOracle:
    oracle = GridSearchOracle(keras_tuner.Objective("val_auroc", "max"), max_trials=max_trials)
    oracle._set_project_dir(str(folder.parent), folder.name)
    space = keras_tuner.HyperParameters()
    space.Choice("units", [2, 3, 4])
    space.Choice("rate", [0.0, 0.5])
    oracle.update_space(space)
    oracle.freeze_space()
    return oracle


def leave(folder: Path, statuses: list[str]) -> None:
    """A folder whose trials ended, or did not end, with the given statuses."""
    oracle = open_oracle(folder)
    for number, status in enumerate(statuses):
        trial = oracle.create_trial(f"tuner{number}")
        if status == TrialStatus.RUNNING:
            continue
        if status == TrialStatus.COMPLETED:
            oracle.update_trial(trial.trial_id, {"val_auroc": 0.5 + number / 100}, step=1)
        trial.status = status
        trial.message = "MemoryError: no room" if status == TrialStatus.FAILED else None
        oracle.end_trial(trial)


def recover(
    folder: Path,
    *,
    is_complete: Callable[[Trial], bool] = lambda trial: True,
    max_trials: int | None = None,
) -> tuple[GridSearchOracle, list[str]]:
    oracle = open_oracle(folder, max_trials)
    notes = recover_trials(folder, oracle, is_complete)
    return oracle, notes


def to_run(oracle: GridSearchOracle) -> list[str]:
    """What the oracle hands out until it has no more."""
    handed = []
    while (trial := oracle.create_trial("tuner0")).status != TrialStatus.STOPPED:
        assert trial.status == TrialStatus.RUNNING
        assert trial.hyperparameters.values == oracle.values_of(int(trial.trial_id))
        assert trial.metrics.metrics == {}
        handed.append(trial.trial_id)
    return handed


RUNNING, COMPLETED, FAILED = TrialStatus.RUNNING, TrialStatus.COMPLETED, TrialStatus.FAILED


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "search"
    place.mkdir()
    return place


def test_an_empty_folder_has_every_trial_before_it(folder: Path) -> None:
    oracle, notes = recover(folder)
    assert notes == []
    assert to_run(oracle) == [f"{number:04d}" for number in range(NUM_POINTS)]


def test_running_trials_run_again_in_order_before_new_ones_and_ended_ones_never(
    folder: Path,
) -> None:
    leave(folder, [COMPLETED, RUNNING, FAILED, RUNNING])
    oracle, notes = recover(folder)
    assert notes == []
    assert oracle.trials["0000"].score == 0.5
    assert oracle.trials["0000"].best_step == 1
    assert oracle.trials["0002"].message == "MemoryError: no room"
    assert [trial.status for trial in oracle.trials.values()] == [
        COMPLETED,
        RUNNING,
        FAILED,
        RUNNING,
    ]
    assert to_run(oracle) == ["0001", "0003", "0004", "0005"]


def test_a_finished_search_has_nothing_left(folder: Path) -> None:
    leave(folder, [COMPLETED] * NUM_POINTS)
    oracle, notes = recover(folder)
    assert (notes, to_run(oracle)) == ([], [])
    assert [trial.trial_id for trial in oracle.get_best_trials(2)] == ["0005", "0004"]


@pytest.mark.parametrize(
    "damage", ["folder", "file", "empty", "half", "list", "stranger", "status"]
)
def test_a_trial_that_cannot_be_read_is_made_again_from_its_number(
    damage: str, folder: Path
) -> None:
    leave(folder, [COMPLETED, COMPLETED, COMPLETED])
    place = folder / "trial_0001"
    path = place / "trial.json"
    content = path.read_text()
    if damage in ("folder", "file"):
        path.unlink()
    if damage == "folder":
        place.rmdir()
    damaged = {
        "empty": "",
        "half": content[: len(content) // 2],
        "list": "[]",
        "stranger": content.replace('"0001"', '"0002"'),
        "status": content.replace("COMPLETED", "STOPPED"),
    }
    if damage in damaged:
        path.write_text(damaged[damage])
    oracle, notes = recover(folder)
    assert notes == ["trial 0001 has no readable trial.json; it is run again"]
    assert list(oracle.trials) == ["0000", "0001", "0002"]
    assert to_run(oracle) == ["0001", "0003", "0004", "0005"]


def test_a_completed_trial_without_a_score_runs_again(folder: Path) -> None:
    leave(folder, [COMPLETED])
    path = folder / "trial_0000" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"score": None}))
    oracle, (note,) = recover(folder)
    assert note.startswith("trial 0000 has no readable trial.json")
    assert to_run(oracle)[0] == "0000"


def test_a_completed_trial_whose_records_are_damaged_runs_again(folder: Path) -> None:
    leave(folder, [COMPLETED, FAILED, COMPLETED, RUNNING])
    asked = {}

    def is_complete(trial: Trial) -> bool:
        asked[trial.trial_id] = trial.hyperparameters.values
        return bool(trial.trial_id != "0002")

    oracle, notes = recover(folder, is_complete=is_complete)
    assert notes == [
        "trial 0002 has damaged fold records, or a score that differs from theirs; it is run again"
    ]
    # Only what is said to be completed has records to look at.
    assert asked == {trial_id: oracle.values_of(int(trial_id)) for trial_id in ("0000", "0002")}
    assert oracle.trials["0002"].score is None
    assert to_run(oracle) == ["0002", "0003", "0004", "0005"]


@pytest.mark.parametrize("status", [COMPLETED, RUNNING, FAILED])
def test_a_trial_with_foreign_values_is_refused_whatever_became_of_it(
    status: str, folder: Path
) -> None:
    leave(folder, [COMPLETED, status])
    path = folder / "trial_0001" / "trial.json"
    state = json.loads(path.read_text())
    state["hyperparameters"]["values"]["units"] = 4
    path.write_text(json.dumps(state))
    with pytest.raises(ResumeError, match=r"trial 0001 has the values .*'units': 4.*, but this se"):
        recover(folder)


def test_a_trial_beyond_the_space_is_refused(folder: Path) -> None:
    leave(folder, [COMPLETED])
    (folder / "trial_0006").mkdir()
    with pytest.raises(ResumeError, match="trial_0006 is beyond the 6 trials of this search"):
        recover(folder)


def test_a_shorter_search_keeps_the_trials_that_are_there_and_begins_no_more(folder: Path) -> None:
    leave(folder, [COMPLETED, COMPLETED, COMPLETED])
    oracle, _ = recover(folder, max_trials=2)
    assert list(oracle.trials) == ["0000", "0001", "0002"]
    assert to_run(oracle) == []
    oracle, _ = recover(folder, max_trials=4)
    assert to_run(oracle) == ["0003"]


def test_what_is_no_trial_in_the_folder_does_not_count(folder: Path) -> None:
    leave(folder, [COMPLETED])
    (folder / "trial_notes").mkdir()
    (folder / "trial_0005").write_text("a file, not a folder")
    oracle, notes = recover(folder)
    assert notes == []
    assert list(oracle.trials) == ["0000"]
