"""Preprocessing that is fitted on the training rows of each fold, and on no others.

A transformer that is fitted on all rows lets every fold see its validation rows, which makes the
scores too high. So each fold fits a copy of its own.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from rust_tuner.data.structures import AnyRows, Rows, Tree, leaves, map_leaves, tree_of
from rust_tuner.data.user_data import is_frame, rows_of
from rust_tuner.errors import SearchError
from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import class_code, is_of_library, own_code
from rust_tuner.models.fold_batches import IntArray, TrainingData
from rust_tuner.seeds import seed_word

# In bytes: a sparse result is made dense up to this size, and results up to it are kept for the
# next trial.
_LARGEST_DENSE = 1 << 31
_LARGEST_KEPT = 1 << 28
_ROWS_AT_ONCE = 1024
_LEARNT = ("vocabulary", "idf_weights", "vocabulary_size")
_PLAIN = (str, int, float, bool, type(None))


class Preparation:
    """What a user gave as `preprocess`, with the data that it is fitted on."""

    def __init__(
        self, given: Any, x: Any, inputs: AnyRows, targets: AnyRows | None, *, seed: int
    ) -> None:
        """Take a transformer and the data.

        Args:
            given: a scikit-learn transformer or pipeline, with `fit` and `transform`; or a Keras
                layer with `adapt`.
            x: the inputs as the user gave them; a frame stays one for a transformer.
            inputs: the same as rows.
            targets: what supervised transformers are fitted to.
            seed: of the search; it seeds transformers that draw.

        Raises:
            SearchError: for anything else, or inputs in a dict.
        """
        self._given = given
        self._is_layer = isinstance(given, keras.Layer)
        if self._is_layer and not callable(getattr(given, "adapt", None)):
            raise SearchError(
                f"preprocess is a {type(given).__name__}, which has no adapt; put it into the model"
            )
        if isinstance(given, type) or not (
            self._is_layer
            or all(callable(getattr(given, name, None)) for name in ("fit", "transform"))
        ):
            raise SearchError(
                f"preprocess is {given!r}; expected a scikit-learn transformer or pipeline, or a "
                "Keras layer with adapt"
            )
        self._frame = x if is_frame(x) and not self._is_layer else None
        if self._frame is not None and hasattr(self._frame, "collect"):
            self._frame = self._frame.collect()
        if isinstance(inputs, Rows) and self._frame is None:
            raise SearchError(
                "preprocess with inputs in a dict or list; give one array or a frame, or prepare "
                "them in the model"
            )
        self._inputs = inputs
        self._targets = _for_sklearn(targets)
        self._seed = seed
        self._kept: dict[int, AnyRows] = {}

    def identity(self) -> dict[str, Any]:
        """JSON values that name the class, the parameters and the code."""
        return _identity(self._given)

    def of_fold(
        self, data: TrainingData, fold: int, training: IntArray, validation: IntArray
    ) -> TrainingData:
        """The data with inputs as one fold prepares them; other rows of them have no meaning.

        Raises:
            SearchError: where the transformer cannot be fitted or applied.
        """
        inputs = self._kept.get(fold)
        if inputs is None:
            try:
                with _seeded(seed_word(self._seed, fold, "preprocess")):
                    inputs = self._prepared(training, validation, fold)
            except SearchError:
                raise
            except Exception as error:
                # Whatever a user's transformer raises; it raises it for every trial.
                raise SearchError(
                    f"preprocess cannot be fitted and applied in fold {fold}: "
                    f"{type(error).__name__}: {error}"
                ) from error
            if sum(array.nbytes for _, array in leaves(tree_of(inputs))) <= _LARGEST_KEPT:
                self._kept[fold] = inputs
        return dataclasses.replace(data, inputs=inputs)

    def fit(self, rows: IntArray, *, fold: int) -> tuple[AnyRows, Callable[[Any], AnyRows]]:
        """Fit a copy on some rows.

        Args:
            rows: what it is fitted on, and nothing else.
            fold: whose seed is used; the number of folds for all rows.

        Returns:
            The rows, prepared as training rows; and a function that prepares other inputs.
        """
        with _seeded(seed_word(self._seed, fold, "preprocess")):
            return self._fitted(rows)

    def _fitted(self, rows: IntArray) -> tuple[AnyRows, Callable[[Any], AnyRows]]:
        if self._is_layer:
            config = self._given.get_config()
            if "vocabulary" in config and not config["vocabulary"]:
                # Keras takes the size of a layer that has learnt nothing for a fixed one.
                config = {name: config[name] for name in config if name not in _LEARNT}
            layer = type(self._given).from_config(config)
            layer.adapt(self._taken(rows))

            def apply(inputs: Any) -> AnyRows:
                parts = [
                    np.asarray(layer(inputs[start : start + _ROWS_AT_ONCE]))
                    for start in range(0, len(inputs), _ROWS_AT_ONCE)
                ]
                return rows_of(np.concatenate(parts), "preprocess")

            return apply(self._taken(rows)), apply
        transformer = clone(self._given, safe=False)
        targets = None if self._targets is None else self._targets[rows]
        # As in scikit-learn's pipelines: some encode the rows that they are fitted on in another
        # way, so that no row is described by its own target.
        if callable(getattr(transformer, "fit_transform", None)):
            made = transformer.fit_transform(self._taken(rows), targets)
        else:
            made = transformer.fit(self._taken(rows), targets).transform(self._taken(rows))
        return _dense_rows(made), lambda inputs: _dense_rows(transformer.transform(inputs))

    def _prepared(self, training: IntArray, validation: IntArray, fold: int) -> AnyRows:
        trained, apply = self.fit(training, fold=fold)
        held = apply(self._taken(validation))
        for side, rows in ((trained, training), (held, validation)):
            if len(side) != len(rows):
                raise SearchError(
                    f"preprocess made {len(side)} rows of {len(rows)}; a transformer must keep the "
                    "number of rows"
                )
        num_rows = len(self._inputs)
        placed = _placed(num_rows, tree_of(trained), training, tree_of(held), validation)
        return Rows(placed) if isinstance(trained, Rows) else placed

    def _taken(self, rows: IntArray) -> Any:
        """Some inputs, as a frame where the user gave one."""
        if self._frame is None:
            return self._inputs[rows]
        return self._frame.iloc[rows] if hasattr(self._frame, "iloc") else self._frame[rows]


def _placed(
    num_rows: int, trained: Tree, training: IntArray, held: Tree, validation: IntArray
) -> Tree:
    sides = dict(leaves(held))
    names = iter([name for name, _ in leaves(trained)])

    def place(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        other = sides[next(names)]
        if array.shape[1:] != other.shape[1:]:
            raise SearchError(
                f"preprocess makes rows of shape {array.shape[1:]} in training and "
                f"{other.shape[1:]} in validation; fix their number, such as with "
                "output_sequence_length"
            )
        table = np.zeros((num_rows, *array.shape[1:]), np.result_type(array, other))
        table[training], table[validation] = array, other
        return table

    return map_leaves(place, trained)


def _dense_rows(made: Any) -> AnyRows:
    if hasattr(made, "toarray") and hasattr(made, "nnz"):
        size = int(np.prod(made.shape)) * made.dtype.itemsize
        if size > _LARGEST_DENSE:
            raise SearchError(
                f"preprocess gives a sparse matrix of shape {made.shape}, too large to be made "
                "dense; add a step that reduces it, such as TruncatedSVD"
            )
        made = made.toarray()
    return rows_of(made, "preprocess")


def _for_sklearn(targets: AnyRows | None) -> npt.NDArray[Any] | None:
    """One class or number per row where the targets are that, as scikit-learn expects them."""
    if not isinstance(targets, np.ndarray):
        return None
    if targets.ndim == 2 and targets.shape[1] == 1:
        return targets[:, 0]
    is_one_hot = targets.ndim == 2 and bool(
        np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all()
    )
    return np.asarray(targets.argmax(axis=1)) if is_one_hot else targets


@contextlib.contextmanager
def _seeded(word: int) -> Iterator[None]:
    """Seed what scikit-learn draws from where a `random_state` is not set; restored afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(word)
    np.random.seed(word)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _identity(part: Any) -> dict[str, Any]:
    named: dict[str, Any] = {"class": type(part).__qualname__}
    if isinstance(part, keras.Layer):
        config = {name: value for name, value in part.get_config().items() if name != "name"}
        named["values"] = json.loads(json.dumps(config, default=str, sort_keys=True))
    elif callable(getattr(part, "get_params", None)):
        named["values"] = {
            name: _value(value) for name, value in sorted(part.get_params(deep=True).items())
        }
    else:
        named["values"] = {name: _value(value) for name, value in sorted(vars(part).items())}
    return named | _source(type(part))


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        return sha256_of_json([value.dtype.str, value.tolist()])[:16]
    if isinstance(value, Mapping):
        return {str(name): _value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, type):
        return value.__qualname__
    if code := own_code(value):
        return sha256_of_json(code)[:16]
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return " ".join([name, *map(str, _source(type(value)).values())])


def _source(kind: type) -> dict[str, Any]:
    """The version of the library that a class comes from; of the user's own, its code."""
    if is_of_library(kind):
        return {}
    room = kind.__module__.partition(".")[0]
    distributions = importlib.metadata.packages_distributions().get(room)
    if distributions:
        name = distributions[0]
        return {"library": f"{name} {importlib.metadata.version(name)}"}
    return {"code": sha256_of_json(class_code(kind))[:16]}
