"""The folder `noise` of a study: the configuration that is repeated, and its repeats.

The best configuration is repeated with other seeds on the same folds, and with other assignments of
the patients to folds. STUDY/noise contains

    noise.json       which configuration is repeated, and how
    seeds            a project folder with one trial for each seed
    assignment_000   a project folder for each assignment, with one trial
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from rust_tuner.errors import RecordError, ResumeError
from rust_tuner.records.model import MOST_FOLDS, Figures, HyperValues, Json, Record, read_record
from rust_tuner.records.project import read_project
from rust_tuner.records.run import RUN_FILE, Subject
from rust_tuner.scope import AUROCS

if TYPE_CHECKING:
    import pandas as pd

NOISE = "noise"
NOISE_FILE = "noise.json"
SEEDS = "seeds"
DEFAULT_REPEATS = 10
METRICS_REPEATED = AUROCS

# Other names, such as those of copies made by a person or a synchroniser, are ignored.
_ASSIGNMENT = re.compile(r"assignment_(\d{3,5})")
_VALUES = ("kind", "repeat", "metric", "value")


class NoiseManifest(Record):
    """`noise.json`: which configuration is repeated, and how.

    Attributes:
        regime: the search whose best configuration is repeated.
        trial: the id of its trial.
        configuration: its hyperparameters.
        selection_score: its score, by `auroc` and `cortex_auroc`.
        search: the identity of that search.
        subject: what the search was run on.
        repeats: how many with other seeds.
        assignments: how many with other assignments of the patients to folds.
    """

    file_name: ClassVar[str] = NOISE_FILE

    format: Literal[1]
    regime: str
    trial: str
    configuration: HyperValues
    selection_score: Figures
    objective: str
    seed: int | None = None
    search: str | None = None
    subject: Subject | None = None
    protocol: Json | None = None
    repeats: Annotated[int, Field(ge=0, le=MOST_FOLDS)]
    assignments: Annotated[int, Field(ge=0, le=MOST_FOLDS)]


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """The repeats that have been run so far.

    Attributes:
        folder: STUDY/noise.
        run: `noise.json`.
        values: `kind` (`seed` or `assignment`), `repeat` (from 0), `metric` (`auroc` or
            `cortex_auroc`), `value`: the score of a repeat, computed as in the search.
        failures: repeats that have no score, a line each.
        problems: what cannot be read, a line each.
    """

    folder: Path
    run: NoiseManifest
    values: "pd.DataFrame"
    failures: tuple[str, ...]
    problems: tuple[str, ...]

    def count(self, kind: str) -> int:
        """How many repeats of a kind have a score."""
        return int(self.values.loc[self.values["kind"] == kind, "repeat"].nunique())


def read_noise(folder: str | Path) -> NoiseFloor:
    """Read STUDY/noise, even while the repeats are running.

    Raises:
        ResumeError: if there are no repeats.
        RecordError: if their manifest is damaged.
    """
    import pandas as pd

    noise = Path(folder)
    path = noise / NOISE_FILE
    if not os.path.lexists(path):
        raise ResumeError(f"{noise} does not contain repeats ({NOISE_FILE} is missing)")
    run = read_record(path, NoiseManifest)
    rows: list[tuple[str, int, str, float]] = []
    failures: list[str] = []
    problems: list[str] = []
    for kind, first, folder in _projects(noise):
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
    return NoiseFloor(noise, run, values, tuple(failures), tuple(problems))


def begun_repeats(directory: str | Path) -> int:
    """How many repeats of each kind were requested in a study's folder, or the default number."""
    try:
        return read_record(Path(directory) / NOISE / NOISE_FILE, NoiseManifest).repeats
    except (FileNotFoundError, RecordError):
        return DEFAULT_REPEATS


def assignment_folder(folder: Path, repeat: int) -> Path:
    """The project folder of an assignment (from 0)."""
    return folder / f"assignment_{repeat:03d}"


def _projects(noise: Path) -> Iterator[tuple[str, int, Path]]:
    """The kind of each project, the number of its first repeat, and its folder."""
    if os.path.lexists(noise / SEEDS / RUN_FILE):
        yield "seed", 0, noise / SEEDS
    for folder in sorted(noise.glob("assignment_*")):
        match = _ASSIGNMENT.fullmatch(folder.name)
        if match is not None and (folder / RUN_FILE).is_file():
            yield "assignment", int(match[1]), folder
