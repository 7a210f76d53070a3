"""A study folder is read part by part: what is damaged is named, and the rest is there."""

import json
from pathlib import Path

import pytest
from report_searches import signed

from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json, sha256_of_file, write_json
from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.terminal.status import status_lines

PARTS = {
    "study.json": "study",
    "split.json": "split",
    "regime_1/search.json": "regime_1",
    "regime_2/search.json": "regime_2",
    "nested/nested.json": "nested",
    "noise/noise.json": "noise",
    "final/cross_validation/search.json": "cross_validation",
    "final/holdout.json": "holdout",
    "final/predictions.csv": "predictions",
    "checks.json": "checks",
}


def found(records: StudyRecords) -> set[str]:
    return {name for name in PARTS.values() if getattr(records, name) is not None}


def test_a_finished_study_is_read_whole(study: Path) -> None:
    records = read_study(study)
    assert found(records) == set(PARTS.values())
    assert list(records.baselines) == ["lenet1998", "inceptionv3_imagenet"]
    assert records.problems == ()
    assert list(records.projects) == [
        "baselines/lenet1998",
        "baselines/inceptionv3_imagenet",
        "regime_1",
        "regime_2",
        "final/cross_validation",
    ]


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", "{}", "\x00\xff"])
@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_part_is_named_and_the_others_are_there(
    name: str, content: str, study: Path
) -> None:
    (study / name).write_bytes(content.encode("latin-1"))
    records = read_study(study)
    assert found(records) == set(PARTS.values()) - {PARTS[name]}
    assert len(records.problems) == 1
    part = name.removesuffix("/search.json")
    assert records.problems[0].startswith(f"{part}: ")


@pytest.mark.slow
@pytest.mark.parametrize("step", [293, pytest.param(97, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["study.json", "split.json", "final/holdout.json"])
def test_a_part_cut_short_anywhere_is_named(name: str, step: int, study: Path) -> None:
    content = (study / name).read_bytes()
    for size in range(0, len(content) - 2, step):
        (study / name).write_bytes(content[:size])
        assert getattr(read_study(study), PARTS[name]) is None


def test_a_damaged_trial_is_named_and_the_others_are_there(study: Path) -> None:
    path = study / "regime_1" / "trial_0002" / "fold_1.json"
    head = read_json(path)
    head["validation"]["auroc"] = head["validation"]["auroc"][:1]
    write_json(path, signed(head))
    records = read_study(study)
    assert records.regime_1 is not None
    assert len(records.regime_1.trials) == 11
    assert len(records.problems) == 1
    assert records.problems[0].startswith("regime_1: trial_0002: ")
    assert "fold_1.json is damaged (validation curves of different lengths)" in records.problems[0]


def test_a_damaged_first_model_is_named_and_the_others_are_there(study: Path) -> None:
    (study / "baselines" / "lenet1998" / "search.json").write_text("{")
    records = read_study(study)
    assert list(records.baselines) == ["inceptionv3_imagenet"]
    assert records.problems[0].startswith("baselines/lenet1998: ")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("final/holdout.json", {"metrics": {"auroc": "0.9", "cortex_auroc": 0.5}}),
        ("final/holdout.json", {"metrics": {"auroc": 0.9}}),
        ("final/holdout.json", {"labels": [{"label": "view_ap"}]}),
        ("final/holdout.json", {"format": 2}),
        ("study.json", {"radiographs": "many"}),
        ("study.json", {"protocol": None}),
        ("regime_1/search.json", {"objective": {"name": "val_auroc", "direction": "up"}}),
        ("regime_1/search.json", {"num_trials": None}),
        ("regime_1/search.json", {"view_only_baseline": {"val_auroc": "high"}}),
    ],
)
def test_values_of_another_kind_are_damage(name: str, changes: object, study: Path) -> None:
    write_json(study / name, read_json(study / name) | changes)
    records = read_study(study)
    assert getattr(records, PARTS[name]) is None
    assert len(records.problems) == 1


def test_a_split_that_was_changed_by_hand_is_not_taken(study: Path) -> None:
    content = read_json(study / "split.json")
    content["holdout"].pop()
    (study / "split.json").write_text(json.dumps(content))
    records = read_study(study)
    assert records.split is None
    assert "does not match its SHA-256" in records.problems[0]


def test_what_is_not_there_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "regime_1").mkdir()
    records = read_study(tmp_path)
    assert found(records) == set()
    # The empty folder that a refused step leaves has nothing to be read.
    assert records.problems == ()


def test_predictions_that_were_changed_by_hand_are_named_and_not_taken(study: Path) -> None:
    path = study / "final" / "predictions.csv"
    record = read_json(study / "final" / "holdout.json")
    digest = sha256_of_file(path)
    write_json(study / "final" / "holdout.json", record | {"predictions_sha256": digest})
    assert read_study(study).predictions is not None
    rows = path.read_text().splitlines()
    path.write_text("\n".join(rows[:-1]) + "\n")
    records = read_study(study)
    assert records.predictions is None
    assert [line for line in records.problems if "predictions.csv was changed" in line]


def test_the_empty_folder_of_a_refused_step_is_no_problem(study: Path) -> None:
    (study / "final" / "cross_validation").rename(study / "elsewhere")
    (study / "final" / "cross_validation").mkdir()
    records = read_study(study)
    assert records.problems == ()
    assert records.cross_validation is None
    text = [line.plain for line in status_lines(study)]
    assert "final/cross_validation: not started" in text


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is not a study folder; give the folder that"):
        read_study(tmp_path)
