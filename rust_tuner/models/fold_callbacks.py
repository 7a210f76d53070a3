"""The user's callbacks, copied for each fold, each with its own folders and state."""

import contextlib
import copy
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import class_code, is_of_library, own_code
from rust_tuner.models.fold_batches import FoldPlace

# Callbacks of Keras -> what they remember from epoch to epoch; the rest is in the model.
_REMEMBERED = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    "LearningRateScheduler": (),
    "TerminateOnNaN": (),
    "TensorBoard": (),
    "History": (),
}
_LEAVE_FUNCTIONS = (
    *("EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint", "LearningRateScheduler"),
    *("TerminateOnNaN", "CSVLogger", "History"),
)
# Where callbacks write; each fold writes in a folder of its own.
_FOLDERS = ("log_dir",)
_FILES = ("filepath", "filename")
_WITHOUT_EFFECT = (*_FOLDERS, *_FILES, "params", "verbose")
_REFUSED = ("BackupAndRestore", "CallbackList")
_PLAIN = (str, int, float, bool, type(None))
_PREFIX = "callback"


class FoldCallbacks:
    """What a user gave as `callbacks`, of which each fold gets fresh ones."""

    def __init__(self, given: Any) -> None:
        """Take callbacks, or a function that makes them.

        Args:
            given: a list of Keras callbacks, which are copied for each fold; or a function without
                arguments that returns such a list.

        Raises:
            SearchError: for anything else, callbacks that cannot be copied, and Keras's
                `BackupAndRestore`.
        """
        self._given = given
        self._identity = _identity(given, self._new())

    def fresh(self, place: FoldPlace, *, again: bool = False) -> list[keras.callbacks.Callback]:
        """Callbacks for one fold of one trial, which write into folders of that fold.

        Args:
            place: of the fold.
            again: whether the fold is trained again; it then writes into a folder of its own.
        """
        folder = Path(f"trial_{place.trial:04d}", f"fold_{place.fold}")
        made = self._new()
        for callback in made:
            _move_output(callback, folder / "again" if again else folder)
        return made

    def note(self) -> str:
        """That a fold begins again where the state of a callback cannot be stored; else empty."""
        names = sorted({type(item).__name__ for item in self._new() if not keeps_state(item)})
        if not names:
            return ""
        return (
            f"note: the state of {', '.join(names)} is not stored between epochs, so a fold that "
            "is interrupted begins again at its first epoch"
        )

    @property
    def leave_functions(self) -> bool:
        """Whether all are Keras's own and change weights, learning rate and length at most."""
        return all(map(leaves_functions, self._new()))

    def identity(self) -> dict[str, Any]:
        """JSON values that name the callbacks, their arguments and their code."""
        return self._identity

    def _new(self) -> list[keras.callbacks.Callback]:
        given = self._given
        if callable(given) and not isinstance(given, keras.callbacks.Callback):
            made = _as_list(given(), "the function given as callbacks returned")
        else:
            listed = _as_list(given, "callbacks is")
            try:
                made = copy.deepcopy(listed)
            except Exception as error:
                # Whatever a user's object raises.
                names = ", ".join(type(item).__name__ for item in listed)
                raise SearchError(
                    f"callbacks ({names}) cannot be copied for each fold ({error}); give a "
                    "function that returns the callbacks"
                ) from error
        return made


def leaves_functions(callback: keras.callbacks.Callback) -> bool:
    """Whether it is Keras's own and changes weights, learning rate and length at most."""
    return is_of_library(type(callback)) and type(callback).__name__ in _LEAVE_FUNCTIONS


@contextlib.contextmanager
def as_validated(callbacks: Sequence[keras.callbacks.Callback]) -> Iterator[None]:
    """Give the model inside the weights that `evaluate` of its `fit` scores.

    Keras's `SwapEMAWeights` gives it their averages for that time.
    """
    swaps = [one for one in callbacks if isinstance(one, keras.callbacks.SwapEMAWeights)]
    for swap in swaps:
        swap.on_test_begin()
    try:
        yield
    finally:
        for swap in swaps:
            swap.on_test_end()


def keeps_state(callback: keras.callbacks.Callback) -> bool:
    """Whether the state of a callback can be stored with that of a fold."""
    kind = type(callback)
    return is_of_library(kind) and kind.__name__ in _REMEMBERED


def state_of(callbacks: Sequence[keras.callbacks.Callback]) -> dict[str, npt.NDArray[Any]]:
    """What callbacks remember, as arrays by name."""
    numbers: list[dict[str, Any]] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for position, callback in enumerate(callbacks):
        numbers.append({})
        for name in _REMEMBERED.get(type(callback).__name__, ()):
            value = getattr(callback, name, None)
            if isinstance(value, list):
                numbers[-1][name] = {"arrays": len(value)}
                for number, array in enumerate(value):
                    arrays[f"{_PREFIX}_{position}_{name}_{number}"] = np.asarray(array)
            else:
                numbers[-1][name] = value if isinstance(value, _PLAIN) else float(value)
    return arrays | {f"{_PREFIX}s": np.frombuffer(json.dumps(numbers).encode(), np.uint8)}


def restore_state(
    callbacks: Sequence[keras.callbacks.Callback], state: Mapping[str, npt.NDArray[Any]]
) -> None:
    """Give callbacks back what `state_of` stored."""
    numbers = json.loads(state[f"{_PREFIX}s"].tobytes())
    for position, (callback, values) in enumerate(zip(callbacks, numbers, strict=True)):
        for name, value in values.items():
            if isinstance(value, dict):
                stored = (
                    state[f"{_PREFIX}_{position}_{name}_{number}"]
                    for number in range(value["arrays"])
                )
                value = list(stored)
            setattr(callback, name, value)


def _as_list(given: Any, what: str) -> list[keras.callbacks.Callback]:
    listed = [given] if isinstance(given, keras.callbacks.Callback) else given
    if not isinstance(listed, list | tuple):
        raise SearchError(f"{what} {given!r}; expected a list of Keras callbacks")
    for item in listed:
        if not isinstance(item, keras.callbacks.Callback):
            raise SearchError(f"{what} a list with {item!r}; expected Keras callbacks")
        if type(item).__name__ in _REFUSED and is_of_library(type(item)):
            raise SearchError(
                f"callbacks has {type(item).__name__}; leave it out: a search that is interrupted "
                "resumes by itself"
            )
    return list(listed)


def _move_output(callback: keras.callbacks.Callback, folder: Path) -> None:
    """Let a callback write into a folder of its own, below where the user wanted it."""
    for name in _FOLDERS:
        if isinstance(path := getattr(callback, name, None), str):
            setattr(callback, name, str(Path(path) / folder))
    for name in _FILES:
        if isinstance(path := getattr(callback, name, None), str):
            moved = Path(path).parent / folder / Path(path).name
            moved.parent.mkdir(parents=True, exist_ok=True)
            setattr(callback, name, str(moved))


def _identity(given: Any, made: Sequence[keras.callbacks.Callback]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for callback in made:
        name = type(callback).__name__
        while name in described:
            name = f"{name}'"
        described[name] = _described(callback)
    if callable(given) and not isinstance(given, keras.callbacks.Callback):
        if code := _code_of(given):
            described["made by"] = sha256_of_json(code)
    return described


def _described(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Class and values of a callback; not where it writes, nor what Keras gives it."""
    values: dict[str, Any] = {}
    held = []
    remembered = _REMEMBERED.get(type(callback).__name__, ())
    for name, value in sorted(vars(callback).items()):
        held.append(value)
        if name.startswith("_") or name in (*_WITHOUT_EFFECT, *remembered):
            continue
        if isinstance(value, _PLAIN):
            values[name] = repr(value) if isinstance(value, float) else value
        elif isinstance(value, list | tuple | dict) and _is_plain(value):
            values[name] = sha256_of_json(repr(value))[:16]
    code = class_code(type(callback)) | own_code(held)
    return {"values": values} | ({"code": sha256_of_json(code)} if code else {})


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _code_of(function: Callable[..., Any]) -> dict[str, str]:
    if isinstance(function, functools.partial) or not hasattr(function, "__code__"):
        function = getattr(function, "func", function)
    return own_code(function)
