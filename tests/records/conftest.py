"""Four radiographs, the folder of a study that was prepared with them, and that of a search."""

from pathlib import Path

import pandas as pd
import pytest
from search_records import RUN, write_trial
from study_files import write_study_file

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.files import write_json


@pytest.fixture
def radiographs(tmp_path: Path) -> Radiographs:
    rows = []
    for number in range(4):
        image = tmp_path / f"{number}.png"
        image.write_bytes(bytes([number]))
        scores = {"medial": 1 + number, "lateral": 2, "anterior": None, "posterior": None}
        place = {"image": str(image), "patient_id": f"p{number // 2}", "visit": str(number)}
        rows.append(place | {"view": "ap"} | scores)
    return Radiographs(pd.DataFrame(rows))


@pytest.fixture
def folder(tmp_path: Path, radiographs: Radiographs) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    write_study_file(folder, radiographs, tmp_path / "manifest.csv")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A completed trial, a better one, a failed one and a running one."""
    folder = tmp_path / "search"
    folder.mkdir()
    write_json(folder / "search.json", RUN)
    write_trial(folder, "0000")
    write_trial(folder, "0001", values={"units": 3}, folds=(-0.125, 0.0))
    write_trial(folder, "0002", status="FAILED", folds=(), message="MemoryError: no room")
    write_trial(folder, "0003", status="RUNNING", folds=(0.0,))
    return folder
