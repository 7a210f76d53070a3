"""A search is killed before, during and after every single write, and ends as if it never was."""

import contextlib
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_injection import MOMENTS, Killed, Killer, Snapshots, last_of_each_kind
from narrowing import not_none
from search_problems import (
    Outcome,
    assert_same,
    grow,
    outcome,
    run_array_search_together,
    run_search,
    run_search_of_folds_together,
    run_search_with_callbacks,
)

from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.search.tuner import CrossValidationTuner

DAMAGES = ("empty", "one byte", "half", "all but two bytes", "garbage", "absent")
STATE_FILES = (
    "search.json",
    "oracle.json",
    "tuner0.json",
    "trial_0000/trial.json",
    "trial_0000/fold_0.json",
    "trial_0000/out_of_fold.npz",
)


class Uninterrupted(
    dict[
        str,
        tuple[
            Outcome,
            list[str],
        ],
    ]
):
    """What an untouched search of each oracle leaves, and its writes; run when first asked for."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._tmp_path_factory = tmp_path_factory
        self._folders: dict[str, Any] = {}

    def folder(self, kind: str) -> Path:
        """Not to be written to."""
        assert self[kind]
        result: Path = self._folders[kind]
        return result

    def __missing__(self, kind: str) -> tuple[Outcome, list[str]]:
        folder = self._tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(folder, patch)
            tuner = run_search(folder, kind)
        self._folders[kind] = folder
        self[kind] = outcome(tuner), killer.writes
        result: tuple[
            Outcome,
            list[str],
        ] = self[kind]
        return result


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Uninterrupted:
    return Uninterrupted(tmp_path_factory)


def resume_after(
    folder: Path,
    kind: str,
    strike: int,
    moment: str,
    run: Callable[..., CrossValidationTuner] = run_search,
) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(folder, patch, strike, moment)
        with contextlib.suppress(Killed):
            run(folder, kind)
    assert killer.dead, f"the search made no write number {strike}"
    return outcome(run(folder, kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", pytest.param("random", marks=pytest.mark.slow)])
def test_every_kind_of_state_file_is_among_the_writes(
    uninterrupted: Uninterrupted, kind: str
) -> None:
    _, writes = uninterrupted[kind]
    assert {"search.json", "oracle.json", "tuner0.json", "trial.json", "out_of_fold.npz"} <= set(
        writes
    )
    assert {"fold_0.json", "fold_0.npz", "fold_1.json", "removal of fold_1.npz"} <= set(writes)


@pytest.mark.slow
def test_a_search_killed_at_a_write_of_some_kinds_ends_as_if_untouched(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    expected, writes = uninterrupted["grid"]
    last_of_kind = {name: position for position, name in enumerate(writes)}
    # At every write, before, during and after it: the slow test below.
    for name in ("trial.json",):
        strike = last_of_kind[name]
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, "grid", strike, "during"), expected)
        shutil.rmtree(folder)


def snapshots_of(
    tmp_path: Path, kind: str, run: Callable[..., CrossValidationTuner] = run_search
) -> tuple[Outcome, Snapshots]:
    """What an untouched search leaves, and copies of its folder around each write."""
    (tmp_path / "whole").mkdir()
    snapshots = Snapshots(tmp_path / "whole", tmp_path / "snapshots")
    with snapshots.taken():
        expected = outcome(run(tmp_path / "whole", kind))
    return expected, snapshots


def assert_resumed(
    snapshots: Snapshots,
    strikes: list[tuple[int, str]],
    expected: Outcome,
    folder: Path,
    kind: str,
    run: Callable[..., CrossValidationTuner] = run_search,
) -> None:
    """A search that was killed at any of the writes and moments ends as if it never was."""
    for strike, moment in strikes:
        place = snapshots.restore(strike, moment, folder / f"{strike}-{moment}")
        assert_same(outcome(run(place, kind)), expected)
        shutil.rmtree(place)


def at_one_moment_each(writes: list[str]) -> list[tuple[int, str]]:
    """Every write, struck before, during or after it, one after the other."""
    return [(strike, MOMENTS[strike % 3]) for strike in range(len(writes))]


@pytest.mark.slow
def test_a_search_killed_at_any_write_ends_as_if_untouched(tmp_path: Path) -> None:
    expected, snapshots = snapshots_of(tmp_path, "random")
    strikes = snapshots.distinct()
    assert len(strikes) > 20
    # With the whole of the file that is written aside, once for each kind.
    strikes += [(strike, "before") for strike in last_of_each_kind(snapshots.writes)]
    assert_resumed(snapshots, strikes, expected, tmp_path, "random")


# Another oracle writes the same files in the same order.
@pytest.mark.slow
def test_a_grid_search_killed_at_each_kind_of_write_ends_as_if_untouched(tmp_path: Path) -> None:
    expected, snapshots = snapshots_of(tmp_path, "grid")
    strikes = [(strike, "during") for strike in last_of_each_kind(snapshots.writes)]
    assert_resumed(snapshots, strikes, expected, tmp_path, "grid")


@pytest.mark.slow
@pytest.mark.parametrize("run", [run_search_of_folds_together, run_array_search_together])
def test_a_search_of_folds_together_killed_at_any_write_ends_as_if_untouched(
    run: Callable[..., CrossValidationTuner], tmp_path: Path
) -> None:
    expected, snapshots = snapshots_of(tmp_path, "random", run)
    assert set(expected[0]["folds_trained"]) == {"together"}
    assert {"fold_0.json", "fold_1.json", "out_of_fold.npz", "trial.json"} <= set(snapshots.writes)
    strikes = at_one_moment_each(snapshots.writes)
    assert_resumed(snapshots, strikes, expected, tmp_path, "random", run)


@pytest.mark.slow
def test_a_search_with_callbacks_killed_at_any_write_ends_as_if_untouched(tmp_path: Path) -> None:
    # What happens between two trials is struck above.
    run = functools.partial(run_search_with_callbacks, max_trials=1)
    expected, snapshots = snapshots_of(tmp_path, "random", run)
    assert "fold_0.npz" in snapshots.writes
    # The callbacks end folds, as they must after a kill.
    folds = [
        fold for trial in run(tmp_path / "whole", "random").project.trials for fold in trial.folds
    ]
    assert min(not_none(fold.epochs_trained) for fold in folds) < 4
    strikes = at_one_moment_each(snapshots.writes)
    assert_resumed(snapshots, strikes, expected, tmp_path, "random", run)


# The third trial of the grid is the first with a hyperparameter of its own, the first of the random
# search; the record of the space grows with it.
GROWING_TRIALS = {"grid": 4, "random": 2}


def run_growing_search(folder: Path, kind: str) -> CrossValidationTuner:
    return grow(folder, kind, max_trials=GROWING_TRIALS[kind])


@pytest.mark.slow
def test_a_growing_search_killed_as_its_space_grows_ends_as_if_untouched(tmp_path: Path) -> None:
    expected, snapshots = snapshots_of(tmp_path, "random", run_growing_search)
    records = [number for number, name in enumerate(snapshots.writes) if name == "search.json"]
    assert len(records) > 1
    strikes = [(records[1], "during")]
    assert_resumed(snapshots, strikes, expected, tmp_path, "random", run_growing_search)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GROWING_TRIALS)
def test_a_growing_search_killed_at_any_write_ends_as_if_untouched(
    kind: str, tmp_path: Path
) -> None:
    expected, snapshots = snapshots_of(tmp_path, kind, run_growing_search)
    assert snapshots.writes.count("search.json") > 1
    strikes = at_one_moment_each(snapshots.writes)
    assert_resumed(snapshots, strikes, expected, tmp_path, kind, run_growing_search)


@pytest.mark.slow
def test_a_search_killed_again_and_again_still_ends_as_if_untouched(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    expected, _ = uninterrupted["random"]
    for strike in (9, 8, 7, 6):
        with pytest.MonkeyPatch.context() as patch:
            Killer(tmp_path, patch, strike, "after")
            with contextlib.suppress(Killed):
                run_search(tmp_path, "random")
    assert_same(outcome(run_search(tmp_path, "random")), expected)


@pytest.mark.slow
def test_a_completed_fold_is_never_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []
    save = FoldStore.save

    def counting_save(self: FoldStore, record: FoldRecord) -> None:
        saved.append((self._folder.name, record.fold))
        save(self, record)
        if saved == [("trial_0000", 0), ("trial_0000", 1), ("trial_0001", 0)]:
            raise Killed

    monkeypatch.setattr(FoldStore, "save", counting_save)
    with contextlib.suppress(Killed):
        run_search(tmp_path, "random")
    run_search(tmp_path, "random")
    assert saved == [("trial_0000", 0), ("trial_0000", 1), ("trial_0001", 0), ("trial_0001", 1)]


def assert_made_again(
    damage: str, names: list[str] | tuple[str, ...], uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    expected, _ = uninterrupted["grid"]
    for name in names:
        folder = tmp_path / "damaged"
        shutil.copytree(uninterrupted.folder("grid"), folder)
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


def test_a_state_file_that_is_cut_short_is_made_again(
    uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    assert_made_again("half", ["trial_0000/fold_0.json"], uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_state_file_is_made_again(
    damage: str, uninterrupted: Uninterrupted, tmp_path: Path
) -> None:
    assert_made_again(damage, STATE_FILES, uninterrupted, tmp_path)
