"""Divides the rows of an epoch into batches."""

from rust_tuner.errors import SearchError, TrialError


def batch_sizes(num_rows: int, batch_size: int, num_steps: int | None = None) -> list[int]:
    """The sizes of an epoch's batches, in order.

    Batches have the requested size and the last has the rest, as in Keras `fit`. If more steps are
    requested, because another fold has more rows, the last full batch is split.

    Args:
        num_rows: rows of the epoch, from 1.
        batch_size: the requested size, from 1.
        num_steps: steps to take, at least as many as `fit` would; None for just as many.

    Returns:
        Positive sizes that add up to `num_rows`.

    Raises:
        TrialError: if there are fewer rows than steps.
        SearchError: if there is nothing to train on.
    """
    if num_rows < 1 or batch_size < 1:
        raise SearchError(
            f"{num_rows} training rows in batches of {batch_size}; expected at least 1 each"
        )
    full, rest = divmod(num_rows, batch_size)
    sizes = [batch_size] * full + [rest] * (rest > 0)
    steps = len(sizes) if num_steps is None else num_steps
    if not len(sizes) <= steps <= num_rows:
        raise TrialError(
            f"{num_rows} rows in batches of {batch_size} cannot take {steps} steps; "
            "use a batch size of at least 2, or folds of equal size"
        )
    while len(sizes) < steps:
        position = _last_of_largest(sizes)
        parts = min(steps - len(sizes) + 1, sizes[position])
        sizes[position : position + 1] = _split_evenly(sizes[position], parts)
    return sizes


def steps_per_epoch(num_rows: int, batch_size: int) -> int:
    """The number of steps that Keras `fit` takes for so many rows."""
    return -(-num_rows // batch_size)


def _last_of_largest(sizes: list[int]) -> int:
    return len(sizes) - 1 - sizes[::-1].index(max(sizes))


def _split_evenly(size: int, parts: int) -> list[int]:
    share, extra = divmod(size, parts)
    return [share + 1] * extra + [share] * (parts - extra)
