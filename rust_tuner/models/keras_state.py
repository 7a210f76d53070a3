"""Keras's state: what a search clears after each model, and what the user keeps."""

import collections
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.backend.common import global_state

from rust_tuner.errors import SearchError
from rust_tuner.models.described import compile_arguments
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.models.starting_values import StartingValues

# Those of the search that this thread is in.
_starting_values: contextvars.ContextVar[StartingValues | None] = contextvars.ContextVar(
    "starting_values", default=None
)

# Held by the thread that searches.
_one_thread = threading.RLock()


def _forget_threads() -> None:
    """In a process that was forked, the thread that searched is not there."""
    global _one_thread
    _one_thread = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)

# How often Keras has given each name to a layer, metric or model that has none of its own.
_NAMES = "object_name_uids"
# Each of a user's layers may take a name that the model needs, but no more than so many do.
_MOST_CLASHES = 100
_OF_A_CLASH = "should have unique names", "names should be unique"


def clear_session() -> None:
    """Free what the backend keeps of earlier models, once they are not used any more.

    Afterwards each compiled function that is still used is optimised again, which takes longer than
    a small model trains. So call it only where a model is not used any more.

    Keras's own state stays, in this thread and in others: it is what users have set, such as the
    precision, and the scopes of `with` statements around the search.
    """
    trackers = global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER
    keras.utils.clear_session(free_memory=False)
    global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER = trackers


@contextlib.contextmanager
def users_layers_kept(*, joins: bool = False) -> Iterator[None]:
    """Layers that the user made before the block are the same after it.

    They have the values that they had as the first model was built, and Keras gives their names to
    no other layer. Keras's settings and its random state in this thread are as before, too. Within
    the block, each model that `build_at` makes starts with these values.

    Initial weights and dropout masks follow from random states of the process, so only one thread
    at a time may be within such a block that joins no other. A trial that is sent to an executor
    joins the search; `sent` sees to it that no second one trains in the process.

    Args:
        joins: whether this is a part of a search, if there is one around it. A search within a
            search is one of its own.

    Raises:
        SearchError: while another thread is within a block.
    """
    with contextlib.nullcontext() if joins else _alone():
        yield from _layers_kept(joins=joins)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    lock = _one_thread
    if not lock.acquire(blocking=False):
        raise SearchError(
            "another thread of this process is searching or training folds, and Keras's random "
            "numbers belong to the process: the scores of both would follow from no seed. Run one "
            "after the other, or each in a process of its own"
        )
    try:
        yield
    finally:
        lock.release()


def _layers_kept(*, joins: bool) -> Iterator[None]:
    values = _starting_values.get() if joins else None
    values = StartingValues() if values is None else values
    token = _starting_values.set(values)
    num_names, state = _num_names(), _state_of_keras()
    failed = True
    try:
        yield
        failed = False
    finally:
        _starting_values.reset(token)
        values.end(failed=failed)
        for name, number in _num_names().items():
            num_names[name] = max(number, num_names[name])
        # An error in a model may leave scopes open.
        vars(global_state.GLOBAL_STATE_TRACKER).clear()
        vars(global_state.GLOBAL_STATE_TRACKER).update(state | {_NAMES: num_names})


def starting_values() -> StartingValues:
    """Those of the innermost `users_layers_kept`; new ones where there is none."""
    return _starting_values.get() or StartingValues()


def number_names_from_scratch() -> None:
    """Reset the numbers that Keras appends to layers and metrics without a name.

    Otherwise the same model may have a metric `auc` or `auc_2`.
    """
    global_state.set_global_attribute(_NAMES, collections.defaultdict(int))


def build_at(
    place: FoldPlace, build: Callable[[], keras.Model], *, purpose: str = "weights"
) -> keras.Model:
    """Build a model whose initial weights and names depend only on the place.

    Layers of the user's own, which each model contains, have the values of the first one. Such a
    layer may have a name that Keras gives to another one, since names are numbered from scratch:
    then the model is built again, and the numbers continue.

    Args:
        place: that of the fold.
        build: makes the model.
        purpose: as in `seeded_weights`.

    Raises:
        SearchError: where the model has the optimizer of an earlier one.
    """
    values = starting_values()
    # A search within `build` is none of this one.
    token = _starting_values.set(None)
    before = values.begin_build()
    try:
        number_names_from_scratch()
        model = _built_without_clash(place, build, purpose)
        values.note(model, before)
        _reset_metrics_of(model)
    finally:
        values.end_build(before)
        _starting_values.reset(token)
    return model


def _reset_metrics_of(model: keras.Model) -> None:
    """Reset metrics that other models may have used; Keras does not, before a model uses them."""
    for metric in keras.tree.flatten(compile_arguments(model)):
        # A metric may make its variables at its first use.
        if isinstance(metric, keras.metrics.Metric) and metric.variables:
            metric.reset_state()


def _built_without_clash(
    place: FoldPlace, build: Callable[[], keras.Model], purpose: str
) -> keras.Model:
    clashes: set[str] = set()
    while True:
        try:
            with seeded_weights(place, purpose):
                return build()
        except ValueError as error:
            clash = str(error)
            # The same name once more is one that the user gave twice.
            if clash in clashes or len(clashes) == _MOST_CLASHES:
                raise
            if not any(words in clash for words in _OF_A_CLASH):
                raise
            clashes.add(clash)


def _state_of_keras() -> dict[str, Any]:
    """What Keras keeps for this thread, with copies of the scopes that are open."""
    state = vars(global_state.GLOBAL_STATE_TRACKER)
    return {name: list(kept) if isinstance(kept, list) else kept for name, kept in state.items()}


def _num_names() -> "collections.defaultdict[str, int]":
    given = global_state.get_global_attribute(_NAMES) or {}
    return collections.defaultdict(int, given)
