"""Derives every random draw of a study from its seed and the place where the draw is used.

No random state may survive a restart in an optimiser or a layer, so a draw is identified by its
place (trial, fold, epoch), never by the number of draws before it.
"""

import hashlib
import secrets

import numpy as np

from rust_tuner.errors import RustTunerError


def derive_seed(seed: int, *place: int | str) -> np.random.SeedSequence:
    """The seed of one place, such as `(trial, fold, epoch, "order")`.

    Args:
        seed: the study's seed, an integer from 0.
        *place: integers from 0 and short names; different places are independent.

    Returns:
        A `SeedSequence`, the same for the same arguments on every machine.
    """
    key = tuple(_word(part) for part in place)
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def generator(seed: int, *place: int | str) -> np.random.Generator:
    """A NumPy generator for one place; see `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *place))


def seed_word(seed: int, *place: int | str) -> int:
    """One 31-bit integer for libraries that take an integer seed; see `derive_seed`."""
    return int(derive_seed(seed, *place).generate_state(1)[0] >> 1)


def require_seed(seed: object, error: type[RustTunerError]) -> int:
    """The seed as an integer; `error` is raised if it is not one from 0."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise error(f"seed={seed!r}; expected an integer from 0")
    return int(seed)


def drawn_once(seed: object, recorded: int | None, error: type[RustTunerError]) -> int:
    """A seed that is given, else the recorded one, else a new one.

    Args:
        seed: as the user gave it; None where the seed is to be drawn.
        recorded: what was drawn before, if anything was.
        error: is raised for a given seed that is not an integer from 0.
    """
    if seed is not None:
        return require_seed(seed, error)
    return secrets.randbits(31) if recorded is None else recorded


def _word(part: int | str) -> int:
    if isinstance(part, str):
        return int.from_bytes(hashlib.sha256(part.encode()).digest()[:4], "little")
    return part
