"""Seeds: a draw is a function of its place, and no two places share one."""

import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rust_tuner.seeds import derive_seed, generator, seed_word

GOLDEN_WORD = 1472991647
GOLDEN_ORDER = [4, 7, 6, 1, 2, 3, 5, 0]

seeds = st.integers(0, 2**64 - 1)
places = st.lists(
    st.one_of(st.integers(0, 2**32 - 1), st.sampled_from(["order", "flips", "weights", ""])),
    max_size=4,
).map(tuple)


def words(seed: int, *place: int | str) -> list[int]:
    numbers: list[int] = derive_seed(seed, *place).generate_state(4).tolist()
    return numbers


def test_a_place_has_the_same_draws_on_every_machine_and_in_every_version() -> None:
    code = "from rust_tuner.seeds import seed_word; print(seed_word(0, 3, 1, 'order'))"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(text.stdout) == seed_word(0, 3, 1, "order") == GOLDEN_WORD
    assert generator(0, 3, 1, "order").permutation(8).tolist() == GOLDEN_ORDER


@settings(deadline=None)
@given(seeds, places)
def test_the_same_place_gives_the_same_draws(seed: int, place: tuple[int | str, ...]) -> None:
    assert words(seed, *place) == words(seed, *place)
    first, second = generator(seed, *place), generator(seed, *place)
    assert first.random(3).tolist() == second.random(3).tolist()


@settings(deadline=None)
@given(seeds, places, seeds, places)
def test_different_places_give_different_draws(
    seed: int, place: tuple[int | str, ...], other_seed: int, other_place: tuple[int | str, ...]
) -> None:
    assume((seed, place) != (other_seed, other_place))
    assert words(seed, *place) != words(other_seed, *other_place)


def test_all_folds_and_epochs_of_a_search_have_draws_of_their_own() -> None:
    drawn = {
        tuple(words(seed, trial, fold, epoch, purpose))
        for seed in (0, 1)
        for trial in range(20)
        for fold in range(6)
        for epoch in range(20)
        for purpose in ("order", "flips")
    }
    assert len(drawn) == 2 * 20 * 6 * 20 * 2


def test_a_place_differs_from_the_places_below_it_and_from_its_parts_swapped() -> None:
    ways = [(), (0,), (0, 0), (1, 2), (2, 1), ("order",), ("order", 0), (0, "order")]
    assert len({tuple(words(5, *way)) for way in ways}) == len(ways)


def test_seed_0_is_a_seed_like_any_other() -> None:
    assert words(0) == words(0)
    assert words(0, "order") != words(1, "order")


@settings(deadline=None)
@given(seeds, places)
def test_a_word_fits_into_31_bits(seed: int, place: tuple[int | str, ...]) -> None:
    word = seed_word(seed, *place)
    assert isinstance(word, int)
    assert 0 <= word < 2**31


def test_draws_do_not_depend_on_the_global_state_nor_change_it() -> None:
    numpy_state, python_state = np.random.get_state(), random.getstate()
    generator(1, "order").random(100)
    seed_word(1, "order")
    assert np.random.get_state()[1].tolist() == numpy_state[1].tolist()  # type: ignore[index]
    assert np.random.get_state()[2] == numpy_state[2]  # type: ignore[index]
    assert random.getstate() == python_state


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        derive_seed(-1, "order")
