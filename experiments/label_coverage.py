"""How often the 95 % intervals of average precision and of the Brier score hold the truth.

    python -m experiments.label_coverage [--datasets 60] [--seed 0]

Patients have one or two to four visits that show all cortices, with the distributions of scores of
`score_coverage`. The probabilities of a poor, a fair and a good model are logistic, with noise half
of which the rows of a patient share. Each line is of one figure, one number of patients and one
distribution: how often an interval is shown, and how often it holds the truth, on average and in
the worst cell (of number of visits and model) with at least half of its intervals shown. On one
core it takes about half an hour.
"""

import argparse
import itertools
from collections import defaultdict

import numpy as np
import numpy.typing as npt
from scipy import special

from experiments.coverage import Coverage, summarise
from experiments.score_coverage import SHARES, VISITS, Cell, draw_scores, print_lines
from rust_tuner.labels import CORTEX_LABELS, SCORES
from rust_tuner.metrics import Interval
from rust_tuner.metrics.assessment import Predictions, assess
from rust_tuner.metrics.weighted_counts import WeightedBrier
from rust_tuner.metrics.weighted_ranking import WeightedAveragePrecision

FloatArray = npt.NDArray[np.float64]

PATIENTS = (20, 50, 120, 300)
# By how many standard deviations of the noise a label shifts its logit: an AUROC of about 0.64,
# 0.86 and 0.98.
MODELS = {"poor": 0.5, "fair": 1.5, "good": 3.0}
_FIGURES = ("average_precision", "brier")
# One label of each figure stands for all: the rarest of a distribution is among them.
_LABEL = "medial_4"
_MANY = 20_000


def draw_predictions(cell: Cell, shift: float, rng: np.random.Generator) -> Predictions:
    """True labels and probabilities of one cell; both views are a coin's throw and known."""
    reference, _, owner = draw_scores(cell, rng)
    labels = (reference[:, :, None] == np.array(SCORES)).reshape(len(owner), -1).astype(float)
    of_patient = rng.normal(size=(cell.patients, labels.shape[1]))[owner]
    noise = np.sqrt(0.5) * (of_patient + rng.normal(size=labels.shape))
    view = rng.integers(0, 2, len(owner))[:, None] == np.arange(2)
    probabilities = np.concatenate([view * 1.0, special.expit(shift * labels + noise - 1)], axis=1)
    return Predictions(
        np.concatenate([view, labels], axis=1),
        np.ones(labels.shape, bool),
        probabilities,
        owner.astype(object),
        np.arange(len(owner)).astype(object),
    )


def true_figures(cell: Cell, shift: float) -> dict[tuple[str, str], float]:
    """The figures of very many patients: of the labels of cortices, and of one of them."""
    many = Cell(_MANY, cell.visits, cell.shares)
    drawn = draw_predictions(many, shift, np.random.default_rng(1))
    problem = drawn.labels[:, 2:], drawn.probabilities[:, 2:]
    weights = np.ones((len(drawn.labels), 1))
    precisions = WeightedAveragePrecision(*problem)(weights)[0]
    brier = WeightedBrier(*problem)(weights)[0, 1:]
    label = CORTEX_LABELS.index(_LABEL)
    return {
        (name, of): float(values.mean() if of == "cortices" else values[label])
        for name, values in zip(_FIGURES, (precisions, brier), strict=True)
        for of in ("cortices", _LABEL)
    }


def label_coverage(
    cell: Cell, shift: float, *, seed: int, num_datasets: int
) -> dict[str, Coverage]:
    """Of the mean over the labels of cortices, where all are there, and of one label."""
    truth = true_figures(cell, shift)
    rng = np.random.default_rng(seed)
    found: dict[str, list[Interval]] = defaultdict(list)
    for _ in range(num_datasets):
        for figure in assess(draw_predictions(cell, shift, rng)):
            key = figure.figure, figure.of
            if key not in truth or figure.average == "micro" or figure.counted == "all":
                continue
            # A mean over fewer labels has another truth.
            if figure.average and figure.defined != len(CORTEX_LABELS):
                continue
            ends = (end - truth[key] for end in (figure.value, figure.low, figure.high))
            found[" ".join(key)].append(Interval(*ends))
    return {name: summarise(intervals, 0.0) for name, intervals in found.items()}


def main() -> None:
    """Simulate, and print one line a figure, number of patients and distribution."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--datasets", type=int, default=60, help="data sets of each cell")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{'distribution':>16} {'patients':>8}  {'figure':<27} shown   covers  worst")
    for name, patients in itertools.product(SHARES, PATIENTS):
        cells = [
            label_coverage(
                Cell(patients, visits, SHARES[name]),
                shift,
                seed=asked.seed,
                num_datasets=asked.datasets,
            )
            for visits, shift in itertools.product(VISITS, MODELS.values())
        ]
        figures = set.intersection(*(set(cell) for cell in cells))
        print_lines(name, patients, [{one: cell[one] for one in sorted(figures)} for cell in cells])


if __name__ == "__main__":
    main()
