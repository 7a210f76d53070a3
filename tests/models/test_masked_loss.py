"""The masked loss: Keras's where nothing is hidden, and the mean over what counts where it is."""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_tuner.models.architectures import masked_binary_crossentropy

FloatArray = npt.NDArray[np.float32]


def targets_and_answers(
    seed: int, rows: int, *, masked_share: float
) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 2, (rows, 18)).astype(np.float32)
    targets[rng.random((rows, 18)) < masked_share] = -1
    # The view always counts.
    targets[:, 0] = rng.integers(0, 2, rows)
    return targets, rng.uniform(0.001, 0.999, (rows, 18)).astype(np.float32)


def masked_reference(targets: FloatArray, answers: FloatArray) -> npt.NDArray[np.float64]:
    losses = []
    for truth, answer in zip(targets.astype(float), answers.astype(float), strict=True):
        counted = truth >= 0
        right = np.where(truth[counted] == 1, answer[counted], 1 - answer[counted])
        losses.append(-np.log(right).mean())
    return np.array(losses)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 20))
def test_without_masks_the_loss_is_kerass(seed: int, rows: int) -> None:
    targets, answers = targets_and_answers(seed, rows, masked_share=0)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    theirs = np.asarray(keras.losses.binary_crossentropy(targets, answers))
    assert ours.shape == theirs.shape == (rows,)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000), rows=st.integers(1, 20), masked_share=st.sampled_from([0.1, 0.9])
)
def test_with_masks_the_loss_is_the_mean_over_what_counts(
    seed: int, rows: int, masked_share: float
) -> None:
    targets, answers = targets_and_answers(seed, rows, masked_share=masked_share)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    np.testing.assert_allclose(ours, masked_reference(targets, answers), rtol=1e-5)


def test_certain_answers_have_a_finite_loss_as_in_keras() -> None:
    targets = np.array([[1.0, 0.0, 1.0, 0.0]], dtype=np.float32)
    answers = np.array([[0.0, 1.0, 1.0, 0.0]], dtype=np.float32)
    ours = np.asarray(masked_binary_crossentropy(targets, answers))
    theirs = np.asarray(keras.losses.binary_crossentropy(targets, answers))
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_masked_labels_have_no_gradient_and_the_others_have_one() -> None:
    targets, answers = targets_and_answers(3, 10, masked_share=0.5)
    variable = tf.Variable(answers)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(masked_binary_crossentropy(targets, variable))
    gradient = np.asarray(tape.gradient(loss, variable))
    assert (gradient[targets < 0] == 0).all()
    assert (gradient[targets >= 0] != 0).all()
    assert (targets < 0).sum() > 50


def test_a_certain_answer_at_a_masked_label_changes_nothing() -> None:
    targets = np.array([[1.0, -1.0]], dtype=np.float32)
    for answer in (0.0, 0.5, 1.0):
        loss = masked_binary_crossentropy(targets, np.array([[0.25, answer]], dtype=np.float32))
        np.testing.assert_allclose(np.asarray(loss), [-np.log(0.25)], rtol=1e-6)
