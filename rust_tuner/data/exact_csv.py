"""Reads the numbers of CSV files exactly, by every version of pandas that is allowed.

Before version 3.1 the default of pandas misses the last bit of a third of all numbers; from that
version on it is exact, and the option that asks for it is deprecated.
"""

from pathlib import Path
from typing import IO, Any

import pandas as pd

_IS_EXACT = tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1)
_OPTIONS: dict[str, Any] = {} if _IS_EXACT else {"float_precision": "round_trip"}


def read_exactly(source: str | Path | IO[Any], **options: Any) -> pd.DataFrame:
    r"""A CSV file as a table whose numbers are those that were written.

    Args:
        source: the file, or what it is read from.
        **options: of `pandas.read_csv`.

    Raises:
        ValueError: if it is not CSV.

    Examples:
        >>> import io
        >>> float(read_exactly(io.StringIO("value\n0.30000000000000004"))["value"][0])
        0.30000000000000004
    """
    table: pd.DataFrame = pd.read_csv(source, **options, **_OPTIONS)
    return table
