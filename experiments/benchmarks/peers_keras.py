"""The peer in Keras: `fit` on a `tf.data` pipeline of features, one fold after another."""

from collections.abc import Callable

import keras
import tensorflow as tf

from experiments.benchmarks.problem import EPSILON, LEARNING_RATE, Problem

STEPS_PER_EXECUTION = 16


def fit(
    problem: Problem, *, steps_per_execution: int = 1, jit_compile: bool = False
) -> Callable[[int, int, Callable[[int], None]], None]:
    """A function that trains a trial; every fold compiles its own model, as in a loop."""
    table, targets = tf.constant(problem.table), tf.constant(problem.targets)
    variants = problem.num_variants

    def gathered(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        flips = tf.random.uniform(tf.shape(images), maxval=variants, dtype=tf.int64)
        return tf.gather(table, images * variants + flips), tf.gather(targets, images)

    def trial(batch_size: int, epochs: int, mark: Callable[[int], None]) -> None:
        for fold, (training, validation) in enumerate(problem.folds):
            layers = [keras.Input((problem.table.shape[1],))]
            for _, units in problem.sizes[:-1]:
                layers.append(keras.layers.Dense(units, activation="relu"))
                layers.append(keras.layers.Dropout(problem.dropout_rate))
            layers.append(keras.layers.Dense(problem.sizes[-1][1], activation="sigmoid"))
            model = keras.Sequential(layers)
            model.compile(
                keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON),
                "binary_crossentropy",
                steps_per_execution=min(steps_per_execution, -(-len(training) // batch_size)),
                jit_compile=jit_compile,
            )
            rows = tf.data.Dataset.from_tensor_slices(training).shuffle(len(training))
            batches = rows.batch(batch_size).map(gathered).prefetch(2)
            held = problem.table[validation * variants]

            def after_epoch(
                epoch: int,
                logs: object,
                fold: int = fold,
                model: keras.Model = model,
                held: object = held,
            ) -> None:
                problem.score(fold, model.predict_on_batch(held))
                mark(fold)

            ended = keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)
            model.fit(batches, epochs=epochs, verbose=0, callbacks=[ended])
            keras.utils.clear_session()

    return trial
