"""What the intervals and tests are worth, simulated on patients with several radiographs each.

    python experiments/uncertainty.py [--scale 1]

Each line is what the package does beside what is usually done: the interval over patients beside
that over rows, the corrected test beside the paired t-test, and the trials that are tied with the
best, all at once beside one by one. Takes a few minutes; a smaller scale draws fewer data sets.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.metrics import auroc, auroc_intervals, corrected_t_test, tied_with_best

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.05
NUM_FOLDS = 6
_NUM_PATIENTS = 120
_NUM_VIEWS = 3


@dataclass(frozen=True)
class Compared:
    """How often something happened by the package's way and by the naive one, in [0, 1]."""

    ours: float
    naive: float


def coverage(seed: int, *, num_datasets: int, num_patients: int = 200) -> Compared:
    """How often a 95 % interval of a macro AUROC holds its true value: by patients, by rows.

    A patient has one to four radiographs, one outcome for each of three labels, and a share in
    the scores' noise; the true areas follow from the normal distribution.
    """
    effects = np.array([0.6, 1.2, 1.8])
    true_macro = stats.norm.cdf(effects / np.sqrt(2)).mean()
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(num_datasets):
        patients = np.repeat(np.arange(num_patients), rng.integers(1, 5, size=num_patients))
        truth = rng.random((num_patients, 3)) < 0.3
        of_patient = truth * effects + np.sqrt(0.6) * rng.normal(size=truth.shape)
        score = of_patient[patients] + np.sqrt(0.4) * rng.normal(size=(len(patients), 3))
        for way, drawn in enumerate((patients, np.arange(len(patients)))):
            found = auroc_intervals(truth[patients], score, drawn)
            hits[way] += found.macro.low <= true_macro <= found.macro.high
    by_patients, by_rows = hits / num_datasets
    return Compared(float(by_patients), float(by_rows))


def fold_scores(
    seed: int, *, num_datasets: int, num_features: int, num_trials: int = 2
) -> FloatArray:
    """Cross-validated AUROCs of learners that are equally good: (datasets, trials, folds).

    Each learner scores by the difference of its classes' means over features of its own, all of
    one distribution: none is better, though on any one data set their models differ. With many
    features a model depends much on its training data, with few it hardly does. 120 patients of
    three radiographs each, six folds of whole patients.
    """
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.random((_NUM_PATIENTS, num_datasets)) < 0.5, _NUM_VIEWS, axis=0)
    # A fold has every sixth patient: the radiographs are (patients, folds, views, datasets).
    is_positive = truth.reshape(-1, NUM_FOLDS, _NUM_VIEWS, num_datasets)
    num_positive = _of_other_folds(is_positive.sum(axis=(0, 2)))[..., None]
    num_negative = _of_other_folds((~is_positive).sum(axis=(0, 2)))[..., None]
    scores = np.empty((num_datasets, num_trials, NUM_FOLDS))
    for trial in range(num_trials):
        shape = (_NUM_PATIENTS, num_datasets, num_features)
        features = np.repeat(rng.normal(size=shape), _NUM_VIEWS, axis=0)
        features += rng.normal(size=features.shape)
        features[..., 0] += truth
        by_fold = features.reshape(*is_positive.shape, num_features)
        of_positive = np.einsum("pfvdn,pfvd->fdn", by_fold, is_positive.astype(np.float64))
        of_negative = np.einsum("pfvdn->fdn", by_fold) - of_positive
        difference = _of_other_folds(of_positive) / num_positive
        difference -= _of_other_folds(of_negative) / num_negative
        answers = np.einsum("pfvdn,fdn->pfvd", by_fold, difference)
        for number in range(NUM_FOLDS):
            scores[:, trial, number] = auroc(
                is_positive[:, number].reshape(-1, num_datasets),
                answers[:, number].reshape(-1, num_datasets),
            )
    return scores


def _of_other_folds(sums: FloatArray) -> FloatArray:
    """Sums over all folds but each, from the sums of each: (folds, ...)."""
    others: FloatArray = sums.sum(axis=0) - sums
    return others


def false_positives(seed: int, *, num_datasets: int, num_features: int) -> Compared:
    """How often two learners that are equally good are told apart: corrected, uncorrected."""
    scores = fold_scores(seed, num_datasets=num_datasets, num_features=num_features)
    sizes = _sizes()
    corrected = [corrected_t_test(pair[0], pair[1], *sizes).p_value < LEVEL for pair in scores]
    uncorrected = stats.ttest_rel(scores[:, 0], scores[:, 1], axis=1).pvalue < LEVEL
    return Compared(float(np.mean(corrected)), float(np.mean(uncorrected)))


def untied(seed: int, *, num_datasets: int, num_trials: int, num_features: int = 30) -> Compared:
    """How often some of many equally good learners is called worse: all at once, one by one.

    One by one is the corrected test of each with the best, each at the level.
    """
    scores = fold_scores(
        seed, num_datasets=num_datasets, num_features=num_features, num_trials=num_trials
    )
    sizes = _sizes()
    at_once, one_by_one = [], []
    for trials in scores:
        at_once.append(not tied_with_best(trials, *sizes, LEVEL).all())
        best = trials[trials.mean(axis=1).argmax()]
        alone = (corrected_t_test(best, trial, *sizes).p_value < LEVEL for trial in trials)
        # Stops at the first that is worse.
        one_by_one.append(any(alone))
    return Compared(float(np.mean(at_once)), float(np.mean(one_by_one)))


def noisier(seed: int, *, num_datasets: int, factor: float) -> Compared:
    """As `untied`, of 20 equal trials of which one has `factor` times the others' noise.

    Normal scores, correlated between folds as the corrected test supposes.
    """
    rng = np.random.default_rng(seed)
    shape = (num_datasets, 20, NUM_FOLDS)
    shared = np.sqrt(1 / NUM_FOLDS) * rng.normal(size=(*shape[:2], 1))
    own = np.sqrt(1 - 1 / NUM_FOLDS) * rng.normal(size=shape)
    noise = np.ones((20, 1))
    noise[0] = factor
    at_once, one_by_one = [], []
    for trials in noise * (shared + own):
        tied = tied_with_best(trials, *_sizes(), LEVEL)
        at_once.append(not tied.all())
        best = trials[trials.mean(axis=1).argmax()]
        alone = (corrected_t_test(best, trial, *_sizes()).p_value < LEVEL for trial in trials)
        one_by_one.append(any(alone))
    return Compared(float(np.mean(at_once)), float(np.mean(one_by_one)))


def _sizes() -> tuple[int, int]:
    """Patients that a fold trains on, and those that it is scored on."""
    scored = _NUM_PATIENTS // NUM_FOLDS
    return _NUM_PATIENTS - scored, scored


def main() -> None:
    """Simulate, and print one line a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the data sets drawn")
    scale = parser.parse_args().scale
    parts = max(1, round(8 * scale))

    def mean(found: list[Compared]) -> Compared:
        ours, naive = np.mean([[one.ours, one.naive] for one in found], axis=0)
        return Compared(float(ours), float(naive))

    questions: dict[str, Callable[[int], Compared]] = {
        "95 % interval covers (patients | rows)": lambda seed: coverage(seed, num_datasets=125),
        "5 % test of two equal, many features (corrected | not)": lambda seed: false_positives(
            seed, num_datasets=500, num_features=30
        ),
        "5 % test of two equal, few features (corrected | not)": lambda seed: false_positives(
            seed, num_datasets=500, num_features=3
        ),
        "some of 10 equal is untied (at once | one by one)": lambda seed: untied(
            seed, num_datasets=100, num_trials=10
        ),
        "some of 50 equal is untied (at once | one by one)": lambda seed: untied(
            seed, num_datasets=100, num_trials=50
        ),
        "the same, 20 of which one has twice the noise": lambda seed: noisier(
            seed, num_datasets=100, factor=2
        ),
        "the same, 20 of which one has five times the noise": lambda seed: noisier(
            seed, num_datasets=100, factor=5
        ),
    }
    lines = []
    with ConsoleProgress().task("simulating", len(questions) * parts) as task:
        for question, ask in questions.items():
            found = []
            for seed in range(parts):
                found.append(ask(seed))
                task.advance()
            both = mean(found)
            lines.append(f"{question:58} {both.ours:7.1%} {both.naive:7.1%}")
    print("\n".join([f"{'':58} {'ours':>7} {'naive':>7}", *lines]))


if __name__ == "__main__":
    main()
