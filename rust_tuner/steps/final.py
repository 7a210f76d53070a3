"""The final model: cross-validated, refitted on all development data, evaluated on hold-out data.

This is the only module that takes a `HoldOut`. Figures on it are estimates: each look is noted in
`study.json` before a sealed image is read, and every look after the first one needs a reason.
Training and the choice of the epoch use the development set only.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.analysis.assessment import (
    as_predictions,
    figures_table,
    label_figures,
    overall_figures,
)
from rust_tuner.analysis.study_figures import SCORE_FIGURES, development_cutoff, find_figure
from rust_tuner.data.csv_output import csv_text
from rust_tuner.data.folds import Folds
from rust_tuner.data.images import PREPROCESSING
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.split_file import radiographs_sha256
from rust_tuner.data.splits import Development, HoldOut, require_development
from rust_tuner.errors import ProtocolError, ResumeError, RustTunerError, SearchError
from rust_tuner.files import (
    atomic_path,
    sha256_of_file,
    sha256_of_json,
    write_text,
)
from rust_tuner.labels import LABELS
from rust_tuner.metrics import UnionCutoff, auroc, macro_average, view_only_scores
from rust_tuner.metrics.figure import CORTEX_GROUP, EVERY_ROW
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.holdout import (
    Holdout,
    HoldoutMetrics,
    LabelFigures,
    LookNote,
    TwoFigures,
    UnionRecord,
    read_holdout,
    write_holdout,
)
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    Look,
    is_whole,
    unrecorded_looks,
)
from rust_tuner.records.model import HyperValues, Weights
from rust_tuner.records.model_card import CardInput, ModelCard, read_card, write_card
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.study import StudyFile, look_refused
from rust_tuner.scope import SCOPES
from rust_tuner.steps.refit import HYPERPARAMETERS, fit_head, tuned_hypermodel

if TYPE_CHECKING:
    import keras

    from rust_tuner.models.hypermodels import TransferLearningHyperModel

CROSS_VALIDATION = "cross_validation"
FIGURES_FILE = "figures.csv"
THRESHOLD = 0.5
_LABEL_FIGURES = ("auroc", "precision", "recall", "f1")

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
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The project, with one trial.

    Raises:
        SearchError, ResumeError, LockedError: as `CrossValidationTuner.search`.
    """
    import keras_tuner

    from rust_tuner.search.oracles import GridSearchOracle
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
    `model.json` describes its input. Where both files exist and belong to these arguments, nothing
    is trained.

    Args:
        development: the development set.
        directory: the study's folder; the model is saved in its `final`.
        values: the four hyperparameters.
        epochs: how many, from 1.
        protocol: the scientific choices.
        look_again: whether the model may replace one that has looked at the hold-out set.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The model's file.

    Raises:
        SplitError: for anything but a development set.
        ResumeError: where another model has looked at the hold-out set.
        TrialError: where the training diverges.
    """
    from rust_tuner.models.features import extract_features
    from rust_tuner.models.fold_batches import FoldPlace
    from rust_tuner.models.runtime import onednn_enabled, start_backend, versions
    from rust_tuner.search.subjects import training_targets

    radiographs = require_development(development).radiographs
    report = progress or Silent()
    start_backend()
    hypermodel = tuned_hypermodel(protocol, values)
    recipe = hypermodel.feature_recipe()
    folder = Path(directory) / FINAL
    key = sha256_of_json(
        {
            "development": radiographs_sha256(radiographs),
            "recipe": recipe.sha256,
            "values": {name: values[name] for name in HYPERPARAMETERS},
            "epochs": epochs,
            "masked_loss": protocol.masked_loss,
            "seed": protocol.seed,
        }
    )
    if _is_fitted(folder, key):
        return folder / MODEL_FILE
    looks = _looks(Path(directory))
    if looks and not look_again:
        fault = f"{folder / HOLDOUT_FILE} has the figures of another model"
        raise look_refused(Path(directory), looks[-1], fault)
    features = extract_features(
        radiographs.images, recipe, cache=cache, rows=radiographs.rows, progress=report
    )
    targets = training_targets(radiographs, masked_loss=protocol.masked_loss)
    # No fold of the cross-validation has this number, so the seeds are different.
    place = FoldPlace(protocol.seed, 0, protocol.final_folds)
    with report.task("final model", epochs) as task:
        head = fit_head(
            hypermodel, features, targets, epochs=epochs, place=place, on_epoch=task.advance
        )
    union = _union_cutoff(Path(directory), protocol)
    with atomic_path(folder / MODEL_FILE) as path:
        assemble(hypermodel, head).save(path)
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
    write_card(folder, card)
    return folder / MODEL_FILE


def assemble(hypermodel: "TransferLearningHyperModel", head: "keras.Model") -> "keras.Model":
    """The frozen backbone with its pooling and a trained head, as one uncompiled model."""
    import keras

    from rust_tuner.models.architectures import feature_extractor
    from rust_tuner.models.backbones import build_backbone

    recipe = hypermodel.feature_recipe()
    backbone = build_backbone(
        recipe.weights, image_size=recipe.image_size, precision=recipe.precision
    )
    extractor = feature_extractor(backbone)
    # A compiled head would save its loss too, and Keras does not know the masked loss.
    bare = keras.Model(head.inputs, head.outputs, name=head.name)
    inputs = keras.Input(extractor.input_shape[1:], name="radiograph")
    return keras.Model(inputs, bare(extractor(inputs), training=False), name="rust_model")


def evaluate_holdout(
    directory: str | Path,
    development: Development,
    holdout: HoldOut,
    *,
    epoch: int,
    protocol: Protocol | None = None,
    look_again: str | None = None,
    progress: Progress | None = None,
) -> Holdout:
    """Look at the hold-out set, once; its figures are estimates. The study's lock must be held.

    The look is noted in `study.json`, on disk, before the first image is read. Then three files are
    written: `predictions.csv`, one row per radiograph; `figures.csv`, every figure of
    `metrics.assess` with its interval over patients; and `holdout.json`, which completes the look.
    If the look is complete, `holdout.json` is returned and nothing is computed. If it was
    interrupted, it is resumed with the same model.

    Args:
        directory: the study's folder, whose `final` holds `model.keras`.
        development: the development set; the view-only baseline takes its prevalences from it.
        holdout: the sealed set.
        epoch: the epoch that the cross-validation chose, from 0; it is only recorded.
        protocol: gives the union threshold; `Protocol.study()` where None. The predicted total
            from which on the model predicts union is chosen on the out-of-fold predictions of
            `final/cross_validation`, never on the hold-out set.
        look_again: the reason for another look; None for the first.
        progress: where to report; nowhere by default.

    Returns:
        The content of `holdout.json`. `metrics` has the figures of the most likely scores, then
        AUROC of all labels and of visible cortices, precision, recall and F1 at 0.5; `labels` has
        these for each label; `figures` has all figures that are not of one label.

    Raises:
        SearchError: for anything but a hold-out set.
        ResumeError: where there is no model, or it does not match its record; where the study has
            not been prepared; for a look after the first one without a reason.
    """
    folder = Path(directory) / FINAL
    if not isinstance(holdout, HoldOut):
        raise SearchError(f"got {type(holdout).__name__}, expected HoldOut, from split_holdout")
    seen = known_evaluation(directory, reason=look_again)
    if seen is not None:
        return seen
    card = read_card(folder / MODEL_FILE)
    file = StudyFile(Path(directory))
    if not file.is_there:
        raise ResumeError(
            f"{directory} has no study.json to note the look in; run `rust-tuner prepare` first"
        )
    look = file.begin_look(card.model_sha256, look_again)
    radiographs = holdout.radiographs
    image_size = card.input.image_size
    # Loaded first: if the model cannot be loaded, no sealed image is read.
    model = load_final_model(folder / MODEL_FILE, image_size=image_size)
    images = decode_images(
        radiographs,
        image_size=image_size,
        resize=card.input.resize,
        progress=progress,
    )
    answers = predict_probabilities(model, images)
    table = radiographs.table.reset_index(drop=True)
    # In float64: pandas writes too few digits of float32, and figures computed from the file would
    # differ from ours by up to a relative 1e-7.
    named = pd.DataFrame(
        answers.astype(np.float64), columns=[f"probability_{label}" for label in LABELS]
    )
    predictions = pd.concat([table, named], axis=1)
    union = _union_cutoff(Path(directory), protocol or Protocol.study())
    noted = UnionRecord.of(union.to_json())
    if card.union != noted:
        # The model was fitted by an earlier version, or for another threshold.
        write_card(folder, card.with_changes(union=noted))
    figures = figures_table(
        as_predictions(predictions), union_threshold=union.threshold, union_cutoff=union.value
    )
    write_text(folder / PREDICTIONS_FILE, csv_text(predictions))
    write_text(folder / FIGURES_FILE, csv_text(figures))
    metrics, alone, labels = holdout_figures(development, holdout, figures)
    assert look.date is not None
    record = Holdout(
        format=1,
        kind="estimate: of patients that nothing which was chosen had seen",
        date=look.date,
        looks=[
            LookNote(date=one.date, model_sha256=one.model_sha256, reason=one.reason)
            for one in file.looks
        ],
        radiographs=len(radiographs),
        patients=len(set(radiographs.patient_ids)),
        threshold=THRESHOLD,
        union_threshold=union.threshold,
        union_cutoff=noted,
        epoch=epoch,
        model_sha256=card.model_sha256,
        metrics=metrics,
        view_only_baseline=alone,
        labels=labels,
        figures=[
            {str(name): _plain(value) for name, value in row.items()}
            for row in overall_figures(figures).to_dict("records")
        ],
        predictions_sha256=sha256_of_file(folder / PREDICTIONS_FILE),
    )
    write_holdout(directory, record)
    file.finish_look(record.metrics.by_name)
    return record


def holdout_figures(
    development: Development, holdout: HoldOut, figures: pd.DataFrame
) -> tuple[HoldoutMetrics, TwoFigures, list[LabelFigures]]:
    """What `holdout.json` has in addition to the list of all figures.

    Args:
        development: the view-only baseline takes its prevalences from it.
        holdout: the sealed set.
        figures: from `figures_table`, of its predictions.

    Returns:
        Its `metrics`, `view_only_baseline` and `labels`; None where a figure is undefined.
    """
    radiographs = holdout.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    metrics = {name: _value(figures, name, CORTEX_GROUP) for name in SCORE_FIGURES}
    for scope in SCOPES:
        metrics |= {
            f"{scope.prefix}{name}": _value(figures, name, scope.key) for name in _LABEL_FIGURES
        }
    alone = view_only_scores(development.radiographs.labels, labels)
    of_labels = label_figures(figures)
    rows = of_labels[of_labels["counted"] == EVERY_ROW].to_dict("records")
    baseline = {
        scope.metric: _number(macro_average(auroc(*scope.problem(labels, alone, visible))).value)
        for scope in SCOPES
    }
    of_each = [
        LabelFigures(
            label=row["label"],
            positives=int(labels[:, LABELS.index(row["label"])].sum()),
            rows=len(labels),
            **{name: _number(row[name]) for name in _LABEL_FIGURES},
        )
        for row in rows
    ]
    return HoldoutMetrics.of(metrics), TwoFigures.of(baseline), of_each


def _union_cutoff(directory: Path, protocol: Protocol) -> UnionCutoff:
    """The predicted total from which on the model predicts union, chosen on development data."""
    try:
        project = read_project(directory / FINAL / CROSS_VALIDATION)
    except (RustTunerError, OSError):
        project = None
    return development_cutoff(project, threshold=protocol.union_threshold)


def _value(figures: pd.DataFrame, name: str, of: str) -> float | None:
    """The value of a figure; None where it is undefined or missing."""
    row = find_figure(figures, name, of)
    return None if row is None else _number(row["value"])


def known_evaluation(directory: str | Path, *, reason: str | None = None) -> Holdout | None:
    """The result of the last look, unless a look is to be made or resumed.

    The same command with the same reason and model returns the same result, as for any step.

    Args:
        directory: the study's folder.
        reason: why the hold-out set is looked at again; None for no further look.

    Returns:
        The content of `final/holdout.json`; None where a look may be made or resumed.

    Raises:
        ProtocolError: for a reason where there was no look yet.
        ResumeError: where there was a look, no reason is given, and its result is missing or was
            changed, or its model is missing so that it cannot be resumed.
    """
    study = Path(directory)
    looks = _looks(study)
    if not looks:
        if reason is not None:
            raise ProtocolError(
                f"look_again={reason!r}; the hold-out set of {study} has not been looked at yet, "
                "so leave out look_again"
            )
        return None
    last, path = looks[-1], study / FINAL / HOLDOUT_FILE
    model = study / FINAL / MODEL_FILE
    sha256 = sha256_of_file(model) if model.is_file() else None
    has_model = sha256 is not None and sha256 == last.model_sha256
    if last.state == "begun":
        if reason is None and not has_model:
            fault = "was replaced" if sha256 else "is missing"
            raise look_refused(study, last, f"{model} {fault}")
        return None
    if is_whole(last, study) and (reason is None or (reason == last.reason and has_model)):
        return read_holdout(study)
    if reason is None:
        fault = "was changed" if path.exists() else "is missing"
        raise look_refused(study, last, f"{path} {fault}")
    return None


def _looks(directory: Path) -> tuple[Look, ...]:
    file = StudyFile(directory)
    return file.looks if file.is_there else unrecorded_looks(directory)


def load_final_model(model: Path, *, image_size: int) -> "keras.Model":
    """A saved model, in Keras's safe mode.

    Args:
        model: the file.
        image_size: the side of the images that its record says it takes, in pixels.

    Raises:
        ResumeError: where it cannot be loaded, or has another input or output shape.
    """
    import keras

    from rust_tuner.models.runtime import start_backend

    start_backend()
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
    parts = [
        np.asarray(model.predict_on_batch(images[start : start + _PREDICTION_BATCH]))
        for start in starts
    ]
    return np.concatenate(parts).astype(np.float32)


def _score_epoch(protocol: Protocol) -> str | int:
    """The protocol's epoch, or the last where the final model is trained for fewer."""
    rule = protocol.score_epoch
    return rule if isinstance(rule, str) else min(rule, protocol.final_epochs - 1)


def _is_fitted(folder: Path, key: str) -> bool:
    try:
        return read_card(folder / MODEL_FILE).key == key
    except RustTunerError:
        return False


def _plain(value: Any) -> Any:
    """A cell of a table as a JSON value; None for an empty one."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
