"""The noise floor of a study, from its records alone and without TensorFlow.

The best configuration was repeated under other seeds (same folds), and under other assignments of
the patients to folds. What its score then varies by is what a difference between two
configurations, or between two studies, has to exceed.

STUDY/noise is

    noise.json       which configuration is repeated, and how
    seeds            a project folder: one trial a seed
    assignment_000   a project folder for each assignment, with one trial
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json
from rust_tuner.metrics.uncertainty import TAILS
from rust_tuner.records.project import RUN_FILE, Project, read_project

NOISE = "noise"
NOISE_FILE = "noise.json"
SEEDS = "seeds"
DEFAULT_REPEATS = 10
KINDS = {"seed": "other seeds, same folds", "assignment": "other assignments to folds"}
METRICS_REPEATED = ("auroc", "cortex_auroc")
NOISE_CAPTION = (
    "Seeds: the same folds, other initial weights, order, flips and dropout; the noise between two "
    "trials of one search. Assignments: the patients divided into folds anew; the noise between "
    "two studies. SD: standard deviation of the repeats. 95 % range: where one more repeat is "
    "expected. Difference: what two repeats of the same configuration differ by in no more than "
    "5 % of cases. All but mean and SD take the scores as normal."
)

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
        RustTunerError: where their manifest is damaged.
    """
    place = Path(folder)
    path = place / NOISE_FILE
    if not path.is_file():
        raise ResumeError(f"{place} holds no repeats ({NOISE_FILE} is missing)")
    run = read_json(path)
    if not isinstance(run, dict) or run.get("format") != 1:
        raise RustTunerError(f"{path} is of no format that this version knows; restore it")
    rows: list[tuple[str, int, str, float]] = []
    failures: list[str] = []
    problems: list[str] = []
    for kind, first, project in _projects(place):
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
        return int(read_json(Path(directory) / NOISE / NOISE_FILE)["repeats"])
    except (OSError, RustTunerError, LookupError, TypeError, ValueError):
        return DEFAULT_REPEATS


def noise_spread(values: pd.DataFrame) -> pd.DataFrame:
    """What the repeats of each kind vary by.

    Args:
        values: `kind, repeat, metric, value`, as `NoiseFloor.values`.

    Returns:
        `kind, metric, repeats, mean, std` (n - 1), `std_low` and `std_high` (the 95 % confidence
        interval of the standard deviation, from chi-squared), `low` and `high` (the 95 %
        prediction interval of one more repeat, from Student's t), `difference` (what two repeats
        differ by in no more than 5 % of cases). All but `mean` are NaN where there are fewer than
        two repeats; the last five take the scores as normal.
    """
    rows = []
    for kind in KINDS:
        for metric in METRICS_REPEATED:
            own = values[(values["kind"] == kind) & (values["metric"] == metric)]["value"]
            if own.empty:
                continue
            number, mean = len(own), float(own.mean())
            row: dict[str, Any] = {"kind": kind, "metric": metric, "repeats": number, "mean": mean}
            row |= _spread(float(own.std(ddof=1)), number, mean) if number > 1 else {}
            rows.append(row)
    names = ["kind", "metric", "repeats", "mean", "std", "std_low", "std_high", "low", "high"]
    return pd.DataFrame(rows, columns=[*names, "difference"])


def _spread(std: float, number: int, mean: float) -> dict[str, float]:
    freedom = number - 1
    quantile = float(stats.t.ppf(TAILS[1], freedom))
    reach = quantile * std * math.sqrt(1 + 1 / number)
    low, high = (std * math.sqrt(freedom / stats.chi2.ppf(tail, freedom)) for tail in TAILS[::-1])
    return {
        "std": std,
        "std_low": low,
        "std_high": high,
        "low": mean - reach,
        "high": mean + reach,
        "difference": quantile * std * math.sqrt(2),
    }


def _projects(place: Path) -> Iterator[tuple[str, int, Project]]:
    """The kind of each project, the number of its first repeat, and the project."""
    if (place / SEEDS / RUN_FILE).is_file():
        yield "seed", 0, read_project(place / SEEDS)
    for folder in sorted(place.glob("assignment_*")):
        if (folder / RUN_FILE).is_file():
            yield "assignment", int(folder.name.removeprefix("assignment_")), read_project(folder)


def assignment_folder(place: Path, repeat: int) -> Path:
    """The project folder of an assignment (from 0)."""
    return place / f"assignment_{repeat:03d}"
