"""A study is prepared once, and refuses what changed since."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from notes import contents
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.data.manifest import load_manifest
from rust_tuner.environment import describe_machine
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.files import read_json
from rust_tuner.records.project import read_project
from rust_tuner.steps.refit import require_own_search


def test_prepare_writes_down_protocol_seed_versions_and_hashes(
    tmp_path: Path, phantom_manifest: Path
) -> None:
    protocol = Protocol.clinical(seed=3, weights="random", image_size=75, num_folds=3)
    development = Study(tmp_path / "study", phantom_manifest, protocol).prepare()
    written = read_json(tmp_path / "study" / "study.json")
    assert Protocol.from_json(written["protocol"]) == protocol
    assert written["protocol"]["seed"] == 3
    assert set(written["versions"]) == {
        "python",
        "rust-tuner",
        "keras",
        "keras-tuner",
        "numpy",
        "pandas",
        "scikit-learn",
        "scipy",
        "tensorflow",
    }
    assert written["versions"]["numpy"] == np.__version__
    assert (written["radiographs"], written["patients"]) == (28, 12)
    for name in ("radiographs_sha256", "images_sha256"):
        assert re.fullmatch("[0-9a-f]{64}", written[name])
    split = read_json(tmp_path / "study" / "split.json")
    assert split["seed"] == 3
    assert set(split["development"]) == set(development.radiographs.written_patients)
    assert len(split["holdout"]) == 2
    assert not set(split["development"]) & set(split["holdout"])
    assert split["radiographs_sha256"] == written["radiographs_sha256"]
    assert written["split_sha256"] == split["sha256"]
    assert written["environments"] == {"prepare": [describe_machine()]}


def test_the_record_names_machine_threads_versions_and_split_of_every_step(
    finished_study: StudyFolder,
) -> None:
    written = read_json(finished_study.directory / "study.json")
    assert set(written["environments"]) == {"prepare", "regime_1", "regime_2"}
    for step in ("regime_1", "regime_2"):
        (found,) = written["environments"][step]
        assert found.items() >= describe_machine().items()
        assert found["backend"] == "tensorflow"
        # What makes a trial repeat bitwise.
        assert found["inter_op_threads"] == 1
        assert any(device.startswith("CPU") for device in found["devices"])
        run = read_project(finished_study.directory / step).run
        assert found["versions"] == run["versions"]
        assert isinstance(found["onednn"], bool)
        assert found["onednn"] is run["onednn"]
    split = read_json(finished_study.directory / "split.json")
    assert written["split_sha256"] == split["sha256"]
    assert set(split["folds"]) == {"3"}
    assert written["weights"]["sha256"]


def test_a_step_on_another_machine_is_noted_beside_the_first(
    finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_json(finished_copy.directory / "study.json")["environments"]
    finished_copy.open().regime_1()
    assert read_json(finished_copy.directory / "study.json")["environments"] == before
    other = describe_machine() | {"processor": "another one"}
    monkeypatch.setattr("rust_tuner.steps.notes.describe_machine", lambda: other)
    finished_copy.open().regime_1()
    finished_copy.open().regime_1()
    noted = read_json(finished_copy.directory / "study.json")["environments"]
    assert [found["processor"] for found in noted["regime_1"]] == [
        before["regime_1"][0]["processor"],
        "another one",
    ]
    assert noted["regime_2"] == before["regime_2"]


def test_prepare_twice_writes_nothing_new_and_gives_the_same_development_set(
    prepared: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    # The images have been moved, which the table of names follows.
    first = Study(prepared).prepare()
    before = contents(prepared)
    second = Study(prepared, radiographs, tiny_protocol).prepare()
    assert contents(prepared) == before
    pd.testing.assert_frame_equal(first.radiographs.table, second.radiographs.table)


def test_no_patient_of_the_holdout_set_is_in_the_development_set(
    prepared: Path, radiographs: Path
) -> None:
    development = Study(prepared).prepare()
    sealed = set(read_json(prepared / "split.json")["holdout"])
    everyone = set(Study(prepared).radiographs().written_patients)
    assert len(everyone) == len(set(load_manifest(radiographs).patient_ids))
    assert sealed | set(development.radiographs.written_patients) == everyone
    assert not sealed & set(development.radiographs.written_patients)


def test_a_prepared_study_knows_its_protocol(prepared: Path, tiny_protocol: Protocol) -> None:
    assert Study(prepared).protocol == tiny_protocol


def test_a_study_without_a_manifest_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"has not been prepared; give its manifest"):
        Study(tmp_path / "study").prepare()
    assert not (tmp_path / "study").exists()


def test_a_changed_score_is_refused_with_what_was_and_is(prepared: Path, radiographs: Path) -> None:
    table = pd.read_csv(radiographs, dtype=str)
    row = table["medial"].first_valid_index()
    table.loc[row, "medial"] = "1" if table.loc[row, "medial"] != "1" else "2"  # type: ignore[index]
    table.to_csv(radiographs, index=False)
    before = contents(prepared)
    with pytest.raises(
        ResumeError,
        match=r"radiographs: was 28 of 12 patients \(SHA-256 (\w{12})\), "
        r"is 28 of 12 patients \(SHA-256 (?!\1)\w{12}\)",
    ):
        Study(prepared).prepare()
    assert contents(prepared) == before


def test_a_removed_row_is_refused_with_both_counts(prepared: Path, radiographs: Path) -> None:
    lines = radiographs.read_text().splitlines(keepends=True)
    radiographs.write_text("".join(lines[:-1]))
    with pytest.raises(ResumeError, match=r"was 28 of 12 patients .* is 27 of 11 patients"):
        Study(prepared).prepare()


def test_an_image_that_changed_is_refused(prepared: Path, radiographs: Path) -> None:
    first, second = load_manifest(radiographs).images[:2]
    shutil.copyfile(first, second)
    with pytest.raises(ResumeError, match=r"image files of .* changed .* was \w{12}, is \w{12}"):
        Study(prepared).prepare()


def test_images_under_new_names_and_rows_in_another_order_are_the_same_study(
    prepared: Path, radiographs: Path
) -> None:
    table = pd.read_csv(radiographs, dtype=str).iloc[::-1]
    for name in table["image"]:
        (radiographs.parent / name).rename(radiographs.parent / f"{name[:-4]}_renamed.png")
    table["image"] = table["image"].str.replace(".png", "_renamed.png")
    table.to_csv(radiographs, index=False)
    assert len(Study(prepared).prepare()) == len(read_development(prepared))


def read_development(study: Path) -> pd.DataFrame:
    table = Study(study).radiographs().written
    return table[table["patient_id"].isin(read_json(study / "split.json")["development"])]


def test_another_manifest_is_refused_and_both_are_named(prepared: Path, radiographs: Path) -> None:
    other = radiographs.with_name("other.csv")
    lines = radiographs.read_text().splitlines()
    other.write_text("\n".join(lines[:-2]) + "\n")
    text = (
        "prepared from the manifest that private/key.json names, and the manifest that was given "
        "has other"
    )
    with pytest.raises(ResumeError, match=text):
        Study(prepared, other).prepare()
    assert Study(prepared).prepare() is not None


def test_the_same_radiographs_elsewhere_are_the_same_study(
    prepared: Path, radiographs: Path, tmp_path: Path
) -> None:
    expected = Study(prepared).prepare().radiographs.table["patient_id"]
    moved = tmp_path / "moved"
    radiographs.parent.rename(moved)
    development = Study(prepared, moved / radiographs.name).prepare()
    assert list(development.radiographs.table["patient_id"]) == list(expected)
    # From now on it is known.
    assert list(Study(prepared).prepare().radiographs.table["patient_id"]) == list(expected)


def test_of_two_that_prepare_at_once_the_second_takes_up_the_first(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    first = Study(tmp_path / "study", radiographs, tiny_protocol)
    second = Study(tmp_path / "study", radiographs, tiny_protocol)
    other = dataclasses.replace(tiny_protocol, objective="val_cortex_auroc")
    third = Study(tmp_path / "study", radiographs, other)
    first.prepare()
    content = (tmp_path / "study" / "study.json").read_bytes()
    second.prepare()
    with pytest.raises(ResumeError, match="objective: was val_auroc, is val_cortex_auroc"):
        third.prepare()
    assert (tmp_path / "study" / "study.json").read_bytes() == content


def test_what_killed_writes_left_aside_is_removed(prepared: Path) -> None:
    leftover = prepared / ".1-0123abcd.part"
    leftover.write_bytes(b"half")
    Study(prepared).prepare()
    assert not leftover.exists()


def test_searches_of_another_split_choose_nothing_for_this_study(
    tmp_path: Path, finished_copy: StudyFolder, tiny_protocol: Protocol
) -> None:
    """The patients sealed here may be those that the other search was run on."""
    protocol = dataclasses.replace(tiny_protocol, seed=1)
    study = Study(tmp_path / "other", finished_copy.manifest, protocol, cache=finished_copy.cache)
    study.prepare()
    for name in ("regime_1", "regime_2"):
        shutil.copytree(finished_copy.directory / name, tmp_path / "other" / name)
    before = contents(tmp_path / "other")
    with pytest.raises(SearchError, match=r"regime_1 was run on other radiographs .* hold-out"):
        study.final()
    with pytest.raises(SearchError, match=r"regime_2 was run on other radiographs .* hold-out"):
        study.noise(repeats=1)
    # Regime II alone holds all of the final model's values.
    shutil.rmtree(tmp_path / "other" / "regime_1")
    with pytest.raises(SearchError, match=r"regime_2 was run on other radiographs .* hold-out"):
        study.final()
    (tmp_path / "other" / "regime_2").rename(tmp_path / "other" / "regime_1")
    with pytest.raises(SearchError, match=r"regime_1 was run on other radiographs .* hold-out"):
        study.regime_2()
    assert (tmp_path / "other" / "study.json").read_bytes() == before["study.json"]
    assert not (tmp_path / "other" / "final").exists()
    assert not (tmp_path / "other" / "regime_2").exists()


def test_a_search_that_did_not_record_its_labels_is_not_taken_for_a_foreign_one(
    finished_study: StudyFolder,
) -> None:
    project = read_project(finished_study.directory / "regime_1")
    development = finished_study.open().prepare()
    require_own_search(project, development)
    subject = project.run.subject.model_copy(update={"targets": None})
    run = project.run.model_copy(update={"subject": subject})
    require_own_search(dataclasses.replace(project, run=run), development)
