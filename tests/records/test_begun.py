"""What a step was begun with: from study.json, else from the records of the step itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from report_searches import write_json, write_regime_1, write_regime_2
from report_studies import study_record

from rust_tuner import Protocol
from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json
from rust_tuner.records.begun import begun_protocol, choices_to_note, fixed_by_regime_2, is_begun
from rust_tuner.records.study import SEARCH_FIELDS, StudyFile

STUDYS = Protocol.study(learning_rates=(0.5,))
STEPS = ("baselines", "regime_1", "regime_2", "nested", "noise", "final", "checks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json(tmp_path / "study.json", study_record(protocol=STUDYS.to_json()))
    return tmp_path


def resumed(folder: Path, step: str) -> Protocol:
    return begun_protocol(StudyFile(folder), step, STUDYS)


def set_begun(folder: Path, **begun: Any) -> None:
    write_json(folder / "study.json", read_json(folder / "study.json") | {"begun": begun})


@pytest.mark.parametrize("step", STEPS)
def test_what_is_noted_comes_back_and_all_else_is_the_studys(folder: Path, step: str) -> None:
    assert resumed(folder, step) == STUDYS
    other = Protocol.study(
        num_folds=4, epochs=9, trials=7, baseline_folds=4, final_folds=4, outer_folds=7
    )
    noted = choices_to_note(step, other)
    assert set(noted) <= set(SEARCH_FIELDS)
    set_begun(folder, **{step: json.loads(json.dumps(noted)) | {"weights": {"asked": "random"}}})
    found = resumed(folder, step)
    for name in SEARCH_FIELDS:
        assert getattr(found, name) == getattr(other if name in noted else STUDYS, name)


def test_a_study_without_the_record_reads_the_manifests_of_its_searches(folder: Path) -> None:
    write_regime_1(folder / "regime_1", num_trials=30)
    assert is_begun(folder, "regime_1")
    assert not is_begun(folder, "regime_2")
    found = resumed(folder, "regime_1")
    assert (found.epochs, found.num_folds, found.trials) == (5, 3, 30)
    # Those of a search of another version, which compared them all.
    assert found.learning_rates == Protocol.study().learning_rates


def test_regime_2_goes_on_as_regime_1_was(folder: Path) -> None:
    write_regime_1(folder / "regime_1")
    found = resumed(folder, "regime_2")
    assert (found.epochs, found.num_folds) == (5, 3)
    assert found.learning_rates == STUDYS.learning_rates
    write_regime_2(folder / "regime_2", epochs=8)
    assert resumed(folder, "regime_2").epochs == 8
    assert fixed_by_regime_2(StudyFile(folder)) == (16, 0.0)


def test_nested_goes_on_as_both_regimes_were(folder: Path) -> None:
    set_begun(
        folder,
        regime_1=choices_to_note("regime_1", Protocol.study(trials=3, batch_size_range=(4, 5))),
        regime_2=choices_to_note("regime_2", Protocol.study(epsilons=(0.25,))),
    )
    found = resumed(folder, "nested")
    assert (found.trials, found.batch_size_range, found.epsilons) == (3, (4, 5), (0.25,))


def test_trials_that_were_added_since_are_asked_for(folder: Path) -> None:
    set_begun(folder, regime_1=choices_to_note("regime_1", Protocol.study(trials=3)))
    write_regime_1(folder / "regime_1", num_trials=30)
    assert resumed(folder, "regime_1").trials == 30


def test_values_given_to_a_regime_2_that_made_no_record_yet_are_known(folder: Path) -> None:
    set_begun(folder, regime_2={"batch_size": 8, "dropout_rate": 0.25})
    assert fixed_by_regime_2(StudyFile(folder)) == (8, 0.25)
    assert fixed_by_regime_2(StudyFile(folder / "nowhere")) == (None, None)


@pytest.mark.parametrize("damage", [{"epochs": "many"}, {"epochs": 0}, {"learning_rates": 3}])
def test_choices_that_are_none_are_named_with_their_file(
    folder: Path, damage: dict[str, str | int]
) -> None:
    set_begun(folder, regime_1=damage)
    with pytest.raises(ResumeError, match=r"study\.json: the choices of regime_1 cannot be"):
        resumed(folder, "regime_1")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"protocol": 3}', '{"protocol": {}}'])
def test_a_damaged_manifest_is_left_to_the_step(folder: Path, text: str) -> None:
    (folder / "regime_1").mkdir()
    (folder / "regime_1" / "search.json").write_text(text)
    assert resumed(folder, "regime_1") == STUDYS
