"""One update by Adam of the weights of six heads, by each engine, on one core and on all of them.

    python -m experiments.benchmarks.adam [--turns 7] [--repeats 20]

An update reads weights, gradients and both moments, and writes weights and moments: 28 bytes for
each weight. All engines update the same arrays in place, in turns, each in a process of its own. A
rate above that of the memory is not possible; a rate below it shows that an engine passes over the
arrays more than once, or that it computes more slowly than the memory delivers.
"""

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks.problem import (
    EPSILON,
    LEARNING_RATE,
    NUM_FOLDS,
    FloatArray,
    study_problem,
)
from experiments.benchmarks.ways import Cost, Way, installed, process_of

ENGINES = {
    "tensorflow": Way("TensorFlow's kernel, as folds together use it", "tensorflow", "tensorflow"),
    "keras": Way("Keras's own update, TensorFlow", "keras", "tensorflow"),
    "jax": Way("Keras's own update in a loop, JAX", "jax", "jax", "jax"),
    "torch": Way("PyTorch, fused", "torch", "torch"),
}
BYTES_OF_A_WEIGHT = 28
NUM_IMAGES = 24  # They give the heads their shapes and are not trained on.


def main() -> None:
    """Time the updates and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--turns", type=int, default=7, help="of every engine")
    parser.add_argument("--repeats", type=int, default=20, help="updates of a turn")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    names = installed(list(ENGINES), ENGINES)
    costs = {
        (name, number): cost
        for number in sorted({1, len(cores)})
        for name, cost in measure(names, cores[:number], **vars(arguments)).items()
    }
    from experiments.benchmarks.common import print_table

    num_weights = sum(values.size for values in heads())
    print_table(
        f"One update by Adam of {num_weights:,} weights",
        ["engine", "cores", "ms", "CPU ms", "GB/s"],
        [
            (
                ENGINES[name].title,
                number,
                f"{1e3 * cost.seconds:.1f}",
                f"{1e3 * cost.cpu_seconds:.1f}",
                f"{BYTES_OF_A_WEIGHT * num_weights / cost.seconds / 1e9:.0f}",
            )
            for (name, number), cost in costs.items()
        ],
        [f"Medians of {arguments.turns} turns of {arguments.repeats} updates."],
    )


def measure(names: list[str], cores: list[int], *, turns: int, repeats: int) -> dict[str, Cost]:
    """The median cost of one update by each engine, on these cores."""
    processes = {name: process_of(ENGINES[name], cores) for name in names}
    found: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(turns):
        for name, process in processes.items():
            found[name].append(process.submit(_cost, name, repeats).result())
    for process in processes.values():
        process.shutdown()
    return {
        name: Cost(
            statistics.median(cost.seconds for cost in costs),
            statistics.median(cost.cpu_seconds for cost in costs),
        )
        for name, costs in found.items()
    }


def heads() -> list[FloatArray]:
    """Kernels and biases of the study's head, each of all folds."""
    problem = study_problem(NUM_IMAGES, num_folds=NUM_FOLDS)
    own = [problem.initial_weights(fold) for fold in range(NUM_FOLDS)]
    return [np.stack(parts) for parts in zip(*own, strict=True)]


def _cost(name: str, repeats: int) -> Cost:
    update = _updates(name, repeats)
    update()
    start, start_cpu = time.perf_counter(), time.process_time()
    update()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return Cost(seconds / repeats, cpu_seconds / repeats)


@functools.cache
def _updates(name: str, repeats: int) -> Callable[[], object]:
    """So many updates by an engine, which is imported here, in its own process."""
    weights = heads()
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=values.shape).astype(np.float32) for values in weights]
    if name == "torch":
        update = _by_torch(weights, gradients)
    elif name == "jax":
        return _by_jax(weights, gradients, repeats)
    else:
        update = _by_tensorflow(weights, gradients, kernel=name == "tensorflow")

    def updates() -> None:
        for _ in range(repeats):
            update()

    return updates


def _by_torch(weights: list[FloatArray], gradients: list[FloatArray]) -> Callable[[], object]:
    import torch

    parameters = [torch.from_numpy(values).requires_grad_() for values in weights]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.from_numpy(gradient)
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, eps=EPSILON, fused=True)
    return lambda: optimizer.step()


def _by_tensorflow(
    weights: list[FloatArray], gradients: list[FloatArray], *, kernel: bool
) -> Callable[[], object]:
    from rust_tuner.models.runtime import start_backend

    start_backend()
    import keras
    import tensorflow as tf

    from rust_tuner.models.optimizers import fused

    adam = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    optimizer = fused(adam) if kernel else adam
    variables = [keras.Variable(values) for values in weights]
    optimizer.build(variables)
    tensors = [tf.constant(values) for values in gradients]
    compiled: Callable[[], object] = tf.function(lambda: optimizer.apply(tensors, variables))
    return compiled


def _by_jax(
    weights: list[FloatArray], gradients: list[FloatArray], repeats: int
) -> Callable[[], object]:
    """All updates in one compiled loop, as folds together train on JAX.

    Called one by one, each would write to memory that was never used before.
    """
    from rust_tuner.models.runtime import start_backend

    start_backend()
    import jax
    import keras

    optimizer = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    variables = [keras.Variable(values) for values in weights]
    optimizer.build(variables)
    arrays = [jax.numpy.asarray(values) for values in gradients]
    state = [[value.value for value in group] for group in (variables, optimizer.variables)]

    def all_updates(values: Any, others: Any, arrays: Any) -> Any:
        return jax.lax.fori_loop(
            0,
            repeats,
            lambda _, both: optimizer.stateless_apply(both[1], arrays, both[0]),
            (values, others),
        )

    compiled = jax.jit(all_updates, donate_argnums=(0, 1))

    def updates() -> None:
        state[:] = jax.block_until_ready(compiled(*state, arrays))

    return updates


if __name__ == "__main__":
    main()
