"""Any bytes are a manifest or a `ManifestError`, in bounded time."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rust_tuner.data.manifest import load_manifest, load_onehot_manifest
from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTEX_LABELS

COLUMNS = ["image", "patient_id", "visit", "view", "medial", "lateral", "anterior", "posterior"]
ONEHOT = ["index", "study_id", "record_id", "event_arm", "view_antpr", "view_later"]
ONEHOT += [label.replace("_", "_cortex_") for label in CORTEX_LABELS]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp037"]
CELLS = st.one_of(
    st.sampled_from(
        ["", "1", "4.0", "5", "0", "ap", "lateral", "a.png", "b.png", ".", "..", "/", "NA", "nan"]
    ),
    st.sampled_from(['"', '""', "'", "sep=,", ";", "\t", "\0", "\r", "\n", "=1+1", "\ufeff", "~"]),
    st.sampled_from(["a/" * 3000, "x" * 5000, "1" + "0" * 400, "1." + "0" * 5000, "\x1b[31m"]),
    st.text(max_size=6),
)
FUZZ = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifests")
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 4)).save(folder / name)
    return folder


@st.composite
def tables(draw: st.DrawFn, columns: list[str]) -> bytes:
    """A table that is nearly right, in any encoding and with any line ends."""
    header = list(columns)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(header) - 1))
        kind = draw(st.sampled_from(["repeat", "remove", "rename", "swap"]))
        if kind == "repeat":
            header.insert(place, header[place])
        elif kind == "remove" and len(header) > 1:
            del header[place]
        elif kind == "rename":
            header[place] = draw(CELLS)
        else:
            header[place], header[0] = header[0], header[place]
    good = ["a.png", "p1", "1", "ap", "1", "2", "", ""] + ["0"] * len(columns)
    width = st.integers(len(header) - 1, len(header) + 1) if draw(st.booleans()) else st.just(0)
    rows = [header]
    for _ in range(draw(st.integers(0, 4))):
        length = draw(width) or len(header)
        row = good[:length]
        for _ in range(draw(st.integers(0, 3))):
            row[draw(st.integers(0, len(row) - 1))] = draw(CELLS)
        rows.append(row)
    separator = draw(st.sampled_from([",", ",", ",", ";", "\t"]))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    first = draw(st.sampled_from(["", "", "sep=,\n", "sep=;\r\n", "\n", '"', "\ufeff"]))
    text = first + newline.join(separator.join(row) for row in rows)
    return text.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")


def judge(folder: Path, content: bytes) -> None:
    path = folder / "m.csv"
    path.write_bytes(content)
    try:
        radiographs = load_manifest(path)
    except ManifestError as error:
        assert "m.csv" in str(error)
        return
    assert len(radiographs) > 0


def judge_onehot(folder: Path, content: bytes, names: bytes) -> None:
    labels, filenames = folder / "labels.csv", folder / "filenames.csv"
    labels.write_bytes(content)
    filenames.write_bytes(names)
    try:
        radiographs = load_onehot_manifest(labels, filenames, folder)
    except ManifestError as error:
        assert ".csv" in str(error)
        return
    assert len(radiographs) > 0


@FUZZ
@given(content=tables(COLUMNS))
def test_nearly_right_tables_are_manifests_or_manifest_errors(folder: Path, content: bytes) -> None:
    judge(folder, content)


@FUZZ
@given(content=st.binary(max_size=400))
def test_any_bytes_are_a_manifest_error(folder: Path, content: bytes) -> None:
    judge(folder, content)
    judge_onehot(folder, content, content)
    judge(folder, (",".join(COLUMNS) + "\n").encode() + content)


@FUZZ
@given(
    content=tables(ONEHOT),
    names=st.one_of(tables(["a.png"]), st.binary(max_size=60), st.just(b"a.png\n" * 3)),
)
def test_nearly_right_label_tables_are_manifests_or_manifest_errors(
    folder: Path, content: bytes, names: bytes
) -> None:
    judge_onehot(folder, content, names)


def test_a_file_of_names_may_name_its_separator(folder: Path) -> None:
    row = ["0", "s", "r", "e", "1", "0"] + ["0"] * 16
    (folder / "l.csv").write_text("\n".join(["sep=;", ";".join(ONEHOT), ";".join(row)]))
    (folder / "f.csv").write_text("sep=,\na.png\n")
    assert load_onehot_manifest(folder / "l.csv", folder / "f.csv", folder).rows == (3,)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (COLUMNS, ["x" * 131_000, "p", "1", "ap", "1", "", "", ""]),
        (COLUMNS, ["a/" * 65_000, "p", "1", "ap", "1", "", "", ""]),
        (COLUMNS, ["a.png", "p", "1", "z" * 131_000, "1" * 1000, "", "", ""]),
        (COLUMNS, ["a.png", "p" * 200_000, "1", "ap", "1", "", "", ""]),
        ([*COLUMNS, *(f"c{n}" for n in range(50_000))], ["1"] * 50_008),
        ([*COLUMNS * 5000], ["1"] * 40_000),
        (["y" * 131_000] * 8, ["1"] * 8),
        (COLUMNS, ['"' * 4001] * 8),
    ],
)
def test_huge_cells_and_headers_are_refused_quickly_and_briefly(
    folder: Path, header: list[str], row: list[str]
) -> None:
    path = folder / "huge.csv"
    path.write_text("\n".join([",".join(header), *[",".join(row)] * 20]))
    start = time.process_time()
    with pytest.raises(ManifestError) as caught:
        load_manifest(path)
    assert time.process_time() - start < 3
    assert len(str(caught.value)) < 2_000_000
