"""Ranks by several scores at once: the mean of the ranks by each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def mean_ranks(columns: Sequence[tuple[str, Sequence[float]]]) -> npt.NDArray[np.float64]:
    """The mean of each entry's ranks; 1 is the best, and equal values share their mean rank.

    Args:
        columns: `max` or `min`, what is best, and the values; all of one length.

    Examples:
        >>> mean_ranks([("max", [0.9, 0.8, 0.7]), ("min", [3.0, 1.0, 2.0])]).tolist()
        [2.0, 1.5, 2.5]
    """
    # Few searches have several objectives, and every command reads records.
    import pandas as pd

    ranks = [
        pd.Series(values, dtype="float64").rank(ascending=direction == "min").to_numpy()
        for direction, values in columns
    ]
    return np.asarray(np.mean(ranks, axis=0), dtype=np.float64)
