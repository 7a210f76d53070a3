"""The range of batch sizes of a search, and how much of it would be one step per epoch."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Sampling = Literal["linear", "log"]
PUBLISHED_BATCH_SIZES = (16, 2048)


@dataclass(frozen=True)
class BatchSizes:
    """The batch sizes that a search draws, and the radiographs that its folds train on.

    Attributes:
        lowest: the smallest batch size that is drawn.
        highest: the largest.
        sampling: `linear`, or `log` if the requested range was shortened to fit.
        asked: the requested range.
        num_rows: radiographs that the largest fold trains on. A batch of this size or larger holds
            the whole fold, and an epoch is then one step.
    """

    lowest: int
    highest: int
    sampling: Sampling
    asked: tuple[int, int]
    num_rows: int

    @property
    def is_shortened(self) -> bool:
        """Whether the range differs from the requested one."""
        return (self.lowest, self.highest) != self.asked

    @property
    def share_of_one_step(self) -> float:
        """The share of the requested range, in 0-1, whose batches contain the whole fold."""
        lowest, highest = self.asked
        whole = max(0, highest - max(lowest, self.num_rows) + 1)
        return whole / (highest - lowest + 1)

    def note(self, fold: str) -> str:
        """The note about the range before a search draws from it; `fold` names the folds."""
        message = (
            f"note: {fold} trains on up to {self.num_rows} radiographs, so all batch sizes from "
            f"that on are equivalent; {self}"
        )
        if self.is_shortened:
            asked = ",".join(map(str, self.asked))
            message += f" (--batch-sizes {asked} draws from all of them)"
        return message

    def to_json(self) -> dict[str, Any]:
        """The values as JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values

    def __str__(self) -> str:
        """The range in words, and how much of it contains the whole fold."""
        lowest, highest = self.asked
        if not self.share_of_one_step:
            return f"batch sizes {lowest} to {highest}"
        share = f"{percent(self.share_of_one_step)} of the batch sizes {lowest} to {highest}"
        if not self.is_shortened:
            return f"{share} contain the whole fold (one step per epoch)"
        drawn = f"{self.lowest} to {self.highest}, logarithmically"
        return f"{share} would contain the whole fold (one step per epoch), so it draws {drawn}"


def percent(share: float) -> str:
    """A share in whole percent, which is never rounded to 0 % or to all."""
    if 0 < share < 0.01:
        return "less than 1 %"
    # Rounded down, so that 99.9 % does not read as all.
    return "all" if share == 1 else f"{math.floor(100 * share)} %"
