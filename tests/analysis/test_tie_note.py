"""Ties out of the order of ranks are explained, and only these."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.metrics import tied_with_best


def table(
    scores: npt.NDArray[np.float64], tied: Sequence[bool | None] | npt.NDArray[np.bool_]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [f"{number:04d}" for number in range(len(scores))],
            "score": np.mean(scores, axis=1),
            "score_std": np.std(scores, axis=1, ddof=1),
            "tied_with_best": pd.array(tied, dtype="boolean"),
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
    assert note.startswith(f"0021 (rank 22) is tied and {second:04d} (rank 2) is not, since the")
    spreads = np.std(scores, axis=1, ddof=1)
    assert f"(SD {spreads[21]:.3f}, {spreads[second]:.3f})" in note


def test_ties_in_the_order_of_ranks_need_no_note() -> None:
    scores = np.array([[0.9, 0.8], [0.85, 0.8], [0.7, 0.6]])
    for tied in ([True, True, False], [True, True, True], [True, False, False], [None] * 3):
        assert tie_note(table(scores, tied)) == ""
    assert tie_note(table(scores[:0], [])) == ""
