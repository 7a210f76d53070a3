"""The page's section on checks: what the record holds, escaped, and whether it is behind."""

import shutil
from pathlib import Path

from report_searches import write_regime_1

from rust_tuner.files import read_json, write_json
from rust_tuner.records.folder import read_study
from rust_tuner.report.html import write_report
from rust_tuner.report.sections.checks import checks_section


def test_every_verdict_is_a_row(study: Path) -> None:
    section = checks_section(read_study(study))
    _, table = section.tables
    assert [row[0][0] for row in table.rows] == ["Equal images", "Shuffled"]
    assert {row[1][0] for row in table.rows} == {"passed"}
    assert section.missing == []
    assert "2 passed" in section.lead[1]


def test_findings_and_figures_have_tables_of_their_own(study: Path) -> None:
    record = read_json(study / "checks.json")
    record["verdicts"][0] |= {
        "status": "failed",
        "findings": ["row 2 and row 3"],
        "figures": {"pairs": 1, "similarity": 0.99},
    }
    write_json(study / "checks.json", record)
    _, _, findings, figures = checks_section(read_study(study)).tables
    assert [cell for cell, _ in findings.rows[0]] == ["Equal images", "row 2 and row 3"]
    assert [cell for cell, _ in figures.rows[1]] == ["Equal images", "similarity", "0.990"]


def test_checks_that_are_not_there_or_behind_are_said(study: Path) -> None:
    write_regime_1(study / "regime_1", count=13)
    assert "continued since" in checks_section(read_study(study)).missing[0]
    (study / "checks.json").unlink()
    section = checks_section(read_study(study))
    assert f"rust-tuner check {study}" in section.missing[0]
    assert [table.caption for table in section.tables] == ["Checks"]


def test_texts_of_the_record_are_escaped_on_the_page(study: Path) -> None:
    record = read_json(study / "checks.json")
    record["verdicts"][0] |= {"status": "failed", "reason": "<script>x</script>"}
    for part in study.iterdir():
        # The page's other sections draw figures, which takes long.
        if part.is_dir():
            shutil.rmtree(part)
    write_json(study / "checks.json", record)
    page = write_report(study).read_text()
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<script>x</script>" not in page
    assert 'href="#checks"' in page
