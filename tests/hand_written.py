"""k-fold cross-validation as a Keras user writes it by hand, with the seeds of a search."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_iris
from sklearn.model_selection import StratifiedKFold

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.keras_state import number_names_from_scratch
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.progress import Silent

SPLITTER = StratifiedKFold(3, shuffle=True, random_state=0)


def iris(rows: int = 90) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    x, y = load_iris(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    return x[chosen].astype("float32"), y[chosen]


def classifier(optimizer: str = "sgd") -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile(
        keras.optimizers.get({"class_name": optimizer, "config": {"learning_rate": 0.1}}),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="weighted")],
        run_eagerly=True,
    )
    return model


def searched(
    folder: Path,
    build: object,
    x: Any,
    y: Any,
    *,
    cv: int = SPLITTER,
    name: str = "val_loss",
    kind: str = "min",
    **options: Any,
) -> CrossValidationTuner:
    said = options.pop("progress", None) or Silent()
    tuner = CrossValidationTuner(
        build,
        GridSearchOracle(keras_tuner.Objective(name, kind), max_trials=options.pop("trials", 1)),
        cv=cv,
        seed=7,
        directory=folder,
        project_name="search",
        progress=said,
    )
    tuner.search(x, y, **({"epochs": 3, "batch_size": 16} | options))
    return tuner


def curves(tuner: CrossValidationTuner) -> dict[str, npt.NDArray[np.float64]]:
    table = tuner.history().query("split == 'validation'")
    return {
        str(name): part.pivot(index="fold", columns="epoch", values="value").to_numpy()
        for name, part in table.groupby("metric")
    }


def assert_equal(tuner: CrossValidationTuner, expected: dict[str, npt.NDArray[np.float64]]) -> None:
    found = curves(tuner)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, rtol=0, err_msg=name)


def taken(data: Any, rows: npt.NDArray[np.int64] | slice) -> Any:
    """The rows of an array, or of the arrays in a dict or list."""
    if isinstance(data, dict):
        return {name: taken(part, rows) for name, part in data.items()}
    if isinstance(data, list | tuple):
        return [taken(part, rows) for part in data]
    return None if data is None else np.asarray(data)[rows]


def by_hand(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any,
    folds: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    sample_weight: npt.NDArray[np.float64] | None = None,
    class_weight: Callable[[npt.NDArray[Any]], dict[int, float]] | None = None,
    prepare: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None,
    shuffle: bool = True,
) -> dict[str, npt.NDArray[np.float64]]:
    """Validation metrics, each (folds, epochs), of one model in plain calls of `fit`.

    `class_weight` maps the training targets of a fold to Keras's argument; `prepare` maps training
    inputs, their targets, and validation inputs to the inputs that the model gets.
    """
    curves: dict[str, Any] = {}
    for fold, (training, validation) in enumerate(folds):
        place = FoldPlace(seed, 0, fold)
        x_training, x_validation = taken(x, training), taken(x, validation)
        if prepare is not None:
            x_training, x_validation = prepare(x_training, taken(y, training), x_validation)
        number_names_from_scratch()
        with seeded_weights(place):
            model = build()
            if not model.built and not isinstance(model, keras.Sequential):
                model(taken(x_training, slice(2)))
        held = [x_validation, taken(y, validation)]
        if sample_weight is not None:
            held.append(sample_weight[validation])
        for epoch in range(epochs):
            order = np.arange(len(training))
            if shuffle:
                order = place.generator(epoch, "order").permutation(len(training))
            options: dict[str, Any] = {}
            if sample_weight is not None:
                options["sample_weight"] = sample_weight[training][order]
            if class_weight is not None:
                options["class_weight"] = class_weight(taken(y, training))
            model.fit(
                taken(x_training, order),
                taken(taken(y, training), order),
                batch_size=batch_size,
                shuffle=False,
                verbose=0,
                **options,
            )
            figures = model.evaluate(
                *held[:2],
                sample_weight=held[2] if len(held) > 2 else None,
                batch_size=batch_size,
                verbose=0,
                return_dict=True,
            )
            for name, value in figures.items():
                curves.setdefault(name, [[] for _ in folds])[fold].append(value)
    return {name: np.array(values) for name, values in curves.items()}


def outcome_of(tuner: CrossValidationTuner) -> tuple[str, str, list[bytes], list[str]]:
    """Everything that a search leaves, to compare with what it leaves after a kill."""
    assert tuner.project.problems == ()
    folder = tuner.project_folder
    return (
        tuner.results().drop(columns="seconds").to_json(double_precision=15),
        tuner.history().to_json(double_precision=15),
        [tuner.out_of_fold(trial.trial).tobytes() for trial in tuner.project.trials],
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    )
