"""Rows of any structure: nested dicts and tuples of arrays, whose rows are taken by index.

An array is its own rows, so that code which takes rows works on both. How users' data become rows
belongs to `user_data`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError

# A nested dict or tuple of arrays, or one array.
Tree: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class Rows:
    """Arrays of one number of rows, in a nested dict or tuple.

    Attributes:
        tree: the arrays, each (n, ...).

    Examples:
        >>> rows = Rows({"age": np.array([31, 45, 62]), "image": np.zeros((3, 8, 8))})
        >>> len(rows), rows[np.array([2, 0])]["age"].tolist()
        (3, [62, 31])
    """

    tree: Tree

    def __post_init__(self) -> None:
        """Check that all arrays have as many rows.

        Raises:
            SearchError: where they differ, or there is none.
        """
        lengths = {name: len(array) for name, array in leaves(self.tree)}
        if not lengths:
            raise SearchError("a dict or list without arrays; give at least one array")
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise SearchError(f"{counts} rows; give arrays with the same number of rows")

    def __len__(self) -> int:
        """The number of rows."""
        return next(len(array) for _, array in leaves(self.tree))

    def __getitem__(self, rows: Any) -> Tree:
        """Some rows, by their numbers or a slice; arrays in the same structure."""
        return map_leaves(lambda array: array[rows], self.tree)


AnyRows: TypeAlias = npt.NDArray[Any] | Rows


def leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """The arrays of a structure with their names, such as `image` or `scores.0`."""
    if isinstance(tree, Mapping):
        items = [(str(name), part) for name, part in tree.items()]
    elif isinstance(tree, tuple):
        items = [(str(position), part) for position, part in enumerate(tree)]
    else:
        yield path, tree
        return
    for name, part in items:
        yield from leaves(part, f"{path}.{name}" if path else name)


def map_leaves(function: Callable[[npt.NDArray[Any]], Any], tree: Tree) -> Tree:
    """The structure with each array replaced by what a function makes of it."""
    if isinstance(tree, Mapping):
        return {name: map_leaves(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple):
        return tuple(map_leaves(function, part) for part in tree)
    return function(tree)


def tree_of(rows: AnyRows) -> Tree:
    """The arrays themselves."""
    return rows.tree if isinstance(rows, Rows) else rows


def sha256_of_rows(*parts: AnyRows | None) -> str:
    """The SHA-256 of rows with their structure, shapes, types and values.

    That of plain arrays is the same as in versions that had no other data.
    """
    digest = hashlib.sha256()
    for part in parts:
        if part is None:
            digest.update(b"none")
        elif isinstance(part, Rows):
            for name, array in leaves(part.tree):
                digest.update(f"{len(name)} {name} ".encode())
                _add_array(digest, array)
        else:
            _add_array(digest, part)
    return digest.hexdigest()


def _add_array(digest: Any, array: npt.NDArray[Any]) -> None:
    digest.update(f"{array.dtype.str} {array.shape}".encode())
    if array.dtype != object:
        digest.update(np.ascontiguousarray(array).data)
        return
    # The bytes of such an array are addresses, which differ from process to process.
    for value in array.ravel():
        content = value if isinstance(value, bytes) else str(value).encode()
        digest.update(f"{len(content)} ".encode())
        digest.update(content)
