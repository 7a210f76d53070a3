"""`checks.json`: what was written comes back, what is damaged is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_searches import write_regime_1

from rust_tuner.errors import RustTunerError
from rust_tuner.records.checks import (
    CHECKS_FILE,
    CheckRecord,
    SearchSeen,
    Verdict,
    read_checks,
    searches_seen,
    write_checks,
)
from rust_tuner.records.project import read_project

RECORD = CheckRecord(
    date="2026-11-24T12:00:00+00:00",
    searches={"regime_1": SearchSeen("0003", 12)},
    verdicts=(
        Verdict("one", "The first", "passed", "Nothing found."),
        Verdict(
            "two",
            "The second",
            "failed",
            "A <picture> twice.",
            "Remove it.",
            ("row 2 and row 3",),
            {"pairs": 1, "undefined": None},
        ),
        Verdict("three", "The third", "not_run", "No search.", "Run one."),
        Verdict("four", "The fourth", "warning", "Look at it."),
    ),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checks(tmp_path, RECORD)
    return tmp_path / CHECKS_FILE


def test_what_was_written_comes_back(path: Path) -> None:
    assert read_checks(path) == RECORD


def test_verdicts_are_counted_in_words_and_picked_by_status(path: Path) -> None:
    record = read_checks(path)
    assert record.in_words == "1 passed, 1 warning, 1 failed, 1 without a verdict"
    assert [verdict.check for verdict in record.of("failed", "warning")] == ["two", "four"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format=2),
        lambda content: content.pop("verdicts"),
        lambda content: content.update(searches=None),
        lambda content: content["verdicts"][0].update(status="good"),
        lambda content: content["verdicts"][1]["figures"].update(pairs="many"),
        lambda content: content["verdicts"][1].pop("reason"),
        lambda content: content.update(verdicts=7),
    ],
)
def test_a_damaged_record_is_refused_with_what_to_do(
    path: Path, change: Callable[[Any], object]
) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(RustTunerError, match="run the checks again"):
        read_checks(path)


def test_a_record_cut_short_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RustTunerError, match="not valid JSON"):
        read_checks(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_checks(path)


def test_searches_are_told_by_best_trial_and_count(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1", count=3))
    assert searches_seen({"regime_1": project}) == {"regime_1": SearchSeen("0000", 3)}
