"""A search is killed before, during and after every single write, and ends as if it never was."""

import contextlib
import shutil
from pathlib import Path

import pytest
from fault_injection import Killed, Killer, last_of_each_kind
from narrowing import not_none
from search_problems import Outcome, assert_same, outcome
from struck_searches import GROWING_TRIALS, Untouched, UntouchedSearches, search

from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.project import read_project

DAMAGES = ("empty", "one byte", "half", "all but two bytes", "garbage", "absent")
STATE_FILES = (
    "search.json",
    "oracle.json",
    "tuner0.json",
    "trial_0000/trial.json",
    "trial_0000/fold_0.json",
    "trial_0000/out_of_fold.npz",
)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> UntouchedSearches:
    return UntouchedSearches(tmp_path_factory)


def resume_after(folder: Path, kind: str, strike: int, moment: str) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(folder, patch, strike, moment)
        with contextlib.suppress(Killed):
            search(folder, kind)
    assert killer.dead, f"the search made no write number {strike}"
    return outcome(search(folder, kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grid", pytest.param("random", marks=pytest.mark.slow)])
def test_every_kind_of_state_file_is_among_the_writes(
    untouched: UntouchedSearches, kind: str
) -> None:
    writes = untouched["plain", kind].writes
    assert {"search.json", "oracle.json", "tuner0.json", "trial.json", "out_of_fold.npz"} <= set(
        writes
    )
    assert {"fold_0.json", "fold_0.npz", "fold_1.json", "removal of fold_1.npz"} <= set(writes)


@pytest.mark.slow
def test_a_search_killed_at_a_write_of_some_kinds_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["plain", "grid"]
    last_of_kind = {name: position for position, name in enumerate(whole.writes)}
    # At every write, before, during and after it: the slow test below.
    for name in ("trial.json",):
        strike = last_of_kind[name]
        folder = tmp_path / str(strike)
        assert_same(resume_after(folder, "grid", strike, "during"), whole.outcome)
        shutil.rmtree(folder)


def assert_resumed(untouched: Untouched, strikes: list[tuple[int, str]], folder: Path) -> None:
    """A search that was killed at any of the writes and moments ends as if it never was."""
    for strike, moment in strikes:
        place = untouched.snapshots.restore(strike, moment, folder / f"{strike}-{moment}")
        assert_same(outcome(untouched.run(place, untouched.kind)), untouched.outcome)
        shutil.rmtree(place)


@pytest.mark.slow
def test_a_search_killed_at_any_write_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    two, one = untouched["one epoch", "random"], untouched["one trial", "random"]
    # Until a fold is recorded, a kill leaves nothing that was trained: one trial shows all.
    begun = two.writes.index("fold_0.json")
    assert two.writes[1:begun] == one.writes[1:begun]
    strikes = {
        whole: [
            strike for strike in whole.snapshots.each_state() if (strike[0] < begun) == is_early
        ]
        for whole, is_early in ((one, True), (two, False))
    }
    assert sum(map(len, strikes.values())) > 25
    for whole, chosen in strikes.items():
        assert_resumed(whole, chosen, tmp_path)


# Another oracle writes the same files in the same order.
@pytest.mark.slow
def test_a_grid_search_killed_at_each_kind_of_write_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["one epoch", "grid"]
    strikes = [(strike, "during") for strike in last_of_each_kind(whole.writes)]
    assert_resumed(whole, strikes, tmp_path)


def trained_together(untouched: UntouchedSearches, name: str) -> Untouched:
    whole = untouched[name, "random"]
    assert set(whole.outcome[0]["folds_trained"]) == {"together"}
    assert {"fold_0.json", "fold_1.json", "out_of_fold.npz", "trial.json"} <= set(whole.writes)
    return whole


@pytest.mark.slow
def test_a_search_of_folds_together_killed_at_any_write_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = trained_together(untouched, "features together")
    assert_resumed(whole, whole.snapshots.one_moment_each(), tmp_path)


# Another trainer, whose trials are written as those of features.
@pytest.mark.slow
def test_an_array_search_of_folds_together_killed_at_each_kind_of_write_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = trained_together(untouched, "arrays together")
    strikes = [(strike, "during") for strike in last_of_each_kind(whole.writes)]
    assert_resumed(whole, strikes, tmp_path)


@pytest.mark.slow
def test_a_search_with_callbacks_killed_at_any_write_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["callbacks", "random"]
    assert "fold_0.npz" in whole.writes
    # The callbacks end folds, as they must after a kill.
    folds = [fold for trial in read_project(whole.folder / "search").trials for fold in trial.folds]
    assert min(not_none(fold.epochs_trained) for fold in folds) < 4
    assert_resumed(whole, whole.snapshots.one_moment_each(), tmp_path)


@pytest.mark.slow
def test_a_growing_search_killed_as_its_space_grows_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["growing", "random"]
    records = [number for number, name in enumerate(whole.writes) if name == "search.json"]
    assert len(records) > 1
    assert_resumed(whole, [(records[1], "during")], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", GROWING_TRIALS)
def test_a_growing_search_killed_at_any_write_ends_as_if_untouched(
    kind: str, untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["growing", kind]
    assert whole.writes.count("search.json") > 1
    assert_resumed(whole, whole.snapshots.one_moment_each(), tmp_path)


@pytest.mark.slow
def test_a_search_killed_again_and_again_still_ends_as_if_untouched(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    expected = untouched["plain", "random"].outcome
    for strike in (9, 8, 7, 6):
        with pytest.MonkeyPatch.context() as patch:
            Killer(tmp_path, patch, strike, "after")
            with contextlib.suppress(Killed):
                search(tmp_path, "random")
    assert_same(outcome(search(tmp_path, "random")), expected)


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
        search(tmp_path, "random")
    search(tmp_path, "random")
    assert saved == [("trial_0000", 0), ("trial_0000", 1), ("trial_0001", 0), ("trial_0001", 1)]


def assert_made_again(
    damage: str, names: list[str] | tuple[str, ...], untouched: UntouchedSearches, tmp_path: Path
) -> None:
    whole = untouched["plain", "grid"]
    for name in names:
        folder = tmp_path / "damaged"
        shutil.copytree(whole.folder, folder)
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
        assert_same(outcome(search(folder, "grid")), whole.outcome)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_a_state_file_that_is_cut_short_is_made_again(
    untouched: UntouchedSearches, tmp_path: Path
) -> None:
    assert_made_again("half", ["trial_0000/fold_0.json"], untouched, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_state_file_is_made_again(
    damage: str, untouched: UntouchedSearches, tmp_path: Path
) -> None:
    assert_made_again(damage, STATE_FILES, untouched, tmp_path)
