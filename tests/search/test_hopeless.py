"""The rule that stops a trial: worse than the best so far, at enough epochs in a row, or not."""

from typing import Any

import numpy as np
import pytest
from narrowing import not_none

from rust_tuner.metrics import corrected_t_test
from rust_tuner.search.hopeless import Rival, StopRule, Watch, hopeless
from rust_tuner.search.mean_curves import chosen_epoch

FOLDS, EPOCHS = 6, 12
NOISE = np.linspace(-0.01, 0.01, FOLDS)[:, None] * np.ones(EPOCHS)


def curves(level: float, spread: float = 1.0) -> Any:
    rng = np.random.default_rng(int(1000 * level))
    return level + NOISE + spread * rng.normal(0, 0.005, (FOLDS, EPOCHS))


def rival(values: np.ndarray, direction: str = "max", rule: str | int = "last") -> Rival:
    mean = values.mean(axis=0)
    score = float(mean[chosen_epoch(mean, rule, direction)])
    return Rival("0003", values.tolist(), (100.0, 20.0), direction, score, rule)


def test_a_trial_that_is_worse_at_every_epoch_is_stopped_at_the_first_two_that_count() -> None:
    verdict = hopeless(StopRule(), rival(curves(0.8)), curves(0.6), EPOCHS)
    assert verdict is not None
    assert (verdict.epoch, verdict.rival, len(verdict.p_values)) == (6, "0003", 2)
    assert max(verdict.p_values) < 0.05
    assert str(verdict).startswith("stopped after epoch 6 (from 0): worse than trial 0003 at 2")


@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_better_or_equal_trial_is_never_stopped(direction: str) -> None:
    best, other = curves(0.8), curves(0.95)
    if direction == "min":
        best, other = -best, -other
    assert hopeless(StopRule(), rival(best, direction), other, EPOCHS) is None
    assert hopeless(StopRule(), rival(best, direction), best, EPOCHS) is None
    assert hopeless(StopRule(), rival(other, direction), best, EPOCHS) is not None


def test_a_single_bad_epoch_or_two_apart_do_not_stop_a_trial() -> None:
    best = curves(0.8)
    for bad in ([7], [6, 8], [5, 7, 9]):
        other = best.copy()
        other[:, bad] = 0.5 + NOISE[:, bad]
        assert hopeless(StopRule(), rival(best), other, EPOCHS) is None
    other = best.copy()
    other[:, [7, 8]] = 0.5 + NOISE[:, [7, 8]]
    assert not_none(hopeless(StopRule(), rival(best), other, EPOCHS)).epoch == 8


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize(
    ("rule", "peak", "stopped"),
    [
        ("best_mean", 2, False),
        ("best_mean", None, True),
        ("last", 2, True),
        (2, 2, False),
        # Before the epoch of the score, no trial has it.
        (11, 2, True),
        (2, 3, True),
        (np.int64(2), 2, False),
        (np.int64(11), 2, True),
    ],
)
def test_a_trial_that_already_has_the_best_score_is_not_stopped(
    direction: str, rule: str | int, peak: int | None, stopped: bool
) -> None:
    """It learns fast, and overfits after its best epoch."""
    best, other = curves(0.8), curves(0.6)
    if peak is not None:
        other[:, peak] = 0.9 + NOISE[:, peak]
    if direction == "min":
        best, other = -best, -other
    verdict = hopeless(StopRule(), rival(best, direction, rule), other, EPOCHS)
    assert (verdict is not None) == stopped


def test_early_epochs_and_the_last_one_do_not_stop_a_trial() -> None:
    best = curves(0.8)
    other = best.copy()
    other[:, :6] = 0.5 + NOISE[:, :6]
    assert hopeless(StopRule(), rival(best), other, EPOCHS) is None
    other = best.copy()
    other[:, -2:] = 0.5 + NOISE[:, -2:]
    assert hopeless(StopRule(), rival(best), other, EPOCHS) is None
    assert hopeless(StopRule(first_epoch=0), rival(best), curves(0.6), 2) is None


def test_the_verdict_is_that_of_the_corrected_test_at_each_epoch() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        best, other = rng.normal(0, 1, (2, FOLDS, EPOCHS))
        other = other - rng.uniform(0, 1.5)
        verdict = hopeless(StopRule(), rival(best), other, EPOCHS)
        tests = [
            corrected_t_test(other[:, epoch], best[:, epoch], 100, 20) for epoch in range(EPOCHS)
        ]
        worse = [test.difference < 0 and test.p_value < 0.05 for test in tests]
        expected = next(
            (epoch for epoch in range(6, EPOCHS - 1) if worse[epoch] and worse[epoch - 1]), None
        )
        assert (None if verdict is None else verdict.epoch) == expected


def test_epochs_that_the_rival_lacks_and_values_that_are_not_finite_do_not_count() -> None:
    assert hopeless(StopRule(), rival(curves(0.8)[:, :6]), curves(0.6), EPOCHS) is None
    other = curves(0.6)
    other[2, ::2] = np.nan
    assert hopeless(StopRule(), rival(curves(0.8)), other, EPOCHS) is None


def test_a_watch_sees_what_the_whole_curves_show_and_keeps_its_verdict() -> None:
    watch = Watch(StopRule(), rival(curves(0.8)), EPOCHS)
    seen = [watch.see(list(scores)) for scores in curves(0.6).T]
    assert seen == [False] * 6 + [True] * 6
    assert watch.verdict == hopeless(StopRule(), rival(curves(0.8)), curves(0.6), EPOCHS)
