"""A nested cross-validation that is killed, damaged or run again ends as if untouched."""

import contextlib
import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fault_injection import Killed, Killer
from nested_runs import OWN_STATE, assert_same, predictions_of
from notes import contents
from studies import StudyFolder

from rust_tuner import Protocol, Radiographs, load_manifest, split_holdout
from rust_tuner.data.splits import Development
from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json
from rust_tuner.progress import Silent
from rust_tuner.records.nested import Nested, NestedSummary, outer_folder, read_nested
from rust_tuner.steps.nested import nested_cross_validation

DIFFERS = "contains a nested cross-validation that differs"


@pytest.fixture(scope="module")
def nested_protocol(tiny_protocol: Protocol) -> Protocol:
    return dataclasses.replace(tiny_protocol, num_folds=2)


@pytest.fixture(scope="module")
def nested(repeated_study: StudyFolder) -> Nested:
    return read_nested(repeated_study.directory / "nested")


@pytest.mark.slow
def test_running_again_computes_nothing_and_changes_no_byte(
    repeated_copy: StudyFolder, nested_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> NoReturn:
        raise AssertionError("an outer fold that is finished was computed again")

    monkeypatch.setattr("rust_tuner.steps.nested.score_outer_fold", never)
    monkeypatch.setattr("keras.Model.fit", never)
    # The table of names follows images that have been moved.
    without = (*OWN_STATE, "images.csv")
    before = contents(repeated_copy.directory, without=without)
    found = repeated_copy.open(nested_protocol).nested()
    assert contents(repeated_copy.directory, without=without) == before
    assert found.to_json() == read_json(repeated_copy.directory / "nested" / "summary.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 3}, r"protocol\.epochs: was 2, is 3"),
        ({"trials": 3}, r"trials\.regime_1: was 2, is 3"),
        ({"outer_folds": 3}, "outer_folds: was 2, is 3"),
        ({"learning_rates": (1e-2,)}, r"trials\.regime_2: was 2, is 1"),
        ({"score_epoch": "last"}, r"protocol\.score_epoch: was best_mean, is last"),
    ],
)
def test_other_choices_are_refused_with_what_was_and_is(
    repeated_study: StudyFolder, nested_protocol: Protocol, change: dict[str, Any], told: str
) -> None:
    before = contents(repeated_study.directory / "nested", without=OWN_STATE)
    changed = dataclasses.replace(nested_protocol, **change)
    with pytest.raises(ResumeError, match=f"{DIFFERS}(?s:.*){told}"):
        nested_cross_validation(
            repeated_study.open().prepare(),
            repeated_study.directory,
            protocol=changed,
            cache=repeated_study.cache,
        )
    assert contents(repeated_study.directory / "nested", without=OWN_STATE) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["scores", "images", "seed"])
def test_other_data_or_another_seed_are_refused(
    repeated_study: StudyFolder,
    nested_protocol: Protocol,
    tmp_path: Path,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    development = repeated_study.open().prepare()
    table = development.radiographs.table.copy()
    expected = "subject"
    if what == "scores":
        row = table["medial"].first_valid_index()
        table.loc[row, "medial"] = 5 - table.loc[row, "medial"]  # type: ignore[index]
    elif what == "images":
        # As another manifest has them, whose files nobody has checked yet.
        table = table.drop(columns="checked_sha256")
        table["image"] = [*table["image"][1:], table["image"].iloc[0]]
    else:
        nested_protocol = dataclasses.replace(nested_protocol, seed=1)
        expected = "seed: was 0, is 1"
    changed = Development(Radiographs(table))
    with pytest.raises(ResumeError, match=f"{DIFFERS}(?s:.*){expected}"):
        nested_cross_validation(
            changed, repeated_study.directory, protocol=nested_protocol, cache=repeated_study.cache
        )


@pytest.mark.slow
def test_a_record_of_another_outer_fold_is_never_taken_for_its_own(
    repeated_copy: StudyFolder, repeated_study: StudyFolder, nested_protocol: Protocol
) -> None:
    folder = repeated_copy.directory / "nested"
    for name in ("outer.json", "predictions.csv"):
        shutil.copy(outer_folder(folder, 0) / name, outer_folder(folder, 1) / name)
    repeated_copy.open(nested_protocol).nested()
    again = read_nested(folder)
    assert [record.outer_fold for record in again.outer] == [0, 1]
    assert again.outer == read_nested(repeated_study.directory / "nested").outer


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "nested.json",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("outer_01/outer.json", "outer_01/split.json")
        ),
    ],
)
def test_what_is_damaged_is_made_again_the_same(
    repeated_copy: StudyFolder, repeated_study: StudyFolder, nested_protocol: Protocol, name: str
) -> None:
    folder = repeated_copy.directory / "nested"
    path = folder / name
    before = path.read_bytes()
    if name.endswith("split.json"):
        path.unlink()
    else:
        path.write_bytes(before[:-40])
    repeated_copy.open(nested_protocol).nested()
    assert_same_outcome(folder, repeated_study.directory / "nested")
    # The predictions, and with them their hash, tell where the images are: the study was moved.
    assert path.read_bytes() == before or name.endswith("outer.json")


@pytest.mark.slow
def test_an_outer_fold_whose_patients_were_moved_is_refused(
    repeated_copy: StudyFolder, nested_protocol: Protocol
) -> None:
    path = repeated_copy.directory / "nested" / "outer_01" / "split.json"
    other = repeated_copy.directory / "nested" / "outer_00" / "split.json"
    shutil.copy(other, path)
    with pytest.raises(ResumeError, match="does not divide the patients as outer fold 1"):
        repeated_copy.open(nested_protocol).nested()


@pytest.mark.slow
def test_killed_at_any_write_of_its_own_it_ends_as_if_untouched(
    repeated_copy: StudyFolder, repeated_study: StudyFolder, nested_protocol: Protocol
) -> None:
    folder = repeated_copy.directory / "nested"
    for name in ("outer_01/outer.json", "outer_01/predictions.csv", "summary.json"):
        (folder / name).unlink()
    (folder / "predictions.csv").unlink()
    struck: list[Any] = []
    for name in ("predictions.csv", "outer.json", "predictions.csv", "summary.json"):
        with pytest.MonkeyPatch.context() as patch:
            killer = StrikeAt(folder, patch, name, after=len(struck) == 2)
            with contextlib.suppress(Killed):
                repeated_copy.open(nested_protocol).nested()
        assert killer.dead
        struck.append(killer.writes[-1])
    assert struck == ["predictions.csv", "outer.json", "predictions.csv", "summary.json"]
    repeated_copy.open(nested_protocol).nested()
    assert not list(folder.rglob("*.part"))
    assert_same_outcome(folder, repeated_study.directory / "nested")


class StrikeAt(Killer):
    """Strikes at a write by the name of its file: the first one, or the first after a record."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool = False
    ) -> None:
        super().__init__(folder, monkeypatch)
        self.name = name
        self.wanted = os.sep + os.path.join("nested", name) if after else os.sep + name
        self.moment = "during"
        self.now = False

    def replace(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        self.now = str(target).endswith(self.wanted)
        return super().replace(source, target)

    def _is_now(self, moment: str) -> bool:
        return self.now and moment == self.moment and not self.dead


def assert_same_outcome(one: Path, other: Path) -> None:
    """All but where the images are."""
    first, second = read_nested(one), read_nested(other)
    assert first.problems == second.problems == ()
    assert (first.run, first.outer, first.summary) == (second.run, second.outer, second.summary)
    assert predictions_of(one) == predictions_of(other)


class Steps(Silent):
    """A progress that counts the steps of each of its tasks, and those it began with."""

    def __init__(self) -> None:
        self.tasks: dict[str, Any] = {}

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Any]:
        task = self.tasks[name] = Counted(total, done)
        yield task


class Counted(Silent):
    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.begun = total, done, done

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self.done += steps

    def skip(self, steps: int) -> None:
        self.done += steps


@pytest.mark.slow
def test_the_progress_counts_what_is_there_and_ends_where_it_said(
    repeated_copy: StudyFolder, nested_protocol: Protocol
) -> None:
    folder = repeated_copy.directory / "nested"
    (folder / "outer_01" / "outer.json").unlink()
    shutil.rmtree(folder / "outer_01" / "regime_2")
    shown = Steps()
    repeated_copy.open(nested_protocol, progress=shown).nested()
    whole = shown.tasks["nested cross-validation"]
    # Two outer folds of two and two trials, each of two folds of two epochs.
    assert whole.total == 2 * 4 * 2 * 2
    assert whole.begun == whole.total - 2 * 2 * 2
    assert whole.done == whole.total
    inside = shown.tasks["outer fold 2 of 2, regime_2"]
    assert (inside.begun, inside.done) == (0, inside.total)


# Each life ends at another moment of a write, and at another write; that a search survives each
# write and moment is tested in search/test_fault_matrix.py.
MOMENTS = ("before", "during", "after")


@pytest.fixture(scope="module")
def nest(
    tiny_protocol: Protocol, phantom_manifest: Path, feature_cache: Path
) -> Callable[[Path], NestedSummary]:
    """Runs a small nested cross-validation in a folder."""
    protocol = dataclasses.replace(
        tiny_protocol, num_folds=2, trials=1, epochs=1, learning_rates=(1e-2,)
    )
    development, _ = split_holdout(load_manifest(phantom_manifest))
    return functools.partial(
        nested_cross_validation, development, protocol=protocol, cache=feature_cache
    )


@pytest.fixture(scope="module")
def untouched(
    tmp_path_factory: pytest.TempPathFactory, nest: Callable[[Path], NestedSummary]
) -> tuple[Path, NestedSummary]:
    """Where it ran without a break, and what it found; not to be written to."""
    folder = tmp_path_factory.mktemp("untouched")
    return folder, nest(folder)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1])
def test_killed_again_and_again_the_whole_ends_as_if_untouched(
    tmp_path: Path,
    nest: Callable[[Path], NestedSummary],
    untouched: tuple[Path, NestedSummary],
    first: int,
) -> None:
    folder, expected = untouched
    deaths = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            moment = MOMENTS[(first + deaths) % len(MOMENTS)]
            killer = Killer(tmp_path, patch, 18 + deaths % 5, moment)
            with contextlib.suppress(Killed):
                found = nest(tmp_path)
        if not killer.dead:
            break
        deaths += 1
    assert deaths > 4
    assert found == expected
    assert_same(tmp_path, folder)
