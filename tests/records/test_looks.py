"""Looks at the hold-out set: what a record says, what files alone tell, how it is worded."""

import json
from pathlib import Path
from typing import Any

import pytest
from report_predictions import holdout_record

from rust_tuner.errors import ProtocolError, ResumeError
from rust_tuner.records.looks import (
    Look,
    count_text,
    holdout_title,
    is_whole,
    read_looks,
    require_reason,
)

FIRST = Look(
    date="2026-01-02T03:04:05+00:00",
    model_sha256="ab" * 32,
    state="finished",
    holdout_sha256="cd" * 32,
    metrics={"auroc": 0.8125, "cortex_auroc": None},
)
SECOND = Look(date="2026-02-02T03:04:05+00:00", model_sha256="ef" * 32, reason="reviewer 2")


@pytest.fixture
def final(tmp_path: Path) -> Path:
    (tmp_path / "final").mkdir()
    return tmp_path / "final"


def test_a_look_survives_its_record(tmp_path: Path) -> None:
    study = json.loads(json.dumps({"looks": [FIRST.to_json(), SECOND.to_json()]}))
    assert read_looks(study["looks"], tmp_path) == (FIRST, SECOND)


def test_a_study_that_was_never_looked_at_has_none(tmp_path: Path, final: Path) -> None:
    assert read_looks(None, tmp_path) == read_looks([], tmp_path) == ()
    (final / "model.keras").write_bytes(b"")
    assert read_looks(None, tmp_path) == ()


@pytest.mark.parametrize("noted", [None, []])
def test_an_evaluation_that_no_record_names_is_the_first_look(
    tmp_path: Path, final: Path, noted: list[Any] | None
) -> None:
    record = holdout_record()
    (final / "holdout.json").write_text(json.dumps(record))
    (look,) = read_looks(noted, tmp_path)
    assert (look.date, look.state) == (record["date"], "finished")
    assert look.model_sha256 == record["model_sha256"]
    assert look.metrics == {"auroc": 0.81, "cortex_auroc": 0.66}
    assert is_whole(look, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00", '{"metrics": {"auroc": "x"}}'])
def test_a_broken_evaluation_is_a_look_all_the_same(
    tmp_path: Path, final: Path, content: str
) -> None:
    (final / "holdout.json").write_text(content)
    (look,) = read_looks(None, tmp_path)
    assert look.state == "finished"
    assert look.metrics == {}


def test_predictions_without_an_evaluation_are_a_look_that_was_not_finished(
    tmp_path: Path, final: Path
) -> None:
    (final / "predictions.csv").write_text("")
    (look,) = read_looks(None, tmp_path)
    assert (look.state, look.model_sha256) == ("begun", None)
    assert not is_whole(look, tmp_path)


@pytest.mark.parametrize(
    "looks",
    [
        3,
        [3],
        [[]],
        [{}],
        [{"state": "done"}],
        [FIRST.to_json() | {"date": 3}],
        [FIRST.to_json() | {"metrics": {"auroc": "0.9"}}],
        [FIRST.to_json() | {"metrics": 3}],
    ],
)
def test_a_damaged_record_of_looks_is_named(
    tmp_path: Path, looks: int | list[int | dict[str, Any]]
) -> None:
    with pytest.raises(ResumeError, match=r"study\.json: its looks at the hold-out set cannot be"):
        read_looks(looks, tmp_path)


def test_the_number_of_looks_and_every_reason_are_told() -> None:
    assert count_text([]) == ""
    assert count_text([FIRST]) == "looked at once"
    assert count_text([FIRST, SECOND]) == (
        "looked at 2 times, 1 not finished; reason for looking again: reviewer 2"
    )
    # A sentence goes on after it.
    third = Look(date=None, model_sha256=None, reason="the disk.", state="finished")
    assert count_text([FIRST, third, third]).endswith(
        "reasons for looking again: the disk; the disk"
    )
    assert holdout_title([FIRST]) == "Hold-out set"
    assert holdout_title([FIRST, third]).startswith("Hold-out set, looked at 2 times; reason")


def test_a_look_names_its_date_model_and_figures() -> None:
    assert str(FIRST) == "2026-01-02T03:04:05+00:00 with the model abababababab (AUROC 0.812)"
    assert str(SECOND).endswith("efefefefefef, not finished")
    unknown = Look(date=None, model_sha256=None, state="finished")
    assert str(unknown) == "an unknown date with an unknown model"


def test_a_reason_is_kept_on_one_line_without_control_characters() -> None:
    assert require_reason(" a\n\tb\x1b[31mc ") == "a b[31mc"
    for reason in ("", " \n", "\x1b", None, 3, "x" * 501):
        with pytest.raises(ProtocolError, match="expected the reason for another look"):
            require_reason(reason)
