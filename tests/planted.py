"""A hospital's export full of what must not leave a study, and a search for it in files."""

import base64
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from dicom_files import dataset, write
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Each stands somewhere in the export; the folders stand above it or in its path.
FOLDERS = ("Zacharias_Quint", "export of Dr. Kesselring")
MANIFEST = "scores_Kesselring_2021-03-04.csv"
PERSONS = ("Quintessa", "Oberhuber", "Kesselring", "Zacharias")
DATES = ("1954-03-02", "19540302", "2021-03", "202103", "2020-11", "202011")
_IDS = "MRN48213"


def write_export(root: Path, phantoms: Path) -> Path:
    """Radiographs as DICOM and PNG files with names, ids and dates everywhere, and their manifest.

    Args:
        root: where the folders with names are made.
        phantoms: a manifest of synthetic radiographs.

    Returns:
        The manifest.
    """
    folder = root.joinpath(*FOLDERS)
    (folder / "images").mkdir(parents=True)
    table = pd.read_csv(phantoms, dtype=str, keep_default_na=False)
    own = {name: f"{_IDS}{number:02d}" for number, name in enumerate(table["patient_id"].unique())}
    for row, values in table.iterrows():
        patient = own[values["patient_id"]]
        month, day = ("2021-03", 10) if values["visit"] != "1" else ("2020-11", 20)
        date = f"{month}-{day + len(patient) % 7:02d}"
        pixels = np.asarray(Image.open(phantoms.parent / values["image"]).convert("L"))
        name = f"images/hospital-{date}-{patient}-Quintessa-{values['view']}"
        is_dicom = isinstance(row, int) and row % 2 == 0
        name += ".dcm" if is_dicom else ".png"
        if is_dicom:
            write(
                folder,
                dataset(
                    pixels,
                    bits=8,
                    PatientName="Oberhuber^Quintessa",
                    PatientID=patient,
                    PatientBirthDate="19540302",
                    StudyDate=date.replace("-", ""),
                    ReferringPhysicianName="Kesselring^Zacharias",
                    InstitutionName="Oberhuber Clinic",
                    BurnedInAnnotation="NO",
                ),
                name,
            )
        else:
            text = PngInfo()
            text.add_text("Patient", f"Oberhuber, Quintessa, {patient}, born 1954-03-02")
            Image.fromarray(pixels).save(folder / name, pnginfo=text)
        table.loc[row, ["image", "patient_id", "visit"]] = [name, patient, date]
    table.to_csv(folder / MANIFEST, index=False)
    return folder / MANIFEST


def planted_in(content: bytes, words: Iterable[str] = ()) -> set[str]:
    """What of the export's is in some bytes, also in archives and pictures inside them."""
    planted = [*PERSONS, *DATES, _IDS, *FOLDERS, "hospital-", *words]
    found = set()
    for piece in _pieces(content):
        small = piece.lower()
        for word in planted:
            forms = (word.lower().encode(), word.lower().encode("utf-16-le"))
            if any(form in small for form in forms):
                found.add(word)
    return found


def planted_below(
    folder: Path, *, apart_from: Path, words: Iterable[str] = ()
) -> dict[str, set[str]]:
    """By file of a folder, what of the export's is in its content or its name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_relative_to(apart_from):
            continue
        name = path.relative_to(folder).as_posix()
        hits = planted_in(path.read_bytes(), words) | planted_in(name.encode(), words)
        if hits:
            found[name] = hits
    return found


def _pieces(content: bytes) -> Iterator[bytes]:
    """The bytes, and those of what they contain: members of archives, pictures, their texts."""
    yield content
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield member.encode()
                yield from _pieces(archive.read(member))
    if content.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(content)) as picture:
            yield repr(getattr(picture, "text", {})).encode()
    for blob in re.findall(rb"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", content):
        yield from _pieces(base64.b64decode(blob))
