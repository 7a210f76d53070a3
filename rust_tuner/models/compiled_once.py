"""Lets folds and trials whose models are the same share one model's compiled functions.

Tracing and compiling `fit`, `evaluate` and `predict` takes seconds for each new model, often longer
than a fold trains. Each fold's model is built as ever, from its own seed; where it differs from the
one before in its numbers only, these are copied into the one that is compiled already.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import keras

from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import is_of_library
from rust_tuner.models.described import describe_model, every_layer, lacks_configuration
from rust_tuner.models.fold_state import build_optimizer
from rust_tuner.models.hidden_state import hidden_variables, is_stateful
from rust_tuner.models.keras_state import clear_session, starting_values
from rust_tuner.models.runtime import MemoryOf, collect_all_garbage, variables_of

# What a compiled function depends on beside what `describe_model` says.
_OF_FUNCTIONS = ("jit_compile", "steps_per_execution", "unrolled_steps_per_execution")
_EXCLUDED = "_exclude_from_weight_decay"


class CompiledOnce:
    """Keeps the model that was trained last, with its compiled functions."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: keras.Model | None = None
        self._key = ""
        self._in_use = False

    def model_of(self, build: Callable[[], keras.Model]) -> keras.Model:
        """A model that trains exactly as the one that `build` makes.

        Args:
            build: makes a built and compiled model; always called.

        Returns:
            The model that was kept, with the weights and the optimizer's state of the new one,
            where both have the same layers, optimizer, losses and metrics, all of them Keras's own,
            and nothing but this function refers to the new one. Else the new one, which is kept
            from now on if its functions can serve others.
        """
        fresh = build()
        key = shared_key(fresh)
        # After an error in training, anything may be left in the model.
        if key is None or self._kept is None or key != self._key or self._in_use:
            self.release()
            if key is not None:
                self._kept, self._key, self._in_use = fresh, key, True
            return fresh
        if fresh is not self._kept:
            state = _state_of(fresh)
            reference = weakref.ref(fresh)
            del fresh
            # Models contain reference cycles.
            gc.collect()
            if (known_elsewhere := reference()) is not None:
                # Code that keeps it expects it to be trained.
                self.release()
                return known_elsewhere
            # Not before: who keeps each model has kept this one as well.
            for variable, value in zip(_variables_of(self._kept), state, strict=True):
                variable.assign(value)
            # No later model has its variables, but those that this one has as well.
            starting_values().hand_out(self._kept)
        self._in_use = True
        return self._kept

    def trained(self, model: keras.Model) -> bool:
        """Note that a model was trained; returns whether it is kept for others."""
        if model is not self._kept:
            return False
        self._in_use = False
        return True

    def release(self) -> None:
        """Free the memory of the model, unless other parts of the program still refer to it."""
        if self._kept is None:
            return
        memory = MemoryOf(variables_of(self._kept))
        self._kept = None
        collect_all_garbage()
        clear_session()
        memory.release_unused()


def shared_key(model: keras.Model) -> str | None:
    """Equal for models that one set of compiled functions can train; None where none is shared.

    Classes and functions of the user may keep what they like between two calls, and layers with
    `adapt` may keep values that are constants of a compiled function, so their models are
    never shared. A learning rate that is a number is a variable of the optimizer.
    """
    if not _is_stock(model) or model.run_eagerly:
        return None
    layers = list(every_layer(model))
    if any(hasattr(layer, "adapt") for layer in layers):
        return None
    # Nobody would reset what one fold leaves in them.
    if is_stateful(model) or hidden_variables(model):
        return None
    # Their names decide, and are not part of a configuration.
    excluded = (name for name in vars(model.optimizer) if name.startswith(_EXCLUDED))
    if any(getattr(model.optimizer, name) for name in excluded):
        return None
    description = describe_model(model)
    if description["code"] or lacks_configuration(description):
        return None
    optimizer = description["compile"].get("optimizer")
    settings: dict[str, Any] = optimizer.get("config", {}) if isinstance(optimizer, dict) else {}
    if isinstance(settings.get("learning_rate"), float):
        settings.pop("learning_rate")
    functions = {name: getattr(model, name, None) for name in _OF_FUNCTIONS}
    return sha256_of_json([description, functions, [layer.trainable for layer in layers]])


def _is_stock(model: keras.Model) -> bool:
    """Whether the model is one of Keras's own kinds, on one device."""
    strategy = getattr(model, "distribute_strategy", None)
    return is_of_library(type(model)) and (strategy is None or strategy.num_replicas_in_sync == 1)


def _variables_of(model: keras.Model) -> list[keras.Variable]:
    build_optimizer(model)
    return [*model.variables, *model.optimizer.variables]


def _state_of(model: keras.Model) -> list[Any]:
    """The values of a model and its optimizer, without the model."""
    return [variable.value for variable in _variables_of(model)]
