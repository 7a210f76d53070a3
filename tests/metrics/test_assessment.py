"""Assessment: every figure is that of its own module, and each has the interval it should."""

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest
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

RESAMPLES = 60


def draw(seed=0, num_patients=40, folds=None):
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


def by_name(figures):
    return {(item.figure, item.of, item.average, item.counted): item for item in figures}


@pytest.fixture(scope="module")
def predictions():
    return draw()


@pytest.fixture(scope="module")
def found(predictions):
    return by_name(assess(predictions, threshold=0.4, union_threshold=11, num_resamples=RESAMPLES))


def test_every_figure_is_that_of_its_own_module(predictions, found):
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
    agreement = score_agreement(reference, likeliest)
    for name in ("kappa", "exact", "within_one"):
        values = getattr(agreement, name)
        expected[name, "cortices", "macro", "visible"] = macro_average(values).value
        expected |= {
            (name, cortex, "", "visible"): v for cortex, v in zip(CORTICES, values, strict=True)
        }
    pair = predictions.totals.reference, predictions.totals.predicted
    totals, union = total_agreement(*pair), union_agreement(*pair, threshold=11)
    for name in ("mae", "bias", "lower_limit", "upper_limit", "icc"):
        figure = getattr(totals, name)
        expected[name, "visits", "", "visible"] = getattr(figure, "value", figure)
    expected["icc_analytic", "visits", "", "visible"] = totals.icc.value
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


def test_intervals_are_those_of_the_patient_bootstrap(predictions, found):
    own = auroc_intervals(
        predictions.labels,
        predictions.probabilities,
        predictions.patient_ids,
        rng=0,
        num_resamples=RESAMPLES,
    )
    figure = found["auroc", "labels", "macro", "all"]
    assert (figure.low, figure.high) == pytest.approx((own.macro.low, own.macro.high))
    for label, interval in zip(LABELS, own.labels, strict=True):
        figure = found["auroc", label, "", "all"]
        assert (figure.low, figure.high) == pytest.approx((interval.low, interval.high))
    pair = predictions.totals.reference, predictions.totals.predicted
    analytic = found["icc_analytic", "visits", "", "visible"]
    icc = total_agreement(*pair).icc
    assert (analytic.low, analytic.high) == (icc.low, icc.high)


def test_all_have_an_interval_but_those_for_which_it_would_mean_nothing(found):
    for (name, *_), figure in found.items():
        if name == "expected_calibration_error":
            assert np.isnan([figure.low, figure.high]).all()
        else:
            assert figure.low <= figure.value <= figure.high, figure
            assert figure.low < figure.high


def test_a_figure_that_is_the_same_in_all_resamples_has_no_interval(predictions):
    certain = predictions.probabilities.copy()
    certain[:, :NUM_VIEWS] = predictions.labels[:, :NUM_VIEWS]
    changed = dataclasses.replace(predictions, probabilities=certain)
    figure = by_name(assess(changed, num_resamples=RESAMPLES))["auroc", "view_ap", "", "all"]
    assert figure.value == 1
    assert np.isnan([figure.low, figure.high]).all()


def test_averages_say_over_how_many_labels_they_are(predictions):
    labels = predictions.labels.copy()
    # No radiograph has a medial score of 4 any more: it is not visible there instead.
    rows = labels[:, LABELS.index("medial_4")] == 1
    visible = predictions.visible.copy()
    visible[rows, :4] = False
    labels[:, LABELS.index("medial_4")] = 0
    changed = dataclasses.replace(predictions, labels=labels, visible=visible)
    found = by_name(assess(changed, num_resamples=RESAMPLES))
    for of, counted, total in (("labels", "all", 18), ("cortices", "visible", 16)):
        figure = found["auroc", of, "macro", counted]
        assert (figure.defined, figure.total) == (total - 1, total)
    assert np.isnan(found["auroc", "medial_4", "", "visible"].value)
    figure = found["mae", "visits", "", "visible"]
    assert figure.defined == len(changed.totals.reference) < figure.total


def test_models_of_several_folds_are_ranked_fold_by_fold():
    predictions = draw(seed=1, folds=3)
    # Each fold's model answers on a scale of its own, which says nothing of the ranking.
    scale = np.array([1.0, 0.1, 0.01])[predictions.folds][:, None]
    predictions = dataclasses.replace(predictions, probabilities=predictions.probabilities * scale)
    found = by_name(assess(predictions, num_resamples=RESAMPLES))
    parts = [predictions.subset(predictions.folds == fold) for fold in range(3)]
    expected = np.mean([macro_auroc(part.labels, part.probabilities) for part in parts])
    assert found["auroc", "labels", "macro", "all"].value == pytest.approx(expected, abs=1e-12)
    for name, score in (
        ("auroc", roc_auc_score),
        ("average_precision", average_precision_score),
    ):
        cases = [(part.labels[:, 2], part.probabilities[:, 2]) for part in parts]
        expected = np.mean([score(*case) for case in cases])
        assert found[name, LABELS[2], "", "all"].value == pytest.approx(expected, abs=1e-12)
        cases = [(part.labels.ravel(), part.probabilities.ravel()) for part in parts]
        expected = np.mean([score(*case) for case in cases])
        assert found[name, "labels", "micro", "all"].value == pytest.approx(expected, abs=1e-12)
    # What is decided at a threshold is not ranked, and is taken of all rows together.
    together = brier_score(predictions.labels, predictions.probabilities).mean()
    assert found["brier", "labels", "macro", "all"].value == pytest.approx(together)


def test_one_patient_has_figures_without_intervals():
    one = draw(num_patients=1, seed=3)
    found = assess(one, num_resamples=RESAMPLES)
    assert len(found) == len(assess(draw(), num_resamples=1))
    analytic = [figure.figure == "icc_analytic" for figure in found]
    low = np.array([figure.low for figure in found])[~np.array(analytic)]
    assert np.isnan(low).all()


def test_no_figure_is_there_twice_and_a_seed_gives_one_answer(predictions, found):
    figures = assess(predictions, threshold=0.4, union_threshold=11, num_resamples=RESAMPLES)
    keys = [(item.figure, item.of, item.average, item.counted) for item in figures]
    assert max(Counter(keys).values()) == 1
    assert str(by_name(figures)) == str(found)
    other = assess(predictions, rng=1, num_resamples=RESAMPLES)
    assert other[0].value == figures[0].value
    assert other[0].low != figures[0].low


def test_arrays_that_do_not_fit_together_are_refused(predictions):
    for name in ("visible", "probabilities", "patient_ids", "visits", "folds"):
        with pytest.raises(MetricError, match=rf"{name} \(3,\); expected"):
            dataclasses.replace(predictions, **{name: np.zeros(3)})


@pytest.mark.slow
def test_a_whole_studys_figures_take_seconds():
    predictions = draw(num_patients=750, folds=6)
    rows = np.arange(3000) % len(predictions.labels)
    predictions = predictions.subset(rows)
    start = time.perf_counter()
    auroc_intervals(predictions.labels, predictions.probabilities, predictions.patient_ids, rng=0)
    macro = time.perf_counter() - start
    assess(predictions)
    everything = time.perf_counter() - start - macro
    print(f"\n2,000 resamples of 3,000 rows: AUROC {macro:.1f} s, all figures {everything:.1f} s")
    assert macro < 10
    assert everything < 60
