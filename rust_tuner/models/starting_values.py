"""Layers that a user puts into the model of every fold start each fold with the same values.

Such as a backbone that is loaded once, outside `build`, and fine-tuned: otherwise each fold would
begin with what the folds before have learned from its own validation rows.
"""

import weakref

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError


class StartingValues:
    """The values of a search's models as they were built, for variables that live longer."""

    def __init__(self) -> None:
        """Know no variable yet."""
        self._values: dict[int, tuple[weakref.ref[keras.Variable], npt.NDArray[np.generic]]] = {}
        self._optimizers: weakref.WeakKeyDictionary[keras.Optimizer, int] = (
            weakref.WeakKeyDictionary()
        )
        self._trained: weakref.WeakSet[keras.Optimizer] = weakref.WeakSet()

    def restore(self) -> None:
        """Put the values back into all variables that still exist; before each build, and last."""
        for optimizer, iterations in self._optimizers.items():
            if int(optimizer.iterations) != iterations:
                self._trained.add(optimizer)
        for key, (reference, values) in list(self._values.items()):
            variable = reference()
            if variable is None:
                del self._values[key]
            else:
                variable.assign(values)

    def note(self, model: keras.Model) -> None:
        """Keep the values of a model that was just built.

        Args:
            model: before it is trained.

        Raises:
            SearchError: where its optimizer has trained an earlier model.
        """
        optimizer = getattr(model, "optimizer", None)
        for variable in model.variables:
            self._keep(variable)
        if optimizer is None:
            return
        if optimizer in self._trained and any(
            id(v) not in self._values for v in optimizer.variables
        ):
            raise SearchError(
                "build returned a model with the optimizer of an earlier model, whose state is "
                "that of other rows; make and compile a new model in build"
            )
        for variable in optimizer.variables:
            self._keep(variable)
        self._optimizers.setdefault(optimizer, int(optimizer.iterations))

    def _keep(self, variable: keras.Variable) -> None:
        known = self._values.get(id(variable))
        if known is None or known[0]() is not variable:
            values = np.array(keras.ops.convert_to_numpy(variable))
            self._values[id(variable)] = weakref.ref(variable), values
