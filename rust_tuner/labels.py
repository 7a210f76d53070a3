"""Converts RUST scores to and from the study's 18 labels; the number 18 is defined only here.

A radiograph has a view (`ap` or `lateral`) and up to four scored cortices. Each score is 1
(fracture line, no callus), 2 (line, callus), 3 (bridged, no line) or 4 (remodelled); a cortex
without a score is not visible. Whelan et al., J Trauma 2010, doi:10.1097/TA.0b013e3181a7c16d.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import LabelError, private
from rust_tuner.rust_scores import CORTICES as CORTICES
from rust_tuner.rust_scores import HIGHEST_TOTAL as HIGHEST_TOTAL
from rust_tuner.rust_scores import LOWEST_TOTAL as LOWEST_TOTAL
from rust_tuner.rust_scores import SCORES as SCORES
from rust_tuner.rust_scores import UNION_THRESHOLD as UNION_THRESHOLD
from rust_tuner.rust_scores import VIEWS as VIEWS

CORTEX_LABELS = tuple(f"{cortex}_{score}" for cortex in CORTICES for score in SCORES)
LABELS = tuple(f"view_{view}" for view in VIEWS) + CORTEX_LABELS
NUM_LABELS = len(LABELS)
NUM_VIEWS = len(VIEWS)

BoolArray = npt.NDArray[np.bool_]


def encode(views: Sequence[str], scores: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Encode views and scores as label vectors.

    Args:
        views: n views, each `ap` or `lateral`.
        scores: (n, 4) scores in the order of `CORTICES`; 1-4, or NaN where not visible.

    Returns:
        (n, 18) float32 of zeros and ones, in the order of `LABELS`.

    Raises:
        LabelError: for an unknown view or a score that is neither 1-4 nor NaN.
    """
    table = _checked_scores(scores)
    if len(views) != len(table):
        raise LabelError(
            f"{len(views)} views for {len(table)} rows of scores; give one view per row"
        )
    unknown = sorted({str(view) for view in views} - set(VIEWS))
    if unknown:
        raise LabelError(
            f"unknown view {private(repr(unknown[0]))}; a view is one of {', '.join(VIEWS)}"
        )
    view_block = np.asarray(views, dtype=object)[:, None] == np.asarray(VIEWS, dtype=object)
    cortex_block = table[:, :, None] == np.asarray(SCORES, dtype=np.float64)
    return np.concatenate(
        [view_block.reshape(-1, NUM_VIEWS), cortex_block.reshape(-1, len(CORTEX_LABELS))], axis=1
    ).astype(np.float32)


def decode(vectors: npt.ArrayLike) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Decode exact label vectors; the inverse of `encode`.

    Args:
        vectors: (n, 18) zeros and ones, one view each and at most one score per cortex.

    Returns:
        The n views, and the (n, 4) float64 scores with NaN where a cortex is not visible.

    Raises:
        LabelError: if a row is not a label vector; the message names the first.
    """
    array = _checked_vectors(vectors)
    blocks = _cortex_blocks(array)
    faulty = (
        ~np.isin(array, (0.0, 1.0)).all(axis=1)
        | (array[:, :NUM_VIEWS].sum(axis=1) != 1)
        | (blocks.sum(axis=2) > 1).any(axis=1)
    )
    if faulty.any():
        raise LabelError(
            f"row {int(np.argmax(faulty))} is not a label vector; expected zeros and ones with "
            "exactly one view and at most one score per cortex"
        )
    views = [VIEWS[index] for index in array[:, :NUM_VIEWS].argmax(axis=1)]
    scores = np.where(blocks.any(axis=2), blocks @ np.asarray(SCORES, dtype=np.float64), np.nan)
    return views, scores


def visible_mask(scores: npt.ArrayLike) -> BoolArray:
    """Which of the 16 cortex labels are visible: all four of a cortex that has a score.

    Args:
        scores: (n, 4) scores, NaN where not visible.

    Returns:
        (n, 16) bool, in the order of `CORTEX_LABELS`.
    """
    return np.repeat(~np.isnan(_checked_scores(scores)), len(SCORES), axis=1)


@dataclass(frozen=True)
class DecodedScores:
    """Scores read from probabilities.

    Attributes:
        views: (n,) the more probable view of each row.
        most_likely: (n, 4) int, the score with the highest probability.
        expected: (n, 4) float64 in [1, 4], the mean score under the four normalised
            probabilities; NaN where all four are zero.
    """

    views: list[str]
    most_likely: npt.NDArray[np.int64]
    expected: npt.NDArray[np.float64]


def decode_probabilities(probabilities: npt.ArrayLike) -> DecodedScores:
    """Read views and scores from 18 independent probabilities per row.

    Args:
        probabilities: (n, 18) in [0, 1].

    Raises:
        LabelError: for another shape, or for values outside [0, 1].
    """
    array = _checked_vectors(probabilities)
    if not ((array >= 0) & (array <= 1)).all():
        raise LabelError("probabilities outside [0, 1]; expected the output of 18 sigmoids")
    blocks = _cortex_blocks(array)
    totals = blocks.sum(axis=2)
    weighted = blocks @ np.asarray(SCORES, dtype=np.float64)
    expected = np.full(totals.shape, np.nan)
    np.divide(weighted, totals, out=expected, where=totals > 0)
    return DecodedScores(
        views=[VIEWS[index] for index in array[:, :NUM_VIEWS].argmax(axis=1)],
        most_likely=blocks.argmax(axis=2) + SCORES[0],
        expected=expected,
    )


def _checked_scores(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(CORTICES):
        raise LabelError(f"scores of shape {table.shape}; expected (n, {len(CORTICES)})")
    wrong = ~(np.isnan(table) | np.isin(table, SCORES))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise LabelError(
            f"row {row}: {CORTICES[column]}={table[row, column]:g}; a RUST score is 1-4 or empty"
        )
    return table


def _checked_vectors(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != NUM_LABELS:
        raise LabelError(f"label vectors of shape {array.shape}; expected (n, {NUM_LABELS})")
    return array


def _cortex_blocks(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return array[:, NUM_VIEWS:].reshape(len(array), len(CORTICES), len(SCORES))
