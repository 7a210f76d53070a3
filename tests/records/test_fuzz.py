"""Whatever bytes stand in a study's files, only the package's own errors come out, and in time."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_predictions import write_out_of_fold
from report_repeats import write_noise
from report_searches import signed, write_baselines, write_project, write_regime_1, write_regime_2
from report_studies import write_passed_checks, write_study

from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.records.project import REGIME_1
from rust_tuner.terminal.status import status_lines

FILES = (
    "study.json",
    "split.json",
    "checks.json",
    "regime_1/search.json",
    "regime_1/trial_0001/trial.json",
    "regime_1/trial_0001/fold_1.json",
    "regime_2/search.json",
    "nested/nested.json",
    "nested/outer_01/outer.json",
    "nested/outer_01/predictions.csv",
    "nested/summary.json",
    "noise/noise.json",
    "noise/seeds/search.json",
    "final/holdout.json",
    "final/predictions.csv",
    "final/cross_validation/search.json",
)
JSON_FILES = tuple(name for name in FILES if name.endswith(".json"))
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**9,
    10**99,
    1e308,
    "",
    "x",
    "\x1b[31m",
    [],
    [[]],
    {},
    {"a": None},
)
RAW = (
    b"",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"format": 1, "seed": ' + b"9" * 10_000 + b"}",
    b'{"format": NaN}',
    b'{"format": 1e999}',
    b'{"format": "\\ud800"}',
    b"\xff\xfe{\x00}\x00",
    b"null",
    b"7",
    b"\x00" * 4096,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is written by hand, with every kind of record, and few: it is read often."""
    folder = tmp_path_factory.mktemp("fuzzed") / "study"
    write_study(folder)
    for name in ("baselines", "regime_1", "regime_2", "noise"):
        shutil.rmtree(folder / name)
    write_baselines(folder / "baselines", ["lenet1998"], num_folds=2)
    write_regime_1(folder / "regime_1", count=2, num_folds=2)
    write_regime_2(folder / "regime_2", rates=[1e-1], epsilons=[1e-7], num_folds=2)
    for regime in ("regime_1", "regime_2"):
        write_out_of_fold(folder / regime, rows=24)
    write_noise(folder / "noise", repeats=1)
    shutil.rmtree(folder / "final" / "cross_validation")
    write_project(folder / "final" / "cross_validation", [{"batch_size": 16}], num_folds=2)
    write_passed_checks(folder)
    return folder


def look(folder: Path) -> StudyRecords:
    """What `status` and `report` read, within seconds."""
    start = time.process_time()
    records = read_study(folder)
    lines = status_lines(folder)
    assert lines
    assert time.process_time() - start < 30
    return records


def look_at_changed(study: Path, name: str, content: bytes) -> StudyRecords:
    """What is read while one file has another content."""
    path = study / name
    kept = path.read_bytes()
    path.write_bytes(content)
    try:
        return look(study)
    finally:
        path.write_bytes(kept)


def test_the_study_is_whole_before(study: Path) -> None:
    records = look(study)
    assert records.problems == ()
    assert all((study / name).is_file() for name in FILES)


def look_at_hostile_bytes(study: Path, name: str, contents: tuple[bytes, ...]) -> None:
    for content in contents:
        records = look_at_changed(study, name, content)
        assert records.problems, content[:40]
        assert all(len(problem) < 1000 for problem in records.problems)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_hostile_bytes_in_a_file_are_a_problem_that_is_named(name: str, study: Path) -> None:
    # Each file has a few, and all of them have all.
    look_at_hostile_bytes(study, name, RAW[FILES.index(name) % 4 :: 4])


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_any_hostile_bytes_in_any_file_are_a_problem_that_is_named(name: str, study: Path) -> None:
    look_at_hostile_bytes(study, name, RAW)


def nodes(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:3])
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from nodes(item, (*path, key))


def replaced(value: Any, path: tuple[str | int, ...], by: Any) -> Any:
    if not path:
        return by
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


def look_at_a_hostile_value(study: Path, name: str, data: st.DataObject) -> None:
    content = json.loads((study / name).read_text())
    path = data.draw(st.sampled_from(sorted(nodes(content), key=str)))
    value = data.draw(st.sampled_from(HOSTILE))
    hostile = replaced(content, path, value)
    if isinstance(hostile, dict) and "sha256" in content and path != ("sha256",):
        # With the right hash, as somebody who knows how would write it.
        hostile = signed(hostile)
    look_at_changed(study, name, json.dumps(hostile).encode())


@pytest.mark.slow
@pytest.mark.parametrize("name", JSON_FILES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_many_hostile_values_anywhere_in_a_file_are_read_or_named(
    name: str, study: Path, data: st.DataObject
) -> None:
    look_at_a_hostile_value(study, name, data)


def look_at_flipped_and_cut_bytes(study: Path, name: str, data: st.DataObject) -> None:
    content = bytearray((study / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    look_at_changed(study, name, bytes(content[: data.draw(st.integers(0, len(content)))]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_many_flipped_and_cut_bytes_are_read_or_named(
    name: str, study: Path, data: st.DataObject
) -> None:
    look_at_flipped_and_cut_bytes(study, name, data)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_a_files_place_is_named_and_not_waited_for(
    name: str, study: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    records = look(copy)
    assert any("is not a file" in problem for problem in records.problems)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_folder_or_a_link_in_a_circle_in_a_files_place_is_named(
    name: str, study: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    (copy / name).unlink()
    (copy / name).mkdir()
    assert look(copy).problems
    (copy / name).rmdir()
    (copy / name).symlink_to(copy / name)
    assert look(copy).problems


def test_what_is_whole_is_read_beside_what_is_damaged(study: Path) -> None:
    records = look_at_changed(study, "regime_2/search.json", b"{")
    assert records.regime_2 is None
    assert records.regime_1 is not None
    assert records.holdout is not None
    assert any(str(REGIME_1) in str(line) for line in status_lines(study))
