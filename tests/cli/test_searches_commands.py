"""The commands that search: what they show, that they resume, and how Ctrl-C ends them."""

import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import run
from narrowing import not_none
from studies import StudyFolder

from rust_tuner.files import read_json
from rust_tuner.records.project import read_project

TINY = ["--folds", "3", "--epochs", "2", "--weights", "random", "--image-size", "75"]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, feature_cache: Path) -> Path:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(feature_cache))
    return feature_cache


# Where a shell has put the tests into the background, their children ignore Ctrl-C.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from rust_tuner.cli.app import main; main()"
)


@pytest.mark.slow
def test_regime_1_on_a_fresh_folder_prepares_searches_and_shows_its_best(
    tmp_path: Path, phantom_manifest: Path, cache: Path
) -> None:
    study = tmp_path / "study"
    scale = ["--trials", 1, "--batch-sizes", "4,16", "--dropout-rates", "0.1,0.2", *TINY]
    result = run("regime1", study, "--manifest", phantom_manifest, *scale)
    (trial,) = read_project(study / "regime_1").trials
    assert trial.status == "COMPLETED"
    assert 4 <= float(trial.values["batch_size"]) <= 16
    assert 0.1 <= float(trial.values["dropout_rate"]) <= 0.2
    assert "Regime I: best 1 of 1 trial" in result.stdout
    assert f"{trial.score:.3f}" in result.stdout
    assert "view only" in result.stdout
    assert f"next: rust-tuner regime2 {study}" in result.stderr


@pytest.mark.slow
def test_regime_2_on_a_fresh_folder_in_its_documented_form(
    tmp_path: Path, phantom_manifest: Path, cache: Path
) -> None:
    study = tmp_path / "study"
    text = (
        f"regime2 {study} --manifest {phantom_manifest} --folds 3 --epochs 2 --batch-size 16 "
        "--dropout-rate 0.2 --learning-rates 0.1,0.01 --epsilons 0.1,1e-7 --seed 0 "
        "--weights random --image-size 75"
    )
    result = run(*text.split())
    trials = read_project(study / "regime_2").trials
    assert [trial.status for trial in trials] == ["COMPLETED"] * 4
    grid = {(trial.values["learning_rate"], trial.values["epsilon"]) for trial in trials}
    assert grid == {(0.1, 0.1), (0.1, 1e-7), (0.01, 0.1), (0.01, 1e-7)}
    assert {(t.values["batch_size"], t.values["dropout_rate"]) for t in trials} == {(16, 0.2)}
    assert all(len(trial.folds) == 3 for trial in trials)
    assert "in all of them: batch size 16, dropout rate 0.2" in words(result.stdout)
    before = {path: path.read_bytes() for path in study.rglob("trial.json")}
    run(*text.split())
    assert {path: path.read_bytes() for path in study.rglob("trial.json")} == before


def children_cpu_seconds() -> float:
    """Processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(process: int) -> float:
    """Processor time so far of a process that runs."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: int) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads Linux's /proc")
def test_ctrl_c_ends_a_search_with_130_and_the_command_that_resumes_it(
    tmp_path: Path, phantom_manifest: Path, cache: Path
) -> None:
    study = tmp_path / "a study"
    scale = ["--trials", "3", "--batch-sizes", "4,16", *TINY]
    arguments = ["regime1", str(study), "--manifest", str(phantom_manifest), *scale]
    command = [sys.executable, "-c", PROGRAM]
    before = children_cpu_seconds()
    with subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for((study / "regime_1" / "trial_0000" / "trial.json").exists, process, 600)
        worked = cpu_seconds(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=600)
    # It has ended, and is counted whole; little of that came after the signal.
    assert children_cpu_seconds() - before - worked < 10
    assert process.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    assert "interrupted; nothing finished is lost. To resume, run again:" in errors
    left = [trial.status for trial in read_project(study / "regime_1").trials]
    assert "RUNNING" in left
    program, *again = shlex.split(errors.splitlines()[-1])
    assert (program, again) == ("rust-tuner", arguments)
    done = subprocess.run([*command, *again], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    assert "Regime I: best 3 of 3 trials" in done.stdout
    trials = read_project(study / "regime_1").trials
    assert [trial.trial for trial in trials] == ["0000", "0001", "0002"]
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3


@pytest.mark.slow
def test_nested_and_noise_go_on_with_what_they_were_begun_with(
    repeated_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(repeated_copy.cache))
    study = repeated_copy.directory
    before = {path: path.read_bytes() for path in study.rglob("trial_*/*")}
    shown = run("nested", study)
    # The inner folds are two, though both searches of the study have three.
    assert "2 trials, 2 folds, 2 epochs, in each of 2 outer folds" in " ".join(shown.stdout.split())
    summary = read_json(study / "nested" / "summary.json")
    row = r"(?m)^ {} +AUROC, 18 labels +([+-]?[\d.]+) "
    for figure in ("selection_score", "estimate", "optimism", "gap"):
        value = re.search(row.format(figure.replace("_", " ")), shown.stdout)
        assert float(not_none(value)[1]) == pytest.approx(
            summary[figure]["auroc"]["mean"], abs=5.1e-4
        )
    assert run("nested", study).stdout == shown.stdout
    shown = run("noise", study)
    assert "2 repeats, 3 folds, 2 epochs" in " ".join(shown.stdout.split())
    assert "seeds" in shown.stdout
    assert {path: path.read_bytes() for path in study.rglob("trial_*/*")} == before
    lines = run("status", study).stdout
    assert "nested: 2 of 2 outer folds done" in lines
    assert "noise: 2 of 2 seeds, 2 of 2 assignments to folds done" in lines
    run("report", study)
    for name in ("nested", "nested_summary", "nested_stability", "noise", "noise_floor"):
        assert (study / "report" / "tables" / f"{name}.csv").is_file()
    refused = run("nested", study, "--epochs", 3, code=1)
    assert "protocol.epochs: was 2, is 3" in refused.stderr
