"""A study's searches: complete, resumed without a change, and with the study's own choices."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json, not_none
from notes import Notes, contents
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.data.folds import make_folds
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.files import read_json
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.records.project import read_out_of_fold, read_project
from rust_tuner.search.regimes import best_of_regime_1
from rust_tuner.search.tuner import CrossValidationTuner

Resumed = tuple[dict[str, bytes], dict[str, bytes], dict[str, CrossValidationTuner], list[str]]


def test_regime_2_without_regime_1_and_without_values_says_what_to_do(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    study = Study(tmp_path / "study", radiographs, tiny_protocol)
    for values in ({}, {"batch_size": 16}, {"dropout_rate": 0.2}):
        with pytest.raises(SearchError, match=r"Regime I has not been run .*give batch size"):
            study.regime_2(**values)


def test_regime_2_after_an_unfinished_regime_1_says_how_far_it_is(
    finished_copy: StudyFolder,
) -> None:
    shutil.rmtree(finished_copy.directory / "regime_2")
    shutil.rmtree(finished_copy.directory / "regime_1" / "trial_0001")
    with pytest.raises(SearchError, match="has 1 of 2 trials; finish Regime I first, or give"):
        finished_copy.open().regime_2()


def test_both_regimes_complete_every_trial(finished_study: StudyFolder) -> None:
    for regime in ("regime_1", "regime_2"):
        project = read_project(finished_study.directory / regime)
        assert [trial.trial for trial in project.trials] == ["0000", "0001"]
        assert [trial.status for trial in project.trials] == ["COMPLETED", "COMPLETED"]
        assert project.problems == ()


def test_regime_2_takes_the_best_of_regime_1_and_searches_only_adam(
    finished_study: StudyFolder,
) -> None:
    best = best_of_regime_1(finished_study.directory)
    trials = read_project(finished_study.directory / "regime_2").trials
    for trial in trials:
        assert trial.values["batch_size"] == best["batch_size"]
        assert trial.values["dropout_rate"] == best["dropout_rate"]
        assert trial.values["epsilon"] == 1e-7
    assert {trial.values["learning_rate"] for trial in trials} == {1e-2, 1e-3}
    scores = {t.trial: t.score for t in read_project(finished_study.directory / "regime_1").trials}
    best_trial = max(scores, key=lambda trial: not_none(scores[trial]))
    values = {t.trial: t.values for t in read_project(finished_study.directory / "regime_1").trials}
    assert values[best_trial] == best


def test_the_best_hyperparameters_are_written_with_the_weights_really_used(
    finished_study: StudyFolder,
) -> None:
    from rust_tuner.models.backbones import find_weights

    written = read_json(finished_study.directory / "best_hyperparameters.json")
    project = read_project(finished_study.directory / "regime_2")
    assert written["regime"] == "regime_2"
    assert written["hyperparameters"] == not_none(project.best).values
    assert written["score"] == max(not_none(trial.score) for trial in project.trials)
    used = {"asked": "random", "file": None, "sha256": find_weights("random").sha256}
    assert written["weights"] == used
    assert read_json(finished_study.directory / "study.json")["weights"] == used


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory, finished_study: StudyFolder) -> Resumed:
    """Both regimes run again in a copy: what is there before and after, and the tuners."""
    root = tmp_path_factory.mktemp("resumed") / "again"
    shutil.copytree(finished_study.directory.parent, root)
    directory = root / finished_study.directory.name
    before = contents(directory)
    notes = Notes()
    study = Study(directory, cache=finished_study.cache, progress=notes)
    tuners = {"regime_1": study.regime_1(), "regime_2": study.regime_2()}
    return before, contents(directory), tuners, notes.said


def test_running_again_adds_nothing_and_changes_no_byte(resumed: Resumed) -> None:
    before, after, _, said = resumed
    assert sorted(before) == sorted(after)
    # KerasTuner's own state lists trials in the order in which this process met them.
    assert {name for name in before if before[name] != after[name]} <= {
        "regime_1/oracle.json",
        "regime_2/oracle.json",
        "private/images.csv",
        "regime_1/tuner0.json",
        "regime_2/tuner0.json",
    }
    assert said == []


def test_results_have_a_row_a_trial_with_score_spread_and_baseline(resumed: Resumed) -> None:
    for tuner in resumed[2].values():
        results = tuner.results()
        assert list(results["trial"]) == ["0000", "0001"]
        assert np.isfinite(results[["score", "score_std", "seconds"]].to_numpy(float)).all()
        assert (results["score"] == results["val_auroc"]).all()
        assert (results["score_std"] == results["val_auroc_std"]).all()
        for name in ("batch_size", "dropout_rate", "learning_rate", "epsilon"):
            assert results[name].notna().all()
        for name in ("view_only_auroc", "view_only_cortex_auroc"):
            assert results[name].nunique() == 1
        assert (results["view_only_cortex_auroc"].between(0.3, 0.7)).all()
        assert results["message"].isna().all()


def test_history_is_tidy_and_complete(resumed: Resumed) -> None:
    for tuner in resumed[2].values():
        history = tuner.history()
        assert list(history.columns) == ["trial", "fold", "epoch", "split", "metric", "value"]
        keys = ["trial", "fold", "epoch", "split", "metric"]
        assert not history.duplicated(keys).any()
        expected = pd.MultiIndex.from_product(
            [
                ["0000", "0001"],
                range(3),
                range(2),
                ["training", "validation"],
                ["auroc", "cortex_auroc", "loss"],
            ],
            names=keys,
        )
        found = history.set_index(keys).index
        assert set(found) == set(expected)
        assert np.isfinite(history["value"]).all()


def test_every_development_row_is_predicted_by_the_fold_that_left_it_out(
    resumed: Resumed, finished_copy: StudyFolder
) -> None:
    rows = len(finished_copy.open().prepare())
    for tuner in resumed[2].values():
        for trial in ("0000", "0001"):
            predictions = read_out_of_fold(tuner.project_folder, trial)
            assert predictions.shape == (rows, 18)
            assert ((predictions > 0) & (predictions < 1)).all()


def test_warnings_about_split_and_folds_come_once_and_many_in_one_line(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rust_tuner.search.regimes.regime_1", lambda *_, **__: None)
    monkeypatch.setattr(Study, "_record", lambda *_: None)
    notes = Notes()
    # A seed whose two sealed patients lack some labels, and share others.
    protocol = dataclasses.replace(tiny_protocol, seed=2)
    study = Study(tmp_path / "study", phantom_manifest, protocol, progress=notes)
    study.regime_1()
    unscored, *sealed, holdout, resolved, names, folds = notes.said
    assert unscored.startswith("note: 1 of 28 radiographs has no score, such as that of row 6: ")
    training, _ = zip(*make_folds(study.prepare(), 3, 0), strict=True)
    rows = max(map(len, training))
    sizes = protocol.batch_sizes(rows)
    assert [line.partition(" (")[0] for line in sealed] == [
        "note: no radiograph of the hold-out set",
        "note: every radiograph of the hold-out set",
        f"note: a fold of Regime I trains on up to {rows} radiographs, so all batch sizes from "
        f"that on are equivalent; {sizes}".partition(" (")[0],
    ]
    assert holdout.startswith("note: the hold-out set has 2 patients")
    assert "a search can distinguish trials" in resolved
    assert names.startswith("note: the study has keyed hashes instead of patient ids")
    assert re.match(
        r"note: only \d of \d+ patients \w+ [\w ]+, score \d, fewer than the 3 folds: ", folds
    )
    assert re.search(r" \(\d+ more notes of this kind\)$", folds)
    study.regime_1()
    Study(tmp_path / "study", progress=notes).regime_1()
    assert notes.said[: len(sealed) + 5] == [unscored, *sealed, holdout, resolved, names, folds]
    # A search of another day, which has not begun, says again what the data allow.
    assert notes.said[len(sealed) + 5 :] == [holdout, resolved]


@pytest.mark.parametrize("step", ["regime_1", "regime_2", "final", "nested"])
def test_every_step_takes_the_weights_of_the_study(step: str, finished_copy: StudyFolder) -> None:
    study = Study(finished_copy.directory, cache=finished_copy.cache)
    path = finished_copy.directory / "study.json"
    written = read_json(path)
    path.write_text(json.dumps(written | {"weights": written["weights"] | {"sha256": "ab" * 32}}))
    study = Study(finished_copy.directory, cache=finished_copy.cache)
    with pytest.raises(ResumeError, match=r"SHA-256 abababababab.*a study has one backbone"):
        getattr(study, step)()
    assert not (finished_copy.directory / "final").exists()


def test_regime_1_again_leaves_the_best_of_regime_2(finished_copy: StudyFolder) -> None:
    path = finished_copy.directory / "best_hyperparameters.json"
    before = path.read_bytes()
    assert read_json(path)["regime"] == "regime_2"
    Study(finished_copy.directory, cache=finished_copy.cache).regime_1()
    assert path.read_bytes() == before


def test_a_kill_as_regime_2_makes_a_folder_does_not_stop_regime_1(
    finished_copy: StudyFolder,
) -> None:
    path = finished_copy.directory / "best_hyperparameters.json"
    before = path.read_bytes()
    last = max((finished_copy.directory / "regime_2").glob("trial_*"))
    (last / "trial.json").unlink()
    Study(finished_copy.directory, cache=finished_copy.cache).regime_1()
    assert path.read_bytes() == before
    Study(finished_copy.directory, cache=finished_copy.cache).regime_2()
    assert path.read_bytes() == before


@pytest.fixture(scope="module")
def bundled(
    tmp_path_factory: pytest.TempPathFactory, tiny_protocol: Protocol
) -> tuple[Protocol, Path]:
    """Small choices with the bundled network, built sooner than InceptionV3; and a cache."""
    protocol = dataclasses.replace(
        tiny_protocol,
        weights="phantoms",
        num_folds=2,
        epochs=1,
        trials=1,
        learning_rates=(1e-2,),
        final_folds=2,
        final_epochs=1,
    )
    return protocol, tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_regime_2_and_final_go_on_without_a_regime_1(
    tmp_path: Path, phantom_manifest: Path, bundled: tuple[Protocol, Path]
) -> None:
    protocol, cache = bundled
    Study(tmp_path, phantom_manifest, protocol, cache=cache).regime_2(8, 0.25)
    tuner = Study(tmp_path, cache=cache).regime_2()
    assert set(tuner.results()["batch_size"]) == {8}
    assert as_json(Study(tmp_path, cache=cache).final())["radiographs"] > 0


@pytest.mark.slow
def test_a_final_model_at_other_values_than_regime_1s_best_is_said(
    tmp_path: Path, phantom_manifest: Path, bundled: tuple[Protocol, Path]
) -> None:
    notes = Notes()
    protocol, cache = bundled
    study = Study(tmp_path, phantom_manifest, protocol, cache=cache, progress=notes)
    study.regime_1()
    study.regime_2(5, 0.125)
    study.final()
    messages = [note for note in notes.said if "the final model uses that of Regime II" in note]
    assert any("batch_size=5" in note for note in messages)
    assert any("dropout_rate=0.125" in note for note in messages)


REGIME_1 = """
import json, sys
from rust_tuner import Protocol, Study

manifest, cache, protocols = sys.argv[1:]
for folder, protocol in json.loads(protocols).items():
    chosen = Protocol.from_json(protocol)
    # Two studies have two keys, and so other rows in their records.
    Study(folder, manifest, chosen, cache=cache, plain_ids=True).regime_1()
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_switch_onednn(), reason="the variable means something else here")
def test_a_study_begun_without_onednn_resumes_without_it_and_bitwise(
    tmp_path: Path, phantom_manifest: Path, bundled: tuple[Protocol, Path]
) -> None:
    # As from a shell of the user's, who has set nothing.
    chosen = (ONEDNN_VARIABLE, "RUST_TUNER_ONEDNN_OPTS")
    unset = {name: value for name, value in os.environ.items() if name not in chosen}

    def run(trials: dict[str, int], **variables: str) -> subprocess.CompletedProcess[str]:
        """Search in some folders, each with so many trials, in one process."""
        protocols = {
            str(tmp_path / folder): dataclasses.replace(bundled[0], trials=number).to_json()
            for folder, number in trials.items()
        }
        places = map(str, (phantom_manifest, tmp_path / "cache"))
        command = [sys.executable, "-c", REGIME_1, *places, json.dumps(protocols)]
        return subprocess.run(
            command, env=unset | variables, capture_output=True, text=True, check=False
        )

    begun = run({"whole": 2, "resumed": 1}, **{ONEDNN_VARIABLE: "0"})
    assert begun.returncode == 0, begun.stderr
    # Half of the features are lost in between.
    for entry in sorted((tmp_path / "cache").rglob("*.f32"))[::2]:
        entry.unlink()
    ended = run({"resumed": 2})
    assert ended.returncode == 0, ended.stderr
    whole, resumed = (
        read_project(tmp_path / folder / "regime_1") for folder in ("whole", "resumed")
    )
    assert whole.run == resumed.run
    assert whole.run["onednn"] is False
    assert [trial.score for trial in whole.trials] == [trial.score for trial in resumed.trials]
    for number in range(2):
        place = f"regime_1/trial_{number:04d}/out_of_fold.npz"
        one, other = (
            np.load(tmp_path / folder / place)["predictions"] for folder in ("whole", "resumed")
        )
        assert np.array_equal(one, other, equal_nan=True)
    refused = run({"resumed": 2}, **{ONEDNN_VARIABLE: "1"})
    assert refused.returncode
    assert "onednn: was False, is True" in refused.stderr
    assert f"{ONEDNN_VARIABLE}=0 before Python starts" in refused.stderr
