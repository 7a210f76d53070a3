"""Which images a person means, and which are the two views of a visit."""

from pathlib import Path
from typing import Any

import pytest

from rust_tuner.errors import ManifestError
from rust_tuner.steps.image_list import ImageList, list_images


def files(folder: Path, *names: Any) -> list[Any]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return [folder / name for name in names]


def paired(listed: ImageList) -> set[tuple[str, ...]]:
    return {tuple(listed.images[position].name for position in pair) for pair in listed.pairs}


@pytest.mark.parametrize(
    ("ap", "lateral"),
    [
        ("017_ap.png", "017_lat.png"),
        ("017-AP.jpg", "017-Lateral.jpg"),
        ("ap017.png", "lat017.png"),
        ("P0001_v1_ap.png", "P0001_v1_lateral.png"),
        ("lateral malleolus 3 ap.png", "lateral malleolus 3 lat.png"),
        ("AP.png", "LAT.jpeg"),
    ],
)
def test_names_that_differ_in_the_view_only_are_a_pair(
    tmp_path: Path, ap: str, lateral: str
) -> None:
    listed = list_images(files(tmp_path, lateral, ap))
    assert paired(listed) == {(ap, lateral)}
    assert listed.by_visit == 0


def test_folders_may_name_the_view(tmp_path: Path) -> None:
    listed = list_images(files(tmp_path, "ap/1.png", "lateral/1.png", "lateral/2.png"))
    assert listed.pairs == ((0, 1),)


@pytest.mark.parametrize(
    "names",
    [
        ("1_ap.png", "2_lat.png"),
        ("1_ap.png", "1_ap.jpg", "1_lat.png"),
        ("map1.png", "flat1.png"),
        ("1.png", "2.png"),
        ("a/1_ap.png", "b/1_lat.png"),
    ],
)
def test_other_names_are_not_paired(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert list_images(files(tmp_path, *names)).pairs == ()


def test_a_folder_stands_for_its_images_and_those_of_its_subfolders(tmp_path: Path) -> None:
    files(tmp_path, "a.PNG", "b/c.jpg", ".hidden/d.png", "notes.txt", "manifest.csv")
    listed = list_images([tmp_path, tmp_path / "a.PNG"])
    assert [path.name for path in listed.images] == ["a.PNG", "c.jpg"]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="contains no images; expected files that end in"):
        list_images([tmp_path])


def test_views_are_paired_however_their_paths_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files(tmp_path, "x/1_ap.png", "x/1_lat.png")
    monkeypatch.chdir(tmp_path)
    for typed in ("x/1_ap.png", "../" + tmp_path.name + "/x/1_ap.png"):
        assert list_images([Path(typed), tmp_path / "x" / "1_lat.png"]).pairs == ((0, 1),)


def test_other_usual_names_beside_a_column_called_image_are_understood(tmp_path: Path) -> None:
    table = "image,Patient,Datum,Ansicht\nx.png,P1,2021-03-04,ap\ny.png,P1,2021-03-04,lateral\n"
    (tmp_path / "m.csv").write_text(table)
    listed = list_images([tmp_path / "m.csv"])
    assert paired(listed) == {("x.png", "y.png")}
    assert listed.by_visit == 1


def test_a_manifest_names_images_and_pairs(tmp_path: Path) -> None:
    table = "image,patient_id,visit,view\nx.png,P1,1,lateral\ny.png,P1,1,ap\nz.png,P1,2,ap\n"
    (tmp_path / "m.csv").write_text(table)
    listed = list_images([tmp_path / "m.csv"])
    assert paired(listed) == {("y.png", "x.png")}
    assert listed.by_visit == 1
    assert len(listed.images) == 3


def test_a_manifest_needs_no_column_but_the_image(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image\n1_ap.png\n1_lat.png\n")
    listed = list_images([tmp_path / "m.csv"])
    assert paired(listed) == {("1_ap.png", "1_lat.png")}
    (tmp_path / "m.csv").write_text("name\n1_ap.png\n")
    with pytest.raises(ManifestError, match="image"):
        list_images([tmp_path / "m.csv"])


@pytest.mark.parametrize(
    "content",
    [
        "image;note\n1_ap.png;x\n1_lat.png;\n",
        "image\tnote\n1_ap.png\tx\n1_lat.png\ty\n",
        "sep=;\nimage;note\n1_ap.png;x\n1_lat.png;\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_of_another_form_that_only_names_images_needs_no_patients(
    content: str, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "m.csv").write_bytes(content.encode(encoding))
    assert paired(list_images([tmp_path / "m.csv"])) == {("1_ap.png", "1_lat.png")}


def test_an_empty_image_in_such_a_table_is_named_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image;note\n1_ap.png;x\n;y\n")
    with pytest.raises(ManifestError, match=r"m\.csv row 3: image is empty"):
        list_images([tmp_path / "m.csv"])


def test_a_table_with_scores_but_no_patient_is_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image;medial\n1_ap.png;2\n")
    with pytest.raises(ManifestError, match="which column is the patient"):
        list_images([tmp_path / "m.csv"])


def listed_by(folder: Path, content: str) -> ImageList:
    (folder / "m.csv").write_text(content)
    return list_images([folder / "m.csv"])


@pytest.mark.parametrize(
    "rows", ["a.png,,,ap\nb.png,,,lateral\n", "a.png,,1,ap\nb.png,,1,lateral\n"]
)
def test_images_of_nobody_in_particular_are_no_pair(rows: str, tmp_path: Path) -> None:
    assert listed_by(tmp_path, f"image,patient_id,visit,view\n{rows}").pairs == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    "header",
    [
        "image,patient_id,visit,view",
        "image,patient_id,date,view",
        "Image,Patient,Visit,View",
        "File,Case No,Date,Ansicht",
    ],
)
def test_a_table_of_new_images_names_pairs_without_any_score(
    header: str, separator: str, tmp_path: Path
) -> None:
    table = f"{header}\nx.png,P1,2021-03-04,Lateral\ny.png,P1,2021-03-04,AP\n"
    listed = listed_by(tmp_path, table.replace(",", separator))
    assert paired(listed) == {("y.png", "x.png")}
    assert listed.by_visit == 1


@pytest.mark.parametrize("separator", [",", ";"])
def test_paths_as_windows_writes_them_are_found(separator: str, tmp_path: Path) -> None:
    files(tmp_path, "sub/a.png")
    listed = listed_by(tmp_path, f"image{separator}note\nsub\\a.png{separator}x\n")
    assert [path.is_file() for path in listed.images] == [True]


def test_an_image_in_two_rows_that_differ_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"row 3: image=a\.png is also in row 2, of another visit"
    ):
        listed_by(tmp_path, "image,patient_id,visit,view\na.png,P1,1,ap\na.png,P1,2,ap\n")
    assert len(listed_by(tmp_path, "image\na.png\na.png\n").images) == 1


@pytest.mark.parametrize("separator", [",", ";"])
def test_bits_and_crops_of_a_table_are_those_of_its_images(separator: str, tmp_path: Path) -> None:
    table = "image,bits,crop_left,crop_top,crop_right,crop_bottom\na.png,12,1,2,30,40\nb.png,,,,,\n"
    listed = listed_by(tmp_path, table.replace(",", separator))
    assert listed.bits == (12, None)
    assert listed.boxes == ((1, 2, 30, 40), None)
    with pytest.raises(ManifestError, match=r"row 2, column bits: bits=17|bits=17"):
        listed_by(tmp_path, table.replace("12", "17").replace(",", separator))


def test_bits_of_a_manifest_with_scores_are_those_of_its_images(tmp_path: Path) -> None:
    files(tmp_path, "a.png", "b.png")
    header = "image;patient_id;visit;view;medial;lateral;anterior;posterior;bits"
    listed = listed_by(tmp_path, f"{header}\na.png;P1;1;ap;1;2;;;12\nb.png;P1;1;lateral;;;3;4;\n")
    assert listed.bits == (12, None)
