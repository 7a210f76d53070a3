"""`study.json`: what was prepared comes back, what steps add stays, what differs is refused."""

import dataclasses
import hashlib

import pandas as pd
import pytest

from rust_tuner import Protocol
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError, ResumeError, SplitError
from rust_tuner.records.study import STUDY_FILE, StudyFile

PROTOCOL = Protocol.study(seed=3)


@pytest.fixture
def radiographs(tmp_path):
    rows = []
    for number in range(4):
        image = tmp_path / f"{number}.png"
        image.write_bytes(bytes([number]))
        scores = {"medial": 1 + number, "lateral": 2, "anterior": None, "posterior": None}
        place = {"image": str(image), "patient_id": f"p{number // 2}", "visit": str(number)}
        rows.append(place | {"view": "ap"} | scores)
    return Radiographs(pd.DataFrame(rows))


@pytest.fixture
def folder(tmp_path, radiographs):
    folder = tmp_path / "study"
    folder.mkdir()
    create(folder, radiographs, tmp_path / "manifest.csv")
    return folder


def create(folder, radiographs, manifest):
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in radiographs.images]
    file = StudyFile(folder)
    assert not file.is_there
    file.create(
        radiographs,
        radiographs.subset([0, 1]),
        manifest=manifest,
        protocol=PROTOCOL,
        image_hashes=hashes,
        split_sha256="split",
    )
    assert file.is_there


def test_what_was_prepared_comes_back(folder, tmp_path):
    file = StudyFile(folder)
    assert file.protocol == PROTOCOL
    assert file.manifest == tmp_path / "manifest.csv"
    assert (file.content["radiographs"], file.content["patients"]) == (4, 2)
    assert file.content["weights"] is None
    assert file.content["split_sha256"] == "split"


def test_a_study_that_another_process_prepared_is_seen_once_it_is_looked_for(tmp_path, radiographs):
    (tmp_path / "study").mkdir()
    file = StudyFile(tmp_path / "study")
    create(tmp_path / "study", radiographs, tmp_path / "manifest.csv")
    assert not file.is_there
    file.look_again()
    assert file.is_there


def test_what_two_open_files_write_stays(folder):
    first, second = StudyFile(folder), StudyFile(folder)
    first.record_weights({"sha256": "abc"}, "imagenet")
    second.note_environment("regime_1", {"cores": 2}, split_sha256="later")
    content = StudyFile(folder).content
    assert content["weights"] == {"sha256": "abc"}
    assert content["protocol"]["weights"] == "imagenet"
    assert content["split_sha256"] == "later"


def test_a_step_notes_each_machine_once(folder):
    file = StudyFile(folder)
    for cores in (2, 8, 2):
        file.note_environment("final", {"cores": cores}, split_sha256="split")
    assert StudyFile(folder).content["environments"]["final"] == [{"cores": 2}, {"cores": 8}]


def test_nothing_is_written_where_nothing_changed(folder):
    before = (folder / STUDY_FILE).stat().st_mtime_ns
    StudyFile(folder).update(split_sha256="split")
    assert (folder / STUDY_FILE).stat().st_mtime_ns == before


def test_settled_choices_are_refused_with_a_table_and_those_of_searches_are_not(folder):
    file = StudyFile(folder)
    file.refuse_changes(dataclasses.replace(PROTOCOL, epochs=7, trials=3, weights="random"))
    other = dataclasses.replace(PROTOCOL, seed=4, image_size=150)
    with pytest.raises(
        ResumeError, match=r"other choices:\n  seed: was 3, is 4\n  image_size: was"
    ):
        file.refuse_changes(other)
    # The first search that used weights has settled them.
    file.record_weights({"sha256": "abc"}, "imagenet")
    with pytest.raises(ResumeError, match="weights: was imagenet, is random"):
        file.refuse_changes(dataclasses.replace(PROTOCOL, weights="random"))


def test_the_same_radiographs_of_another_manifest_are_taken_and_its_path_noted(
    folder, radiographs, tmp_path
):
    file = StudyFile(folder)
    file.refuse_other_radiographs(radiographs.subset([3, 1, 0, 2]), tmp_path / "moved.csv")
    assert StudyFile(folder).manifest == tmp_path / "moved.csv"


def test_other_radiographs_are_refused_with_their_numbers(folder, radiographs, tmp_path):
    fewer = radiographs.subset([0, 1, 2])
    told = r"radiographs: was 4 of 2 patients \(.*\), is 3 of 2 patients"
    with pytest.raises(ResumeError, match=rf"manifest\.csv changed since .*:\n  {told}"):
        StudyFile(folder).refuse_other_radiographs(fewer, tmp_path / "manifest.csv")
    with pytest.raises(ResumeError, match=r"prepared from .*manifest\.csv, and .*other\.csv holds"):
        StudyFile(folder).refuse_other_radiographs(fewer, tmp_path / "other.csv")


def test_a_changed_or_missing_image_is_refused(folder, radiographs, tmp_path):
    radiographs.images[2].write_bytes(b"another")
    with pytest.raises(ResumeError, match=r"image files of .* changed since"):
        StudyFile(folder).refuse_other_radiographs(radiographs, tmp_path / "manifest.csv")
    radiographs.images[2].unlink()
    with pytest.raises(ImageError, match=r"2\.png cannot be read"):
        StudyFile(folder).refuse_other_radiographs(radiographs, tmp_path / "manifest.csv")


def test_another_development_set_is_refused(folder, radiographs):
    file = StudyFile(folder)
    file.refuse_other_development(radiographs.subset([1, 0]), folder / "split.json")
    with pytest.raises(SplitError, match=r"split\.json seals other patients than study\.json says"):
        file.refuse_other_development(radiographs.subset([0, 1, 2]), folder / "split.json")


def test_a_study_says_with_which_kernels_its_first_training_was_begun(folder):
    file = StudyFile(folder)
    # What prepared it has trained nothing.
    assert file.begun_onednn is True
    trained = {"backend": "tensorflow", "onednn": False}
    file.note_environment("regime_1", trained, split_sha256="split")
    file.note_environment("regime_2", trained | {"onednn": True}, split_sha256="split")
    assert StudyFile(folder).begun_onednn is False


@pytest.mark.parametrize(
    "environments",
    [
        {"regime_1": [{"backend": "tensorflow"}], "final": [{"backend": "x", "onednn": False}]},
        {"regime_1": [{"backend": "jax", "onednn": None}]},
        {"regime_1": [{"backend": "tensorflow", "onednn": "yes"}]},
    ],
)
def test_kernels_that_are_not_recorded_are_not_guessed(environments, folder):
    file = StudyFile(folder)
    file.update(environments=environments)
    assert file.begun_onednn is None


@pytest.mark.parametrize("environments", [None, [], {"prepare": None}, {"prepare": [3]}, {}])
def test_a_study_without_any_training_takes_the_kernels_of_a_new_one(environments, folder):
    file = StudyFile(folder)
    file.update(environments=environments)
    assert file.begun_onednn is True
