"""Turns what users pass as inputs, targets and weights into rows: arrays, frames, series, text.

Structures of arrays are those that Keras's `fit` takes. Datasets belong to `user_datasets`, class
labels to `class_labels`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.structures import AnyRows, Rows, Tree
from rust_tuner.errors import SearchError

_FRAMES = ("DataFrame", "LazyFrame")
_SERIES = ("Series", "Index")
_LIBRARIES = ("pandas", "polars")
# Booleans, integers, floats and complex numbers; text and bytes.
_NUMBERS = "biufc"
_TEXT = "US"
_SHOWN = 3


def rows_of(value: Any, name: str, *, num_rows: int | None = None) -> AnyRows:
    """Rows as Keras trains on them.

    A frame of numbers is one array (n, columns), as in Keras, and so is one of text; a frame with
    both is a dict of its columns, each (n,).

    Args:
        value: an array, or anything that NumPy makes an array of; a pandas or Polars frame or
            series; or a dict, list or tuple of these, also nested.
        name: of the argument, for messages.
        num_rows: rows of the other data, which tell a list of rows from a list of inputs.

    Raises:
        SearchError: for a sparse matrix or tensor, values that are neither numbers nor text, or
            parts with different numbers of rows.
    """
    tree = _tree(value, name, num_rows)
    if isinstance(tree, Mapping | tuple):
        try:
            return Rows(tree)
        except SearchError as error:
            raise SearchError(f"{name}: {error}") from error
    array: npt.NDArray[Any] = tree
    return array


def is_frame(value: Any) -> bool:
    """Whether a value is a frame of pandas or Polars."""
    return type(value).__name__ in _FRAMES and _library(value) in _LIBRARIES


def is_series(value: Any) -> bool:
    """Whether a value is a column of pandas or Polars."""
    return type(value).__name__.endswith(_SERIES) and _library(value) in _LIBRARIES


def refuse_sparse(value: Any, name: str) -> None:
    """Refuse sparse and ragged data.

    Raises:
        SearchError: with what to do instead.
    """
    kind = type(value).__name__
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise SearchError(
            f"{name} is a sparse matrix ({kind}), whose rows cannot be batched here; pass "
            f"{name}.toarray()"
        )
    if kind in ("SparseTensor", "RaggedTensor"):
        cure = "tf.sparse.to_dense(...)" if kind == "SparseTensor" else f"{name}.to_tensor()"
        raise SearchError(f"{name} is a {kind}, whose rows cannot be batched here; pass {cure}")


def _tree(value: Any, name: str, num_rows: int | None) -> Tree:
    if isinstance(value, Mapping):
        return {str(key): _tree(part, f"{name}[{key!r}]", num_rows) for key, part in value.items()}
    if isinstance(value, list | tuple) and _lists_inputs(value, num_rows):
        return tuple(
            _tree(part, f"{name}[{position}]", num_rows) for position, part in enumerate(value)
        )
    if is_frame(value):
        return _of_frame(value, name)
    return _of_array(value, name)


def _lists_inputs(value: Sequence[Any], num_rows: int | None) -> bool:
    """Whether a list is one of several arrays, and not one array given row by row."""
    if not value or not all(_has_rows(part) for part in value):
        return False
    if num_rows is None or len(value) != num_rows:
        return True
    # As many arrays as there are rows: those of one row each are rows.
    return all(_length(part) == num_rows for part in value)


def _has_rows(part: Any) -> bool:
    if isinstance(part, Mapping | tuple) or is_frame(part):
        return isinstance(part, Mapping) or is_frame(part) or any(map(_has_rows, part))
    if isinstance(part, list):
        return any(_has_rows(inner) for inner in part)
    return is_series(part) or (hasattr(part, "__array__") and np.ndim(part) > 0)


def _length(part: Any) -> int | None:
    return len(part) if hasattr(part, "__array__") or is_series(part) else None


def _of_frame(frame: Any, name: str) -> Tree:
    if type(frame).__name__ == "LazyFrame":
        frame = frame.collect()
    columns = {str(column): frame[column] for column in frame.columns}
    if not columns:
        raise SearchError(f"{name} is a frame without columns")
    if len(columns) < len(frame.columns):
        raise SearchError(f"{name} has two columns with the same name; rename one")
    arrays = {
        column: _of_array(series, f"{name}[{column!r}]") for column, series in columns.items()
    }
    are_text = {array.dtype.kind in "OUS" for array in arrays.values()}
    return arrays if len(are_text) > 1 else np.stack(list(arrays.values()), axis=1)


def _of_array(value: Any, name: str) -> npt.NDArray[Any]:
    refuse_sparse(value, name)
    if isinstance(value, np.ma.MaskedArray):
        if masked := int(np.ma.getmaskarray(value).sum()):
            raise SearchError(
                f"{name} has {masked} masked values, which Keras would train on as if they were "
                "not masked; leave out their rows, or fill them in"
            )
        value = value.data
    if is_series(value):
        value = _of_series(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise SearchError(f"{name} cannot be made an array: {error}") from error
    if not array.ndim:
        raise SearchError(
            f"{name} is a {type(value).__name__}; expected an array with one row per example, a "
            "pandas or Polars frame, or a dict or list of these"
        )
    if array.dtype == object:
        return _of_objects(array, name)
    if array.dtype.kind == "T":
        # NumPy's text of any width, which TensorFlow does not take.
        return _decoded(array.astype(object))
    if array.dtype.kind not in _NUMBERS + _TEXT:
        raise SearchError(
            f"{name} has values of type {array.dtype}; expected numbers or text: convert them, "
            "such as dates to numbers of days"
        )
    return array


def _of_series(series: Any) -> Any:
    """A column as NumPy has it: categories as their values, nullable numbers as floats with NaN."""
    if hasattr(getattr(series, "dtype", None), "categories") and _library(series) == "pandas":
        values = series.dtype.categories.dtype
        is_number = getattr(values, "kind", "O") in "iub"
        series = series.astype(float if is_number and series.hasnans else values)
    array = series.to_numpy()
    if array.dtype == object and getattr(series, "hasnans", False):
        kind = getattr(getattr(series, "dtype", None), "kind", "O")
        if kind in "iufb":
            return series.to_numpy(dtype=float, na_value=np.nan)
    return array


def _of_objects(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """An array of Python objects: as numbers where it has only these, else as text."""
    flat = array.ravel()
    if all(isinstance(value, int | float | np.number | np.bool_) for value in flat):
        try:
            return np.array(array.tolist())
        except ValueError as error:
            raise SearchError(f"{name} cannot be made an array: {error}") from error
    odd = [position for position, value in enumerate(flat) if not isinstance(value, str | bytes)]
    if odd:
        per_row = max(1, flat.size // max(1, len(array)))
        rows = ", ".join(str(position // per_row) for position in odd[:_SHOWN])
        kinds = sorted({type(flat[position]).__name__ for position in odd})
        raise SearchError(
            f"{name} is an array of objects with {', '.join(kinds)} in row {rows}; expected only "
            "text, or only numbers: replace missing values, and make rows of one length"
        )
    return _decoded(array)


def _decoded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    text = np.empty(array.size, dtype=object)
    for position, value in enumerate(array.ravel()):
        text[position] = value.decode() if isinstance(value, bytes) else str(value)
    return text.reshape(array.shape)


def _library(value: Any) -> str:
    return type(value).__module__.partition(".")[0]
