"""How often the 95 % intervals of figures of scores and totals hold the truth, bad corners too.

    python -m experiments.score_coverage [--datasets 200] [--figures scores,errors] [--seed 0]

With `--figures scores`, patients have one or two to four visits, whose true and predicted scores 1
to 4 are normal values cut at edges: about equally frequent, or mostly 1, mostly 3, or 1 and 4. The
predictions have little, much or nearly all in common with the truth. The figures are those of the
most likely scores of one cortex and of four, and those of totals. A mean over the scores is
compared with the true mean over those that the data contain: the tables say how many these are.

With `--figures errors`, one visit a patient, most errors of totals are 0 or small, and a few large.

Each line is of one figure, one number of patients and one distribution: how often an interval is
shown, and how often it holds the truth, on average and in the worst cell (of number of visits and
skill) with at least half of its intervals shown. On one core `scores` takes about a quarter of an
hour, `errors` two minutes.
"""

import argparse
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from experiments.coverage import LIKENESS, Coverage, summarise
from rust_tuner.labels import CORTICES, SCORES
from rust_tuner.metrics import Interval
from rust_tuner.metrics.class_figures import class_figures
from rust_tuner.metrics.figure import Figure
from rust_tuner.metrics.figure_interval import CLASS_MEANS
from rust_tuner.metrics.score_figures import score_figures, visit_figures
from rust_tuner.metrics.visits import VisitTotals, paired_totals
from rust_tuner.metrics.weighted_counts import WeightedAgreement, WeightedTotals

FloatArray = npt.NDArray[np.float64]

PATIENTS = (10, 20, 30, 50, 80, 150, 300)
# Visits of a patient, from and to.
VISITS = ((1, 1), (2, 4))
# How much a predicted score has in common with the true one.
SKILLS = (0.3, 0.75, 0.95)
# How frequent each score is.
SHARES = {
    "even": (0.2, 0.3, 0.3, 0.2),
    "one rare": (0.3, 0.4, 0.25, 0.05),
    "half 1": (0.5, 0.25, 0.15, 0.1),
    "most 1": (0.8, 0.1, 0.06, 0.04),
    "9 in 10 are 1": (0.9, 0.05, 0.03, 0.02),
    "19 in 20 are 1": (0.95, 0.025, 0.015, 0.01),
    "9 in 10 are 3": (0.03, 0.04, 0.9, 0.03),
    "1 and 4": (0.48, 0.02, 0.02, 0.48),
}
# How frequent each error of a total is, from whole points to how many of a hundred visits.
ERRORS = {
    "few large": {0: 96, 6: 4},
    "few medium": {0: 90, 4: 10},
    "small and large": {0: 80, 1: 8, -1: 7, 3: 5},
    "both ways": {0: 65, 1: 15, -1: 15, 4: 3, -4: 2},
    "one way": {0: 50, 1: 25, 2: 12, 3: 7, 4: 4, 6: 2},
}
_ERROR_FIGURES = ("mae", "bias", "lower_limit", "upper_limit")
# How many patients stand for the truth.
_MANY = 100_000


@dataclass(frozen=True)
class Cell:
    """Where figures of scores are measured.

    Attributes:
        patients: how many.
        visits: of a patient, from and to.
        shares: of each score.
        skill: how much predicted and true latent scores have in common.
    """

    patients: int
    visits: tuple[int, int]
    shares: tuple[float, ...]
    skill: float = 0.75


@dataclass(frozen=True)
class Truth:
    """The figures of very many patients of a cell.

    Attributes:
        values: of each figure that is not a mean over scores.
        of_score: for each mean over scores, (4,) its part for each score.
    """

    values: Mapping[str, float]
    of_score: Mapping[str, FloatArray]

    def of(self, name: str, scope: str, present: npt.NDArray[np.bool_]) -> float:
        """One figure; of a mean, over the scores present (cortices, 4)."""
        if name not in self.of_score:
            return self.values[name]
        means = [self.of_score[name][of_cortex].mean() for of_cortex in present]
        return float(np.mean(means) if scope == "cortices" else means[CORTICES.index(scope)])


def draw_scores(
    cell: Cell, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """True and predicted scores (n, 4) of visits that show all cortices, and patients (n,).

    Latent scores of a patient's visits and cortices go together, and so do the errors.
    """
    counts = rng.integers(cell.visits[0], cell.visits[1] + 1, size=cell.patients)
    owner = np.repeat(np.arange(cell.patients), counts)

    def latent() -> FloatArray:
        of_patient = rng.normal(size=(cell.patients, 1))[owner]
        own = rng.normal(size=(len(owner), len(CORTICES)))
        mixed: FloatArray = np.sqrt(LIKENESS) * of_patient + np.sqrt(1 - LIKENESS) * own
        return mixed

    edges = special.ndtri(np.cumsum(cell.shares)[:-1])
    true = latent()
    predicted = cell.skill * true + np.sqrt(1 - cell.skill**2) * latent()
    reference, answer = (
        np.searchsorted(edges, side).astype(np.float64) + 1 for side in (true, predicted)
    )
    return reference, answer, owner.astype(np.int64)


def true_figures(cell: Cell) -> Truth:
    """The figures of very many patients; all cortices are alike."""
    many = Cell(_MANY, cell.visits, cell.shares, cell.skill)
    reference, predicted, _ = draw_scores(many, np.random.default_rng(1))
    agreement = WeightedAgreement(reference, predicted)
    weights = np.ones((len(reference), 1))
    of_scores = agreement(weights).reshape(len(agreement.names), -1)[:, 0]
    totals = WeightedTotals(reference.sum(axis=1), predicted.sum(axis=1))
    values = dict(zip(agreement.names, of_scores, strict=True)) | dict(
        zip(totals.names, totals(weights)[0], strict=True)
    )
    classes = class_figures(agreement.confusion(weights)[0].sum(axis=0))
    return Truth(values, dict(zip(CLASS_MEANS, (classes.recall, classes.f1), strict=True)))


def score_coverage(cell: Cell, *, seed: int, num_datasets: int) -> dict[str, Coverage]:
    """Of the figures of scores and of totals, by their names."""
    truth = true_figures(cell)
    rng = np.random.default_rng(seed)
    found: dict[str, list[Interval]] = defaultdict(list)
    for _ in range(num_datasets):
        reference, predicted, owner = draw_scores(cell, rng)
        true, answered = (
            (side.T[:, :, None] == np.array(SCORES)).any(axis=1) for side in (reference, predicted)
        )
        present = dict(zip(CLASS_MEANS, (true, true | answered), strict=True))
        for figure in score_figures(reference, predicted, owner):
            if figure.of in ("cortices", CORTICES[0]):
                name = figure.figure
                expected = truth.of(name, figure.of, present.get(name, true))
                found[f"{name} {figure.of}"].append(_from_truth(figure, expected))
        totals = paired_totals(reference, predicted, owner, np.arange(len(owner)))
        for figure in visit_figures(totals, union_threshold=13):
            if figure.figure in truth.values:
                expected = truth.values[figure.figure]
                found[figure.figure].append(_from_truth(figure, expected))
    return {name: summarise(intervals, 0.0) for name, intervals in found.items()}


def error_coverage(
    patients: int, errors: Mapping[int, int], *, seed: int, num_datasets: int
) -> dict[str, Coverage]:
    """Of the figures of totals, one visit a patient, by their names."""
    rng = np.random.default_rng(seed)
    points = np.repeat(np.array(list(errors), np.float64), list(errors.values()))
    truth = WeightedTotals(np.full(len(points), 10.0), points + 10)
    values = dict(zip(truth.names, truth(np.ones((len(points), 1)))[0], strict=True))
    found: dict[str, list[Interval]] = defaultdict(list)
    owner = np.arange(patients).astype(object)
    for _ in range(num_datasets):
        reference = np.full(patients, 10.0)
        predicted = reference + rng.choice(points, size=patients)
        totals = VisitTotals(reference, predicted, owner, patients)
        for figure in visit_figures(totals, union_threshold=13):
            if figure.figure in _ERROR_FIGURES:
                found[figure.figure].append(_from_truth(figure, values[figure.figure]))
    return {name: summarise(intervals, 0.0) for name, intervals in found.items()}


def _from_truth(figure: Figure, truth: float) -> Interval:
    return Interval(figure.value - truth, figure.low - truth, figure.high - truth)


def print_lines(name: str, patients: int, found: Sequence[Mapping[str, Coverage]]) -> None:
    """One line a figure, of all cells of a distribution and a number of patients."""
    for figure in found[0]:
        cells = [cell[figure] for cell in found]
        shown = np.array([cell.shown for cell in cells])
        counts = np.array([cell.count for cell in cells])
        if not counts.sum():
            print(f"{name:>16} {patients:8}  {figure:<27}    0%", flush=True)
            continue
        covered = np.nan_to_num([cell.covered for cell in cells])
        # A worst case is that of cells that show most of their intervals.
        most = covered[shown >= 0.5]
        worst = f"{most.min():6.1%}" if most.size else f"{'-':>6}"
        print(
            f"{name:>16} {patients:8}  {figure:<27} {shown.mean():5.0%} "
            f"{covered @ counts / counts.sum():8.1%} {worst}",
            flush=True,
        )


def main() -> None:
    """Simulate, and print one line a figure, number of patients and distribution."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--datasets", type=int, default=200, help="data sets of each cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", default="scores,errors", help="scores, errors, or both")
    asked = parser.parse_args()
    figures = asked.figures.split(",")
    drawn = {"seed": asked.seed, "num_datasets": asked.datasets}
    print(f"{'distribution':>16} {'patients':>8}  {'figure':<27} shown   covers  worst")
    for name, patients in itertools.product(SHARES if "scores" in figures else (), PATIENTS):
        cells = itertools.product(VISITS, SKILLS)
        found = [
            score_coverage(Cell(patients, visits, SHARES[name], skill), **drawn)
            for visits, skill in cells
        ]
        print_lines(name, patients, found)
    for name, patients in itertools.product(ERRORS if "errors" in figures else (), PATIENTS):
        print_lines(name, patients, [error_coverage(patients, ERRORS[name], **drawn)])


if __name__ == "__main__":
    main()
