"""Radiographs of several shapes, for what decodes them and what feeds them to TensorFlow."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rust_tuner.data.radiographs import Radiographs

NUM_IMAGES = 11


@pytest.fixture
def radiographs(tmp_path: Path) -> Radiographs:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(NUM_IMAGES):
        path = tmp_path / f"{number}.png"
        shape = (30, 40) if number % 2 else (50, 30)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        rows.append(
            {
                "image": str(path),
                "patient_id": f"p{number}",
                "visit": "1",
                "view": "ap" if number % 3 else "lateral",
                "medial": 1 + number % 4,
                "lateral": 1 + number // 4,
                "anterior": None,
                "posterior": None,
            }
        )
    return Radiographs(pd.DataFrame(rows), source="m.csv")
