"""The final model: cross-validated, and refitted on all development data.

Training and the choice of the epoch use the development set only. The look at the hold-out set
belongs to `holdout`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rust_tuner.analysis.study_figures import development_cutoff
from rust_tuner.data.folds import Folds
from rust_tuner.data.images import PREPROCESSING, load_image
from rust_tuner.data.picture_statistics import picture_statistics
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.reading import framed
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import atomic_path, sha256_of_file, sha256_of_json
from rust_tuner.labels import LABELS
from rust_tuner.metrics import UnionCutoff
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.holdout import UnionRecord
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    MODEL_FILE,
    Look,
    look_refused,
    unrecorded_looks,
)
from rust_tuner.records.model import HyperValues, Weights
from rust_tuner.records.model_card import CardInput, ModelCard, read_card, write_card
from rust_tuner.records.novelty import NOVELTY_FILE, write_novelty
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.study import StudyFile
from rust_tuner.steps.novelty import fit_novelty
from rust_tuner.steps.refit import HYPERPARAMETERS, fit_head, tuned_hypermodel
from rust_tuner.steps.study_weights import refuse_other_weights

if TYPE_CHECKING:
    import keras

    from rust_tuner.models.features import FeatureRecipe

CROSS_VALIDATION = "cross_validation"

_FEW_IMAGES = 8
_PREDICTION_BATCH = 32


def cross_validate_final(
    development: Development,
    directory: str | Path,
    values: HyperValues,
    *,
    protocol: Protocol,
    folds: Folds,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Project:
    """Cross-validate the tuned configuration, which also chooses the epoch of the refit.

    The configuration was chosen on the same patients, so this figure is a selection score.

    Args:
        development: the development set.
        directory: the study's folder; the project is `final/cross_validation` in it.
        values: the four hyperparameters.
        protocol: gives the number of epochs and how the epoch is chosen.
        folds: folds of the development set.
        cache: folder of the feature cache; the default one if None.
        progress: where to report; nowhere by default.

    Returns:
        The project, with one trial.

    Raises:
        SearchError, ResumeError, LockedError: as `CrossValidationTuner.search`.
    """
    import keras_tuner

    from rust_tuner.search.grid_search import GridSearchOracle
    from rust_tuner.search.regimes import recorded_protocol
    from rust_tuner.search.tuner import CrossValidationTuner

    tuner = CrossValidationTuner(
        tuned_hypermodel(protocol, values),
        GridSearchOracle(keras_tuner.Objective(protocol.objective, "max"), seed=protocol.seed),
        cv=folds,
        seed=protocol.seed,
        directory=Path(directory) / FINAL,
        project_name=CROSS_VALIDATION,
        score_epoch=_score_epoch(protocol),
        progress=progress,
    )
    tuner.search(
        development,
        epochs=protocol.final_epochs,
        verbose=0,
        cache=cache,
        about={"protocol": recorded_protocol(protocol)},
    )
    return read_project(tuner.project_folder)


def fit_final_model(
    development: Development,
    directory: str | Path,
    values: HyperValues,
    *,
    epochs: int,
    protocol: Protocol,
    look_again: bool = False,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train the tuned configuration on all development data, and save backbone and head as one.

    `model.keras` takes float32 (n, size, size, 3) in [-1, 1] and returns 18 probabilities. It is
    saved uncompiled and consists of Keras layers only, so Keras loads it in safe mode.
    `model.json` describes its input. If both files exist and belong to these arguments, nothing
    is trained.

    Args:
        development: the development set.
        directory: the study's folder; the model is saved in its `final`.
        values: the four hyperparameters.
        epochs: how many, from 1.
        protocol: the scientific choices.
        look_again: whether the model may replace one that has looked at the hold-out set.
        cache: folder of the feature cache; the default one if None.
        progress: where to report; nowhere by default.

    Returns:
        The model's file.

    Raises:
        SplitError: for anything but a development set.
        ResumeError: if another model has looked at the hold-out set.
        TrialError: if the training diverges.
    """
    from rust_tuner.models.features import features_of
    from rust_tuner.models.fold_batches import FoldPlace
    from rust_tuner.models.runtime import (
        onednn_enabled,
        run_first_operation,
        start_backend,
        versions,
    )
    from rust_tuner.search.subjects import training_targets

    radiographs = require_development(development).radiographs
    report = progress or Silent()
    start_backend()
    run_first_operation()
    hypermodel = tuned_hypermodel(protocol, values)
    recipe = hypermodel.feature_recipe()
    refuse_other_weights(StudyFile(Path(directory)), recipe.weights)
    folder = Path(directory) / FINAL
    key = sha256_of_json(
        {
            "development": radiographs_sha256(radiographs),
            "recipe": recipe.sha256,
            "values": {name: values[name] for name in HYPERPARAMETERS},
            "epochs": epochs,
            "masked_loss": protocol.masked_loss,
            "seed": protocol.seed,
            **_read_otherwise(radiographs),
        }
    )
    if _is_fitted(folder, key):
        return folder / MODEL_FILE
    looks = looks_so_far(Path(directory))
    if looks and not look_again:
        fault = f"{folder / HOLDOUT_FILE} has the figures of another model"
        raise look_refused(Path(directory), looks[-1], fault)
    features = features_of(radiographs, recipe, cache=cache, progress=report)
    targets = training_targets(radiographs, masked_loss=protocol.masked_loss)
    # No fold of the cross-validation has this number, so the seeds are different.
    place = FoldPlace(protocol.seed, 0, protocol.final_folds, name="fit on all radiographs")
    with report.task("final model", epochs) as task:
        head = fit_head(
            hypermodel, features, targets, epochs=epochs, place=place, on_epoch=task.advance
        )
    union = chosen_union_cutoff(Path(directory), protocol)
    with atomic_path(folder / MODEL_FILE) as path:
        assemble(recipe, head).save(path)
    card = ModelCard(
        format=1,
        key=key,
        model_sha256=sha256_of_file(folder / MODEL_FILE),
        input=CardInput(
            shape=(protocol.image_size, protocol.image_size, 3),
            dtype="float32",
            range=[-1, 1],
            preprocessing=PREPROCESSING,
            resize=protocol.resize,
            crop=protocol.crop,
            remove_borders=protocol.remove_borders,
            grey_bits=radiographs.known_bits,
            has_boxes=any(reading.box is not None for reading in radiographs.readings),
        ),
        output=list(LABELS),
        view_cortices={view: list(names) for view, names in protocol.view_cortices.items()},
        hyperparameters={name: values[name] for name in HYPERPARAMETERS},
        epochs=epochs,
        radiographs=len(radiographs),
        patients=len(set(radiographs.patient_ids)),
        weights=Weights.of(recipe.weights.to_json()),
        union=UnionRecord.of(union.to_json()),
        seed=protocol.seed,
        versions=versions(),
        onednn=onednn_enabled(),
        use="research only; not a medical device",
    )
    # Before the card, without which the model does not count as fitted.
    _write_novelty(folder, features.values[:, 0], radiographs, card, report)
    write_card(folder, card)
    return folder / MODEL_FILE


def _write_novelty(
    folder: Path,
    features: npt.NDArray[np.float32],
    radiographs: Radiographs,
    card: ModelCard,
    report: Progress,
) -> None:
    """Record how unlike the development images a new image may be."""
    statistics = []
    with report.task("picture statistics", len(radiographs)) as task:
        readings = framed(radiographs.readings, card.input.framing)
        for path, row, reading in zip(radiographs.images, radiographs.rows, readings, strict=True):
            size, resize = card.input.image_size, card.input.resize
            image = load_image(path, size=size, resize=resize, row=row, reading=reading)
            statistics.append(picture_statistics(image))
            task.advance()
    novelty = fit_novelty(
        features, np.stack(statistics), radiographs.patient_ids, seed=card.seed or 0
    )
    (folder / NOVELTY_FILE).unlink(missing_ok=True)
    if novelty is not None:
        write_novelty(folder, novelty, model_sha256=card.model_sha256)


def _read_otherwise(radiographs: Radiographs) -> dict[str, list[str]]:
    """What decides the pixels beside the files; nothing if all are read as stored."""
    keys = [reading.key("") for reading in radiographs.readings]
    return {"readings": sorted(keys)} if any(keys) else {}


def assemble(recipe: "FeatureRecipe", head: "keras.Model") -> "keras.Model":
    """The frozen backbone with its pooling and a trained head, as one uncompiled model."""
    import keras

    from rust_tuner.models.architectures import feature_extractor
    from rust_tuner.models.backbones import build_backbone

    backbone = build_backbone(
        recipe.weights, image_size=recipe.image_size, precision=recipe.precision
    )
    extractor = feature_extractor(backbone)
    # A compiled head would save its loss too, and Keras does not know the masked loss.
    bare = keras.Model(head.inputs, head.outputs, name=head.name)
    inputs = keras.Input(extractor.input_shape[1:], name="radiograph")
    return keras.Model(inputs, bare(extractor(inputs), training=False), name="rust_model")


def looks_so_far(directory: Path) -> tuple[Look, ...]:
    """The looks at the hold-out set that the study knows of."""
    file = StudyFile(directory)
    return file.looks if file.is_there else unrecorded_looks(directory)


def load_final_model(model: Path, *, image_size: int) -> "keras.Model":
    """A saved model, in Keras's safe mode.

    Args:
        model: the file.
        image_size: the side of the images that its record says it takes, in pixels.

    Raises:
        ResumeError: if it cannot be loaded, or has another input or output shape.
    """
    import keras

    from rust_tuner.models.runtime import run_first_operation, start_backend

    start_backend()
    run_first_operation()
    try:
        loaded = keras.models.load_model(model, compile=False)
    except Exception as error:  # Keras raises whatever its layers, ZIP or HDF5 raise.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ResumeError(
            f"{model} cannot be loaded as a Keras model ({reason}); restore the file that "
            "`rust-tuner final` wrote. Code in a model, such as a Lambda layer, is never run"
        ) from error
    shapes = getattr(loaded, "input_shape", None), getattr(loaded, "output_shape", None)
    expected = (None, image_size, image_size, 3), (None, len(LABELS))
    if shapes != expected:
        raise ResumeError(
            f"{model} has the input shape {shapes[0]} and the output shape {shapes[1]}; expected "
            f"{expected[0]} and {expected[1]}: restore the file that `rust-tuner final` wrote"
        )
    return loaded


def predict_probabilities(
    model: "keras.Model", images: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The probabilities (n, 18) that a model gives for decoded images (n, size, size, 3)."""
    starts = range(0, len(images), _PREDICTION_BATCH)
    parts = [_outputs(model, images[start : start + _PREDICTION_BATCH]) for start in starts]
    return np.concatenate(parts)


def predict_with_features(
    model: "keras.Model", images: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The backbone's features (n, features) of decoded images, and the probabilities (n, 18).

    Args:
        model: one that `assemble` built: a feature extractor and a head.
        images: (n, size, size, 3), as many as fit into memory at once.
    """
    _, extractor, head = model.layers
    features = _outputs(extractor, images)
    return features, predict_probabilities(head, features)


def _outputs(model: "keras.Model", batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import keras

    if len(batch) > _FEW_IMAGES:
        return np.asarray(model.predict_on_batch(batch)).astype(np.float32)
    # Without a graph, whose tracing takes longer than it saves.
    inputs = [batch] if isinstance(model.input, list) else batch
    return np.asarray(keras.ops.convert_to_numpy(model(inputs, training=False)), np.float32)


def _score_epoch(protocol: Protocol) -> str | int:
    """The protocol's epoch, or the last if the final model is trained for fewer."""
    rule = protocol.score_epoch
    return rule if isinstance(rule, str) else min(rule, protocol.final_epochs - 1)


def _is_fitted(folder: Path, key: str) -> bool:
    try:
        return read_card(folder / MODEL_FILE).key == key
    except RustTunerError:
        return False


def chosen_union_cutoff(directory: Path, protocol: Protocol) -> UnionCutoff:
    """The predicted total from which on the model predicts union, chosen on development data."""
    try:
        project = read_project(directory / FINAL / CROSS_VALIDATION)
    except (RustTunerError, OSError):
        project = None
    return development_cutoff(project, threshold=protocol.union_threshold)
