"""The peer in JAX: `vmap` over folds, `lax.scan` over the steps of an epoch, Adam by hand.

Masks are drawn by the `rbg` generator, which is quicker on a processor than JAX's default. One
call trains an epoch; weights and moments are updated in place (donated).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.problem import EPSILON, LEARNING_RATE, Problem

_BETA_1, _BETA_2 = 0.9, 0.999


def vmapped(problem: Problem) -> Callable[[int, int, Callable[[int], None]], None]:
    """A function that trains a trial; it is compiled once for each batch size."""
    table, targets = jnp.asarray(problem.table), jnp.asarray(problem.targets)
    held = jnp.asarray(np.stack([rows for _, rows in problem.folds]))
    images = np.stack([rows for rows, _ in problem.folds])
    epoch_of = functools.partial(_epoch, rate=problem.dropout_rate, units=problem.units)
    compiled = jax.jit(epoch_of, static_argnames="batch_size", donate_argnums=0)
    answers_of = jax.jit(jax.vmap(_answers))

    def trial(batch_size: int, epochs: int, mark: Callable[[int], None]) -> None:
        rng = np.random.default_rng(0)
        own = [problem.initial_weights(fold) for fold in range(len(problem.folds))]
        weights = [jnp.asarray(np.stack(parts)) for parts in zip(*own, strict=True)]
        state = (
            weights,
            [jnp.zeros_like(weight) for weight in weights],
            [jnp.zeros_like(weight) for weight in weights],
            jnp.zeros((), jnp.int32),
        )
        for epoch in range(epochs):
            order = rng.permuted(images, axis=1)
            variants = rng.integers(problem.num_variants, size=order.shape)
            rows = order * problem.num_variants + variants
            key = jax.random.key(epoch, impl="rbg")
            state = compiled(state, table, targets, order, rows, key, batch_size=batch_size)
            answers = np.asarray(answers_of(state[0], table[held * problem.num_variants]))
            for fold, own_answers in enumerate(answers):
                problem.score(fold, own_answers)
            mark(0)

    return trial


def _logits(weights: Any, values: Any, masks: Any) -> Any:
    """The head of one fold; `masks` scale the hidden layers, None in validation."""
    *hidden, last = zip(weights[::2], weights[1::2], strict=True)
    for layer, (kernel, bias) in enumerate(hidden):
        values = jax.nn.relu(values @ kernel + bias)
        if masks is not None:
            values = values * masks[layer]
    return values @ last[0] + last[1]


def _answers(weights: Any, values: Any) -> Any:
    return jax.nn.sigmoid(_logits(weights, values, None))


def _loss(weights: Any, values: Any, targets: Any, masks: Any) -> Any:
    """Binary cross-entropy of one fold."""
    logits = _logits(weights, values, masks)
    return jnp.mean(jnp.logaddexp(0.0, logits) - targets * logits)


def _epoch(
    state: Any,
    table: Any,
    targets: Any,
    order: Any,
    rows: Any,
    key: Any,
    *,
    batch_size: int,
    rate: float,
    units: tuple[int, ...],
) -> Any:
    """All steps of an epoch; the last batch takes the rest."""
    folds, total = rows.shape
    full = total // batch_size

    def step(state: Any, batch: Any) -> tuple[Any, None]:
        weights, first, second, count = state
        images, places = batch
        masks = [
            jax.random.bernoulli(
                jax.random.fold_in(key, len(units) * count + layer),
                1 - rate,
                (folds, images.shape[1], width),
            )
            / (1 - rate)
            for layer, width in enumerate(units)
        ]
        gradients = jax.vmap(jax.grad(_loss))(weights, table[places], targets[images], masks)
        count = count + 1
        scale = LEARNING_RATE * jnp.sqrt(1 - _BETA_2**count) / (1 - _BETA_1**count)
        first = [_BETA_1 * m + (1 - _BETA_1) * g for m, g in zip(first, gradients, strict=True)]
        second = [
            _BETA_2 * v + (1 - _BETA_2) * g * g for v, g in zip(second, gradients, strict=True)
        ]
        weights = [
            w - scale * m / (jnp.sqrt(v) + EPSILON)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return (weights, first, second, count), None

    def batches(indices: Any) -> Any:
        # (steps, folds, rows of a batch)
        return jnp.moveaxis(indices[:, : full * batch_size].reshape(folds, full, batch_size), 0, 1)

    if full:
        state, _ = jax.lax.scan(step, state, (batches(order), batches(rows)))
    if total % batch_size:
        state, _ = step(state, (order[:, full * batch_size :], rows[:, full * batch_size :]))
    return state
