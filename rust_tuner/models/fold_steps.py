"""Several training steps in one call of a compiled function, for small batches.

A call of a function of TensorFlow, and the batch that is brought to it from Python, cost as much as
a fifth of a step of 16 rows. So `fit` gets chunks of steps, and the compiled function loops over
them; the steps themselves are Keras's own. Other backends get one step at a time.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from rust_tuner.data.pipeline import Batches, as_dataset

# Rows of each fold in a chunk. A chunk ends soon enough for Ctrl-C; larger ones gain nothing.
_CHUNK_ROWS = 1024


def chunks_of(starts: Sequence[int]) -> list[range]:
    """The steps of an epoch, in chunks.

    Args:
        starts: where each step begins among the rows of an epoch, and where the last one ends.

    Examples:
        >>> chunks_of([0, 512, 1024, 1536, 1600])
        [range(0, 2), range(2, 4)]
    """
    steps = len(starts) - 1
    if keras.backend.backend() != "tensorflow":
        return [range(step, step + 1) for step in range(steps)]
    size = max(1, _CHUNK_ROWS * steps // starts[-1])
    return [range(first, min(first + size, steps)) for first in range(0, steps, size)]


class SteppingModel(keras.Model):  # type: ignore[misc]
    """A functional model that `fit` trains for a chunk of steps in each call.

    On TensorFlow, a batch of `fit` is ((inputs, bounds), targets, weights): rows of several steps,
    and where each step begins and the last one ends.
    """

    def train_step(self, *arguments: Any) -> Any:
        """Train on one chunk; on other backends, on one batch, as Keras does."""
        if keras.backend.backend() != "tensorflow":
            return super().train_step(*arguments)
        import tensorflow as tf

        ((inputs, bounds), targets, weights) = arguments[0]
        train_step = super().train_step

        def body(step: Any) -> tuple[Any]:
            span = slice(bounds[step], bounds[step + 1])
            train_step((inputs[span], targets[span], weights[span]))
            return (step + 1,)

        tf.while_loop(
            lambda step: step < tf.shape(bounds)[0] - 1,
            body,
            (tf.constant(0),),
            # A step needs the weights of the one before.
            parallel_iterations=1,
        )
        return self.get_metrics_result()


def as_chunk(
    inputs: np.ndarray[Any, Any],
    targets: np.ndarray[Any, Any],
    weights: np.ndarray[Any, Any],
    bounds: Sequence[int],
) -> tuple[Any, ...]:
    """A chunk as the backend's `train_step` takes it; one step where the backend takes no chunks.

    Args:
        inputs: rows of the chunk's steps.
        targets: as many rows.
        weights: as many rows.
        bounds: where each step begins among these rows, and where the last one ends.
    """
    if keras.backend.backend() != "tensorflow":
        return inputs, targets, weights
    return (inputs, np.asarray(bounds, dtype=np.int32)), targets, weights


def fed(batches: Batches) -> Any:
    """Batches as `fit` takes them; TensorFlow need not be installed for other backends."""
    return as_dataset(batches) if keras.backend.backend() == "tensorflow" else _Fed(batches)


class _Fed(keras.utils.PyDataset):  # type: ignore[misc]
    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._batches[index]
