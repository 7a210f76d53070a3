"""Compares the files and the outcomes of two nested cross-validations."""

import json
import re
from pathlib import Path

import pandas as pd
from notes import contents

from rust_tuner.labels import LABELS

# What KerasTuner writes for itself.
OWN_STATE = ("oracle.json", "tuner0.json")
PROBABILITIES = [f"probability_{label}" for label in LABELS]


def without_times(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files with the seconds of fold records, and what depends on them, left out."""
    kept = {}
    for name, content in files.items():
        if re.search(r"fold_\d+\.json$", name):
            record = json.loads(content)
            content = {key: record[key] for key in record if key not in ("seconds", "sha256")}  # type: ignore[assignment]
        kept[name] = content
    return kept


def assert_same(one: Path, other: Path) -> None:
    first, second = (
        without_times(contents(one, without=OWN_STATE)),
        without_times(contents(other, without=OWN_STATE)),
    )
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def predictions_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): pd.read_csv(path)[PROBABILITIES].to_numpy().tobytes()
        for path in sorted(folder.rglob("predictions.csv"))
    }
