"""Four radiographs, and the folder of a study that was prepared with them."""

from pathlib import Path

import pandas as pd
import pytest
from study_files import write_study_file

from rust_tuner.data.radiographs import Radiographs


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
