"""How often the verdicts on leaks and on skill are wrong, simulated with a quick learner.

    python experiments/false_alarms.py [--scale 1]

Two questions. How often does the shuffled-label check fail a study without a leak, and how often
does it see a planted one? And how often does a model without skill beat the view alone? Patients
have several visits, along which bone heals, each with both views. Ridge regression on a few
features stands in for the head; the decisions are the package's own. Takes about half an hour on
one core; a smaller scale draws fewer studies.
"""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.folds import make_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.labels import CORTICES, NUM_VIEWS
from rust_tuner.metrics import (
    Gain,
    Predictions,
    gain_over,
    macro_auroc,
    view_only_of_folds,
    view_only_scores,
)
from rust_tuner.steps.checks.shuffled_labels import lift_interval, shuffled_statistics
from rust_tuner.steps.checks.shuffling import shuffled_between_patients

FloatArray = npt.NDArray[np.float64]
Leak = Literal[
    "none", "patients on both sides", "features chosen by labels", "copies under new ids"
]
Metric = Literal["auroc", "cortex_auroc"]

LEAKS: tuple[Leak, ...] = (
    "none",
    "patients on both sides",
    "features chosen by labels",
    "copies under new ids",
)
_SHOWN = {"ap": ("medial", "lateral"), "lateral": ("anterior", "posterior")}
# A score is 1 and one more for each of these that the latent healing exceeds.
_COMMON, _RARE = (-0.3, 0.6, 1.5), (-9.0, 2.2, 3.0)
_MANY_FEATURES, _CHOSEN = 200, 10


@dataclass(frozen=True)
class Setting:
    """What a simulated study is like.

    Attributes:
        patients: how many.
        folds: of the cross-validation.
        features: how many the learner sees; with few, a model depends little on its training data.
        alike: how alike the radiographs of one patient are, beside noise of 1.
        visits: the most of one patient; the number is uniform from 1.
        rare: whether scores 3 and 4 are rare and 1 is missing.
        both_views: whether every cortex is scored in both views, with other scores in each.
        skill: how much features tell of healing.
    """

    patients: int
    folds: int = 6
    features: int = 20
    alike: float = 1.0
    visits: int = 4
    rare: bool = False
    both_views: bool = False
    skill: float = 1.0


def draw_study(setting: Setting, rng: np.random.Generator) -> tuple[Radiographs, FloatArray]:
    """A study's radiographs, and (n, features) what a frozen backbone would tell of them."""
    directions = setting.skill * rng.normal(size=(len(CORTICES), setting.features))
    rows, features = [], []
    for patient in range(setting.patients):
        start = rng.normal(scale=0.7)
        own = setting.alike * rng.normal(size=setting.features)
        for visit in range(rng.integers(1, setting.visits + 1)):
            healing = start + 0.9 * visit + 0.5 * rng.normal(size=len(CORTICES))
            for view, cortices in _SHOWN.items():
                row: dict[str, object] = {"image": f"{patient}_{visit}_{view}.png", "view": view}
                row |= {"patient_id": f"P{patient:04d}", "visit": str(visit)}
                seen = own + rng.normal(size=setting.features)
                for number, cortex in enumerate(CORTICES):
                    row[cortex] = np.nan
                    if cortex in cortices or setting.both_views:
                        shift = 0.8 * (setting.both_views and view == "ap")
                        cuts = _RARE if setting.rare else _COMMON
                        row[cortex] = 1 + sum(healing[number] + shift > cut for cut in cuts)
                        seen = seen + directions[number] * healing[number] / 2
                rows.append(row)
                features.append([*seen, 2.0 * (view == "ap")])
    return Radiographs(pd.DataFrame(rows)), np.array(features)


def cross_validated(
    features: FloatArray, labels: FloatArray, folds: npt.NDArray[np.int64], *, penalty: float = 2.0
) -> FloatArray:
    """(n, labels) out-of-fold answers of ridge regression on standardised features."""
    answers = np.empty(labels.shape)
    for fold in np.unique(folds):
        known = folds != fold
        centre, scale = features[known].mean(axis=0), features[known].std(axis=0) + 1e-9
        inputs, means = (features[known] - centre) / scale, labels[known].mean(axis=0)
        inner = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
        weights = np.linalg.solve(inner, inputs.T @ (labels[known] - means))
        answers[~known] = (features[~known] - centre) / scale @ weights + means
    return answers


def shuffled_lifts(
    setting: Setting, seed: int, *, permutations: int, leak: Leak = "none"
) -> tuple[FloatArray, FloatArray]:
    """Lifts and variances (permutations,) of one study, for `lift_interval`."""
    rng = np.random.default_rng(seed)
    radiographs, features = draw_study(setting, rng)
    if leak == "copies under new ids":
        table = radiographs.table
        copies = table.assign(patient_id="Q" + table["patient_id"], image="q" + table["image"])
        radiographs = Radiographs(pd.concat([table, copies], ignore_index=True))
        features = np.concatenate([features, features])
    if leak == "features chosen by labels":
        noise = rng.normal(size=(len(features), _MANY_FEATURES))
        features = np.concatenate([noise, features[:, -1:]], axis=1)
    folds = make_folds(radiographs, setting.folds, seed).assignment
    if leak == "patients on both sides":
        folds = rng.permutation(len(folds)) % setting.folds
    found = []
    for _ in range(permutations):
        shuffled = shuffled_between_patients(Development(radiographs), rng).radiographs
        labels, inputs = shuffled.labels.astype(np.float64), features
        if leak == "features chosen by labels":
            text = np.abs((inputs - inputs.mean(axis=0)).T @ (labels - labels.mean(axis=0)))
            inputs = inputs[:, np.argsort(text[:, NUM_VIEWS:].sum(axis=1))[-_CHOSEN:]]
        answers = cross_validated(inputs, labels, folds)
        found.append(shuffled_statistics(_predictions(shuffled, answers, folds)))
    return np.array([one.lift for one in found]), np.array([one.variance for one in found])


def failure_rate(
    setting: Setting,
    *,
    permutations: int,
    studies: int,
    drawn: int = 40,
    leak: Leak = "none",
    seed: int = 0,
) -> float:
    """How often the shuffled-label check fails such a study, in [0, 1].

    Of each study `drawn` permutations are trained, and verdicts are given on random choices among
    them: permutations of one study are independent, so this only saves time.
    """
    failed = []
    for study in range(studies):
        place = seed + study
        lifts, variances = shuffled_lifts(setting, place, permutations=drawn, leak=leak)
        rng = np.random.default_rng([place, permutations])
        for _ in range(100):
            own = rng.choice(drawn, size=permutations, replace=False)
            failed.append(lift_interval(lifts[own], float(variances[own].mean())).low > 0)
    return float(np.mean(failed))


def beats_rate(
    setting: Setting,
    *,
    where: Literal["hold-out", "out of fold"],
    metric: Metric = "cortex_auroc",
    studies: int,
    trials: int = 1,
    seed: int = 0,
) -> float:
    """How often a model that knows the view alone beats the view-only baseline, in [0, 1].

    On a hold-out set its answers are the baseline's with noise; out of fold it learns from features
    that tell nothing, and the best of several such trials is judged.
    """
    blind = dataclasses.replace(setting, skill=0.0)
    beats = []
    for study in range(studies):
        rng = np.random.default_rng([seed, study, setting.patients])
        radiographs, features = draw_study(blind, rng)
        labels = radiographs.labels.astype(np.float64)
        if where == "hold-out":
            development, _ = draw_study(dataclasses.replace(blind, patients=300), rng)
            view = view_only_scores(development.labels, labels)
            text = features[:, :-1] @ rng.normal(size=(setting.features, labels.shape[1]))
            text[:, :NUM_VIEWS] = 0
            beats.append(_gain(radiographs, view + 0.003 * text, view, metric).gain.low > 0)
            continue
        folds = make_folds(radiographs, setting.folds, study).assignment
        view = view_only_of_folds(labels, folds)
        tried = []
        for _ in range(trials):
            mixed = rng.normal(size=(setting.features, 5 if trials > 1 else setting.features))
            inputs = np.concatenate([features[:, :-1] @ mixed, features[:, -1:]], axis=1)
            tried.append(cross_validated(inputs, labels, folds))
        best = max(tried, key=lambda answers: _score(radiographs, answers, folds))
        beats.append(_gain(radiographs, best, view, metric, folds).gain.low > 0)
    return float(np.mean(beats))


def _predictions(
    radiographs: Radiographs, answers: FloatArray, folds: npt.NDArray[np.int64]
) -> Predictions:
    return Predictions(
        labels=radiographs.labels,
        visible=radiographs.visible,
        probabilities=answers,
        patient_ids=radiographs.patient_ids,
        visits=radiographs.table["visit"].to_numpy(dtype=object),
        folds=folds,
    )


def _score(radiographs: Radiographs, answers: FloatArray, folds: npt.NDArray[np.int64]) -> float:
    cortices = (radiographs.labels[:, NUM_VIEWS:], answers[:, NUM_VIEWS:], radiographs.visible)
    return float(
        np.mean([macro_auroc(*(part[folds == fold] for part in cortices)) for fold in set(folds)])
    )


def _gain(
    radiographs: Radiographs,
    answers: FloatArray,
    view: FloatArray,
    metric: Metric,
    folds: npt.NDArray[np.int64] | None = None,
) -> Gain:
    of_cortices = metric == "cortex_auroc"
    columns = slice(NUM_VIEWS if of_cortices else 0, None)
    return gain_over(
        radiographs.labels[:, columns],
        answers[:, columns],
        view[:, columns],
        radiographs.patient_ids,
        radiographs.visible if of_cortices else None,
        strata=radiographs.labels[:, :NUM_VIEWS].argmax(axis=1),
        folds=folds,
    )


CLEAN = {
    "12 patients, 3 folds": Setting(12, folds=3),
    "12 patients, 6 folds": Setting(12),
    "12 patients, 3 folds, one visit": Setting(12, folds=3, visits=1),
    "40 patients": Setting(40),
    "40 patients, 2 folds, 2 features": Setting(40, folds=2, features=2),
    "40 patients, rare scores": Setting(40, rare=True),
    "40 patients, both views": Setting(40, both_views=True),
    "100 patients, very alike, 2 features": Setting(100, features=2, alike=2.0),
    "300 patients": Setting(300),
}


def questions(scale: float) -> dict[str, Callable[[], float]]:
    """What is simulated, by the words that it is printed with.

    Args:
        scale: share of the studies that are drawn.
    """

    def number(full: int) -> int:
        return int(max(2, round(full * scale)))

    asked: dict[str, Callable[[], float]] = {}
    for count in (3, 5, 10):
        fails = functools.partial(failure_rate, permutations=count)
        for name, setting in CLEAN.items():
            asked[f"shuffled, no leak, {name}, {count} permutations"] = functools.partial(
                fails, setting, studies=number(20)
            )
        for leak in LEAKS[1:]:
            for patients in (40, 100):
                asked[f"shuffled, {leak}, {patients} patients, {count} permutations"] = (
                    functools.partial(fails, Setting(patients), studies=number(10), leak=leak)
                )
    metrics: tuple[Metric, ...] = ("auroc", "cortex_auroc")
    for patients, rare in ((12, False), (12, True), (40, False), (40, True), (100, False)):
        for metric in metrics:
            name = f"{patients} patients{', rare scores' if rare else ''}, {metric}"
            asked[f"beats the view, hold-out, {name}"] = functools.partial(
                beats_rate,
                Setting(patients, rare=rare),
                where="hold-out",
                metric=metric,
                studies=number(400),
            )
    for trials in (1, 5, 20):
        for patients in (40, 100):
            asked[f"beats the view, out of fold, best of {trials}, {patients} patients"] = (
                functools.partial(
                    beats_rate,
                    Setting(patients),
                    where="out of fold",
                    studies=number(200),
                    trials=trials,
                )
            )
    return asked


def main() -> None:
    """Simulate, and print one line a question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the studies drawn")
    asked = questions(parser.parse_args().scale)
    lines = []
    with ConsoleProgress().task("simulating", len(asked)) as task:
        for question, ask in asked.items():
            lines.append(f"{question:75} {ask():6.1%}")
            task.advance()
    print("\n".join(lines))


if __name__ == "__main__":
    main()
