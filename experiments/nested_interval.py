"""How often the interval of a nested cross-validation covers what the procedure is worth.

    python experiments/nested_interval.py [--data-sets 400]

A procedure is the whole of it: choose a ridge penalty by an inner cross-validation, then train on
all inner patients. What it is worth is its mean score on new patients, over data sets of the size
of an outer training side; that is simulated first. Then, in each of many data sets, a nested
cross-validation gives an estimate with `metrics.fold_interval`, and the share of intervals that
contain the worth is printed, beside the share for the worth of the very models that were trained.
Takes about ten minutes on one core.
"""

import argparse
import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.metrics import auroc, fold_interval
from rust_tuner.metrics.fold_interval import UNIT

FloatArray = npt.NDArray[np.float64]

PATIENTS = (40, 100, 300)
# The share of the latent score that the features explain: AUROCs near 0.6, 0.8 and 0.95.
SKILLS = (0.3, 0.75, 0.97)
PREVALENCES = (0.05, 0.3)
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
FEATURES, LABELS, OUTER, INNER = 8, 6, 5, 3
NEW_PATIENTS = 4000


def draw(
    generator: np.random.Generator, patients: int, skill: float, prevalence: float
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Features (n, FEATURES), and labels (n, LABELS) that a direction of their own tells."""
    features = generator.normal(size=(patients, FEATURES))
    directions = np.random.default_rng(0).normal(size=(FEATURES, LABELS))
    directions /= np.linalg.norm(directions, axis=0)
    noise = generator.normal(size=(patients, LABELS))
    latent = skill * features @ directions + np.sqrt(1 - skill**2) * noise
    return features, latent > np.quantile(
        np.random.default_rng(1).normal(size=10**6), 1 - prevalence
    )


def train(features: FloatArray, labels: npt.NDArray[np.bool_], penalty: float) -> FloatArray:
    """Ridge weights (FEATURES, LABELS)."""
    gram = features.T @ features + penalty * np.eye(FEATURES)
    return np.linalg.solve(gram, features.T @ (labels - labels.mean(axis=0)))


def score(features: FloatArray, labels: npt.NDArray[np.bool_], weights: FloatArray) -> float:
    """The mean AUROC over the labels where it is defined; NaN without any."""
    values = auroc(labels, features @ weights)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def folds_of(patients: int, num_folds: int) -> list[tuple[npt.NDArray[np.int64], ...]]:
    """Training and validation rows; the patients come in a random order already."""
    rows = np.arange(patients)
    return [(rows[rows % num_folds != k], rows[rows % num_folds == k]) for k in range(num_folds)]


def chosen(features: FloatArray, labels: npt.NDArray[np.bool_]) -> FloatArray:
    """The whole procedure: weights that were trained with the penalty that inner folds chose."""
    means = [
        np.nanmean(
            [
                score(features[held], labels[held], train(features[own], labels[own], penalty))
                for own, held in folds_of(len(features), INNER)
            ]
        )
        for penalty in PENALTIES
    ]
    return train(features, labels, PENALTIES[int(np.nanargmax(means))])


def cell(patients: int, skill: float, prevalence: float, data_sets: int) -> dict[str, float]:
    """One setting: the worth, the mean estimate, and both coverages."""
    generator = np.random.default_rng([patients, round(100 * skill), round(100 * prevalence)])
    new = draw(np.random.default_rng(2), NEW_PATIENTS, skill, prevalence)
    inner_size = patients - patients // OUTER
    worth = np.mean(
        [
            score(*new, chosen(*draw(generator, inner_size, skill, prevalence)))
            for _ in range(data_sets)
        ]
    )
    estimates, covers, covers_models = [], [], []
    for _ in range(data_sets):
        features, labels = draw(generator, patients, skill, prevalence)
        scores, of_models = [], []
        for own, held in folds_of(patients, OUTER):
            weights = chosen(features[own], labels[own])
            scores.append(score(features[held], labels[held], weights))
            of_models.append(score(*new, weights))
        if not np.isfinite(scores).all():
            continue
        interval = fold_interval(scores, overlap=1 / (OUTER - 1), bounds=UNIT)
        estimates.append(interval.value)
        covers.append(interval.low <= worth <= interval.high)
        covers_models.append(interval.low <= np.mean(of_models) <= interval.high)
    return {
        "worth": float(worth),
        "estimate": float(np.mean(estimates)),
        "covers the procedure": float(np.mean(covers)),
        "covers these models": float(np.mean(covers_models)),
        "data sets": len(covers),
    }


def main() -> None:
    """Simulate every setting and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-sets", type=int, default=400, help="in each setting")
    arguments = parser.parse_args()
    rows = []
    for patients, skill, prevalence in itertools.product(PATIENTS, SKILLS, PREVALENCES):
        setting = {"patients": patients, "skill": skill, "prevalence": prevalence}
        rows.append(setting | cell(patients, skill, prevalence, arguments.data_sets))
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)


if __name__ == "__main__":
    main()
