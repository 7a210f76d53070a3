"""A search in Optuna's journal: complete, extended in place, made again from the records."""

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rust_tuner.errors import ResumeError
from rust_tuner.records.optuna_mirror import mirror

SPACE = [
    {
        "class_name": "Choice",
        "config": {
            "name": "kind",
            "default": "a",
            "conditions": [],
            "values": ["a", "b"],
            "ordered": False,
        },
    },
    *(
        {
            "class_name": "Int",
            "config": {
                "name": "units",
                "default": None,
                "conditions": [
                    {"class_name": "Parent", "config": {"name": "kind", "values": [kind]}}
                ],
                "min_value": low,
                "max_value": high,
                "step": 1,
                "sampling": "linear",
            },
        }
        for kind, low, high in (("a", 1, 9), ("b", 10, 99))
    ),
]


@pytest.fixture
def search(tmp_path: Path) -> Path:
    """Three trials: completed, failed and running."""
    folder = tmp_path / "searches" / "mine"
    folder.mkdir(parents=True)
    run = {
        "format": 1,
        "objective": {"name": "val_auroc", "direction": "max"},
        "space": {},
        "num_trials": 4,
        "seed": 0,
        "epochs": 2,
        "subject": {"num_folds": 2},
        "versions": {},
        "run_trial": "own",
    }
    (folder / "search.json").write_text(json.dumps(run))
    write_trial(folder, 0, "COMPLETED", {"kind": "a", "units": 4}, score=0.75)
    write_trial(folder, 1, "FAILED", {"kind": "b", "units": 40}, message="out of memory")
    write_trial(folder, 2, "RUNNING", {"kind": "a", "units": 9})
    return folder


def write_trial(
    folder: Path,
    number: int,
    status: str,
    values: dict[str, Any],
    *,
    score: float | None = None,
    message: str | None = None,
) -> None:
    path = folder / f"trial_{number:04d}" / "trial.json"
    path.parent.mkdir(exist_ok=True)
    metrics = (
        {} if score is None else {"val_auroc": {"observations": [{"value": [score], "step": 1}]}}
    )
    state = {
        "trial_id": f"{number:04d}",
        "status": status,
        "hyperparameters": {"space": SPACE, "values": values},
        "metrics": {"metrics": metrics},
        "score": score,
        "best_step": None if score is None else 1,
        "message": message,
    }
    path.write_text(json.dumps(state))


def study_of(journal: Path) -> "optuna.Study":
    return optuna.load_study(
        study_name=None, storage=JournalStorage(JournalFileBackend(str(journal)))
    )


def test_a_journal_has_the_trials_with_values_scores_and_states(search: Path) -> None:
    journal = mirror(search)
    assert journal == search.parent / "optuna" / "mine.journal"
    study = study_of(journal)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    first, second, third = study.trials
    assert (first.state, first.value, first.params) == (
        TrialState.COMPLETE,
        0.75,
        {"kind": "a", "units": 4},
    )
    # The second scope's `units` has another range, which Optuna does not allow for one name.
    assert (second.state, second.params) == (TrialState.FAIL, {"kind": "b", "units (2)": 40})
    assert second.user_attrs["message"] == "out of memory"
    assert (third.state, third.params) == (TrialState.RUNNING, {"kind": "a", "units": 9})


def test_a_journal_is_extended_and_what_it_has_stays_in_place(search: Path) -> None:
    journal = mirror(search)
    before = journal.read_bytes()
    mirror(search)
    assert journal.read_bytes() == before
    write_trial(search, 2, "COMPLETED", {"kind": "a", "units": 9}, score=0.5)
    write_trial(search, 3, "RUNNING", {"kind": "b", "units": 11})
    mirror(search)
    assert journal.read_bytes().startswith(before)
    states = [trial.state.name for trial in study_of(journal).trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "RUNNING"]
    assert [trial.value for trial in study_of(journal).trials] == [0.75, None, 0.5, None]


@pytest.mark.parametrize("damage", ["removed", "cut short", "no journal", "another search"])
def test_a_journal_that_is_lost_is_made_again(damage: str, search: Path) -> None:
    journal = mirror(search)
    if damage == "removed":
        shutil.rmtree(journal.parent)
    elif damage == "cut short":
        journal.write_bytes(journal.read_bytes()[:-40])
    elif damage == "no journal":
        journal.write_text("{}\n[]\n")
    else:
        write_trial(search, 0, "COMPLETED", {"kind": "a", "units": 2}, score=0.9)
    expected = 0.9 if damage == "another search" else 0.75
    study = study_of(mirror(search))
    assert [trial.value for trial in study.trials] == [expected, None, None]


def test_nothing_is_written_into_the_search(search: Path) -> None:
    before = {path: path.read_bytes() for path in search.rglob("*") if path.is_file()}
    mirror(search)
    assert {path: path.read_bytes() for path in search.rglob("*") if path.is_file()} == before


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="not a search folder"):
        mirror(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_what_shows_the_journal(
    search: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rust_tuner.cli.app import app

    monkeypatch.chdir(search.parent)
    app(["dashboard", "mine", "--once", "--port", "8081"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert printed.startswith("optuna-dashboard ")
    assert "mine.journal --host 127.0.0.1 --port 8081" in printed
