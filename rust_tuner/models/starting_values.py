"""Layers that a user puts into the model of every fold start each fold alike.

Such as a backbone that is loaded once, outside `build`, and fine-tuned: otherwise each fold would
begin with what the folds before have learned from its own validation rows.
"""

import weakref
from collections.abc import Container, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.models.described import every_layer
from rust_tuner.models.fold_state import as_numpy
from rust_tuner.models.hidden_state import hidden_variables

Values = npt.NDArray[np.generic]


@dataclass
class _Start:
    """The values that a variable had as its first model was built.

    Attributes:
        variable: the variable, which is not kept alive.
        values: a copy.
        is_shared: whether a later model has the variable, too.
    """

    variable: "weakref.ref[keras.Variable]"
    values: Values
    is_shared: bool = False


class StartingValues:
    """The values of models as they were built, each for as long as its variable exists.

    A variable that two models have is the user's, or was kept by `build`. One that a single model
    has is not changed: someone may keep a trained model.

    Attributes:
        num_models: how many were built.
    """

    def __init__(self) -> None:
        """Know no variable yet."""
        self._starts: dict[int, _Start] = {}
        self._trainable: weakref.WeakKeyDictionary[keras.layers.Layer, bool] = (
            weakref.WeakKeyDictionary()
        )
        self._optimizers: weakref.WeakKeyDictionary[keras.Optimizer, int] = (
            weakref.WeakKeyDictionary()
        )
        self._trained: weakref.WeakSet[keras.Optimizer] = weakref.WeakSet()
        self.num_models = 0
        self._last: weakref.ref[keras.Model] | None = None
        self._of_last: set[int] = set()

    def begin_build(self) -> dict[int, Values]:
        """Put the values back into all variables, before a model is built.

        Returns:
            For `end_build`: what the variables had that only one model is known to have.
        """
        for optimizer, iterations in self._optimizers.items():
            if _num_steps(optimizer) != iterations:
                self._trained.add(optimizer)
        before = {}
        for key, start, variable in self._existing():
            if start.is_shared:
                variable.assign(start.values)
                continue
            if not np.array_equal(as_numpy(variable), start.values):
                before[key] = _values_of(variable)
                variable.assign(start.values)
        self._restore_flags()
        return before

    def note(self, model: keras.Model, changed: Container[int]) -> None:
        """Keep the values of a model that was just built.

        Args:
            model: before it is trained. The last one again is another one if it was trained.
            changed: ids of variables, from `begin_build`.

        Raises:
            SearchError: where its optimizer has trained an earlier model.
        """
        variables = list(_variables_of(model))
        self._of_last = {id(variable) for variable in variables}
        is_again = self._last is not None and self._last() is model
        is_again = is_again and not any(key in changed for key in self._of_last)
        self.num_models += not is_again
        self._last = weakref.ref(model)
        unknown = self._of_last - set(self._starts)
        for variable in variables:
            self._keep(variable, is_again=is_again)
        for layer in every_layer(model):
            self._trainable.setdefault(layer, layer.trainable)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return
        if optimizer in self._trained and any(id(v) in unknown for v in optimizer.variables):
            raise SearchError(
                "build returned a model with the optimizer of an earlier model, whose state is "
                "that of other rows; make and compile a new model in build"
            )
        self._optimizers.setdefault(optimizer, _num_steps(optimizer))

    def end_build(self, before: dict[int, Values]) -> None:
        """Give variables of one model alone what they had before a model was built."""
        for key, start, variable in self._existing():
            if key in before and not start.is_shared:
                variable.assign(before[key])

    def end(self, *, failed: bool) -> None:
        """Put the values back into what several models have.

        Args:
            failed: whether a model was left in the middle of its training, whose layers may be the
                user's as well.
        """
        with_last = failed or self.num_models == 1
        for key, start, variable in self._existing():
            if start.is_shared or (with_last and key in self._of_last):
                variable.assign(start.values)
        self._restore_flags()

    def changed(self, model: keras.Model) -> bool:
        """Whether training has changed weights that other models have, too."""
        return any(
            not np.array_equal(as_numpy(variable), self._starts[id(variable)].values)
            for variable in self.shared(model)
        )

    def shared(self, model: keras.Model) -> list[keras.Variable]:
        """The weights of a model that others have, too."""
        return [
            variable
            for variable in model.weights
            if id(variable) in self._starts and self._starts[id(variable)].is_shared
        ]

    def hand_out(self, model: keras.Model) -> None:
        """Forget a model that is used for longer, as it is, or whose memory is freed."""
        self._optimizers.pop(getattr(model, "optimizer", None), None)
        for variable in _variables_of(model):
            if id(variable) in self._starts and not self._starts[id(variable)].is_shared:
                del self._starts[id(variable)]

    def _existing(self) -> Iterator[tuple[int, _Start, keras.Variable]]:
        for key, start in list(self._starts.items()):
            variable = start.variable()
            if variable is not None:
                yield key, start, variable

    def _keep(self, variable: keras.Variable, *, is_again: bool) -> None:
        key = id(variable)
        if key in self._starts:
            self._starts[key].is_shared |= not is_again
            return
        starts = self._starts
        reference = weakref.ref(variable, lambda _: starts.pop(key, None))
        starts[key] = _Start(reference, _values_of(variable))

    def _restore_flags(self) -> None:
        """Freeze again what callbacks have unfrozen; a model comes before its layers."""
        for layer, flag in list(self._trainable.items()):
            if layer.trainable != flag:
                layer.trainable = flag


def _variables_of(model: keras.Model) -> Iterator[keras.Variable]:
    """The variables of a model, of its optimizer and of its losses and code, each once."""
    optimizer = getattr(model, "optimizer", None)
    hidden = hidden_variables(model) if isinstance(model, keras.Model) else []
    every = [*model.variables, *(() if optimizer is None else optimizer.variables), *hidden]
    yield from {id(variable): variable for variable in every}.values()


def _num_steps(optimizer: keras.Optimizer) -> int:
    return int(as_numpy(optimizer.iterations))


def _values_of(variable: keras.Variable) -> Values:
    return np.array(as_numpy(variable))
