"""A user's model with a leading fold axis, and the loss of all its folds."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from rust_tuner.models.described import normal_names
from rust_tuner.models.fold_graph import ModelPlan
from rust_tuner.models.fold_layers import FoldDropout, GatherRows
from rust_tuner.models.fold_rows import FoldRows
from rust_tuner.models.fold_steps import SteppingModel
from rust_tuner.models.fold_stock import fold_layer, take_weights
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.model_figures import ModelFigures
from rust_tuner.models.runtime import jit_compiled
from rust_tuner.seeds import derive_seed

# Rows of a batch of predictions.
_VALIDATION_ROWS = 4096


class FoldTwin:
    """A compiled model with a fold axis; reused by trials that differ only in numbers."""

    def __init__(
        self, key: tuple[Any, ...], plan: ModelPlan, model: keras.Model, table: keras.Variable
    ) -> None:
        """Make the model.

        Args:
            key: of the plan, the number of folds, the room for outputs, and the type of the inputs.
            plan: of the user's model.
            model: the user's model, of the first fold.
            table: the inputs of all rows.
        """
        self.key = key
        _, num_folds, room, _ = key
        # By a name that does not depend on what the user calls a layer.
        self.layers: dict[str, keras.layers.Layer] = {}
        names = normal_names(model)

        def before(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
            layers = stock_layers(model)
            return layers[: layers.index(layer)]

        def made(layer: keras.layers.Layer) -> keras.layers.Layer:
            name = names[layer.name]
            assert name not in self.layers
            self.layers[name] = fold_layer(
                layer,
                num_folds,
                without_activation=layer.name == plan.last,
                is_first=not any(one.trainable_weights for one in before(layer)),
            )
            return self.layers[name]

        # The same layers as a model that is not compiled, so that nothing else is cloned.
        plain = keras.Model(model.inputs[0], model.outputs[0])
        shape = (num_folds, None, *table.shape[1:])
        inputs = keras.Input(batch_shape=shape, dtype=table.dtype)
        body = keras.models.clone_model(plain, input_tensors=inputs, clone_function=made)
        rows = keras.Input((num_folds,), dtype="int32", name="rows")
        outputs = body(GatherRows(table)(rows))
        self.model = SteppingModel(rows, outputs, name="folds_together")
        self.running = _RowsFirst((room, num_folds, *outputs.shape[2:]))
        optimizer = plan.optimizer
        self.model.compile(
            # Not the fused update: TensorFlow's rounds 1 - beta_2 to 32 bits, which moves what is
            # learned in 20 epochs by 1e-5.
            optimizer=type(optimizer).from_config(optimizer.get_config()),
            loss=_SummedLoss(plan.loss, plan.final),
            metrics=[self.running],
            jit_compile=jit_compiled(),
        )
        self.figures = ModelFigures(model, plan.loss, plan.final)

    def reset(self, plan: ModelPlan, models: Sequence[keras.Model]) -> None:
        """Set the trial's numbers and the initial weights of each fold."""
        named = [_named_layers(model) for model in models]
        for name, layer in self.layers.items():
            take_weights(layer, [layers[name] for layers in named])
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        for variable in optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        if plan.learning_rate is not None:
            optimizer.learning_rate = plan.learning_rate
        # Layers of the random states, in the order in which one fold after another numbers them.
        states = {
            id(layer.seed_generator.state): name
            for name, layer in named[0].items()
            if getattr(layer, "seed_generator", None) is not None
        }
        ordered = [states[id(v)] for v in models[0].variables if id(v) in states]
        self.random = [self.layers[name] for name in ordered]

    def reseed(self, folds: Sequence[FoldRows], epoch: int) -> None:
        """Give each fold's dropout layers the seeds of this epoch."""
        for position, layer in enumerate(self.random):
            assert isinstance(layer, FoldDropout)
            for fold, generator in zip(folds, layer.generators, strict=True):
                place = fold.place
                seeds = derive_seed(place.seed, place.trial, place.fold, epoch, "layers", position)
                state = generator.state
                state.assign(seeds.generate_state(2).astype(state.dtype))

    def outputs(self, rows: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """What the model of each fold makes of rows (n, F): (F, n, ...)."""
        parts = [
            np.asarray(self.model.predict_on_batch(rows[start : start + _VALIDATION_ROWS]))
            for start in range(0, len(rows), _VALIDATION_ROWS)
        ]
        return np.concatenate(parts, axis=1)


class _RowsFirst(RunningPredictions):
    """Keeps outputs (F, rows, ...) with their rows first."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Append a batch."""
        super().update_state(y_true, _swapped(y_pred))


class _SummedLoss(keras.losses.Loss):  # type: ignore[misc]
    """The loss summed over rows, whose weights make it each fold's mean."""

    def __init__(self, loss: keras.losses.Loss, final: Any) -> None:
        super().__init__(reduction="sum", name="summed_loss")
        self._loss = loss
        self._final = final

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses (rows, F) of targets (rows, F, ...) and outputs (F, rows, ...)."""
        targets = _swapped(y_true)
        answers = y_pred if self._final is None else self._final(y_pred)
        if len(targets.shape) == 2 and answers.shape[2:] == (1,):
            # Keras would do so for one fold, but here not know rows from labels.
            targets = ops.expand_dims(targets, -1)
        losses = self._loss.call(targets, answers)
        if len(losses.shape) > 2:
            losses = ops.mean(losses, axis=tuple(range(2, len(losses.shape))))
        return _swapped(losses)


def stock_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a stock model, in order, without its input."""
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


def _named_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers of a stock model by names that are the same in every model of its kind."""
    names = normal_names(model)
    return {names[layer.name]: layer for layer in stock_layers(model)}


def _swapped(values: Any) -> Any:
    """(rows, F, ...) as (F, rows, ...), and the other way round."""
    return ops.transpose(values, (1, 0, *range(2, len(values.shape))))
