"""The same values in every trial, to measure what the seeds alone change."""

from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.points import Values, grid_points


class RepeatOracle(ResumableOracle):
    """The same values in every trial; trials differ by the seeds that follow from their numbers."""

    def values_of(self, index: int) -> Values | None:
        """The space's defaults, for every trial."""
        return next(grid_points(self.hyperparameters, self.exact_steps))
