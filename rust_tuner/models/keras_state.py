"""Keras's state of a thread: what a search clears after each model, and what the user keeps."""

import collections
import contextlib
import contextvars
from collections.abc import Callable, Iterator

import keras
from keras.src.backend.common import global_state

from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.models.starting_values import StartingValues

# Those of the search that this thread is in.
_starting_values: contextvars.ContextVar[StartingValues | None] = contextvars.ContextVar(
    "starting_values", default=None
)

# How often Keras has given each name to a layer, metric or model that has none of its own.
_NAMES = "object_name_uids"
# What users set, some of them with a `with` statement around the search.
_OF_THE_USER = (
    _NAMES,
    "custom_objects_scope_dict",
    "distribution",
    "dtype_policy",
    "flash_attention",
    "interactive_logging",
    "nnx_enabled",
    "torch_device",
    "traceback_filtering",
)
# Each of a user's layers may take a name that the model needs, but no more than so many do.
_MOST_CLASHES = 100
_OF_A_CLASH = "should have unique names", "names should be unique"


def clear_session() -> None:
    """Clear Keras's session, but keep what the user has set."""
    kept = {name: global_state.get_global_attribute(name) for name in _OF_THE_USER}
    keras.utils.clear_session()
    for name, value in kept.items():
        if value is not None:
            global_state.set_global_attribute(name, value)


@contextlib.contextmanager
def users_layers_kept() -> Iterator[None]:
    """Layers that the user made before the block are the same after it.

    They have the values that they had, and Keras gives their names to no other layer. Within the
    block, each model that `build_at` makes starts with these values, too.
    """
    before = _num_names()
    is_outer = _starting_values.get() is None
    values = StartingValues()
    token = _starting_values.set(values) if is_outer else None
    try:
        yield
    finally:
        if token is not None:
            _starting_values.reset(token)
            values.restore()
        after = _num_names()
        for name, number in before.items():
            after[name] = max(number, after[name])
        global_state.set_global_attribute(_NAMES, after)


def number_names_from_scratch() -> None:
    """Reset the numbers that Keras appends to layers and metrics without a name.

    Otherwise the same model may have a metric `auc` or `auc_2`.
    """
    global_state.set_global_attribute(_NAMES, collections.defaultdict(int))


def build_at(place: FoldPlace, build: Callable[[], keras.Model]) -> keras.Model:
    """Build a model whose initial weights and names depend only on the place.

    Layers of the user's own, which each model contains, have the values of the first one. Such a
    layer may have a name that Keras gives to another one, since names are numbered from scratch:
    then the model is built again, and the numbers continue.

    Raises:
        SearchError: where the model has the optimizer of an earlier one.
    """
    starting_values = _starting_values.get() or StartingValues()
    starting_values.restore()
    number_names_from_scratch()
    clashes: set[str] = set()
    while True:
        try:
            with seeded_weights(place):
                model = build()
            break
        except ValueError as error:
            clash = str(error)
            # The same name once more is one that the user gave twice.
            if clash in clashes or len(clashes) == _MOST_CLASHES:
                raise
            if not any(words in clash for words in _OF_A_CLASH):
                raise
            clashes.add(clash)
    starting_values.note(model)
    return model


def _num_names() -> "collections.defaultdict[str, int]":
    given = global_state.get_global_attribute(_NAMES) or {}
    return collections.defaultdict(int, given)
