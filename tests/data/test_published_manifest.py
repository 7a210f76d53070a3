"""Manifests of the published form: what is accepted, what is refused, and what the refusal says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rust_tuner.data.manifest import Radiographs, load_manifest, load_onehot_manifest
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES, LABELS


def refusal(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    return str(caught.value).splitlines()


ONEHOT = ["index", "study_id", "record_id", "event_arm", "view_antpr", "view_later"] + [
    f"{cortex}_cortex_{score}" for cortex in CORTICES for score in (1, 2, 3, 4)
]


def onehot_row(
    index: int, study: str, record: str, *, view: str = "ap", **scores: int
) -> dict[str, str]:
    row = dict.fromkeys(ONEHOT, "0")
    row |= {"index": str(index), "study_id": study, "record_id": record, "event_arm": "baseline"}
    row["view_antpr" if view == "ap" else "view_later"] = "1"
    return row | {f"{cortex}_cortex_{score}": "1.0" for cortex, score in scores.items()}


def load_onehot(
    folder: Path,
    rows: list[dict[str, str]],
    names: str = "x.png\ny.png\n",
    *,
    distinct_patients: bool = False,
) -> Radiographs:
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    (folder / "filenames.csv").write_text(names, encoding="utf-8")
    return load_onehot_manifest(
        folder / "labels.csv",
        folder / "filenames.csv",
        folder / "img",
        distinct_patients=distinct_patients,
    )


def two_rows() -> list[dict[str, str]]:
    return [
        onehot_row(0, "1", "12", medial=1, lateral=4),
        onehot_row(1, "11", "2", view="lateral", posterior=3),
    ]


def test_the_published_form_is_read_without_its_images(tmp_path: Path) -> None:
    radiographs = load_onehot(tmp_path, two_rows())
    assert radiographs.patient_ids.tolist() == ["1/12", "11/2"]
    assert radiographs.table["visit"].tolist() == ["baseline"] * 2
    assert radiographs.table["view"].tolist() == ["ap", "lateral"]
    assert radiographs.images == (
        tmp_path.resolve() / "img" / "x.png",
        tmp_path.resolve() / "img" / "y.png",
    )
    assert radiographs.rows == (2, 3)
    named = [{LABELS[i] for i in np.flatnonzero(row)} for row in radiographs.labels]
    assert named == [{"view_ap", "medial_1", "lateral_4"}, {"view_lateral", "posterior_3"}]


@given(
    ids=st.lists(
        st.tuples(st.text("a/%2F", min_size=1), st.text("a/%2F", min_size=1)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_different_patients_never_get_one_id(
    tmp_path_factory: pytest.TempPathFactory, ids: list[tuple[str, str]]
) -> None:
    rows = [onehot_row(n, *pair) for n, pair in enumerate(ids)]
    # Ids that read alike, such as "/2" of "/2" and "2" of "/2/", are refused otherwise.
    radiographs = load_onehot(tmp_path_factory.mktemp("ids"), rows, distinct_patients=True)
    assert len(set(radiographs.patient_ids)) == 2


@pytest.mark.parametrize("name", [None, "", "Unnamed: 0"])
def test_the_index_of_the_published_form_does_not_matter(tmp_path: Path, name: str | None) -> None:
    rows = [{(name if k == "index" else k): v for k, v in row.items()} for row in two_rows()]
    if name is None:
        rows = [{k: v for k, v in row.items() if k} for row in rows]
    assert len(load_onehot(tmp_path, rows)) == 2  # type: ignore[arg-type]


def test_repeated_exposures_are_allowed_in_the_published_form(tmp_path: Path) -> None:
    rows = [onehot_row(0, "1", "1", medial=1), onehot_row(1, "1", "1", medial=1)]
    assert load_onehot(tmp_path, rows).patient_ids.tolist() == ["1/1", "1/1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view_antpr": "2"}, "labels.csv row 2: view_antpr=2; expected 0 or 1"),
        ({"medial_cortex_2": ""}, "labels.csv row 2: medial_cortex_2=empty; expected 0 or 1"),
        ({"view_later": "1"}, "labels.csv row 2: view_antpr=1, view_later=1; both views are set"),
        ({"view_antpr": "0"}, "labels.csv row 2: view_antpr=0, view_later=0; neither view is set"),
        ({"medial_cortex_2": "1"}, "labels.csv row 2: medial_cortex has the scores 1 and 2"),
        ({"study_id": ""}, "labels.csv row 2: study_id is empty"),
        ({"record_id": ""}, "labels.csv row 2: record_id is empty"),
        ({"event_arm": ""}, "labels.csv row 2: event_arm is empty"),
        ({"age": "3"}, "labels.csv row 1: unknown column 'age'"),
    ],
)
def test_a_faulty_published_row_is_named(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    first, second = two_rows()
    with pytest.raises(ManifestError, match=f"^{re.escape(message)}"):
        load_onehot(tmp_path, [first | changes, second])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("x.png\n", "filenames.csv: 1 file names for 2 rows of labels.csv"),
        ("x.png\ny.png\nz.png\n", "filenames.csv: 3 file names for 2 rows of labels.csv"),
        ("x.png\n./x.png\n", "filenames.csv row 2: ./x.png is also in row 1"),
        ("\ny.png\n", "filenames.csv row 1: the file name is empty"),
        ("x.png,1\ny.png\n", "filenames.csv row 1: 2 values, expected one file name per line"),
        ("", "filenames.csv: the file is empty"),
    ],
)
def test_faulty_file_names_are_named(tmp_path: Path, names: str, message: str) -> None:
    with pytest.raises(ManifestError, match=f"^{re.escape(message)}"):
        load_onehot(tmp_path, two_rows(), names)


def test_faults_of_both_published_files_are_told_together(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "lateral_cortex_3"} for row in two_rows()]
    rows[1]["study_id"] = ""
    with pytest.raises(ManifestError) as caught:
        load_onehot(tmp_path, rows, "x.png\n\nx.png\n")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "labels.csv row 1",
        "labels.csv row 3",
        "filenames.csv",
        "filenames.csv row 2",
        "filenames.csv row 3",
    ]
    assert "column 'lateral_cortex_3' is missing" in lines[0]
