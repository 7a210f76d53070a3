"""Look-up tables and windows of DICOM (PS3.3, C.11.1 and C.11.2), without a DICOM library.

Which of them a file asks for is read in `dicom`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LookUpTable:
    """A look-up table (PS3.3, C.11.1.1.1): values below and above it take its first and last.

    Attributes:
        name: its explanation in the file, or empty.
        first: the value that the first entry belongs to.
        data: (entries,) the output.
        highest: the largest output that its number of bits allows.
    """

    name: str
    first: int
    data: FloatArray
    highest: int

    def apply(self, values: npt.NDArray[Any]) -> FloatArray:
        """The entries of values of any shape, not above `highest`."""
        positions = np.clip(np.rint(values).astype(np.int64) - self.first, 0, len(self.data) - 1)
        shown: FloatArray = np.minimum(self.data[positions], self.highest)
        return shown


def _linear(values: FloatArray, centre: float, width: float) -> FloatArray:
    """PS3.3, C.11.2.1.2.1; a window of one value is a step."""
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _linear_exact(values: FloatArray, centre: float, width: float) -> FloatArray:
    """PS3.3, C.11.2.1.3.2."""
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _sigmoid(values: FloatArray, centre: float, width: float) -> FloatArray:
    """PS3.3, C.11.2.1.3.1."""
    exponent = np.clip(-4 * (values - centre) / width, -700, 700)
    return 1 / (1 + np.exp(exponent))


WINDOWS: dict[str, Callable[[FloatArray, float, float], FloatArray]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}
