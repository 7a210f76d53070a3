"""Builds a model once, to see what it is: its description, and the metrics that it has.

What follows from a difference belongs to `code_changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner
import numpy as np

from rust_tuner.files import sha256_of_json
from rust_tuner.models.described import Description, describe_model
from rust_tuner.models.fold_batches import FoldPlace, IntArray
from rust_tuner.models.keras_state import build_at, clear_session, users_layers_kept
from rust_tuner.models.metric_elements import by_element
from rust_tuner.models.runtime import MemoryOf, new_garbage_collected, variables_of
from rust_tuner.search.failures import fails_the_trial
from rust_tuner.search.subjects import Subject

_FAILED = {"class": "a model that cannot be built"}
FAILED_SHA256 = sha256_of_json(_FAILED)


@dataclass(frozen=True)
class BuiltOnce:
    """What one build of the model shows.

    Attributes:
        description: see `describe_model`; what went wrong where it cannot be built.
        shapes: the SHA-256 by which earlier versions identified a model; None where it cannot be
            built.
        metrics: names of its metrics on the validation side, without `val_`; None where one batch
            does not give them.
        own_metrics: those of them that the model itself was compiled with.
        output_shape: of its prediction for a row; None where that is not known.
        error: why it cannot be built, or None.
    """

    description: Description
    shapes: str | None
    metrics: tuple[str, ...] | None = None
    own_metrics: tuple[str, ...] = ()
    output_shape: tuple[int, ...] | None = None
    error: Exception | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the description."""
        return sha256_of_json(self.description)


def build_once(
    subject: Subject,
    hp: keras_tuner.HyperParameters,
    place: FoldPlace,
    *,
    with_metrics: bool = False,
    with_description: bool = True,
    purpose: str = "weights",
) -> BuiltOnce:
    """Build a model at some values, describe it, and free it.

    Args:
        subject: builds the model.
        hp: the values.
        place: determines its initial weights.
        with_metrics: whether to evaluate one batch, for the names of the metrics.
        with_description: whether to describe the model; if not, the description is empty.
        purpose: as in `seeded_weights`.
    """
    try:
        with users_layers_kept(joins=True), new_garbage_collected():
            model = build_at(place, lambda: subject.build(hp, None), purpose=purpose)
            built = BuiltOnce({}, None)
            if with_description:
                built = BuiltOnce(describe_model(model), _sha256_of_shapes(model))
            if with_metrics:
                names, every, shape = _metric_names(model, subject)
                built = BuiltOnce(built.description, built.shapes, every, names, shape)
            memory = MemoryOf(variables_of(model))
            del model
            if with_metrics:
                # It was called, and what it drew must not change what the folds draw.
                clear_session()
        memory.release_unused()
    except Exception as error:
        # Whatever a user's build raises: the trial with these values raises it again.
        return BuiltOnce(_FAILED, None, error=error)
    return built


def ask_model(subject: Subject, seed: int, trial: int, hp: keras_tuner.HyperParameters) -> None:
    """Build a trial's model for the hyperparameters that it asks for, and free it.

    Args:
        subject: builds the model.
        seed: of the search.
        trial: number of the trial.
        hp: those of the trial, which may be asked for more than they contain.

    Raises:
        Exception: what `build` raises, where it does not fail the trial.
    """
    place = FoldPlace(seed, trial, 0)
    # The model is not trained, and the same seed twice costs time, see `seeding`.
    built = build_once(subject, hp, place, with_description=False, purpose="asked")
    if built.error is not None and not fails_the_trial(built.error):
        raise built.error


def _metric_names(
    model: keras.Model, subject: Subject
) -> tuple[tuple[str, ...], tuple[str, ...] | None, tuple[int, ...] | None]:
    """The metrics that the model was compiled with, all that a fold has, and the output's shape."""
    validation = subject.folds[0][1]
    rows: IntArray = validation[:2]
    names: tuple[str, ...] = ()
    shape = None
    try:
        # Without tracing, which would take longer than the rest.
        model.run_eagerly, model.jit_compile = True, False
        data = subject.data_of(0)
        inputs = data.unflipped(rows)
        logs = model.test_on_batch(*data.batch(inputs, rows, data.sample_weight), return_dict=True)
        names = tuple(by_element(logs))
        ours: Mapping[str, float] = {}
        if isinstance(data.targets, np.ndarray):
            answers: Any = np.asarray(model(inputs, training=False))
            shape = tuple(answers.shape[1:])
            zeros = np.zeros((len(validation), *answers.shape[1:]), np.float32)
            ours = data.metrics([zeros], [validation], ["the metrics of fold 0"])[0]
    except Exception:
        # The model and its metrics may be the user's, and raise anything: the first fold raises it
        # again, with its place, unless it only needs more than two rows.
        return names, None, shape
    named = (f"exact_{name}" if name in names else name for name in ours)
    return names, tuple(dict.fromkeys((*named, *names))), shape


def _sha256_of_shapes(model: keras.Model) -> str:
    """What versions before descriptions recorded: layers, shapes, optimizer and loss by name."""
    optimizer = getattr(model, "optimizer", None)
    loss = getattr(model, "loss", None)
    return sha256_of_json(
        [
            [
                [type(layer).__name__, [list(weight.shape) for weight in layer.weights]]
                for layer in model.layers
            ],
            type(optimizer).__name__,
            loss if isinstance(loss, str) else type(loss).__name__,
        ]
    )
