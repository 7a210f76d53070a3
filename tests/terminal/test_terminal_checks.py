"""What the terminal shows of checks: every verdict with its reason, and what has not passed."""

import dataclasses
from pathlib import Path

import pytest
from report_searches import write_regime_1
from rich.text import Text

from rust_tuner.records.checks import CheckRecord, Verdict, searches_seen, write_checks
from rust_tuner.records.project import read_project
from rust_tuner.terminal.checks import check_status_lines, verdict_lines

FAILED = Verdict(
    "two",
    "The second",
    "failed",
    "A picture twice.",
    "Remove one.",
    tuple(f"pair {number}" for number in range(13)),
)
RECORD = CheckRecord(
    "2026-11-24T12:00:00+00:00", {}, (Verdict("one", "The first", "passed", "All is well."), FAILED)
)


def plain(lines: list[Text]) -> list[str]:
    return [line.plain for line in lines]


def test_each_verdict_is_told_with_reason_findings_and_what_to_do() -> None:
    lines = plain(verdict_lines(RECORD))
    assert lines[:4] == [
        "passed  The first",
        "  All is well.",
        "failed  The second",
        "  A picture twice.",
    ]
    assert lines[4:14] == [f"  - pair {number}" for number in range(10)]
    assert lines[14:] == ["  - and 3 more, in checks.json", "  To do: Remove one."]


def test_the_status_names_what_has_not_passed(tmp_path: Path) -> None:
    write_checks(tmp_path, RECORD)
    assert plain(check_status_lines(tmp_path)) == [
        "checks: 1 passed, 1 failed (2026-11-24T12:00:00+00:00)",
        "  The second: A picture twice.",
    ]


def test_checks_that_were_not_run_or_are_damaged_are_said(tmp_path: Path) -> None:
    assert plain(check_status_lines(tmp_path)) == ["checks: not run"]
    (tmp_path / "checks.json").write_text("{")
    (line,) = plain(check_status_lines(tmp_path))
    assert line.startswith("checks: ")
    assert "not valid JSON" in line


@pytest.mark.parametrize("count", [3, 4])
def test_checks_are_behind_where_a_search_has_gone_on(tmp_path: Path, count: int) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1", count=3))
    seen = searches_seen({"regime_1": project})
    write_checks(tmp_path, dataclasses.replace(RECORD, searches=seen))
    write_regime_1(tmp_path / "regime_1", count=count)
    lines = plain(check_status_lines(tmp_path))
    behind = "  searches have continued since; run check again" in lines
    assert behind == (count == 4)
