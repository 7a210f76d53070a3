"""Reports of small studies, and of studies that are unfinished, damaged or moved."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_pages import read_page
from narrowing import not_none
from PIL import Image
from report_predictions import make_predictions, write_out_of_fold
from report_searches import (
    write_baselines,
    write_json,
    write_project,
    write_regime_1,
    write_regime_2,
)
from report_studies import study_record, write_unrendered_report

from rust_tuner.errors import ResumeError, StorageError
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES
from rust_tuner.records.project import read_project
from rust_tuner.report.html import write_report


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The least study with a search."""
    study = tmp_path / "study"
    write_json(study / "study.json", study_record())
    write_regime_2(study / "regime_2")
    return study


@pytest.mark.slow
def test_text_of_records_shows_as_text(small: Path) -> None:
    path = small / "regime_2" / "trial_0003" / "trial.json"
    hostile = "TrialError: <img src=x onerror=alert(1)> & \"'"
    failed = {"status": "FAILED", "score": None, "best_step": None, "message": hostile}
    write_json(path, read_json(path) | failed)
    record = study_record(manifest="<b>m</b>.csv")
    record["protocol"]["weights"] = "</td><script>x</script>"
    write_json(small / "study.json", record)
    page = read_page(write_unrendered_report(small))
    assert hostile in page.text
    assert "<b>m</b>.csv" in page.text
    assert "</td><script>x</script>" in page.text
    assert not page.all("img")
    assert not page.all("b")
    assert len(page.all("script")) == 1


@pytest.mark.slow
def test_without_repeats_no_noise_floor_is_told(small: Path) -> None:
    source = write_unrendered_report(small).read_text()
    assert "The band is" not in source
    assert "Noise floor:" not in source


@pytest.mark.slow
def test_the_gallery_shows_the_radiographs_that_the_manifest_names(tmp_path: Path) -> None:
    study = tmp_path / "study"
    rows = make_predictions()
    (study / "final").mkdir(parents=True)
    rows.to_csv(study / "final" / "predictions.csv", index=False)
    (tmp_path / "moved" / "images").mkdir(parents=True)
    for number, image in enumerate(rows["image"]):
        pixels = np.full((40, 20), 50 + 2 * number, dtype=np.uint8)
        pixels[0, number // 10], pixels[1, number % 10] = 255, 0
        Image.fromarray(pixels).save(tmp_path / "moved" / image)
    names = ["image", "patient_id", "visit", "view", *CORTICES]
    rows[names].to_csv(tmp_path / "moved" / "manifest.csv", index=False)
    write_json(study / "study.json", study_record(manifest="../moved/manifest.csv"))
    page = read_page(write_unrendered_report(study, rendered=["holdout_worst"]))
    assert "restrict access to this file" in page.text
    assert "not found" not in page.text
    svg = (study / "report" / "figures" / "holdout_worst.svg").read_text()
    assert svg.count("data:image/png;base64,") == 9
    (tmp_path / "moved" / "manifest.csv").unlink()
    assert "9 image files were not found." in read_page(write_unrendered_report(study)).text


@pytest.mark.slow
def test_sites_have_a_table_where_they_are_told(small: Path) -> None:
    write_project(small / "final" / "cross_validation", [{"batch_size": 16}], num_folds=4)
    sites = ["Oslo" if number // 2 % 2 else "<b>Bergen</b>" for number in range(90)]
    write_out_of_fold(small / "final" / "cross_validation", site=sites)
    make_predictions().assign(site=sites[:60]).to_csv(
        small / "final" / "predictions.csv", index=False
    )
    page = read_page(write_unrendered_report(small))
    for name in ("holdout", "out_of_fold"):
        table = pd.read_csv(small / "report" / "tables" / f"{name}_sites.csv")
        assert list(table["site"].unique()) == ["<b>Bergen</b>", "Oslo"]
    assert "<b>Bergen</b>" in page.text
    assert not page.all("b")


@pytest.mark.slow
def test_an_older_record_without_out_of_fold_rows_says_what_to_do(small: Path) -> None:
    write_project(small / "final" / "cross_validation", [{"batch_size": 16}], num_folds=4)
    page = read_page(write_unrendered_report(small))
    assert "rows.csv is missing or was changed" in page.text


@pytest.mark.slow
def test_ties_and_intervals_of_a_search_stand_in_its_section(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=4)
    write_out_of_fold(tmp_path / "regime_1", trial=0)
    page = read_page(write_unrendered_report(tmp_path))
    project = read_project(tmp_path / "regime_1")
    interval = not_none(project.best).interval("cortex_auroc")
    assert f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})" in page.text
    num_tied = sum(tie.tied for tie in project.ties.values())
    assert (num_tied > 1) == ("trials are statistically tied for the best" in page.text)
    table = pd.read_csv(tmp_path / "report" / "tables" / "regime_1.csv")
    assert table["tied_with_best"].sum() == num_tied
    assert table["p_against_best"].notna().all()


@pytest.mark.slow
def test_equal_records_give_an_equal_report_but_for_the_studys_name(
    small: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(small, moved)
    pages = [write_report(small), write_report(moved)]
    files = [
        sorted(path for path in page.parent.rglob("*.*") if path.name != ".lock") for page in pages
    ]
    assert len(files[0]) == 2 + 13 * 3 + 3
    for one, other in zip(*files, strict=True):
        assert one.name == other.name
        if one.name == "claim.md":
            named = "# Reporting checklists: {}"
            text = one.read_text().replace(named.format("study"), named.format("moved"))
            assert text == other.read_text()
        elif one.name != "index.html":
            assert one.read_bytes() == other.read_bytes(), one
    first, second = (page.read_text() for page in pages)
    assert first.count("study: report") == first.count("Report of study") == 1
    named = first.replace("study: report", "moved: report").replace(str(small), str(moved))
    assert named.replace("Report of study", "Report of moved") == second


def test_a_study_that_is_only_prepared_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    page = read_page(write_report(tmp_path))
    for text in (
        "split.json is missing",
        f"The first models have not been run: rust-tuner baselines {tmp_path}",
        f"Regime I has not been run, or cannot be read: rust-tuner regime1 {tmp_path}",
        f"Regime II has not been run, or cannot be read: rust-tuner regime2 {tmp_path}",
        f"The final model has not been cross-validated: rust-tuner final {tmp_path}",
        f"The hold-out set has not been evaluated; it is sealed: rust-tuner final {tmp_path}",
        "120 radiographs of 60 patients are prepared",
        "There is nothing to rely on yet",
        "nothing here says how well the model performs on new patients",
        f"Not run yet: First models (rust-tuner baselines {tmp_path}), Regime I (",
    ):
        assert text in page.text
    assert "120 radiographs of 60 patients" in page.text


def test_a_search_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=0, num_trials=100)
    page = read_page(write_report(tmp_path))
    assert "0 of 100 trials have a score" in page.text
    assert "No trial has a score yet, so nothing is drawn." in page.text
    assert "study.json is missing or damaged" in page.text


@pytest.mark.slow
def test_a_single_trial_of_two_folds_and_one_epoch_is_drawn(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=1, num_folds=2, epochs=1)
    page = read_page(write_report(tmp_path))
    assert len(page.all("figure")) == 13
    assert "could not be made" not in page.text


@pytest.mark.slow
def test_a_damaged_part_is_named_and_the_rest_is_drawn(small: Path) -> None:
    write_regime_1(small / "regime_1", count=2)
    (small / "regime_1" / "search.json").write_text('{"format": 1')
    (small / "regime_2" / "trial_0001" / "fold_0.json").write_text("")
    page = read_page(write_unrendered_report(small))
    assert "Damaged: regime_1: " in page.text
    assert "Damaged: regime_2: trial_0001: " in page.text
    assert "Regime I has not been run, or cannot be read: rust-tuner regime1" in page.text
    assert "5 of 6 trials have a score" in page.text
    assert len(page.all("figure")) == 13


def test_first_models_on_different_data_are_not_drawn_side_by_side(tmp_path: Path) -> None:
    write_baselines(tmp_path / "baselines", ("lenet1998", "inceptionv3_imagenet"), epochs=2)
    path = tmp_path / "baselines" / "lenet1998" / "search.json"
    run = read_json(path)
    run["subject"]["targets"] = "cd" * 32
    write_json(path, run)
    page = read_page(write_unrendered_report(tmp_path))
    assert "so their figures cannot be compared" in page.text
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert not {"baselines_auroc", "published_baselines"} & drawn
    # Their curves are drawn, each by itself, and the summary.
    assert len(page.all("figure")) == len(drawn) == 6


@pytest.mark.slow
def test_predictions_that_cannot_be_drawn_leave_the_page_whole(tmp_path: Path) -> None:
    blind = make_predictions(rows=4).assign(**dict.fromkeys(CORTICES, None))
    (tmp_path / "final").mkdir()
    blind.to_csv(tmp_path / "final" / "predictions.csv", index=False)
    page = read_page(write_report(tmp_path))
    assert "ROC curves could not be made: no radiograph has a visible cortex" in page.text


def test_a_report_that_cannot_be_written_is_an_error_and_no_page(small: Path) -> None:
    (small / "report").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be used"):
        write_report(small)


def test_a_folder_without_a_study_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is not a study folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_report_needs_no_tensorflow(small: Path) -> None:
    code = (
        "import sys; from rust_tuner.report.html import write_report; "
        f"write_report({str(small)!r}); "
        "print(sorted({'tensorflow', 'keras', 'keras_tuner', 'torch', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_what_a_killed_report_left_aside_is_removed_by_the_next(small: Path) -> None:
    leftovers = [
        small / "report" / ".123-0a1b2c3d.part",
        small / "report" / "figures" / ".regime_1.123-0a1b2c3d.part.png",
        small / "report" / "tables" / ".123-0a1b2c3e.part",
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    write_unrendered_report(small)
    assert not any(path.exists() for path in leftovers)
    assert not list((small / "report").rglob("*.part*"))
