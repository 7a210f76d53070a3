"""The commands around the searches: first models, final model, prediction, report, all in one."""

import json
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from command import run
from narrowing import as_json
from stand_ins import without_inception
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.cli import whole_run
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.records.project import read_project

TREE = (
    "study.json",
    "split.json",
    "baselines/lenet1998/trial_0000/fold_0.json",
    "baselines/inceptionv3_end2end/trial_0000/fold_0.json",
    "regime_1/oracle.json",
    "regime_1/trial_0000/trial.json",
    "regime_2/oracle.json",
    "regime_2/trial_0000/trial.json",
    "best_hyperparameters.json",
    "final/model.keras",
    "final/model.json",
    "final/predictions.csv",
    "final/holdout.json",
    "report/index.html",
)


@pytest.fixture
def final_copy(finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(finished_copy.cache))
    return finished_copy


@pytest.mark.slow
def test_final_looks_once_and_then_shows_what_it_found(
    final_copy: StudyFolder, phantom_manifest: Path, tmp_path: Path
) -> None:
    study = final_copy.directory
    first = run("final", study)
    found = read_json(study / "final" / "holdout.json")
    assert f"evaluated on {found['date']}" in first.stderr
    assert f"{found['metrics']['auroc']:.3f}" in first.stdout
    assert run("final", study).stdout == first.stdout
    assert f"hold-out set: looked at once on {found['date']}" in run("status", study).stdout

    images = sorted((phantom_manifest.parent / "images").iterdir())[:2]
    model = study / "final" / "model.keras"
    shown = run("predict", model, *images, "--pairs", "--csv", tmp_path / "scores.csv")
    assert "Research use only" in shown.stderr
    assert all(name in shown.stdout for name in CORTICES)
    scores = pd.read_csv(tmp_path / "scores.csv")
    table = pd.read_csv(study / "final" / "predictions.csv")
    both = [str(path) for path in images if str(path) in set(table["image"])]
    for image in both:
        ours = scores.set_index("image").loc[image, "medial_1"]
        theirs = table.set_index("image").loc[image, "probability_medial_1"]
        assert ours == pytest.approx(theirs, abs=1e-5)
    assert len(scores) == 2

    assert "report ->" in run("report", study).stderr
    page = (study / "report" / "index.html").read_text()
    assert f"{found['metrics']['auroc']:.3f}" in page


def test_final_before_the_searches_is_refused_with_what_to_do(
    tmp_path: Path, phantom_manifest: Path
) -> None:
    options = ["--weights", "random", "--folds", 3]
    run("prepare", tmp_path / "study", "--manifest", phantom_manifest, *options)
    refused = run("final", tmp_path / "study", code=1)
    assert "regime_2 has not been run; run it first" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_a_first_model_is_trained_shown_and_not_trained_again(
    tmp_path: Path, phantom_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path / "cache"))
    options = ["--model", "lenet1998", "--folds", 3, "--epochs", 1]
    scale = ["--image-size", 75, "--weights", "random"]
    study = tmp_path / "study"
    first = run("baselines", study, "--manifest", phantom_manifest, *options, *scale)
    for name in ("chance", "view_only", "lenet1998"):
        assert name in first.stdout
    (trial,) = read_project(study / "baselines" / "lenet1998").trials
    assert trial.status == "COMPLETED"
    assert len(trial.folds) == 3
    before = {path: path.read_bytes() for path in study.rglob("trial_*/*")}
    assert run("baselines", study, *options).stdout == first.stdout
    # Typed without its options it goes on with them, and other folds are refused at once.
    assert run("baselines", study, "--model", "lenet1998").stdout == first.stdout
    refused = run("baselines", study, "--model", "inceptionv3_end2end", "--folds", 2, code=1)
    assert "but 2 folds (" in refused.stderr
    assert {path: path.read_bytes() for path in study.rglob("trial_*/*")} == before
    assert "baselines/lenet1998: 1 of 1 trials done" in run("status", study).stdout


@pytest.mark.slow
def test_final_takes_folds_and_epochs_and_keeps_them(
    final_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_inception(monkeypatch)
    study = final_copy.directory
    run("final", study, "--folds", 2, "--epochs", 1)
    project = read_project(study / "final" / "cross_validation")
    assert (as_json(project.run)["subject"]["num_folds"], project.run["epochs"]) == (2, 1)
    resumed = Study(study).protocol_of("final")
    assert (resumed.final_folds, resumed.final_epochs) == (2, 1)


@pytest.mark.slow
def test_a_study_on_a_prepared_folder_uses_the_weights_that_are_asked_for(
    tmp_path: Path, phantom_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    asked = without_inception(monkeypatch)
    monkeypatch.setattr(whole_run.WholeRun, "measure", lambda self: None)
    study = tmp_path / "study"
    protocol = Protocol.study(
        image_size=75,
        num_folds=2,
        epochs=1,
        trials=1,
        batch_size_range=(8, 8),
        learning_rates=(1e-3,),
        epsilons=(1e-7,),
        baseline_folds=2,
        baseline_epochs=1,
        final_folds=2,
        final_epochs=1,
    )
    Study(study, phantom_manifest, protocol).prepare()
    # A study's own reports are in the test of a whole study below; one is enough here.
    shown = run("study", study, "--weights", "random", "--skip", "report")
    run("report", study)
    # Without a network ImageNet's model is left out, and said to be.
    assert "inceptionv3_imagenet is left out" in shown.stderr
    assert (study / "report" / "index.html").is_file()
    for project in ("regime_1", "regime_2", "final/cross_validation"):
        assert as_json(read_project(study / project).run)["subject"]["weights"]["asked"] == "random"
    # Whatever was built, for features and for models, was built from these.
    assert {weights.asked for weights in asked} == {"random"}


def event_files(study: Path) -> set[Path]:
    logs = study / "tensorboard"
    return {path.relative_to(logs) for path in logs.rglob("*tfevents*")}


@pytest.mark.slow
def test_a_step_keeps_tensorboard_logs_where_asked_and_a_command_writes_them_later(
    final_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_inception(monkeypatch)
    study = final_copy.directory
    shown = run("tensorboard", study)
    next_command = shown.stderr.splitlines()[-1]
    assert next_command == f"next: tensorboard --logdir {shlex.quote(f'{study}/tensorboard')}"
    regimes = event_files(study)
    assert {path.parts[0] for path in regimes} == {"regime_1", "regime_2"}
    shutil.rmtree(study / "tensorboard")
    run("regime2", study, "--tensorboard")
    # The file of a search itself declares what all searches with logs vary.
    trials = {path for path in regimes if path.parts[0] == "regime_2" and len(path.parts) > 2}
    written = event_files(study)
    assert {path for path in written if len(path.parts) > 2} == trials
    assert len(written - trials) == 1
    run("final", study, "--tensorboard")
    added = {path.parts[:2] for path in event_files(study) if len(path.parts) > 2} - {
        path.parts[:2] for path in trials
    }
    assert added == {("final", "cross_validation")}


def test_logs_without_their_package_are_refused_before_anything_is_done(
    tmp_path: Path, phantom_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    study = tmp_path / "study"
    refused = run("regime1", study, "--manifest", phantom_manifest, "--tensorboard", code=1)
    assert "rust-tuner[tensorboard]" in refused.stderr
    assert not study.exists()


# The command at a scale that is smaller yet, and with a stand-in for InceptionV3, whose training
# takes minutes.
LESS = {
    "epochs": 2,
    "trials": 3,
    "learning_rates": (1e-2, 1e-3),
    "epsilons": (1e-7,),
    "baseline_epochs": 1,
    "final_folds": 3,
    "final_epochs": 2,
}
PROGRAM = f"""
import sys
from rust_tuner import protocol
protocol.SMALL_SCALE.update({LESS!r})
from rust_tuner.cli.app import main
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import pytest
from stand_ins import without_inception
without_inception(pytest.MonkeyPatch())
main()
"""


@pytest.mark.slow
def test_a_whole_study_killed_on_the_way_has_every_file(
    tmp_path: Path, phantom_manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    study = tmp_path / "study"
    options = ["study", str(study), "--manifest", str(phantom_manifest), "--scale", "small"]
    options += ["--weights", "random", "--image-size", "75", "--tensorboard"]
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path / "cache"))
    moments = random.Random(3)
    for place in ("regime_1/trial_0001", "baselines/inceptionv3_end2end/trial_0000"):
        child = subprocess.Popen(
            [*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not (study / place).exists():
            assert child.poll() is None
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 2))
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    # The same program, in this process.
    for name, value in LESS.items():
        monkeypatch.setitem(SMALL_SCALE, name, value)
    without_inception(monkeypatch)
    done = run(*options)
    missing = [name for name in TREE if not (study / name).is_file()]
    assert missing == []
    assert list((study / "report" / "figures").glob("*.svg"))
    assert list((study / "report" / "tables").glob("*.csv"))
    assert json.loads((study / "study.json").read_text())["protocol"]["scale"] == "small"
    assert not list(study.rglob("*.part*"))
    # The logs are those that the records alone would give.
    kept = event_files(study)
    assert len(kept) > 25
    shutil.rmtree(study / "tensorboard")
    run("tensorboard", study)
    assert event_files(study) == kept
    # What is on standard output does not depend on the report, which takes longest.
    assert run(*options, "--skip", "report").stdout == done.stdout
