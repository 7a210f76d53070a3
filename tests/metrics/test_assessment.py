"""Assessment: every figure is that of its own module, and each has the interval it should."""

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest
from narrowing import not_none
from scipy import special, stats
from sklearn.metrics import average_precision_score, roc_auc_score

from rust_tuner.errors import MetricError
from rust_tuner.labels import CORTEX_LABELS, CORTICES, LABELS, NUM_VIEWS, encode, visible_mask
from rust_tuner.metrics import (
    Predictions,
    assess,
    auroc,
    auroc_intervals,
    average_precision,
    brier_score,
    decisions,
    expected_calibration_error,
    macro_auroc,
    macro_average,
    micro_auroc,
    micro_average_precision,
    score_agreement,
    total_agreement,
    union_agreement,
)
from rust_tuner.metrics.figure import Figure


def draw(seed: int = 0, num_patients: int = 40, folds: int | None = None) -> Predictions:
    """Predictions of patients with one to three visits, that are right more often than not."""
    rng = np.random.default_rng(seed)
    visits = np.repeat(np.arange(num_patients), rng.integers(1, 4, size=num_patients))
    patients = np.repeat(visits, 2)
    names = np.repeat(np.arange(len(visits)), 2)
    views = ["ap", "lateral"] * len(visits)
    scores = rng.integers(1, 5, size=(len(views), 4)).astype(float)
    shown = np.array([[True, True, False, False], [False, False, True, True]] * len(visits))
    scores[~shown | (rng.random(scores.shape) < 0.1)] = np.nan
    labels = encode(views, scores)
    logit = 2.0 * labels + rng.normal(size=labels.shape) - 1.5
    return Predictions(
        labels,
        visible_mask(scores),
        1 / (1 + np.exp(-logit)),
        np.array([f"P{number}" for number in patients], dtype=object),
        np.array([f"visit {number}" for number in names], dtype=object),
        None if folds is None else patients % folds,
    )


def by_name(figures: list[Figure]) -> dict[tuple[str, str, str, str], Figure]:
    return {(item.figure, item.of, item.average, item.counted): item for item in figures}


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return draw()


@pytest.fixture(scope="module")
def found(predictions: Predictions) -> dict[tuple[str, str, str, str], Figure]:
    return by_name(assess(predictions, threshold=0.4, union_threshold=11, union_cutoff=10))


def test_every_figure_is_that_of_its_own_module(
    predictions: Predictions, found: dict[tuple[str, str, str, str], Figure]
) -> None:
    labels, answers = predictions.labels, predictions.probabilities
    reference, likeliest = predictions.scores
    expected = {}
    for of, counted, names, problem in (
        ("labels", "all", LABELS, (labels, answers, np.ones(labels.shape, bool))),
        (
            "cortices",
            "visible",
            CORTEX_LABELS,
            (labels[:, NUM_VIEWS:], answers[:, NUM_VIEWS:], predictions.visible),
        ),
    ):
        expected["auroc", of, "micro", counted] = micro_auroc(*problem)
        expected["average_precision", of, "micro", counted] = micro_average_precision(*problem)
        table = decisions(*problem[:2], 0.4, problem[2])
        for name, values in {
            "auroc": auroc(*problem),
            "average_precision": average_precision(*problem),
            "precision": table.precision,
            "recall": table.recall,
            "f1": table.f1,
            "brier": brier_score(*problem),
            "expected_calibration_error": expected_calibration_error(*problem),
        }.items():
            expected[name, of, "macro", counted] = macro_average(values).value
            expected |= {
                (name, label, "", counted): v for label, v in zip(names, values, strict=True)
            }
        truth, answer, mask = problem
        together = expected_calibration_error(truth[mask][:, None], answer[mask][:, None])
        expected["expected_calibration_error", of, "micro", counted] = together[0]
    agreement = score_agreement(reference, likeliest)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "kappa", "within_one"):
        values = getattr(agreement, "exact" if name == "accuracy" else name)
        expected[name, "cortices", "macro", "visible"] = macro_average(values).value
        expected |= {
            (name, cortex, "", "visible"): v for cortex, v in zip(CORTICES, values, strict=True)
        }
    pair = predictions.totals.reference, predictions.totals.predicted
    totals, union = total_agreement(*pair), union_agreement(*pair, threshold=11, cutoff=10)
    for name in ("mae", "bias", "lower_limit", "upper_limit", "icc"):
        figure = getattr(totals, name)
        expected[name, "visits", "", "visible"] = getattr(figure, "value", figure)
    for name in (
        "sensitivity",
        "specificity",
        "positive_predictive_value",
        "negative_predictive_value",
    ):
        expected[name, "visits", "", "visible"] = getattr(union, name)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].value == pytest.approx(value, abs=1e-10), key


def test_intervals_of_aurocs_are_those_of_auroc_intervals(
    predictions: Predictions, found: dict[tuple[str, str, str, str], Figure]
) -> None:
    for of, counted, names, problem in (
        ("labels", "all", LABELS, (predictions.labels, predictions.probabilities, None)),
        (
            "cortices",
            "visible",
            CORTEX_LABELS,
            (
                predictions.labels[:, NUM_VIEWS:],
                predictions.probabilities[:, NUM_VIEWS:],
                predictions.visible,
            ),
        ),
    ):
        truth, score, mask = problem
        own = auroc_intervals(truth, score, predictions.patient_ids, mask)
        keys = (("macro", of), *(("", name) for name in names))
        pairs = zip(keys, (own.macro, *own.labels), strict=True)
        for (average, name), interval in pairs:
            figure = found["auroc", name, average, counted]
            assert (figure.low, figure.high, figure.reason) == pytest.approx(
                (interval.low, interval.high, interval.reason)
            )


def test_intervals_of_other_figures_are_those_of_the_jackknife_over_patients(
    predictions: Predictions, found: dict[tuple[str, str, str, str], Figure]
) -> None:
    keep = [predictions.patient_ids != name for name in np.unique(predictions.patient_ids)]
    labels, answers = predictions.labels, predictions.probabilities
    values = np.array([brier_score(labels[rows], answers[rows])[0] for rows in keep])
    figure = found["brier", "view_ap", "", "all"]
    variance = (len(values) - 1) * values.var()
    spread = np.sqrt(variance) / (figure.value * (1 - figure.value))
    away = values - values.mean()
    kurtosis = np.mean(away**4) / np.mean(away**2) ** 2
    degrees = min(len(values) - 1, 2 * len(values) / (kurtosis - 1))
    reach = stats.t.ppf(0.975, degrees) * spread
    ends = special.expit(special.logit(figure.value) + np.array([-reach, reach]))
    assert (figure.low, figure.high) == pytest.approx(tuple(ends))


@pytest.mark.parametrize("num_patients", [2, 7, 40])
@pytest.mark.parametrize("folds", [None, 3])
def test_a_figure_lies_in_its_interval_or_says_why_it_has_none(
    num_patients: int, folds: int | None
) -> None:
    ranges = {"kappa": (-1, 1), "icc": (-1, 1), "mae": (0, 12), "bias": (-12, 12)}
    free = ("lower_limit", "upper_limit")
    for seed in range(3 if num_patients < 40 else 1):
        for figure in assess(draw(seed, num_patients, folds=folds)):
            if np.isnan(figure.low):
                assert np.isnan(figure.high)
                assert bool(figure.reason) == (not np.isnan(figure.value)), figure
                continue
            assert figure.reason == ""
            assert figure.low <= figure.value <= figure.high, figure
            assert figure.low < figure.high, figure
            lowest, highest = ranges.get(figure.figure, (0, 1))
            if figure.figure not in free:
                assert lowest <= figure.low < figure.high <= highest, figure


def test_all_of_many_patients_have_an_interval_but_the_calibration_error() -> None:
    for figure in assess(draw(num_patients=150)):
        has_none = figure.figure == "expected_calibration_error"
        assert np.isnan([figure.low, figure.high]).all() == has_none, figure
        assert bool(figure.reason) == has_none


def test_a_perfect_auroc_has_an_interval_and_a_perfect_average_precision_too(
    predictions: Predictions,
) -> None:
    certain = predictions.probabilities.copy()
    certain[:, :NUM_VIEWS] = predictions.labels[:, :NUM_VIEWS]
    found = by_name(assess(dataclasses.replace(predictions, probabilities=certain)))
    for name in ("auroc", "average_precision", "recall"):
        figure = found[name, "view_ap", "", "all"]
        assert 0.8 < figure.low < figure.high == figure.value == 1
    brier = found["brier", "view_ap", "", "all"]
    assert brier.value == 0
    assert np.isnan([brier.low, brier.high]).all()
    assert brier.reason


def test_averages_say_over_how_many_labels_they_are(predictions: Predictions) -> None:
    labels = predictions.labels.copy()
    # No radiograph has a medial score of 4 any more: it is not visible there instead.
    rows = labels[:, LABELS.index("medial_4")] == 1
    visible = predictions.visible.copy()
    visible[rows, :4] = False
    labels[:, LABELS.index("medial_4")] = 0
    changed = dataclasses.replace(predictions, labels=labels, visible=visible)
    found = by_name(assess(changed))
    for of, counted, total in (("labels", "all", 18), ("cortices", "visible", 16)):
        figure = found["auroc", of, "macro", counted]
        assert (figure.defined, figure.total) == (total - 1, total)
    assert np.isnan(found["auroc", "medial_4", "", "visible"].value)
    figure = found["mae", "visits", "", "visible"]
    assert not_none(figure.defined) == len(changed.totals.reference) < not_none(figure.total)


def test_figures_of_the_most_likely_scores_come_first_and_count_every_radiograph(
    predictions: Predictions,
) -> None:
    # No label reaches 0.5 any more, and the most likely scores are what they were.
    timid = dataclasses.replace(predictions, probabilities=predictions.probabilities * 0.4)
    before, after = assess(predictions), assess(timid)
    names = list(dict.fromkeys(figure.figure for figure in after))
    assert names[:4] == ["accuracy", "balanced_accuracy", "macro_f1", "kappa"]
    assert after[:20] == before[:20]
    decided = by_name(after)["precision", "cortices", "macro", "visible"]
    assert np.isnan(decided.value)
    assert (decided.defined, decided.total) == (0, 16)


def test_a_mean_over_scores_says_how_many_occur(predictions: Predictions) -> None:
    labels, visible = predictions.labels.copy(), predictions.visible.copy()
    rows = labels[:, LABELS.index("medial_4")] == 1
    labels[rows, 2:6], visible[rows, :4] = 0, False
    found = by_name(assess(dataclasses.replace(predictions, labels=labels, visible=visible)))
    for of, counts in (("medial", (3, 4)), ("lateral", (4, 4)), ("cortices", (15, 16))):
        average = "macro" if of == "cortices" else ""
        figure = found["balanced_accuracy", of, average, "visible"]
        assert (figure.defined, figure.total) == counts
    # It is predicted for some, so it has an F1, which is 0 and of no patient.
    figure = found["macro_f1", "medial", "", "visible"]
    assert (figure.defined, figure.total) == (4, 4)
    assert figure.reason.startswith("0 patients with one of the predicted scores; an interval ne")


def test_models_of_several_folds_are_ranked_fold_by_fold() -> None:
    predictions = draw(seed=1, folds=3)
    # Each fold's model answers on a scale of its own, which says nothing of the ranking.
    scale = np.array([1.0, 0.1, 0.01])[predictions.folds][:, None]
    predictions = dataclasses.replace(predictions, probabilities=predictions.probabilities * scale)
    found = by_name(assess(predictions))
    parts = [predictions.subset(np.asarray(predictions.folds == fold)) for fold in range(3)]
    expected = np.mean([macro_auroc(part.labels, part.probabilities) for part in parts])
    assert found["auroc", "labels", "macro", "all"].value == pytest.approx(expected, abs=1e-12)
    for name, score in (("auroc", roc_auc_score), ("average_precision", average_precision_score)):
        cases = [(part.labels[:, 2], part.probabilities[:, 2]) for part in parts]
        expected = np.mean([score(*case) for case in cases])
        assert found[name, LABELS[2], "", "all"].value == pytest.approx(expected, abs=1e-12)
        cases = [(part.labels.ravel(), part.probabilities.ravel()) for part in parts]
        expected = np.mean([score(*case) for case in cases])
        assert found[name, "labels", "micro", "all"].value == pytest.approx(expected, abs=1e-12)
    # What is decided at a threshold is not ranked, and is taken of all rows together.
    together = brier_score(predictions.labels, predictions.probabilities).mean()
    assert found["brier", "labels", "macro", "all"].value == pytest.approx(together)


def test_one_answer_for_all_has_no_interval_of_no_width(predictions: Predictions) -> None:
    constant = np.full(predictions.probabilities.shape, 0.5)
    for figure in assess(dataclasses.replace(predictions, probabilities=constant)):
        assert not figure.low == figure.value == figure.high
        if figure.figure == "auroc" and figure.average == "micro":
            assert (figure.value, figure.reason) == (0.5, "no patient changes it")


def test_one_patient_has_figures_without_intervals() -> None:
    one = draw(num_patients=1, seed=3)
    found = assess(one)
    assert len(found) == len(assess(draw()))
    assert np.isnan([figure.low for figure in found]).all()


def test_no_figure_is_there_twice_and_nothing_is_drawn(
    predictions: Predictions, found: dict[tuple[str, str, str, str], Figure]
) -> None:
    figures = assess(predictions, threshold=0.4, union_threshold=11, union_cutoff=10)
    keys = [(item.figure, item.of, item.average, item.counted) for item in figures]
    assert max(Counter(keys).values()) == 1
    assert str(by_name(figures)) == str(found)


def test_arrays_that_do_not_fit_together_are_refused(predictions: Predictions) -> None:
    for name in ("visible", "probabilities", "patient_ids", "visits", "folds"):
        with pytest.raises(MetricError, match=rf"{name} \(3,\); expected"):
            dataclasses.replace(predictions, **{name: np.zeros(3)})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_whole_studys_figures_take_seconds() -> None:
    predictions = draw(num_patients=750, folds=6)
    rows = np.arange(3000) % len(predictions.labels)
    predictions = predictions.subset(rows)
    start = time.process_time()
    auroc_intervals(predictions.labels, predictions.probabilities, predictions.patient_ids)
    macro = time.process_time() - start
    assess(predictions)
    everything = time.process_time() - start - macro
    print(f"\n3,000 rows of 750 patients: AUROC {macro:.1f} s, all figures {everything:.1f} s")
    assert macro < 2
    assert everything < 60


def test_a_label_that_hardly_anyone_has_has_no_interval_of_its_brier_score() -> None:
    """Without the large errors of those who have it, the interval would be far too low."""
    drawn = draw(num_patients=60)
    labels, name = drawn.labels.copy(), "medial_4"
    column = LABELS.index(name)
    has_it = np.isin(drawn.patient_ids, ["P1", "P2", "P3", "P4"])
    labels[~has_it, column] = 0
    figures = by_name(assess(dataclasses.replace(drawn, labels=labels)))
    rare = figures["brier", name, "", "all"]
    number = len(set(drawn.patient_ids[labels[:, column] > 0]))
    assert number < 5
    assert rare.reason.startswith(f"{number} patient")
    assert "with the label, or without it; an interval needs at least 5" in rare.reason
    assert np.isfinite(figures["brier", "labels", "macro", "all"].low)
    assert np.isfinite(figures["brier", "medial_1", "", "all"].low)


@pytest.mark.slow
def test_the_mean_average_precision_of_a_poor_model_is_covered() -> None:
    """Each label's is too large, and the mean of 18 is precise: without the bias it is missed."""
    rng = np.random.default_rng(0)

    def poor(patients: int) -> Predictions:
        drawn = draw(int(rng.integers(1 << 30)), patients)
        logit = 0.5 * drawn.labels + rng.normal(size=drawn.labels.shape)
        return dataclasses.replace(drawn, probabilities=1 / (1 + np.exp(-logit)))

    key = "average_precision", "labels", "macro", "all"
    many = poor(8000)
    truth = average_precision_score(many.labels, many.probabilities, average="macro")
    covered = []
    for _ in range(60):
        figure = by_name(assess(poor(120)))[key]
        covered.append(figure.low <= truth <= figure.high)
    assert np.mean(covered) >= 0.85
