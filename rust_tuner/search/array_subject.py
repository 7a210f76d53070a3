"""The subject of a search on the user's own data and model: arrays, frames, dicts of arrays.

What users pass becomes rows in `data.user_data`; radiographs belong to `subjects`.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt

from rust_tuner.data.class_labels import encoded
from rust_tuner.data.structures import AnyRows, leaves, sha256_of_rows, tree_of
from rust_tuner.data.user_data import rows_of
from rust_tuner.data.user_datasets import is_dataset, rows_of_dataset
from rust_tuner.errors import SearchError, SpaceError
from rust_tuner.files import sha256_of_json
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.class_weights import ClassWeights
from rust_tuner.models.code_identity import is_of_library, method_code
from rust_tuner.models.described import ensure_built
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.fold_batches import TrainingData, as_fed
from rust_tuner.models.fold_callbacks import FoldCallbacks
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.preparation import Preparation
from rust_tuner.search.binary_targets import one_class_note, other_targets_note, refuse_void_auc
from rust_tuner.search.cross_validation import FoldList, array_metrics
from rust_tuner.search.fit_options import Default, FitOptions
from rust_tuner.search.groups import checked_groups, count_groups
from rust_tuner.search.splitters import Split, split_rows
from rust_tuner.search.subject_folds import count_units, sha256_of_folds
from rust_tuner.search.subjects import Subject
from rust_tuner.search.value_notes import not_finite_notes

# So many rows show a model that waits for data what shape they have.
_SHAPED_BY = 2
_DEFAULT = FitOptions()


def arrays_subject(
    hypermodel: keras_tuner.HyperModel,
    x: Any,
    y: Any,
    groups: npt.ArrayLike | None,
    cv: Any,
    *,
    seed: int,
    objectives: Sequence[str] = ("val_auroc",),
    folder: Path | None = None,
    options: FitOptions = _DEFAULT,
) -> Subject:
    """The subject of the user's data and of any HyperModel that compiles its models.

    Args:
        hypermodel: makes compiled models.
        x: (n, ...) inputs, or whatever else `rows_of` takes.
        y: (n, ...) targets, likewise; text becomes the positions of its sorted values. None where
            the model needs only inputs.
        groups: (n,) such as patients; no group is on two sides of a fold. No group may be missing,
            all must have the same type, and each text group must have one spelling.
        cv: number of folds, `Folds`, or a scikit-learn splitter.
        seed: for folds that are made from a number.
        objectives: the metrics to optimise; every fold is checked for them before any work.
        folder: the project folder, which may have a search to resume.
        options: what else was given to `search`.

    Raises:
        MetricError: where an objective is `val_auroc` and a fold has no label with both classes.
        SearchError: for arrays of different lengths, groups that are missing or of several types,
            or folds with a group on both sides.
    """
    inputs, targets, weights = _rows_of_all(x, y, options.sample_weight, groups)
    owners = None if groups is None else checked_groups(groups, len(inputs))
    identity: dict[str, Any] = {
        "inputs": sha256_of_rows(inputs),
        "targets": sha256_of_rows(targets),
    }
    coded, classes = (None, {}) if targets is None else encoded(targets)
    split = _split(cv, inputs, coded, owners, seed, folder)
    pairs = split.pairs
    _refuse_sides_without_weight(weights, pairs)
    of_targets = (other_targets_note(coded, objectives), one_class_note(coded, pairs, objectives))
    split = dataclasses.replace(split, notes=(*split.notes, *filter(None, of_targets)))
    if "val_auroc" in objectives and isinstance(coded, np.ndarray):
        labels = coded.reshape(len(coded), -1)
        for fold, (_, validation) in enumerate(pairs):
            if np.isin(labels, (0, 1)).all():
                macro_auroc(labels[validation], labels[validation], where=f"fold {fold}")
    preparation = None
    if options.preprocess is not None:
        preparation = Preparation(options.preprocess, x, inputs, coded, seed=seed)
    class_weight = None
    if options.class_weight is not None:
        class_weight = ClassWeights.of(options.class_weight, coded, classes.get(""))
        if weights is not None and not isinstance(weights, np.ndarray):
            raise SearchError("class_weight with a sample_weight of several outputs; give only one")
        for fold, (training, _) in enumerate(pairs):
            counts = class_weight.of_rows(training)[training] > 0
            if weights is not None:
                counts &= weights[training].reshape(len(training), -1).any(axis=1)
            if not counts.any():
                raise SearchError(
                    f"fold {fold}: class_weight, with sample_weight if given, is 0 in all "
                    f"{len(training)} training rows, so nothing can be trained on them"
                )
    callbacks = None if options.callbacks is None else FoldCallbacks(options.callbacks)
    data = TrainingData(
        inputs,
        coded,
        array_metrics(coded, pairs),
        sample_weight=weights,
        class_weight=class_weight,
        shuffle=options.shuffle,
        validation_batch_size=options.validation_batch_size,
    )
    usual = inputs
    own_fit = type(hypermodel).fit is not keras_tuner.HyperModel.fit
    if preparation is not None:
        # Before any work: what cannot be fitted here cannot be fitted later.
        prepared = preparation.of_fold(data, 0, *pairs[0]).inputs
        assert not isinstance(prepared, FrozenFeatures)
        usual = prepared
    return Subject(
        data=data,
        folds=pairs,
        build=_BuildOn(hypermodel, usual, coded, pairs, objectives, own_fit=own_fit),
        keeps_running=False,
        is_users_model=True,
        identity={
            **identity,
            "folds": sha256_of_folds(pairs),
            "num_folds": len(pairs),
            "units": (
                count_units(pairs, np.arange(len(inputs)), "rows")
                if owners is None
                else count_units(pairs, owners, "groups")
            ),
            **({} if split.stratified is None else {"stratified": split.stratified}),
            **_what_is_new(options, weights, class_weight, callbacks, classes),
            **({} if preparation is None else {"preprocess": preparation.identity()}),
            **(
                {} if not own_fit else {"fit": sha256_of_json(method_code(type(hypermodel), "fit"))}
            ),
        },
        view_only={},
        split=split,
        preparation=preparation,
        own_fit=own_fit,
        callbacks=callbacks,
        classes=classes,
    )


def _rows_of_all(
    x: Any, y: Any, sample_weight: Any, groups: Any
) -> tuple[AnyRows, AnyRows | None, AnyRows | None]:
    """Inputs, targets and weights as rows, all of one length."""
    num_groups = count_groups(groups)
    expected = num_groups if num_groups is not None else _plain_length(y)
    inputs = rows_of(x, "x", num_rows=expected)
    targets = None if y is None else rows_of(y, "y", num_rows=len(inputs))
    lengths = {"x": len(inputs)}
    if targets is not None:
        lengths["y"] = len(targets)
    if num_groups is not None:
        lengths["groups"] = num_groups
    weights = None
    if sample_weight is not None:
        if targets is None:
            raise SearchError("sample_weight without y; a model that needs only x has no weights")
        weights = rows_of(sample_weight, "sample_weight", num_rows=len(inputs))
        lengths["sample_weight"] = len(weights)
    if len(set(lengths.values())) != 1:
        counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise SearchError(f"{counts} rows; give one target and one group for each row of x")
    for name, array in leaves(tree_of(weights)) if weights is not None else ():
        wrong = array.dtype.kind not in "biuf" or not (np.isfinite(array) & (array >= 0)).all()
        if wrong:
            where = f"sample_weight {name}".strip()
            raise SearchError(f"{where} has values that are not numbers from 0; replace them")
    if weights is not None and targets is not None:
        _require_weights_of_outputs(weights, targets)
    return inputs, targets, weights


def _require_weights_of_outputs(weights: AnyRows, targets: AnyRows) -> None:
    """Refuse weights that are neither one for each row nor one array for each target."""
    of_weights, of_targets = (dict(leaves(tree_of(rows))) for rows in (weights, targets))
    if len(of_weights) == len(of_targets) == 1:
        return
    first = next(iter(of_weights.values()))
    if "" in of_weights and first.size == len(first):
        return
    if {*of_weights} != {*of_targets}:
        names = ", ".join(name or f"one array of shape {first.shape}" for name in of_weights)
        raise SearchError(
            f"sample_weight has {names}, but y has {', '.join(of_targets)}; give one weight for "
            "each row, or one array for each target, in the structure of y"
        )


def _refuse_sides_without_weight(
    weights: AnyRows | None, pairs: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
) -> None:
    """Refuse folds that train on, or are scored on, rows that all weigh nothing.

    Their loss and weighted metrics are 0 divided by 0, which Keras reports as 0.
    """
    for name, array in leaves(tree_of(weights)) if weights is not None else ():
        for fold, sides in enumerate(pairs):
            for side, rows in zip(("training", "validation"), sides, strict=True):
                if not np.any(array[rows]):
                    where = f"sample_weight {name}".strip()
                    raise SearchError(
                        f"fold {fold}: {where} is 0 in all {len(rows)} {side} rows, so nothing can "
                        "be trained or scored on them; give other weights, or other folds with cv="
                    )


def _plain_length(value: Any) -> int | None:
    """The number of rows of an array or series; None where it may be a list of arrays."""
    is_list = isinstance(value, list | tuple) and bool(value) and np.ndim(value[0]) > 0
    return None if is_list or isinstance(value, dict) else count_groups(value)


def _split(
    cv: Any,
    inputs: AnyRows,
    targets: AnyRows | None,
    owners: npt.NDArray[Any] | None,
    seed: int,
    folder: Path | None,
) -> Split:
    """The folds; those of several outputs are stratified by the first one that can be classes."""
    given = [array for _, array in leaves(tree_of(inputs))]
    # Rows that differ in their text alone would look equal.
    if any(array.dtype.kind in "OUS" for array in given):
        given = []
    if targets is None and "Stratified" in type(cv).__name__:
        raise SearchError(
            f"the folds cannot be made: {type(cv).__name__} divides by y, but there is none; use "
            "another splitter, such as KFold"
        )
    return split_rows(
        cv, _stratified_by(targets, len(inputs)), owners, seed=seed, inputs=given, folder=folder
    )


def _stratified_by(targets: AnyRows | None, num_rows: int) -> npt.NDArray[Any]:
    if isinstance(targets, np.ndarray):
        return targets
    flat = [] if targets is None else [array for _, array in leaves(targets.tree)]
    flat = [array for array in flat if array.ndim <= 2]
    classes = [array for array in flat if array.dtype.kind in "iub" and array[0].size == 1]
    # Numbers of which no two are equal are not classes.
    return next(iter([*classes, *flat]), np.arange(num_rows) + 0.5)


def _what_is_new(
    options: FitOptions,
    weights: AnyRows | None,
    class_weight: ClassWeights | None,
    callbacks: FoldCallbacks | None,
    classes: dict[str, list[str]],
) -> dict[str, Any]:
    """What decides the scores beside data and folds; nothing where all is as it always was."""
    new: dict[str, Any] = {}
    if weights is not None:
        new["sample_weight"] = sha256_of_rows(weights)
    if class_weight is not None:
        new["class_weight"] = class_weight.identity()
    if callbacks is not None:
        new["callbacks"] = callbacks.identity()
    if classes:
        new["classes"] = classes
    for name in ("shuffle", "validation_batch_size"):
        if name in options.given():
            new[name] = getattr(options, name)
    return new


@dataclasses.dataclass(frozen=True, eq=False)
class _BuildOn:
    """The hypermodel's `build`, whose models have their weights even where they wait for data."""

    hypermodel: keras_tuner.HyperModel
    usual: AnyRows
    targets: AnyRows | None
    folds: FoldList
    objectives: Sequence[str]
    own_fit: bool

    def __call__(
        self,
        hp: keras_tuner.HyperParameters,
        running: RunningPredictions | None,
        inputs: AnyRows | None = None,
    ) -> keras.Model:
        model = self.hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            raise SpaceError(
                f"{type(self.hypermodel).__name__}.build returned {type(model).__name__}; it must "
                "return a compiled keras.Model"
            )
        steps_of_keras = is_of_library(type(model).train_step) and not self.own_fit
        if self.targets is None and model.loss is not None and steps_of_keras:
            raise SearchError(
                "y is missing, but the model is compiled with a loss that compares with it; for an "
                "autoencoder pass the inputs as y as well"
            )
        ensure_built(model, as_fed((self.usual if inputs is None else inputs)[:_SHAPED_BY]))
        if steps_of_keras:
            _refuse_other_inputs(model, self.usual if inputs is None else inputs)
            for objective in self.objectives:
                refuse_void_auc(model, self.targets, self.folds, objective)
        require_size = getattr(self.hypermodel, "require_size", None)
        if require_size is not None:
            require_size(model)
        return model


def _refuse_other_inputs(model: keras.Model, inputs: AnyRows) -> None:
    """Refuse one array whose rows have other sizes than the one input of the model.

    Keras itself adds or removes a last dimension of 1, so another number of dimensions is its own.
    """
    taken: list[Any] = list(getattr(model, "inputs", None) or ())
    if len(taken) != 1 or not isinstance(inputs, np.ndarray):
        return
    given, expected = inputs.shape[1:], tuple(taken[0].shape[1:])
    pairs = zip(given, expected, strict=False)
    if len(given) == len(expected) and any(size not in (one, None) for one, size in pairs):
        raise SearchError(
            f"rows of x have the shape {given}, but the model's input has {expected}; change "
            "keras.Input in HyperModel.build, or x"
        )


def notes_about(subject: Subject) -> list[str]:
    """What a user must know about the values, and about how folds are resumed."""
    notes = [] if subject.callbacks is None else [subject.callbacks.note()]
    if subject.own_fit:
        notes = [
            "note: HyperModel.fit of the hypermodel trains each fold, so a fold that is "
            "interrupted begins again at its first epoch"
        ]
    inputs, targets = subject.data.inputs, subject.data.targets
    # A preparation may fill in what is missing.
    if subject.preparation is None and not isinstance(inputs, FrozenFeatures):
        notes += not_finite_notes(inputs, "x")
    if targets is not None:
        notes += not_finite_notes(targets, "y")
    return [note for note in notes if note]


def taken_apart(
    x: Any, y: Any, batch_size: int, options: FitOptions
) -> tuple[Any, Any, int, FitOptions]:
    """A dataset as rows, with the options that it decides; other data as they are.

    The batch size is that of the dataset unless the user gave another.

    Raises:
        SearchError: where targets or weights are given beside a dataset.
    """
    if not is_dataset(x):
        return x, y, batch_size, options
    for name, value in (("y", y), ("sample_weight", options.sample_weight)):
        if value is not None:
            raise SearchError(f"{name} beside a dataset; put it into the dataset, as in Keras")
    rows = rows_of_dataset(x)
    if isinstance(batch_size, Default) and rows.batch_size is not None:
        batch_size = rows.batch_size
    return rows.x, rows.y, batch_size, dataclasses.replace(options, sample_weight=rows.weights)
