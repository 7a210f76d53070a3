"""Initial weights depend on the place of a fold alone, whatever else draws at random."""

import random
from collections.abc import Callable

import keras
import numpy as np
import pytest
from cleared_caches import clearings

from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.seeding import seeded_weights

PLACE = FoldPlace(seed=1, trial=3, fold=2)

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the random operations are TensorFlow's"
)


def weights(
    *, between: Callable[[], object] = lambda: None, before: Callable[[], object] = lambda: None
) -> list[list[list[float]]]:
    with seeded_weights(PLACE):
        before()
        layers = []
        for _ in range(2):
            layers.append(keras.layers.Dense(3))
            layers[-1].build((None, 2))
            between()
    return [layer.kernel.numpy().tolist() for layer in layers]


def test_weights_are_those_of_keras_seeded_globally() -> None:
    expected = weights()
    word: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.utils, "set_random_seed", word.append)
        with seeded_weights(PLACE):
            pass
    keras.utils.set_random_seed(word[0])
    for kernel in expected:
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
        assert layer.kernel.numpy().tolist() == kernel


def test_draws_of_other_threads_change_no_weights() -> None:
    # They draw from the global generator, as this does.
    assert weights(between=random.random) == weights()


def test_a_seed_that_the_user_sets_in_build_counts() -> None:
    def seed() -> None:
        keras.utils.set_random_seed(7)

    expected = weights(before=seed)
    assert expected != weights()
    assert weights(before=seed, between=random.random) == expected


def test_blocks_within_blocks_end_with_the_usual_generator() -> None:
    with seeded_weights(PLACE):
        inner = weights()
    assert inner == weights()


def test_a_block_within_a_block_changes_no_weights_of_the_outer_one() -> None:
    assert weights(between=weights) == weights()


@pytest.mark.parametrize("error", [None, ValueError])
def test_seeded_weights_leave_the_global_random_states_as_they_were(
    error: type[ValueError] | None,
) -> None:
    random.seed(5)
    np.random.seed(5)
    states = random.getstate(), np.random.get_state()
    with pytest.raises(error) if error else seeded_weights(PLACE):
        with seeded_weights(PLACE):
            inside = random.random(), np.random.random()
            if error:
                raise error
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])
    with seeded_weights(PLACE):
        assert (random.random(), np.random.random()) == inside


def drawn() -> list[list[float]]:
    """What TensorFlow's random operations draw, which keep how far they have come."""
    import tensorflow as tf

    draws = [tf.random.normal([2]), tf.random.normal([2], seed=5), tf.random.normal([2], seed=5)]
    return [draw.numpy().tolist() for draw in draws]


def drawn_at(trial: int) -> list[list[float]]:
    with seeded_weights(FoldPlace(seed=1, trial=trial, fold=0)):
        return drawn()


@needs_tensorflow
def test_random_operations_begin_anew_at_each_place_as_tensorflow_seeds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    words: list[int] = []
    for trial in (7, 8):
        with monkeypatch.context() as patch:
            patch.setattr(keras.utils, "set_random_seed", words.append)
            with seeded_weights(FoldPlace(seed=1, trial=trial, fold=0)):
                pass
    expected = []
    for word in words:
        tf.random.set_seed(word)
        expected.append(drawn())
    assert expected[0] != expected[1]
    tf.random.set_seed(0)
    places = [7, 8, 7, 7, 8, 8]
    assert [drawn_at(trial) for trial in places] == [expected[trial - 7] for trial in places]


@needs_tensorflow
def test_only_a_place_that_was_there_before_clears_the_caches() -> None:
    with clearings() as counted:
        for trial in (101, 102, 103):
            drawn_at(trial)
        assert not counted
        drawn_at(102)
        assert len(counted) == 1
        # The caches are empty since, so none of the others clears them again.
        drawn_at(103)
        assert len(counted) == 1


@needs_tensorflow
def test_another_version_of_tensorflow_seeds_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf
    from tensorflow.python.eager import context

    class Other:
        """A context without the names that are set."""

    seeds: list[int] = []
    monkeypatch.setattr(tf.random, "set_seed", seeds.append)
    with monkeypatch.context() as patch:
        patch.setattr(context, "context", Other)
        with seeded_weights(FoldPlace(seed=1, trial=200, fold=0)):
            pass
    assert len(seeds) == 1


@needs_tensorflow
def test_a_seed_that_the_user_has_set_before_begins_anew_in_build() -> None:
    def drawn_in_build(trial: int) -> list[list[float]]:
        with seeded_weights(FoldPlace(seed=1, trial=trial, fold=0)):
            keras.utils.set_random_seed(42)
            return drawn()

    keras.utils.set_random_seed(42)
    expected = drawn()
    assert [drawn_in_build(trial) for trial in (300, 301)] == [expected, expected]
