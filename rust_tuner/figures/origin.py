"""Whether a figure's files still show what would be drawn now, so that it need not be drawn again.

A figure's origin is the hash of all that decides its look: the function that draws it, what the
function is given, the size, the settings of Matplotlib, the code of this package and the versions
of the libraries. The PNG holds it together with the hash of the SVG, so a file that is missing,
cut short or exchanged is drawn again.
"""

import dataclasses
import datetime
import functools
import hashlib
from collections.abc import Mapping, Set
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from rust_tuner import __version__
from rust_tuner.figures.style import ORIGIN, Draw, Drawing, origin_text, styled

_LIBRARIES = ("matplotlib", "seaborn", "numpy", "pandas", "pillow")
# Values whose text says all about them.
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    str,
    bytes,
    np.generic,
    type(pd.NA),
    type(pd.NaT),
    datetime.date,
)


class _UnknownError(Exception):
    """A value of a kind that this module cannot hash."""


@styled
def origin_of(drawing: Drawing) -> str | None:
    """The hash of all that decides how a figure looks; None if there is something unknown in it.

    Args:
        drawing: its `draw` is a function of a module, or a `functools.partial` of one.
    """
    digest = hashlib.sha256()
    settings = dict(matplotlib.rcParams)
    try:
        for part in (_made_by(), repr(settings), float(drawing.width), float(drawing.height)):
            _feed(digest, part)
        _feed_call(digest, drawing.draw)
    except _UnknownError:
        return None
    return digest.hexdigest()


def earlier_svg(stem: Path, origin: str | None) -> str | None:
    """The SVG of an earlier drawing with the same origin; None if its files are not as written.

    Args:
        stem: the path of the figure, without suffix.
        origin: from `origin_of`.
    """
    if origin is None:
        return None
    try:
        svg = stem.with_name(f"{stem.name}.svg").read_bytes()
        with Image.open(stem.with_name(f"{stem.name}.png"), formats=["PNG"]) as image:
            recorded = image.info.get(ORIGIN)
            # Checks the sums of the file's pieces, without decoding them.
            image.verify()
        return svg.decode() if recorded == origin_text(origin, svg) else None
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError):
        return None


@functools.cache
def _made_by() -> str:
    """The versions and the code that figures are made by."""
    digest = hashlib.sha256()
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)};".encode())
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)};".encode() + path.read_bytes())
    return f"{__version__} {digest.hexdigest()}"


def _feed_call(digest: Any, draw: Draw) -> None:
    call = draw if isinstance(draw, functools.partial) else functools.partial(draw)
    name = getattr(call.func, "__qualname__", "<unknown>")
    if "<" in name:
        raise _UnknownError
    _feed(digest, f"{call.func.__module__}.{name}")
    _feed(digest, call.args)
    _feed(digest, dict(sorted(call.keywords.items())))


def _feed(digest: Any, value: Any) -> None:
    """Add a value to a hash, so that different values give different hashes."""
    if isinstance(value, _PLAIN):
        _feed_text(digest, value)
    elif isinstance(value, pd.DataFrame):
        _feed_text(digest, f"table of {len(value.columns)}")
        _feed(digest, value.attrs)
        _feed(digest, value.index)
        for position, name in enumerate(value.columns):
            _feed(digest, name)
            _feed_column(digest, value.iloc[:, position])
    elif isinstance(value, pd.Series | pd.Index):
        _feed(digest, list(value.names) if isinstance(value, pd.Index) else value.name)
        _feed_column(digest, value)
        if isinstance(value, pd.Series):
            _feed(digest, value.index)
    elif isinstance(value, np.ndarray):
        _feed_array(digest, value)
    elif isinstance(value, Mapping):
        _feed_text(digest, f"mapping of {len(value)}")
        for name, item in value.items():
            _feed(digest, name)
            _feed(digest, item)
    elif isinstance(value, list | tuple):
        _feed_items(digest, value)
    elif isinstance(value, Set):
        _feed_text(digest, "a set")
        _feed_items(digest, sorted(value, key=repr))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        _feed_text(digest, f"{type(value).__module__}.{type(value).__qualname__}")
        _feed(digest, {item.name: getattr(value, item.name) for item in dataclasses.fields(value)})
    else:
        raise _UnknownError


def _feed_column(digest: Any, column: "pd.Series[Any] | pd.Index[Any]") -> None:
    dtype = column.dtype
    _feed_text(digest, str(dtype))
    if isinstance(dtype, pd.CategoricalDtype):
        _feed(digest, [bool(dtype.ordered), list(dtype.categories)])
    is_number = isinstance(dtype, np.dtype) and dtype.kind in "biuf"
    _feed_array(digest, column.to_numpy() if is_number else column.to_numpy(dtype=object))


def _feed_array(digest: Any, array: np.ndarray[Any, Any]) -> None:
    _feed_text(digest, f"array of {array.dtype} {array.shape}")
    if array.dtype.hasobject:
        _feed_items(digest, array.ravel().tolist())
    else:
        digest.update(np.ascontiguousarray(array).tobytes())


def _feed_items(digest: Any, items: list[Any] | tuple[Any, ...]) -> None:
    _feed_text(digest, f"{type(items).__name__} of {len(items)}")
    for item in items:
        _feed(digest, item)


def _feed_text(digest: Any, value: object) -> None:
    # The text of a number or word ends where its type's name says, so none runs into the next.
    text = f"{type(value).__name__} {value!r}"
    digest.update(f"{len(text)}:{text};".encode("utf-8", "surrogatepass"))
