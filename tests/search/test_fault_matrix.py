"""A search is killed before, during and after every single write, and ends as if it never was."""

import contextlib
import functools
import shutil

import pytest
from fault_injection import Killed, Killer
from search_problems import (
    assert_same,
    grow,
    outcome,
    run_array_search_together,
    run_search,
    run_search_of_folds_together,
    run_search_with_callbacks,
)

from rust_tuner.records.folds import FoldStore

MOMENTS = ("before", "during", "after")
DAMAGES = ("empty", "one byte", "half", "all but two bytes", "garbage", "absent")
STATE_FILES = (
    "search.json",
    "oracle.json",
    "tuner0.json",
    "trial_0000/trial.json",
    "trial_0000/fold_0.json",
    "trial_0000/out_of_fold.npz",
)


class Uninterrupted(dict):
    """What an untouched search of each oracle leaves, and its writes; run when first asked for."""

    def __init__(self, tmp_path_factory):
        self._tmp_path_factory = tmp_path_factory

    def __missing__(self, kind):
        folder = self._tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(folder, patch)
            tuner = run_search(folder, kind)
        self[kind] = outcome(tuner), killer.writes
        return self[kind]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return Uninterrupted(tmp_path_factory)


def resume_after(folder, kind, strike, moment, run=run_search):
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(folder, patch, strike, moment)
        with contextlib.suppress(Killed):
            run(folder, kind)
    assert killer.dead, f"the search made no write number {strike}"
    return outcome(run(folder, kind))


@pytest.mark.parametrize("kind", ["grid", pytest.param("random", marks=pytest.mark.slow)])
def test_every_kind_of_state_file_is_among_the_writes(uninterrupted, kind):
    _, writes = uninterrupted[kind]
    assert {"search.json", "oracle.json", "tuner0.json", "trial.json", "out_of_fold.npz"} <= set(
        writes
    )
    assert {"fold_0.json", "fold_0.npz", "fold_1.json", "removal of fold_1.npz"} <= set(writes)


def test_a_search_killed_at_a_write_of_some_kinds_ends_as_if_untouched(uninterrupted, tmp_path):
    expected, writes = uninterrupted["grid"]
    last_of_kind = {name: position for position, name in enumerate(writes)}
    # At every write, before, during and after it: the slow test below.
    for name in ("trial.json",):
        strike = last_of_kind[name]
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, "grid", strike, "during"), expected)
        shutil.rmtree(folder)


# Another oracle writes the same files in the same order.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moment"), [*(("random", moment) for moment in MOMENTS), ("grid", "during")]
)
def test_a_search_killed_at_any_write_ends_as_if_untouched(kind, moment, uninterrupted, tmp_path):
    expected, writes = uninterrupted[kind]
    for strike in range(len(writes)):
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, kind, strike, moment), expected)
        shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "moment"),
    [
        *((run_search_of_folds_together, moment) for moment in MOMENTS),
        (run_array_search_together, "during"),
    ],
)
def test_a_search_of_folds_together_killed_at_any_write_ends_as_if_untouched(run, moment, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(tmp_path / "whole", patch)
        expected = outcome(run(tmp_path / "whole", "random"))
    assert set(expected[0]["folds_trained"]) == {"together"}
    assert {"fold_0.json", "fold_1.json", "out_of_fold.npz", "trial.json"} <= set(killer.writes)
    for strike in range(len(killer.writes)):
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, "random", strike, moment, run), expected)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_search_with_callbacks_killed_at_any_write_ends_as_if_untouched(tmp_path):
    # What happens between two trials is struck above.
    run = functools.partial(run_search_with_callbacks, max_trials=1)
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(tmp_path / "whole", patch)
        tuner = run(tmp_path / "whole", "random")
    expected = outcome(tuner)
    assert "fold_0.npz" in killer.writes
    # The callbacks end folds, as they must after a kill.
    folds = [fold for trial in tuner.project.trials for fold in trial.folds]
    assert min(fold.epochs_trained for fold in folds) < 4
    for strike in range(len(killer.writes)):
        folder = tmp_path / str(strike)
        moment = MOMENTS[strike % len(MOMENTS)]
        assert_same(resume_after(folder, "random", strike, moment, run), expected)
        shutil.rmtree(folder)


def run_growing_search(folder, kind):
    return grow(folder, kind, max_trials=6)


def test_a_growing_search_killed_at_some_writes_ends_as_if_untouched(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(tmp_path / "whole", patch)
        expected = outcome(run_growing_search(tmp_path / "whole", "grid"))
    # The first trial with a hyperparameter of its own, and the record of the space that it grew.
    strikes = [position for position, name in enumerate(killer.writes) if name == "search.json"]
    assert len(strikes) > 1
    assert_same(
        resume_after(tmp_path / "killed", "grid", strikes[1], "during", run_growing_search),
        expected,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moment"), [("grid", "before"), ("grid", "after"), ("random", "during")]
)
def test_a_growing_search_killed_at_any_write_ends_as_if_untouched(kind, moment, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(tmp_path / "whole", patch)
        expected = outcome(run_growing_search(tmp_path / "whole", kind))
    for strike in range(len(killer.writes)):
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, kind, strike, moment, run_growing_search), expected)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_search_killed_again_and_again_still_ends_as_if_untouched(uninterrupted, tmp_path):
    expected, _ = uninterrupted["random"]
    for strike in (9, 8, 7, 6):
        with pytest.MonkeyPatch.context() as patch:
            Killer(tmp_path, patch, strike, "after")
            with contextlib.suppress(Killed):
                run_search(tmp_path, "random")
    assert_same(outcome(run_search(tmp_path, "random")), expected)


def test_a_completed_fold_is_never_trained_again(tmp_path, monkeypatch):
    saved = []
    save = FoldStore.save

    def counting_save(self, record):
        saved.append((self._folder.name, record.fold))
        save(self, record)
        if saved == [("trial_0000", 0), ("trial_0000", 1), ("trial_0001", 0)]:
            raise Killed

    monkeypatch.setattr(FoldStore, "save", counting_save)
    with contextlib.suppress(Killed):
        run_search(tmp_path, "random")
    run_search(tmp_path, "random")
    assert saved == [("trial_0000", 0), ("trial_0000", 1), ("trial_0001", 0), ("trial_0001", 1)]


def assert_made_again(damage, names, uninterrupted, tmp_path):
    expected, _ = uninterrupted["grid"]
    whole = tmp_path / "whole"
    run_search(whole, "grid")
    for name in names:
        folder = tmp_path / "damaged"
        shutil.copytree(whole, folder)
        path = folder / "search" / name
        content = path.read_bytes()
        if damage == "absent":
            path.unlink()
        else:
            damaged = {
                "empty": b"",
                "one byte": content[:1],
                "half": content[: len(content) // 2],
                "all but two bytes": content[:-2],
                "garbage": b"\x00{" * 40,
            }
            path.write_bytes(damaged[damage])
        assert_same(outcome(run_search(folder, "grid")), expected)
        shutil.rmtree(folder)


def test_a_state_file_that_is_cut_short_is_made_again(uninterrupted, tmp_path):
    assert_made_again("half", ["trial_0000/fold_0.json"], uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_state_file_is_made_again(damage, uninterrupted, tmp_path):
    assert_made_again(damage, STATE_FILES, uninterrupted, tmp_path)
