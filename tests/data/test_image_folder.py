"""Radiographs are found however an archive or a CD names its files."""

from pathlib import Path

import pytest

from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.sheet_scores import read_date
from rust_tuner.errors import ManifestError

# Of a Media Storage Directory, the table of contents of a CD.
DIRECTORY = b"\0" * 128 + b"DICM\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"


def write_radiograph(folder: Path, name: str, view: str = "AP") -> None:
    pytest.importorskip("pydicom")
    from dicom_files import dataset, ramp, write

    folder.mkdir(parents=True, exist_ok=True)
    write(folder, dataset(ramp(), PatientID="P1", StudyDate="20210304", ViewPosition=view), name)


@pytest.mark.parametrize(
    "name", ["IM0001", "1.2.826.0.1.398255", "CR.1.2.840.1", "IM0001.7", "a.dcm", "A.DICOM"]
)
def test_a_dicom_file_is_found_and_read_by_its_tags_whatever_its_name(
    name: str, tmp_path: Path
) -> None:
    write_radiograph(tmp_path, name)
    (tmp_path / "notes.2021").write_text("not DICOM")
    (tmp_path / "README").write_text("not DICOM")
    assert find_images(tmp_path) == [
        FoundImage(
            tmp_path / name, patient_id="P1", date=read_date("20210304"), view="ap", folder=tmp_path
        )
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("DICOMDIR", DIRECTORY),
        ("dicomdir", b"\0" * 128 + b"DICM"),
        ("DICOMDIR;1", DIRECTORY),
        ("contents.dcm", DIRECTORY),
        ("1.2.826.0.1.7", DIRECTORY),
    ],
)
def test_the_table_of_contents_of_a_cd_is_no_radiograph(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestError, match="contains no images"):
        find_images(tmp_path)
    write_radiograph(tmp_path / "PT000000", "IM000000")
    assert [image.path.name for image in find_images(tmp_path)] == ["IM000000"]
    by_name = find_images(tmp_path, pattern="{patient_id}/*")
    assert [image.patient_id for image in by_name] == ["PT000000"]


def test_a_table_of_contents_that_pydicom_writes_is_known_by_its_first_bytes(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pydicom")
    from dicom_files import dataset, ramp, write

    write(tmp_path, dataset(ramp(), SOPClassUID="1.2.840.10008.1.3.10"), "CONTENTS")
    write_radiograph(tmp_path, "IM000000")
    assert [image.path.name for image in find_images(tmp_path)] == ["IM000000"]
