"""Which interval a figure has, and why it has none."""

import math
from typing import Any

import numpy as np
import pytest

from rust_tuner.metrics.figure_interval import SCALES, Measured, figure_interval
from rust_tuner.metrics.score_figures import score_figures
from rust_tuner.metrics.uncertainty import Interval


def of(
    figure: str,
    value: float,
    variance: float = 0.01,
    patients: int = 80,
    moving: int = 80,
    **options: Any,
) -> Interval:
    return figure_interval(Measured(figure, value, variance, patients, moving, 80, **options))


@pytest.mark.parametrize("figure", ["recall", "average_precision", "exact", "sensitivity", *SCALES])
def test_an_interval_holds_its_value(figure: str) -> None:
    found = of(figure, 0.7)
    assert found.low < found.value < found.high
    assert found.reason == ""


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (
            Measured("recall", 0.5, 0.1, 4, 4, 4),
            "4 patients with data for it; an interval needs at least 5",
        ),
        (Measured("recall", 0.5, 0.1, 1, 1, 1), "1 patient with data for it"),
        (
            Measured("recall", 0.5, 0.01, 4, 40, 40, of_mean=True),
            "4 patients with the rarest label; an interval needs at least 5",
        ),
        (
            Measured("average_precision", 0.5, 0.01, 19, 40, 40, of_mean=True),
            "19 patients with the rarest label; an interval needs at least 20",
        ),
        (
            Measured("macro_f1", 0.5, 0.01, 4, 40, 40),
            "4 patients with the rarest score; an interval needs at least 5",
        ),
        (Measured("icc", 0.5, 0.01, 40, 9, 9), "an interval needs at least 10"),
        (Measured("mae", 1.0, 0.01, 40, 29, 29), "an interval needs at least 30"),
        (Measured("bias", 1.0, 0.01, 40, 29, 29), "an interval needs at least 30"),
        (Measured("lower_limit", 1.0, 0.01, 79, 79, 79), "an interval needs at least 80"),
        (Measured("upper_limit", 1.0, 0.01, 79, 79, 79), "an interval needs at least 80"),
        (
            Measured("kappa", 0.5, 0.01, 9, 40, 40),
            "9 patients with another score than the most frequent one; an interval needs at "
            "least 10",
        ),
        (
            Measured("kappa", 0.5, 0.01, 4, 40, 40, of_mean=True),
            "4 patients with another score than the most frequent one; an interval needs at "
            "least 5",
        ),
        (Measured("kappa", 1.0, 0.0, 40, 40, 40), "no patient changes it"),
        # All answers are right: no patient changes it, however many there are.
        (Measured("kappa", 1.0, 0.0, 30, 0, 3), "no patient changes it"),
        (
            Measured("recall", 0.1, 1e-33, 40, 0, 40, of_mean=True),
            "no patient changes it",
        ),
        (
            Measured("recall", 0.1, 1e-3, 40, 1, 40, of_mean=True),
            "only one patient changes it",
        ),
        (Measured("recall", 0.5, math.nan, 9, 9, 9), "it is undefined without one of the patients"),
    ],
)
def test_a_figure_without_an_interval_says_why(measured: Measured, reason: str) -> None:
    found = figure_interval(measured)
    assert found.value == measured.value
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert reason in found.reason


def test_what_is_undefined_needs_no_reason() -> None:
    found = of("recall", math.nan)
    assert math.isnan(found.low)
    assert found.reason == ""


def test_a_share_of_all_has_an_interval_below_one() -> None:
    found = of("sensitivity", 1.0, variance=0.0, patients=8, moving=0)
    assert 0.5 < found.low < found.high == 1


def test_patients_whose_error_is_the_mean_error_count() -> None:
    few_move = of("bias", 0.0, variance=0.002, patients=60, moving=6)
    assert few_move == of("bias", 0.0, variance=0.002, patients=60, moving=30)
    assert few_move.low < 0 < few_move.high


def test_kappa_depends_on_patients_with_another_score_than_the_usual_one() -> None:
    rng = np.random.default_rng(0)
    reference = np.full((60, 4), 3.0)
    reference[:12, 0], reference[:9, 1], reference[:12, 2], reference[:4, 3] = 1, 2, 4, 1
    predicted = np.where(rng.random((60, 4)) < 0.3, rng.integers(1, 5, (60, 4)), reference)
    # Two rows of each patient count once.
    owner = np.repeat(np.arange(60), 2)
    figures = {
        figure.of: figure
        for figure in score_figures(
            np.repeat(reference, 2, axis=0), np.repeat(predicted, 2, axis=0), owner
        )
        if figure.figure == "kappa"
    }
    assert not math.isnan(figures["medial"].low)
    assert not math.isnan(figures["anterior"].low)
    for name, count in (("lateral", 9), ("posterior", 4), ("cortices", 4)):
        assert math.isnan(figures[name].low)
        assert figures[name].reason.startswith(f"{count} patients with another score")
