"""A hold-out set that was looked at more than once says so wherever its figures are."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from narrowing import not_none
from report_searches import write_json
from report_studies import write_study, write_unrendered_report

from rust_tuner.analysis.record_checks import record_checks
from rust_tuner.analysis.tables import final_table
from rust_tuner.analysis.verdict import warnings_of
from rust_tuner.files import read_json, sha256_of_file
from rust_tuner.records.checks import Verdict
from rust_tuner.records.folder import read_study
from rust_tuner.records.looks import Look
from rust_tuner.report.checklist.facts import facts_of
from rust_tuner.report.holdout_room import with_looks
from rust_tuner.terminal.status import status_lines

QUESTION = "Was the hold-out set looked at once, with sealed patients only?"
REASON = "the <first> file was lost"


def set_looks(study: Path, *looks: Any) -> None:
    path = study / "study.json"
    write_json(path, read_json(path) | {"looks": [look.to_json() for look in looks]})


def looks_of(
    study: Path, *, models: tuple[str, str] = ("ab" * 32, "ab" * 32), state: Any = "finished"
) -> tuple[Look, Look]:
    digest = sha256_of_file(study / "final" / "holdout.json")
    metrics = {"auroc": 0.81, "cortex_auroc": 0.66}
    date = "2026-11-24T12:00:00+00:00"
    first = Look(date, models[0], None, "finished", digest, metrics)
    is_done = state == "finished"
    second = Look(
        "2026-12-24T12:00:00+00:00",
        models[1],
        REASON,
        state,
        digest if is_done else None,
        metrics if is_done else {},
    )
    return first, second


def read_rows(path: Path) -> list[dict[Any, Any]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def verdict(study: Path) -> Verdict:
    return next(c for c in record_checks(read_study(study)) if c.title == QUESTION)


def lines(study: Path) -> list[str]:
    # The first line is the folder's name.
    return [line.plain for line in status_lines(study)[1:] if "look" in line.plain]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_study(tmp_path_factory.mktemp("twice") / "study")
    set_looks(study, *looks_of(study))
    write_unrendered_report(study)
    return study


@pytest.mark.slow
def test_page_and_checklists_tell_the_number_and_the_reason(twice: Path) -> None:
    expected = "looked at 2 times; reason for looking again: the &lt;first&gt; file was lost"
    # Terms are linked.
    page = re.sub(r"</?a\b[^>]*>", "", (twice / "report" / "index.html").read_text())
    assert f"Hold-out set, {expected}. ROC curves" in page
    assert f"The hold-out set was {expected}. Its figures are an estimate only if" in page
    # Captions, titles of tables, the summary.
    assert page.count(expected) > 12
    claim = (twice / "report" / "claim.md").read_text()
    assert f"hold-out set, {expected}, the last on " in claim
    assert f"hold-out set {expected}" in claim


@pytest.mark.slow
def test_every_table_and_figures_file_of_the_hold_out_set_tells_it(twice: Path) -> None:
    files = sorted((twice / "report").rglob("holdout_*.csv"))
    assert len(files) > 10
    for path in files:
        if path.name == "holdout_looks.csv":
            continue
        rows = read_rows(path)
        assert rows, path
        assert {row["looks"] for row in rows} == {
            f"looked at 2 times; reason for looking again: {REASON}"
        }, path
    final = read_rows(twice / "report" / "tables" / "final.csv")
    for row in final:
        assert bool(row["looks"]) == (row["evaluation"] == "holdout")
    summary = (twice / "report" / "figures" / "summary.csv").read_text()
    assert "looked at 2 times" in summary
    looks = read_rows(twice / "report" / "tables" / "holdout_looks.csv")
    assert [row["reason"] for row in looks] == ["", REASON]


def test_a_hold_out_set_that_was_looked_at_once_has_its_plain_titles(study: Path) -> None:
    records = read_study(study)
    assert len(records.looks) == 1
    assert "looks" not in final_table(records)
    assert "looks" not in with_looks(not_none(records.predictions), records.looks)
    assert not any("looked at" in text for text in warnings_of(records))


def test_the_record_checks_warn_of_a_second_look_and_fail_for_another_model(study: Path) -> None:
    assert verdict(study).status == "passed"
    set_looks(study, *looks_of(study))
    assert verdict(study).status == "warning"
    set_looks(study, *looks_of(study, models=("ab" * 32, "cd" * 32)))
    assert (verdict(study).status, "different models" in verdict(study).reason) == ("failed", True)
    set_looks(study, *looks_of(study, state="begun"))
    assert "a look was started on 2026-12-24" in verdict(study).reason


def test_status_tells_looks_reasons_and_what_was_not_finished(study: Path) -> None:
    assert lines(study) == ["hold-out set: looked at once on 2026-11-24T12:00:00+00:00"]
    set_looks(study, *looks_of(study))
    assert lines(study) == [
        "hold-out set: looked at 2 times, the last on 2026-12-24T12:00:00+00:00",
        f"  looked again on 2026-12-24T12:00:00+00:00: {REASON}",
    ]
    set_looks(study, *looks_of(study, state="begun"))
    assert lines(study)[0] == (
        "hold-out set: look 2 started on 2026-12-24T12:00:00+00:00 but not finished"
    )


def test_a_deleted_evaluation_is_still_known(study: Path) -> None:
    set_looks(study, looks_of(study)[0])
    (study / "final" / "holdout.json").unlink()
    shown = [line.plain for line in status_lines(study)]
    assert "  final/holdout.json is missing; restore it from a copy" in shown
    assert any("AUROC 0.810, AUROC of visible cortices 0.660" in line for line in shown)
    records = read_study(study)
    assert records.holdout is None
    (problem,) = records.problems
    assert problem.startswith("final/holdout.json is missing: the hold-out set was looked at on 20")
    assert verdict(study).status == "failed"
    warnings = warnings_of(records)
    assert any(text.startswith("The hold-out set was looked at on 2026-11-24") for text in warnings)
    facts = facts_of(records)
    assert facts["internal"][-1].startswith("hold-out set, looked at once, on 2026-11-24")


def test_a_changed_evaluation_is_not_taken(study: Path) -> None:
    set_looks(study, looks_of(study)[0])
    path = study / "final" / "holdout.json"
    changed = read_json(path)
    changed["metrics"]["auroc"] = 0.99
    path.write_text(json.dumps(changed))
    records = read_study(study)
    assert records.holdout is None
    assert records.problems[0].startswith("final/holdout.json was changed")


def test_predictions_of_a_killed_look_are_not_called_sealed(study: Path) -> None:
    (study / "final" / "holdout.json").unlink()
    (line,) = lines(study)
    assert line == "hold-out set: look started on an unknown date but not finished"
    assert not any("sealed" in line.plain for line in status_lines(study))


def test_a_damaged_record_of_looks_is_named_and_the_rest_is_there(study: Path) -> None:
    path = study / "study.json"
    write_json(path, read_json(path) | {"looks": [3]})
    records = read_study(study)
    assert any("its looks at the hold-out set cannot be read" in text for text in records.problems)
    assert records.holdout is not None
    assert any("cannot be read" in line.plain for line in status_lines(study))
