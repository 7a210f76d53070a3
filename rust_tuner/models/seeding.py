"""Seeds Keras for the initial weights of one fold, whatever else the process draws at random."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.random import seed_generator
from keras.src.utils import rng_utils

from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.seeds import seed_word

# The seeds of TensorFlow since its caches were last cleared here.
_seeds_used: set[int | None] = set()


@contextlib.contextmanager
def seeded_weights(place: FoldPlace, purpose: str = "weights") -> Iterator[None]:
    """Seed Keras, so that the initial weights of a model depend only on the place.

    Keras draws initial weights from global state. That state is set within the block, and Python's
    and NumPy's are restored afterwards.

    Args:
        place: that of the fold.
        purpose: what the model is for; one for another purpose has other weights.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    word = seed_word(place.seed, place.trial, place.fold, purpose)
    try:
        with _own_generator(word):
            keras.utils.set_random_seed(word)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def _own_generator(word: int) -> Iterator[None]:
    """Let Keras draw seeds from a generator that no other thread draws from.

    Keras draws them from Python's global one, from which threads of a notebook or a cluster may
    draw in between. Where none does, the seeds are the same.
    """
    generator = random.Random(word)
    places: list[tuple[Any, str, Any]] = [
        (seed_generator, "python_random", generator),
        (rng_utils, "random", _Both(generator)),
    ]
    generators = [getattr(module, name, None) for module, name, _ in places]
    if not all(one is random or isinstance(one, random.Random | _Both) for one in generators):
        # Another version of Keras.
        yield
        return
    if keras.backend.backend() == "tensorflow" and hasattr(rng_utils, "tf"):
        places.append((rng_utils, "tf", _TensorFlow()))
    outer = [getattr(module, name) for module, name, _ in places]
    for module, name, replacement in places:
        setattr(module, name, replacement)
    try:
        yield
    finally:
        # For a block within a block, the generator of the outer one.
        for (module, name, _), replaced in zip(places, outer, strict=True):
            setattr(module, name, replaced)


class _Both:
    """What `keras.utils.set_random_seed` seeds, which users call in `build`."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def seed(self, word: int) -> None:
        random.seed(word)
        self._generator.seed(word)


class _TensorFlow:
    """TensorFlow for `keras.utils.set_random_seed`, with a seed that clears no caches."""

    available = True

    @property
    def random(self) -> "_TensorFlow":
        return self

    def set_seed(self, seed: int) -> None:
        _seed_tensorflow(seed)


def _seed_tensorflow(seed: int) -> None:
    """Set TensorFlow's global seed, and clear its caches only where that changes what is drawn.

    `tf.random.set_seed` clears them each time. Afterwards every compiled function is optimised
    again when it is next called, which takes longer than a small model trains. The caches contain
    how far each random operation has come. An operation takes the global seed, so one with another
    seed begins anew in any case. Two kinds do not take it: those of `tf.raw_ops`, and those of
    functions that were traced before. They begin anew after each model that is not kept.
    """
    import tensorflow as tf
    from tensorflow.python.eager import context

    own = context.context()
    names = "_seed", "_rng"
    if not all(hasattr(own, name) for name in names):
        # Another version of TensorFlow.
        tf.random.set_seed(seed)
        return
    # One that others have set has cleared the caches then.
    _seeds_used.add(own._seed)
    if seed in _seeds_used:
        _seeds_used.clear()
        tf.random.set_seed(seed)
    else:
        own._seed, own._rng = seed, random.Random(seed)
    _seeds_used.add(seed)
