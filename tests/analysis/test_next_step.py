"""The command that usually follows: what is missing, in the order of a study."""

import json
import shutil

import pytest

from rust_tuner.analysis.next_step import baselines_are_done, next_step, share_done


def test_a_folder_that_is_not_prepared_is_prepared(tmp_path):
    assert next_step(tmp_path) == "prepare"


def test_the_steps_follow_each_other_in_the_order_of_a_study(finished_copy):
    study = finished_copy.directory
    shutil.move(study / "regime_2", study.parent / "second")
    shutil.move(study / "regime_1", study.parent / "first")
    assert next_step(study, after="prepare") == "regime1"
    shutil.move(study.parent / "first", study / "regime_1")
    assert next_step(study, after="regime1") == "regime2"
    shutil.move(study.parent / "second", study / "regime_2")
    assert next_step(study, after="regime2") == "final"
    (study / "final").mkdir()
    (study / "final" / "holdout.json").write_text("{}")
    assert next_step(study, after="final") == "report"
    assert next_step(study, after="baselines") == "report"
    assert next_step(study, after="report") == "baselines"
    shutil.copytree(study / "regime_1", study / "baselines" / "lenet1998")
    assert next_step(study, after="report") == "check"
    (study / "checks.json").write_text("{}")
    assert next_step(study, after="report") == "status"


@pytest.mark.parametrize("after", ["nested", "noise", "check"])
def test_further_results_are_shown_by_a_report(finished_copy, after):
    assert next_step(finished_copy.directory, after=after) == "report"


def test_an_unfinished_search_is_finished_first(finished_copy):
    study = finished_copy.directory
    path = study / "regime_1" / "trial_0001" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "RUNNING"}))
    assert share_done(study, "regime_1") == 0.5
    # Regime II is finished, and began without the rest of Regime I.
    assert next_step(study) == "final"
    shutil.rmtree(study / "regime_2")
    assert next_step(study) == "regime1"


def test_first_models_are_done_once_all_that_were_asked_for_are(finished_copy):
    study = finished_copy.directory
    assert not baselines_are_done(study)
    shutil.copytree(study / "regime_1", study / "baselines" / "lenet1998")
    assert baselines_are_done(study)
    assert not baselines_are_done(study, ("lenet1998", "inceptionv3_end2end"))
