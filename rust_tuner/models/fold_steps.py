"""Several training steps in one call of a compiled function, for small batches.

A call of a function of TensorFlow, and the batch that is brought to it from Python, cost as much as
a fifth of a step of 16 rows; on a GPU with JAX they cost more than most steps. So `fit` gets chunks
of steps, and the compiled function loops over them; the steps themselves are Keras's own. PyTorch
gets one step at a time.

JAX compiles a function for each shape. So there a step is padded with rows of zero weight to one of
a few sizes, its room, and all chunks of a room have space for the same number of steps: a few
functions serve all batch sizes. On a processor, a last step has a room of its own where that saves
more than another function costs.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.data.pipeline import Batches, as_dataset

# Rows of each fold in a chunk. A chunk ends soon enough for Ctrl-C; larger ones gain nothing.
_CHUNK_ROWS = 1024
# Rooms between a power of two and its double. With eight, a step has 6 % more rows than it needs.
# On a GPU one is best: compiling a function takes as long as several trials.
_ROOMS, _ROOMS_ON_GPU = 8, 1
# The most rows of padding that a last step gets for the room of the others: this share of an epoch
# and this many. Compiling a function for fewer takes longer than several trials gain from it.
_MOST_PADDING, _MOST_PADDED_ROWS = 1 / 8, 256

Batch = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def chunks_of(starts: Sequence[int]) -> list[range]:
    """The steps of an epoch, in chunks.

    Args:
        starts: where each step begins among the rows of an epoch, and where the last one ends.

    Examples:
        >>> chunks_of([0, 512, 1024, 1536, 1600])
        [range(0, 2), range(2, 4)]
    """
    steps = len(starts) - 1
    rooms = _rooms_of_steps(starts)
    size, alike = _steps_of_chunk(rooms[0], starts), rooms.count(rooms[0])
    chunks = [range(first, min(first + size, alike)) for first in range(0, alike, size)]
    return [*chunks, range(alike, steps)] if alike < steps else chunks


def output_starts(starts: Sequence[int]) -> list[int]:
    """Where the outputs of each step begin among those of an epoch, and where the last ones end.

    Args:
        starts: where each step begins among the rows of an epoch, and where the last one ends.
    """
    if keras.backend.backend() != "jax":
        return list(starts)
    return [0, *itertools.accumulate(_rooms_of_steps(starts))]


def most_outputs(starts: Sequence[int]) -> int:
    """Room for the outputs of an epoch; on JAX the same for nearly all batch sizes.

    There a step has room for less than twice its rows, so twice the rows of an epoch are enough
    once they are rounded up to a power of two, unless many steps are shorter than the longest.

    Args:
        starts: where each step begins among the rows of an epoch, and where the last one ends.
    """
    needed = output_starts(starts)[-1]
    return max(needed, 2 * starts[-1]) if keras.backend.backend() == "jax" else needed


def room_of_step(num_rows: int) -> int:
    """The rows of a step with its padding, which is JAX's alone.

    At most an eighth more than it needs; on a GPU less than twice as many.
    """
    rooms = _rooms()
    if rooms is None:
        return num_rows
    apart = max(1, (1 << (num_rows - 1).bit_length()) // (2 * rooms))
    return -(-num_rows // apart) * apart


def _rooms() -> int | None:
    """How many rooms there are between a power of two and its double; None for no padding."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return _ROOMS if jax.default_backend() == "cpu" else _ROOMS_ON_GPU


def _rooms_of_steps(starts: Sequence[int]) -> list[int]:
    """Of each step the room of the longest, unless the last one would be padded too much.

    On a GPU there is no such exception: padding costs less there, and compiling more.
    """
    room, last = room_of_step(_longest(starts)), room_of_step(starts[-1] - starts[-2])
    on_processor = _rooms() == _ROOMS
    most = max(_MOST_PADDING * starts[-1], _MOST_PADDED_ROWS)
    is_apart = on_processor and room - last > most
    return [*[room] * (len(starts) - 2), last if is_apart else room]


def _steps_of_chunk(room: int, starts: Sequence[int]) -> int:
    """How many steps a chunk has room for, if each has room for so many rows."""
    match keras.backend.backend():
        case "tensorflow":
            return max(1, _CHUNK_ROWS * (len(starts) - 1) // starts[-1])
        case "jax":
            # A function of the room alone, so that batches of one room share a function.
            return max(1, _CHUNK_ROWS // room)
        case _:
            return 1


def _longest(starts: Sequence[int]) -> int:
    return max(end - start for start, end in itertools.pairwise(starts))


class SteppingModel(keras.Model):  # type: ignore[misc]
    """A functional model that `fit` trains for a chunk of steps in each call.

    A batch of `fit` is what `as_chunk` makes.
    """

    def train_step(self, *arguments: Any) -> Any:
        """Train on one chunk; on PyTorch on one batch, as Keras does."""
        match keras.backend.backend():
            case "tensorflow":
                return self._steps_of_tensorflow(*arguments)
            case "jax":
                return self._steps_of_jax(*arguments)
            case _:
                return super().train_step(*arguments)

    def build_for(self, targets: npt.NDArray[Any]) -> None:
        """Make the variables of loss and metrics, which Keras would make of a chunk.

        Args:
            targets: rows as in a batch, (n, F, ...).
        """
        if keras.backend.backend() != "jax":
            return
        rows = np.zeros((1, *self.inputs[0].shape[1:]), self.inputs[0].dtype)
        outputs = self(rows, training=False)
        weights = np.ones(rows.shape, np.float32)
        self.compute_loss(rows, targets[:1], outputs, weights)
        self.compute_metrics(rows, targets[:1], outputs, weights)
        self.reset_metrics()

    def _steps_of_tensorflow(self, chunk: Any) -> Any:
        import tensorflow as tf

        ((inputs, bounds), targets, weights) = chunk
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

    def _steps_of_jax(self, state: Any, chunk: Any) -> tuple[dict[str, Any], Any]:
        import jax

        ((inputs, num_steps), targets, weights) = chunk
        values, structure = jax.tree.flatten(state)
        train_step = super().train_step

        def body(step: Any, values: list[Any]) -> list[Any]:
            batch = (inputs[step], targets[step], weights[step])
            _, state = train_step(jax.tree.unflatten(structure, values), batch)
            after: list[Any] = jax.tree.leaves(state)
            return after

        values = jax.lax.fori_loop(0, num_steps, body, values)
        return {}, jax.tree.unflatten(structure, values)


def as_chunk(batches: Sequence[Batch], chunk: range, starts: Sequence[int]) -> tuple[Any, ...]:
    """A chunk as the backend's `train_step` takes it; one step where the backend takes no chunks.

    TensorFlow gets ((inputs, bounds), targets, weights): rows of all steps, and where each step
    begins and the last one ends. JAX gets ((inputs, number of steps), targets, weights): arrays
    (steps, rows, ...), padded to the room of a step and to the number of steps of such a chunk.

    Args:
        batches: inputs, targets and weights of each step, rows first.
        chunk: the numbers of these steps, one of `chunks_of`.
        starts: where each step of the epoch begins among its rows, and where the last one ends.
    """
    if keras.backend.backend() == "jax":
        rows = _rooms_of_steps(starts)[chunk.start]
        steps = _steps_of_chunk(rows, starts)
        inputs, targets, weights = (
            _stacked(parts, steps, rows) for parts in zip(*batches, strict=True)
        )
        for step, (_, _, counted) in enumerate(batches):
            weights[step, len(counted) :] = 0
        return (inputs, np.int32(len(batches))), targets, weights
    inputs, targets, weights = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if keras.backend.backend() != "tensorflow":
        return inputs, targets, weights
    bounds = np.cumsum([0, *(len(inputs) for inputs, _, _ in batches)])
    return (inputs, bounds.astype(np.int32)), targets, weights


def _stacked(parts: Sequence[npt.NDArray[Any]], steps: int, rows: int) -> npt.NDArray[Any]:
    """Arrays (n, ...) as one (steps, rows, ...); each is padded with its own first row.

    Any other row might hold what the fold must not see: NaN times a weight of zero is NaN.
    """
    stacked = np.zeros((steps, rows, *parts[0].shape[1:]), parts[0].dtype)
    for step, part in enumerate(parts):
        stacked[step, : len(part)] = part
        stacked[step, len(part) :] = part[0]
    return stacked


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
