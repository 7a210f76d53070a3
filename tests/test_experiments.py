"""The published experiments' scripts: they run as printed, resume, and write their best."""

import dataclasses
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from narrowing import as_json, not_none
from stand_ins import backbone_stand_in
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.figures.published_study import read_published
from rust_tuner.files import read_json
from rust_tuner.records.project import read_project

SCRIPTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def call(script: Path, *arguments: Any) -> str:
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return call


@pytest.fixture
def in_a_process_of_its_own() -> Callable[..., str]:
    def call(script: Path, *arguments: Any) -> str:
        command = [sys.executable, str(script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return call


@pytest.mark.slow
def test_both_scripts_run_and_run_again_adding_nothing(
    tmp_path: Path,
    phantom_manifest: Path,
    tiny_protocol: Protocol,
    feature_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_a_process_of_its_own: Callable[..., str],
    in_process: Callable[..., str],
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(feature_cache))
    study = tmp_path / "study"
    # The scripts have the published scale unless the study was prepared with another.
    Study(study, phantom_manifest, tiny_protocol).prepare()
    first = in_a_process_of_its_own(SCRIPTS / "regime_1.py", phantom_manifest, study)
    second = in_a_process_of_its_own(SCRIPTS / "regime_2.py", study)
    for regime, output in (("regime_1", first), ("regime_2", second)):
        project = read_project(study / regime)
        assert [trial.status for trial in project.trials] == ["COMPLETED"] * 2
        exported = read_json(study / f"{regime}.json")
        assert exported["hyperparameters"] == not_none(project.best).values
        assert output.splitlines()[-1] == str(not_none(project.best).values)
    best = read_json(study / "regime_1.json")["hyperparameters"]
    used = read_json(study / "regime_2.json")["hyperparameters"]
    for name in ("batch_size", "dropout_rate"):
        assert used[name] == best[name]
    before = {path: path.read_bytes() for path in study.rglob("trial_*/*")}
    assert in_process(SCRIPTS / "regime_1.py", phantom_manifest, study) == first
    assert in_process(SCRIPTS / "regime_2.py", study) == second
    assert {path: path.read_bytes() for path in study.rglob("trial_*/*")} == before


@pytest.mark.slow
def test_the_scripts_of_first_models_and_final_model_write_the_published_columns(
    finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch, in_process: Callable[..., str]
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(finished_copy.cache))
    # The figures are of no interest, and InceptionV3 takes minutes to train and seconds to build.
    for module in ("architectures", "backbones"):
        monkeypatch.setattr(f"rust_tuner.models.{module}.build_backbone", backbone_stand_in)
    study = finished_copy.directory
    in_process(SCRIPTS / "initial_evaluation.py", finished_copy.manifest, study)
    text = in_process(SCRIPTS / "final_model.py", study)
    assert text.startswith("hold-out set, looked at on")
    for name, projects in (
        ("initial_evaluation", {"baselines/lenet1998", "baselines/inceptionv3_end2end"}),
        ("final_model_kfold", {"final/cross_validation"}),
    ):
        ours = pd.read_csv(study / f"{name}.csv")
        theirs = read_published(name)
        assert list(theirs.columns) == ["model", "split", "epoch", "fold", "auroc"]
        assert list(ours.columns) == list(theirs.columns)
        runs = [read_project(study / project).run for project in projects]
        values = [as_json(run)["subject"]["num_folds"] * as_json(run)["epochs"] for run in runs]
        assert len(ours) == 2 * sum(values)


@pytest.mark.slow
def test_regime_2_runs_on_a_study_of_its_own_with_given_values(
    tmp_path: Path,
    phantom_manifest: Path,
    tiny_protocol: Protocol,
    feature_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_process: Callable[..., str],
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(feature_cache))
    study = tmp_path / "study"
    one_point = dataclasses.replace(tiny_protocol, learning_rates=(1e-2,))
    Study(study, phantom_manifest, one_point).prepare()
    values = ["--batch-size", 8, "--dropout-rate", 0.25]
    in_process(SCRIPTS / "regime_2.py", study, phantom_manifest, *values)
    (trial,) = read_project(study / "regime_2").trials
    assert (trial.values["batch_size"], trial.values["dropout_rate"]) == (8, 0.25)
    shutil.rmtree(study)
