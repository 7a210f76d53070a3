"""The labels that an AUROC covers: all labels, or those of cortices where these are visible.

Every figure, table and record with both AUROCs takes names, texts and arrays from here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.labels import NUM_LABELS, NUM_VIEWS

Problem = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_] | None]


@dataclass(frozen=True)
class Scope:
    """The labels that a figure covers.

    Attributes:
        key: its name in tables of figures.
        prefix: of the names of its metrics.
        name: its name in texts.
        short: its name in a narrow column.
        first: the first column of the label vector that counts.
        is_masked: whether a cortex counts only where it is visible.
    """

    key: str
    prefix: str
    name: str
    short: str
    first: int
    is_masked: bool

    @property
    def metric(self) -> str:
        """The name of its AUROC in records and tables."""
        return f"{self.prefix}auroc"

    @property
    def objective(self) -> str:
        """The name of its AUROC as an objective."""
        return f"val_{self.metric}"

    @property
    def title(self) -> str:
        """The name of its AUROC in texts."""
        return f"AUROC, {self.name}"

    def problem(
        self, labels: npt.NDArray[Any], scores: npt.NDArray[Any], visible: npt.NDArray[np.bool_]
    ) -> Problem:
        """The inputs of its AUROC: labels, scores, and which entries count (None: all).

        Args:
            labels: (n, 18) label vectors.
            scores: (n, 18) scores.
            visible: (n, 16) bool, which cortex labels are visible.
        """
        counted = visible if self.is_masked else None
        return labels[:, self.first :], scores[:, self.first :], counted


EVERY_LABEL = f"{NUM_LABELS} labels"
LABEL_SCOPE = Scope("labels", "", EVERY_LABEL, EVERY_LABEL, 0, False)
CORTEX_SCOPE = Scope("cortices", "cortex_", "visible cortices", "cortices", NUM_VIEWS, True)
SCOPES = (LABEL_SCOPE, CORTEX_SCOPE)
# The names of both AUROCs.
AUROCS = tuple(scope.metric for scope in SCOPES)
