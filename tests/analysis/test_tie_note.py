"""Ties out of the order of ranks are explained, and only these."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.metrics import corrected_t_test, tied_with_best
from rust_tuner.words import p_value


def table(
    scores: npt.NDArray[np.float64], tied: Sequence[bool | None] | npt.NDArray[np.bool_]
) -> pd.DataFrame:
    best = scores[np.mean(scores, axis=1).argmax()] if len(scores) else scores
    return pd.DataFrame(
        {
            "trial": [f"{number:04d}" for number in range(len(scores))],
            "score": np.mean(scores, axis=1),
            "tied_with_best": pd.array(tied, dtype="boolean"),
            "p_against_best": [corrected_t_test(best, row, 5, 1).p_value for row in scores],
        }
    )


def test_a_tied_trial_of_wide_folds_below_an_untied_one_is_explained() -> None:
    rng = np.random.default_rng(0)
    folds = rng.normal(scale=0.01, size=6)
    means = (0.9, *[0.8] * 20)
    scores = np.array([mean + folds + rng.normal(scale=0.001, size=6) for mean in means])
    wide = 0.78 + np.array([0.2, -0.2, 0.15, -0.15, 0.1, -0.1])
    scores = np.concatenate([scores, [wide]])
    tied = tied_with_best(scores, 5, 1)
    assert tied.tolist() == [True, *[False] * 20, True]
    note = tie_note(table(scores, tied))
    second = int(np.argsort(-scores.mean(axis=1))[1])
    assert note.startswith(f"0021 (rank 22) is tied and {second:04d} (rank 2) is not: the")
    values = [corrected_t_test(scores[0], scores[row], 5, 1).p_value for row in (21, second)]
    assert f"p = {p_value(values[0])}, {p_value(values[1])})" in note
    assert values[0] > 0.05 > values[1]


def test_it_is_the_difference_from_the_best_that_varies_and_not_the_trial() -> None:
    """Folds that are hard for all spread a trial's scores, and not its difference from the best."""
    scores = np.array(
        [
            [0.854, 0.818, 0.832, 0.915, 0.868, 0.833],
            [0.842, 0.820, 0.818, 0.908, 0.852, 0.820],
            [0.836, 0.801, 0.817, 0.895, 0.843, 0.820],
            [0.779, 0.826, 0.800, 0.820, 0.819, 0.801],
            [0.822, 0.783, 0.785, 0.847, 0.801, 0.769],
        ]
    )
    tied = tied_with_best(scores, 5, 1)
    assert tied.tolist() == [True, True, False, True, False]
    assert scores[3].std() < scores[2].std()
    assert "the difference of the former from the best varies more" in tie_note(table(scores, tied))


def test_ties_in_the_order_of_ranks_need_no_note() -> None:
    scores = np.array([[0.9, 0.8], [0.85, 0.8], [0.7, 0.6]])
    for tied in ([True, True, False], [True, True, True], [True, False, False], [None] * 3):
        assert tie_note(table(scores, tied)) == ""
    assert tie_note(table(scores[:0], [])) == ""
