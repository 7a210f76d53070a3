"""How often the 95 % intervals of a figure hold the truth, over the whole grid, its bad corner too.

    python experiments/coverage.py [--datasets 500] [--resamples 600] [--methods score,percentile]

Patients 40 / 100 / 300, prevalence 5 and 30 %, AUROC 0.6 / 0.8 / 0.95, one, two or three to five
radiographs a patient, whose labels and scores go together. Each line says how often an interval is
shown, how often it holds the truth, how often it lies above and below it, and its median width. The
last lines are of the macro AUROC of 16 such labels of 5 to 50 %, of one model and averaged over
five folds, on a fifth as many data sets. On one core the score intervals alone take about a minute,
all three methods about six; `--spread 2` makes the scores of positives twice as wide.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from rust_tuner.metrics import Interval, auroc_intervals
from rust_tuner.metrics.uncertainty import AurocMethod

FloatArray = npt.NDArray[np.float64]

PATIENTS = (40, 100, 300)
PREVALENCES = (0.05, 0.3)
AUROCS = (0.6, 0.8, 0.95)
# Radiographs of a patient, from and to.
RADIOGRAPHS = ((1, 1), (2, 2), (3, 5))
METHODS: tuple[AurocMethod, ...] = ("percentile", "bca", "score")
# Of 16 labels in one table, as of the four cortices.
MACRO_PREVALENCES = (0.05, 0.15, 0.3, 0.5) * 4
# How much two radiographs of one patient have in common, of labels and of scores.
LIKENESS = 0.5
# How many independent data sets are drawn as the labels of one table.
_AT_ONCE = 50


@dataclass(frozen=True)
class Setting:
    """One cell of the grid.

    Attributes:
        patients: how many.
        radiographs: of a patient, from and to.
        auroc: the true one.
        prevalences: of each label.
        spread: the standard deviation of the positives' scores; the negatives' is 1.
        shared: how much the scores of two labels of a radiograph have in common.
    """

    patients: int
    radiographs: tuple[int, int]
    auroc: float
    prevalences: tuple[float, ...]
    spread: float = 1.0
    shared: float = 0.0


@dataclass(frozen=True)
class Coverage:
    """What became of the intervals of one cell by one method; shares in [0, 1].

    Attributes:
        shown: how many data sets that define the figure have an interval.
        covered: how many intervals hold the truth.
        above: how many lie above it.
        below: how many lie below it.
        width: their median width.
        count: how many intervals there were.
    """

    shown: float
    covered: float
    above: float
    below: float
    width: float
    count: int


def draw(
    setting: Setting, rng: np.random.Generator
) -> tuple[npt.NDArray[np.bool_], FloatArray, npt.NDArray[np.int64]]:
    """Labels (n, labels), scores (n, labels) and patients (n,) of one data set.

    Labels and scores are normal, half of their variance the patient's, so that a patient may have
    radiographs with the label and without it; the AUROC is that of radiographs of two patients.
    """
    low, high = setting.radiographs
    counts = rng.integers(low, high + 1, size=setting.patients)
    owner = np.repeat(np.arange(setting.patients), counts)
    labels = len(setting.prevalences)
    likeness = LIKENESS if high > 1 else 0.0

    def noise() -> FloatArray:
        of_patient = rng.normal(size=(setting.patients, labels))[owner]
        own = rng.normal(size=(len(owner), labels))
        mixed: FloatArray = np.sqrt(likeness) * of_patient + np.sqrt(1 - likeness) * own
        return mixed

    threshold = special.ndtri(1 - np.array(setting.prevalences))
    truth: npt.NDArray[np.bool_] = noise() > threshold
    common = rng.normal(size=(setting.patients, 1))[owner]
    noisy = np.sqrt(1 - setting.shared) * noise() + np.sqrt(setting.shared) * common
    apart = special.ndtri(setting.auroc) * np.sqrt(1 + setting.spread**2)
    return truth, np.where(truth, apart + setting.spread * noisy, noisy), owner


def label_coverage(
    setting: Setting, method: AurocMethod, *, seed: int, num_datasets: int, num_resamples: int = 600
) -> Coverage:
    """Of a label's AUROC: of so many data sets of the setting's one prevalence."""
    rng = np.random.default_rng(seed)
    many = Setting(
        setting.patients,
        setting.radiographs,
        setting.auroc,
        setting.prevalences * _AT_ONCE,
        setting.spread,
    )
    found: list[Interval] = []
    for _ in range(-(-num_datasets // _AT_ONCE)):
        truth, score, owner = draw(many, rng)
        found += auroc_intervals(
            truth, score, owner, method=method, rng=rng, num_resamples=num_resamples
        ).labels
    return summarise(found, setting.auroc)


def macro_coverage(
    setting: Setting,
    method: AurocMethod,
    *,
    seed: int,
    num_datasets: int,
    num_resamples: int = 600,
    num_folds: int = 1,
) -> Coverage:
    """Of the macro AUROC over the labels of the setting, all of one AUROC; of folds if several."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(num_datasets):
        truth, score, owner = draw(setting, rng)
        folds = owner % num_folds
        intervals = auroc_intervals(
            truth, score, owner, folds=folds, method=method, rng=rng, num_resamples=num_resamples
        )
        found.append(intervals.macro)
    return summarise(found, setting.auroc)


def summarise(intervals: Sequence[Interval], truth: float) -> Coverage:
    """What became of intervals for one true value; NaN shares where none is shown."""
    defined = [item for item in intervals if not np.isnan(item.value)]
    ends = np.array([(item.low, item.high) for item in defined if not np.isnan(item.low)])
    if not len(ends):
        return Coverage(0.0, np.nan, np.nan, np.nan, np.nan, 0)
    above, below = ends[:, 0] > truth, ends[:, 1] < truth
    return Coverage(
        len(ends) / len(defined),
        float((~above & ~below).mean()),
        float(above.mean()),
        float(below.mean()),
        float(np.median(ends[:, 1] - ends[:, 0])),
        len(ends),
    )


def grid(spread: float = 1.0) -> Iterator[Setting]:
    """The cells of one label."""
    for radiographs in RADIOGRAPHS:
        for patients in PATIENTS:
            for prevalence in PREVALENCES:
                for auroc in AUROCS:
                    yield Setting(patients, radiographs, auroc, (prevalence,), spread)


def macro_grid() -> Iterator[Setting]:
    """The cells of the macro AUROC."""
    for patients in PATIENTS:
        for auroc in AUROCS:
            yield Setting(patients, (2, 2), auroc, MACRO_PREVALENCES, shared=0.3)


def main() -> None:
    """Simulate, and print one line a cell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--datasets", type=int, default=500, help="data sets of each cell")
    parser.add_argument("--resamples", type=int, default=600, help="of the bootstraps")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--spread", type=float, default=1.0, help="of the positives' scores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", default="labels,macro", help="labels, macro, or both")
    asked = parser.parse_args()
    methods = [method for method in METHODS if method in asked.methods.split(",")]
    drawn: dict[str, int] = {"num_datasets": asked.datasets, "num_resamples": asked.resamples}
    header = "  ".join(f"{method:>10}: shown covers above below width" for method in methods)
    print(f"{'images':>6} {'patients':>8} {'positive':>8} {'AUROC':>5}  {header}")
    figures = asked.figures.split(",")
    for number, setting in enumerate(grid(asked.spread) if "labels" in figures else ()):
        drawn["seed"] = asked.seed + number
        found = [label_coverage(setting, method, **drawn) for method in methods]
        print(_line(setting, f"{setting.prevalences[0]:.0%}", found), flush=True)
    drawn["num_datasets"] = max(1, asked.datasets // 5)
    for num_folds in (1, 5) if "macro" in figures else ():
        for number, setting in enumerate(macro_grid()):
            drawn["seed"] = asked.seed + number
            found = [
                macro_coverage(setting, method, num_folds=num_folds, **drawn) for method in methods
            ]
            print(_line(setting, f"macro/{num_folds}", found), flush=True)


def _line(setting: Setting, name: str, found: Sequence[Coverage]) -> str:
    images = "-".join(str(count) for count in dict.fromkeys(setting.radiographs))
    cells = "  ".join(
        f"{'':>11} {item.shown:5.0%} {item.covered:6.1%} {item.above:5.1%} {item.below:5.1%} "
        f"{item.width:5.3f}"
        for item in found
    )
    return f"{images:>6} {setting.patients:8} {name:>8} {setting.auroc:5}  {cells}"


if __name__ == "__main__":
    main()
