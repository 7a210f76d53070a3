"""Seeds Keras for the initial weights of one fold, whatever else the process draws at random."""

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.random import seed_generator
from keras.src.utils import rng_utils

from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.seeds import seed_word


@contextlib.contextmanager
def seeded_weights(place: FoldPlace) -> Iterator[None]:
    """Seed Keras, so that the initial weights of a model depend only on the place.

    Keras draws initial weights from global state. That state is set within the block, and Python's
    and NumPy's are restored afterwards.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    word = seed_word(place.seed, place.trial, place.fold, "weights")
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
    places = ((seed_generator, "python_random", generator), (rng_utils, "random", _Both(generator)))
    outer = [getattr(module, name, None) for module, name, _ in places]
    if not all(one is random or isinstance(one, random.Random | _Both) for one in outer):
        # Another version of Keras.
        yield
        return
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
