"""`rust-tuner check`: verdicts on standard output, the exit code, and what else shows them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import run
from PIL import Image
from studies import StudyFolder

from rust_tuner import Study
from rust_tuner.protocol import Protocol


@pytest.mark.slow
def test_a_planted_leak_is_found_by_prepare_and_check_alone(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    """A patient's image, copied under another id and compressed again."""
    table = pd.read_csv(radiographs, dtype=str)
    image = Image.open(radiographs.parent / table["image"][0])
    assert image.mode == "L"
    image.save(radiographs.parent / "images" / "scan.jpg", quality=80)
    row = table.iloc[[0]].assign(image="images/scan.jpg", patient_id="somebody else")
    pd.concat([table, row]).to_csv(radiographs, index=False)
    study = tmp_path / "study"
    # The pixels are not the same ones, so preparing a study cannot see it.
    Study(study, radiographs, tiny_protocol, plain_ids=True).prepare()
    assert "checks: not run" in run("status", study).stdout

    found = run("check", study, code=1)
    assert "failed  Equal and nearly equal images" in found.stdout
    assert "scan.jpg (patient somebody else, " in found.stdout
    assert f"{table['image'][0].removeprefix('images/')} (patient {table['patient_id'][0]}, " in (
        found.stdout
    )
    assert "passed  Patients across splits" in found.stdout
    assert "without a verdict  Shuffled labels" in found.stdout
    assert "1 failed" in found.stderr
    status = run("status", study).stdout
    assert "checks: 3 passed, 1 failed, 4 without a verdict" in status
    assert "Equal and nearly equal images: Pairs of images that show the same picture" in status
    run("report", study)
    page = (study / "report" / "index.html").read_text()
    assert "Check failed, Equal and nearly equal images" in page
    assert "patient somebody else" in page


@pytest.mark.slow
def test_a_clean_study_raises_no_alarm(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    study = tmp_path / "study"
    Study(study, radiographs, tiny_protocol).prepare()
    found = run("check", study)
    assert found.stdout.count("passed  ") == 4
    assert "failed  " not in found.stdout
    assert "warning  " not in found.stdout
    assert f"-> {study / 'checks.json'}" in found.stderr


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    refused = run("check", tmp_path / "nothing", code=1)
    assert "has not been prepared" in refused.stderr
    assert not (tmp_path / "nothing").exists()


@pytest.mark.slow
def test_the_checks_are_behind_once_a_search_goes_on(
    finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(finished_copy.cache))
    study = finished_copy.directory
    kept = finished_copy.directory.parent / "regime_2"
    shutil.move(study / "regime_2", kept)
    run("check", study, "--permutations", 1)
    assert "searches have continued since" not in run("status", study).stdout
    shutil.move(kept, study / "regime_2")
    assert "searches have continued since; run check again" in run("status", study).stdout
    run("report", study)
    page = (study / "report" / "index.html").read_text()
    assert "Searches have continued since the checks were run" in page


def test_the_help_says_what_is_checked() -> None:
    text = " ".join(run("check", "--help").stdout.split())
    for part in ("shuffled labels", "view alone", "exit code is 1", "[default: 10]"):
        assert part in text


@pytest.mark.slow
def test_values_of_files_are_no_markup(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    table = pd.read_csv(radiographs, dtype=str)
    # Enough patients for two folds.
    table = table[table["patient_id"].isin(table["patient_id"].unique()[:7])]
    first = table["patient_id"][0]
    table["patient_id"] = table["patient_id"].replace({first: "[red]P9"})
    extra = table.iloc[[0]].assign(image="images/copy.jpg", patient_id="<b>P8</b>")
    pixels = np.asarray(Image.open(radiographs.parent / table["image"][0]))
    Image.fromarray(pixels).save(radiographs.parent / "images" / "copy.jpg", quality=90)
    pd.concat([table, extra]).to_csv(radiographs, index=False)
    study = tmp_path / "study"
    Study(
        study, radiographs, dataclasses.replace(tiny_protocol, num_folds=2), plain_ids=True
    ).prepare()
    found = run("check", study, code=1)
    assert "patient [red]P9" in found.stdout
    run("report", study)
    page = (study / "report" / "index.html").read_text()
    assert "<b>P8" not in page
    assert "&lt;b&gt;P8&lt;/b&gt;" in page
