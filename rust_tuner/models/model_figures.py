"""Computes the loss and the metrics that a model was compiled with from its outputs alone.

Keras computes them batch by batch beside training; folds that train together have one `fit` for
all, so each fold's are computed afterwards, by the model's own code.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

# How many rows metrics are compared on, and how many of them are the first of two batches.
_COMPARED, _FIRST = 32, 5
# So many rows at a time, so that metrics of many thresholds do not fill the memory.
_ROWS = 8192


class ModelFigures:
    """The loss and metrics of a compiled model; its functions are traced once."""

    def __init__(self, model: keras.Model, loss: keras.losses.Loss, final: Any) -> None:
        """Use the loss and metrics of `model`, which itself is not kept.

        Args:
            model: built and compiled, with one output.
            loss: what it was compiled with, as an object.
            final: the activation that makes its predictions from the outputs that are given. Some
                of Keras's losses look through it. None where these are the predictions.
        """
        self._final = final
        given = model._compile_config.config
        names = ("metrics", "weighted_metrics")
        # A model that passes its inputs on has the same loss and metrics, and no weights.
        self._model = keras.Sequential([keras.Input(model.outputs[0].shape[1:])])
        self._model.compile(
            loss=loss, jit_compile=False, **{name: given.get(name) for name in names}
        )
        self._step = self._one_step
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self._step = tf.function(self._one_step, reduce_retracing=True)

    def of(
        self, targets: npt.NDArray[Any], outputs: npt.NDArray[np.float32]
    ) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
        """Figures as `evaluate` names them, and the predictions.

        Args:
            targets: (n, ...) as `fit` takes them.
            outputs: (n, ...) of the model, before the final activation.
        """
        self._model.reset_metrics()
        losses, parts = [], []
        figures: dict[str, Any] = {}
        for start in range(0, len(outputs), _ROWS):
            rows = slice(start, start + _ROWS)
            part = [keras.ops.convert_to_tensor(array[rows]) for array in (targets, outputs)]
            loss, figures, answers = self._step(*part)
            losses.append(float(loss) * len(answers))
            parts.append(np.asarray(answers))
        figures = {name: _as_number(value) for name, value in sorted(figures.items())}
        figures["loss"] = sum(losses) / len(outputs)
        return figures, np.concatenate(parts)

    def mixing_rows(self, targets: npt.NDArray[Any], shape: Sequence[int | None]) -> str | None:
        """The name of a metric that depends on which rows are computed together, if any does.

        Keras computes such a metric, as `keras.losses.dice` is, for each batch, and takes the mean.
        `R2Score` depends on them by rounding, where targets vary by much less than their mean. The
        predictions are random, so that the answer follows from the model and the targets alone.

        Args:
            targets: (n, ...) as `fit` takes them.
            shape: (..., ) of a row of the model's predictions.
        """
        rows = _rows_to_compare(targets)
        chosen = np.asarray(targets[rows])
        rng = np.random.default_rng(0)
        size = (len(rows), *(side or 1 for side in shape))
        values = rng.random(size, dtype=np.float32)
        if self._final is not None:
            values = np.asarray(self._final(keras.ops.convert_to_tensor(8 * values - 4)))
        together = self._metrics_of(chosen, values, [])
        apart = self._metrics_of(chosen, values, [_FIRST])
        self._model.reset_metrics()
        for name, value in together.items():
            if not np.allclose(value, apart[name], rtol=1e-4, atol=1e-6, equal_nan=True):
                return str(name)
        return None

    def _metrics_of(
        self, targets: npt.NDArray[Any], predictions: npt.NDArray[np.float32], ends: Sequence[int]
    ) -> dict[str, npt.NDArray[Any]]:
        self._model.reset_metrics()
        figures: dict[str, Any] = {}
        for part in zip(np.split(targets, ends), np.split(predictions, ends), strict=True):
            figures = self._model.compute_metrics(None, *map(keras.ops.convert_to_tensor, part))
        return {name: np.asarray(value) for name, value in figures.items()}

    def _one_step(self, targets: Any, outputs: Any) -> tuple[Any, dict[str, Any], Any]:
        answers = outputs if self._final is None else self._final(outputs)
        loss = self._model.compute_loss(None, targets, answers, None, training=False)
        return loss, self._model.compute_metrics(None, targets, answers), answers


def _rows_to_compare(targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Rows of targets (n, ...) at equal distances, and those with the smallest and largest sum."""
    sums = targets.sum(axis=tuple(range(1, targets.ndim)), dtype=np.float64)
    spaced = np.linspace(0, len(targets) - 1, min(_COMPARED, len(targets))).astype(np.int64)
    return np.unique([*spaced, sums.argmin(), sums.argmax()])


def _as_number(value: Any) -> Any:
    array = np.asarray(value)
    return array if array.ndim else float(array)
