"""Records of outer folds: whole or not there, and never taken for another run's."""

import json
from pathlib import Path

import pytest
from report_repeats import outer_record, write_nested
from report_searches import SHA

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json, sha256_of_json
from rust_tuner.records.nested import (
    OUTER_FILE,
    OUTER_PREDICTIONS,
    OuterRecord,
    outer_folder,
    read_nested,
    read_outer,
    write_outer,
)

RECORD = OuterRecord(**outer_record(1))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_outer(tmp_path, RECORD, key=SHA, predictions="a,b\n1,2\n")
    return tmp_path


def test_a_record_comes_back_as_it_was(place: Path) -> None:
    assert read_outer(place) == read_outer(place, key=SHA) == RECORD
    assert (place / OUTER_PREDICTIONS).read_text() == "a,b\n1,2\n"


def test_optimism_is_of_the_same_models_and_the_gap_of_the_refitted_one() -> None:
    assert RECORD.optimism == {
        "auroc": pytest.approx(0.81 - 0.762),
        "cortex_auroc": pytest.approx(0.64 - 0.58),
    }
    assert RECORD.gap == {
        "auroc": pytest.approx(0.81 - 0.775),
        "cortex_auroc": pytest.approx(0.64 - 0.59),
    }


def test_a_record_that_lacks_a_figure_is_named(place: Path) -> None:
    content = read_json(place / OUTER_FILE)
    del content["inner_estimate"], content["sha256"]
    content["sha256"] = sha256_of_json(content)
    (place / OUTER_FILE).write_text(json.dumps(content))
    with pytest.raises(RustTunerError, match=r"damaged \(inner_estimate: field required\)"):
        read_outer(place)


def test_an_outer_fold_without_a_record_is_not_finished(tmp_path: Path, place: Path) -> None:
    assert read_outer(tmp_path / "nowhere") is None
    (place / OUTER_FILE).unlink()
    assert read_outer(place) is None


def test_a_record_of_another_key_is_never_taken(place: Path) -> None:
    with pytest.raises(RustTunerError, match=r"outer\.json belongs to another run"):
        read_outer(place, key="cd" * 32)


@pytest.mark.parametrize("changed", ["epoch", "estimate", "key", "predictions_sha256"])
def test_a_record_that_was_changed_is_noticed(changed: str, place: Path) -> None:
    content = read_json(place / OUTER_FILE)
    content[changed] = 1 if changed == "epoch" else {"auroc": 1.0, "cortex_auroc": 1.0}
    (place / OUTER_FILE).write_text(json.dumps(content))
    with pytest.raises(RustTunerError, match="does not match its SHA-256"):
        read_outer(place)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"format": 2}'])
def test_a_damaged_record_is_named(text: str, place: Path) -> None:
    (place / OUTER_FILE).write_text(text)
    with pytest.raises(RustTunerError, match=r"outer\.json"):
        read_outer(place)


def test_predictions_that_are_not_the_records_own_are_named(place: Path) -> None:
    (place / OUTER_PREDICTIONS).write_text("a,b\n1,3\n")
    with pytest.raises(RustTunerError, match=r"predictions\.csv does not match its record"):
        read_outer(place)
    (place / OUTER_PREDICTIONS).unlink()
    with pytest.raises(RustTunerError, match=r"predictions\.csv is missing"):
        read_outer(place)


def test_a_finished_folder_is_read_whole(tmp_path: Path) -> None:
    nested = read_nested(write_nested(tmp_path / "nested"))
    assert [record.outer_fold for record in nested.outer] == [0, 1, 2]
    assert nested.summary is not None
    assert nested.problems == ()


def test_an_unfinished_folder_has_no_summary(tmp_path: Path) -> None:
    nested = read_nested(write_nested(tmp_path / "nested", finished=1))
    assert len(nested.outer) == 1
    assert nested.outer_folds == 3
    assert nested.summary is None
    assert nested.problems == ()


def test_a_damaged_outer_fold_is_named_and_the_others_are_there(tmp_path: Path) -> None:
    folder = write_nested(tmp_path / "nested")
    (outer_folder(folder, 1) / OUTER_FILE).write_text("{")
    nested = read_nested(folder)
    assert [record.outer_fold for record in nested.outer] == [0, 2]
    (problem,) = nested.problems
    assert problem.startswith("outer fold 1: ")


def test_the_summary_of_another_run_is_not_taken(tmp_path: Path) -> None:
    folder = write_nested(tmp_path / "nested")
    run = read_json(folder / "nested.json")
    (folder / "nested.json").write_text(json.dumps(run | {"seed": 1}))
    nested = read_nested(folder)
    assert nested.summary is None
    (problem,) = nested.problems
    assert problem.endswith(
        "summary.json belongs to another run; run rust-tuner nested again, which writes it again"
    )


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"nested\.json is missing"):
        read_nested(tmp_path)
    (tmp_path / "nested.json").write_text('{"format": 2}')
    with pytest.raises(RustTunerError, match="a format that this version does not know"):
        read_nested(tmp_path)
