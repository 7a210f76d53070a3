"""The shuffled-label check in simulation: few alarms without a leak, and planted leaks seen."""

import dataclasses

import pytest

from experiments.false_alarms import CLEAN, Setting, failure_rate, shuffled_lifts
from rust_tuner.steps.checks.shuffled_labels import DEFAULT_PERMUTATIONS, lift_interval

STUDIES, DRAWN = 4, 20


@pytest.mark.slow
def test_clean_studies_fail_as_rarely_as_said() -> None:
    """In each corner: few patients, few folds, rare scores, cortices in both views."""
    rates = {
        name: failure_rate(
            setting, permutations=DEFAULT_PERMUTATIONS, studies=STUDIES, drawn=DRAWN, seed=100
        )
        for name, setting in CLEAN.items()
        if setting.patients <= 100
    }
    # Nominally 2.5 %. 80 permutations a corner leave each rate uncertain by about 6 %.
    assert sum(rates.values()) / len(rates) < 0.04, rates
    assert max(rates.values()) < 0.15, rates


@pytest.mark.slow
def test_a_planted_leak_is_seen_and_copies_under_new_ids_are_not() -> None:
    for leak in ("patients on both sides", "features chosen by labels"):
        rate = failure_rate(
            Setting(60), permutations=DEFAULT_PERMUTATIONS, studies=2, drawn=15, leak=leak
        )
        assert rate > 0.9, leak
    rate = failure_rate(
        Setting(60),
        permutations=DEFAULT_PERMUTATIONS,
        studies=2,
        drawn=15,
        leak="copies under new ids",
    )
    assert rate < 0.2


def test_images_that_tell_healing_raise_nothing_on_shuffled_labels() -> None:
    """With visits in their order, the mean lift of such a study was 0.06."""
    means = []
    for seed in range(3):
        lifts, variances = shuffled_lifts(Setting(30, folds=3, skill=2.0), seed, permutations=6)
        means.append(lifts.mean())
        assert lift_interval(lifts, float(variances.mean())).low < 0.02
    assert sum(means) / 3 < 0.02


def test_the_same_seed_gives_the_same_study() -> None:
    setting = dataclasses.replace(Setting(12), folds=3)
    first, again = (shuffled_lifts(setting, 5, permutations=2)[0].tolist() for _ in range(2))
    assert first == again
