"""How often the interval over folds contains the truth, over the whole range of a score.

    python experiments/fold_intervals.py

Each data set has `rows` rows in k folds. A fold's model has its own true accuracy or AUROC, which
varies from fold to fold by `effect` (standard deviation on the logistic scale); the truth is their
mean over all models. The interval is `metrics.fold_interval`, within 0 and 1, and there is none
where all folds score the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.metrics import auroc, fold_interval
from rust_tuner.metrics.fold_interval import UNIT

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


@dataclass(frozen=True)
class Cell:
    """One setting of the simulation.

    Attributes:
        score: `accuracy` or `auroc`.
        truth: the score at an effect of 0.
        folds: how many folds.
        rows: of the data set.
        effect: how much the folds' models differ, on the logistic scale.
    """

    score: str
    truth: float
    folds: int
    rows: int
    effect: float


def cells(
    scores: tuple[str, ...] = ("accuracy", "auroc"),
    truths: tuple[float, ...] = (0.5, 0.7, 0.9, 0.97, 0.99, 0.995),
    folds: tuple[int, ...] = (2, 3, 5, 10),
    rows: tuple[int, ...] = (40, 100, 400),
    effects: tuple[float, ...] = (0.0, 0.3),
) -> Iterator[Cell]:
    """Every combination of these settings."""
    for score in scores:
        for truth in truths:
            for num_folds in folds:
                for num_rows in rows:
                    for effect in effects:
                        yield Cell(score, truth, num_folds, num_rows, effect)


def coverage(cell: Cell, *, num_sets: int = 500, seed: int = 0) -> tuple[float, float]:
    """How often the interval contains the truth where there is one, and how often there is one."""
    rng = np.random.default_rng([seed, *np.frombuffer(repr(cell).encode(), np.uint8)])
    center = np.log(cell.truth / (1 - cell.truth))
    of_models = 1 / (1 + np.exp(-(center + cell.effect * _NODES)))
    truth = float(of_models @ _WEIGHTS / _WEIGHTS.sum())
    covered = shown = 0
    for _ in range(num_sets):
        drawn = center + cell.effect * rng.normal(size=cell.folds)
        accuracies = 1 / (1 + np.exp(-drawn))
        if cell.score == "accuracy":
            sizes = np.diff(np.linspace(0, cell.rows, cell.folds + 1).astype(int))
            found = rng.binomial(sizes, accuracies) / sizes
        else:
            found = _aurocs(accuracies, cell.rows // cell.folds, rng)
        interval = fold_interval(found, bounds=UNIT)
        if not np.isnan(interval.low):
            shown += 1
            covered += interval.low <= truth <= interval.high
    return covered / shown if shown else float("nan"), shown / num_sets


def _aurocs(
    areas: npt.NDArray[np.float64], num_rows: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The AUROC of each fold, of two equal normal distributions with these areas; 30 % positive."""
    from scipy.stats import norm

    labels = np.zeros((num_rows, 1))
    labels[: max(1, round(0.3 * num_rows))] = 1
    found = []
    for area in areas:
        shift = np.sqrt(2) * norm.ppf(area)
        found.append(auroc(labels, rng.normal(size=labels.shape) + shift * labels)[0])
    return np.array(found)


def main() -> None:
    """Print the coverage of each cell, and the lowest of those with an interval in most sets."""
    worst = 1.0
    for cell in cells():
        covers, shown = coverage(cell)
        print(f"{cell} covers {covers:.3f}, shown {shown:.2f}", flush=True)
        if shown > 0.05:
            worst = min(worst, covers)
    print(f"lowest: {worst:.3f}")


if __name__ == "__main__":
    main()
