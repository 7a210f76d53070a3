"""How far the searches and first models of a study are."""

import json
import shutil

from studies import StudyFolder

from rust_tuner.analysis.finished_steps import baselines_are_done, share_done


def test_the_share_of_a_search_counts_trials_that_have_ended(finished_copy: StudyFolder) -> None:
    study = finished_copy.directory
    path = study / "regime_1" / "trial_0001" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "RUNNING"}))
    assert share_done(study, "regime_1") == 0.5
    assert share_done(study, "regime_2") == 1
    shutil.rmtree(study / "regime_2")
    assert share_done(study, "regime_2") is None


def test_first_models_are_done_once_all_that_were_asked_for_are(finished_copy: StudyFolder) -> None:
    study = finished_copy.directory
    assert not baselines_are_done(study)
    shutil.copytree(study / "regime_1", study / "baselines" / "lenet1998")
    assert baselines_are_done(study)
    assert not baselines_are_done(study, ("lenet1998", "inceptionv3_end2end"))
