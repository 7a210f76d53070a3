"""The demonstration: which weights it takes, and that it ends with an answer and a report."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from command import run
from narrowing import not_none

from rust_tuner import Protocol, Study
from rust_tuner.analysis.study_figures import find_figure, holdout_figures
from rust_tuner.files import read_json
from rust_tuner.metrics.figure import CORTEX_GROUP
from rust_tuner.records.folder import read_study
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.trials import PRUNED


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, feature_cache: Path) -> Path:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(feature_cache))
    return feature_cache


@pytest.mark.parametrize("begun", [False, True])
def test_demo_continues_calmly_with_its_own_weights_where_none_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begun: bool
) -> None:
    """Up to the first search; that it finishes is the slow test below."""
    import keras

    def no_network(*_: object, **__: object) -> NoReturn:
        print("Downloading data from https://example.org/weights")
        raise Exception("URL fetch failure on https://example.org: None -- [Errno -2] no network")

    def no_search(self: Study) -> NoReturn:
        raise KeyboardInterrupt

    def no_phantoms(directory: Path, **_: object) -> Path:
        return tmp_path / "manifest.csv"

    folder = tmp_path / "demo"
    if begun:
        (folder / "study").mkdir(parents=True)
        hashes = ("radiographs_sha256", "images_sha256", "development_sha256")
        written: dict[str, Any] = dict.fromkeys(hashes, "ab" * 32) | {
            "radiographs": 0,
            "patients": 0,
        }
        written |= {"weights": None}
        protocol = Protocol.study(weights="random").to_json()
        written |= {"format": 1, "manifest": "../../manifest.csv", "protocol": protocol}
        (folder / "study" / "study.json").write_text(json.dumps(written))
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    monkeypatch.setattr(keras.utils, "get_file", no_network)
    monkeypatch.setattr(Study, "regime_1", no_search)
    monkeypatch.setattr("rust_tuner.data.phantoms.write_phantoms", no_phantoms)
    result = run("demo", folder, code=130)
    note = "started without pretrained weights" if begun else "small backbone that was trained"
    assert note in result.stderr
    assert "error" not in result.output.lower()
    assert "Downloading" not in result.output
    assert ("could not be downloaded: no network." in result.stderr) is not begun


def test_demo_does_not_replace_weights_that_the_user_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_TUNER_WEIGHTS", str(tmp_path / "none.h5"))
    result = run("demo", tmp_path / "demo", code=1)
    assert "error: RUST_TUNER_WEIGHTS=" in result.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_demo_without_weights_or_network_finishes_far_above_chance(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("RUST_TUNER_WEIGHTS",)}
    home = tmp_path / "home"
    home.mkdir()
    places = {name: str(home) for name in ("HOME", "KERAS_HOME")}
    places["RUST_TUNER_CACHE"] = str(home / "cache")
    # An address that refuses at once, so that the test does not depend on there being no network.
    places |= dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("rust-tuner")), "demo"],
        cwd=tmp_path,
        env=environment | places,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert "uses a small backbone that was trained on synthetic radiographs" in done.stderr
    assert "say nothing about radiographs of patients" in done.stderr
    assert "error" not in (done.stdout + done.stderr).lower()
    assert "Downloading data" not in done.stdout + done.stderr
    study = tmp_path / "rust-tuner-demo" / "study"
    for folder, name, count in ((REGIME_1, "Regime I", 6), (REGIME_2, "Regime II", 4)):
        statuses = [trial.status for trial in read_project(study / folder).trials]
        # A hopeless trial is stopped, and none fails.
        assert set(statuses) <= {"COMPLETED", PRUNED} and len(statuses) == count
        num_best = min(5, statuses.count("COMPLETED"))
        assert num_best >= 2
        assert f"{name}: best {num_best} of {count} trials" in done.stdout
    best = read_json(tmp_path / "rust-tuner-demo" / "best_hyperparameters.json")
    assert best["weights"]["asked"] == "phantoms"
    assert (study / "report" / "index.html").is_file()
    # Far above chance, as the demonstration is meant to show.
    figures = holdout_figures(read_study(study))
    assert not_none(find_figure(figures, "auroc", CORTEX_GROUP))["value"] >= 0.7
    assert np.isfinite(best["score"])
    assert set(best["hyperparameters"]) == {
        "batch_size",
        "dropout_rate",
        "learning_rate",
        "epsilon",
    }
