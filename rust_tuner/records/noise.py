"""What `noise` of a study holds: which configuration is repeated, and the repeats that are there.

The best configuration was repeated under other seeds (same folds), and under other assignments of
the patients to folds. STUDY/noise is

    noise.json       which configuration is repeated, and how
    seeds            a project folder: one trial a seed
    assignment_000   a project folder for each assignment, with one trial
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rust_tuner.errors import RecordError, ResumeError
from rust_tuner.records.project import RUN_FILE, read_project
from rust_tuner.records.schema import NoiseForm, read_record
from rust_tuner.scope import AUROCS

NOISE = "noise"
NOISE_FILE = "noise.json"
SEEDS = "seeds"
DEFAULT_REPEATS = 10
METRICS_REPEATED = AUROCS

# Copies that a person or a synchroniser made are none.
_ASSIGNMENT = re.compile(r"assignment_(\d{3,5})")
_VALUES = ("kind", "repeat", "metric", "value")


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """The repeats that are there.

    Attributes:
        folder: STUDY/noise.
        run: `noise.json`: `configuration`, `regime` and `trial` that it comes from, its
            `selection_score`, `repeats` under other seeds, other `assignments`, and how it is
            trained.
        values: `kind` (`seed` or `assignment`), `repeat` (from 0), `metric` (`auroc` or
            `cortex_auroc`), `value`: the score of a repeat by the search's own rule.
        failures: repeats that have no score, a line each.
        problems: what cannot be read, a line each.
    """

    folder: Path
    run: dict[str, Any]
    values: pd.DataFrame
    failures: tuple[str, ...]
    problems: tuple[str, ...]

    def count(self, kind: str) -> int:
        """How many repeats of a kind have a score."""
        return int(self.values.loc[self.values["kind"] == kind, "repeat"].nunique())


def read_noise(folder: str | Path) -> NoiseFloor:
    """Read STUDY/noise, also while the repeats still run.

    Raises:
        ResumeError: where there are no repeats.
        RecordError: where their manifest is damaged.
    """
    place = Path(folder)
    path = place / NOISE_FILE
    if not os.path.lexists(path):
        raise ResumeError(f"{place} holds no repeats ({NOISE_FILE} is missing)")
    run = read_record(path, NoiseForm)
    rows: list[tuple[str, int, str, float]] = []
    failures: list[str] = []
    problems: list[str] = []
    for kind, first, folder in _projects(place):
        try:
            project = read_project(folder)
        except RecordError as error:
            problems.append(f"{folder.name}: {error}")
            continue
        problems += [f"{project.folder.name}: {problem}" for problem in project.problems]
        for trial in project.trials:
            repeat = first + int(trial.trial)
            if trial.status == "FAILED":
                reason = (trial.message or "no reason recorded").splitlines()[0]
                failures.append(f"{kind} {repeat} failed: {reason}")
            rows += [
                (kind, repeat, metric, trial.metrics[f"val_{metric}"])
                for metric in METRICS_REPEATED
                if trial.score is not None
            ]
    values = pd.DataFrame(rows, columns=list(_VALUES))
    return NoiseFloor(place, run, values, tuple(failures), tuple(problems))


def begun_repeats(directory: str | Path) -> int:
    """How many repeats of each kind a study's folder was asked for, or the default number."""
    try:
        return int(read_record(Path(directory) / NOISE / NOISE_FILE, NoiseForm)["repeats"])
    except (FileNotFoundError, RecordError):
        return DEFAULT_REPEATS


def assignment_folder(place: Path, repeat: int) -> Path:
    """The project folder of an assignment (from 0)."""
    return place / f"assignment_{repeat:03d}"


def _projects(place: Path) -> Iterator[tuple[str, int, Path]]:
    """The kind of each project, the number of its first repeat, and its folder."""
    if os.path.lexists(place / SEEDS / RUN_FILE):
        yield "seed", 0, place / SEEDS
    for folder in sorted(place.glob("assignment_*")):
        match = _ASSIGNMENT.fullmatch(folder.name)
        if match is not None and (folder / RUN_FILE).is_file():
            yield "assignment", int(match[1]), folder
