"""What a study is resumed with is what it was prepared with; what differs is refused and named."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
from study_files import PROTOCOL, write_study_file

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError, ResumeError, SplitError
from rust_tuner.records.model import Weights
from rust_tuner.records.private import IMAGES_FILE, PRIVATE, keeping_key, make_key, named
from rust_tuner.records.study import StudyFile
from rust_tuner.records.study_changes import (
    refuse_other_choices,
    refuse_other_development,
    refuse_other_radiographs,
)
from rust_tuner.records.study_record import STUDY_FILE


def test_swapped_and_changed_images_are_named_with_their_rows(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    first, second = radiographs.images[0].read_bytes(), radiographs.images[1].read_bytes()
    radiographs.images[0].write_bytes(second)
    radiographs.images[1].write_bytes(first)
    radiographs.images[3].write_bytes(b"another")
    with pytest.raises(ResumeError) as caught:
        refuse_other_radiographs(StudyFile(folder), radiographs, tmp_path / "manifest.csv")
    message = str(caught.value)
    assert f"row 2 ({radiographs.images[0]}, patient p0): is the image that row 3 had" in message
    assert f"row 3 ({radiographs.images[1]}, patient p0): is the image that row 2 had" in message
    assert f"row 5 ({radiographs.images[3]}, patient p1): changed" in message
    assert "row 4" not in message


def test_a_study_without_a_record_of_rows_gives_the_general_message(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    content = {k: v for k, v in StudyFile(folder).record.to_json().items() if k != "rows"}
    (folder / STUDY_FILE).write_text(json.dumps(content))
    radiographs.images[2].write_bytes(b"another")
    with pytest.raises(ResumeError, match=r"is \w{12}\); restore them"):
        refuse_other_radiographs(StudyFile(folder), radiographs, tmp_path / "manifest.csv")


def test_settled_choices_are_refused_with_a_table_and_those_of_searches_are_not(
    folder: Path,
) -> None:
    file = StudyFile(folder)
    refuse_other_choices(file, dataclasses.replace(PROTOCOL, epochs=7, trials=3, weights="random"))
    other = dataclasses.replace(PROTOCOL, seed=4, image_size=150)
    with pytest.raises(
        ResumeError, match=r"other choices:\n  seed: was 3, is 4\n  image_size: was"
    ):
        refuse_other_choices(file, other)
    # The first search that used weights has settled them.
    file.record_weights(Weights(asked="imagenet", sha256="abc"), "imagenet")
    with pytest.raises(ResumeError, match="weights: was imagenet, is random"):
        refuse_other_choices(file, dataclasses.replace(PROTOCOL, weights="random"))


def test_a_file_of_weights_is_the_same_by_its_absolute_path(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    (folder / STUDY_FILE).unlink()
    relative = dataclasses.replace(PROTOCOL, weights="net.h5")
    write_study_file(folder, radiographs, tmp_path / "manifest.csv", protocol=relative)
    file = StudyFile(folder)
    file.record_weights(Weights(asked="net.h5", sha256="abc"), "net.h5")
    absolute = str(Path("net.h5").resolve())
    refuse_other_choices(file, dataclasses.replace(PROTOCOL, weights=absolute))


def test_the_same_radiographs_of_another_manifest_are_taken_and_its_path_noted(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    file = StudyFile(folder)
    refuse_other_radiographs(file, radiographs.subset([3, 1, 0, 2]), tmp_path / "moved.csv")
    assert StudyFile(folder).manifest == tmp_path / "moved.csv"


def test_a_hashed_study_keeps_the_path_and_the_rows_of_its_manifest_with_its_key(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    key = make_key(folder, "../manifest.csv")
    (folder / STUDY_FILE).unlink()
    with keeping_key(folder, key):
        write_study_file(folder, named(radiographs, key), tmp_path / "manifest.csv", key=key)
    file = StudyFile(folder)
    with pytest.raises(ResumeError, match="hashes of patient ids, so it cannot be resumed with"):
        refuse_other_choices(file, PROTOCOL, plain_ids=True)
    other_order = named(radiographs.subset([3, 1, 0, 2]), key)
    refuse_other_radiographs(file, other_order, tmp_path / "moved.csv")
    assert StudyFile(folder).manifest == tmp_path / "moved.csv"
    assert "moved.csv" not in (folder / STUDY_FILE).read_text()
    images = pd.read_csv(folder / PRIVATE / IMAGES_FILE)
    assert list(images["image"]) == list(map(str, other_order.images))
    with pytest.raises(ResumeError, match=r"prepared from the manifest that .*, and the manifest"):
        refuse_other_radiographs(file, other_order.subset([0]), tmp_path / "Oberhuber.csv")


def test_other_radiographs_are_refused_with_their_numbers(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    fewer = radiographs.subset([0, 1, 2])
    expected = r"radiographs: was 4 of 2 patients \(.*\), is 3 of 2 patients"
    with pytest.raises(ResumeError, match=rf"manifest\.csv changed since .*:\n  {expected}"):
        refuse_other_radiographs(StudyFile(folder), fewer, tmp_path / "manifest.csv")
    with pytest.raises(ResumeError, match=r"prepared from .*manifest\.csv, and .*other\.csv has"):
        refuse_other_radiographs(StudyFile(folder), fewer, tmp_path / "other.csv")


def test_a_changed_or_missing_image_is_refused(
    folder: Path, radiographs: Radiographs, tmp_path: Path
) -> None:
    radiographs.images[2].write_bytes(b"another")
    with pytest.raises(ResumeError, match=r"image files of .* changed since"):
        refuse_other_radiographs(StudyFile(folder), radiographs, tmp_path / "manifest.csv")
    radiographs.images[2].unlink()
    with pytest.raises(ImageError, match=r"2\.png cannot be read"):
        refuse_other_radiographs(StudyFile(folder), radiographs, tmp_path / "manifest.csv")


def test_another_development_set_is_refused(folder: Path, radiographs: Radiographs) -> None:
    file = StudyFile(folder)
    refuse_other_development(file, radiographs.subset([1, 0]), folder / "split.json")
    with pytest.raises(SplitError, match=r"split\.json seals other patients than study\.json says"):
        refuse_other_development(file, radiographs.subset([0, 1, 2]), folder / "split.json")
