"""The final model: cross-validated, refitted on all development data, then the hold-out set.

The only module that takes a `HoldOut`. What it finds there is an estimate: each look is noted in
`study.json` before a sealed image is read, and none after the first is made without a reason.
Training and the choice of the epoch see the development set alone.

It is long because the hold-out set may be taken in one module alone, and each of its steps says
what it refuses.
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
from rust_tuner.data.images import PREPROCESSING
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.split_file import radiographs_sha256
from rust_tuner.data.splits import Development, Folds, HoldOut, require_development
from rust_tuner.errors import ProtocolError, RecordError, ResumeError, RustTunerError, SearchError
from rust_tuner.files import (
    atomic_path,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_text,
)
from rust_tuner.labels import LABELS
from rust_tuner.metrics import UnionCutoff, auroc, macro_average, view_only_scores
from rust_tuner.metrics.figure import CORTEX_GROUP, EVERY_ROW
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    Look,
    is_whole,
    unrecorded_looks,
)
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.schema import CardForm, HoldoutForm, read_record
from rust_tuner.records.study import StudyFile, look_refused
from rust_tuner.scope import SCOPES
from rust_tuner.steps.refit import HYPERPARAMETERS, fit_head, tuned_hypermodel

if TYPE_CHECKING:
    import keras

    from rust_tuner.models.hypermodels import TransferLearningHyperModel

CROSS_VALIDATION = "cross_validation"
CARD_FILE = "model.json"
FIGURES_FILE = "figures.csv"
THRESHOLD = 0.5
_LABEL_FIGURES = ("auroc", "precision", "recall", "f1")

_PREDICTION_BATCH = 32


def cross_validate_final(
    development: Development,
    directory: str | Path,
    values: dict[str, Any],
    *,
    protocol: Protocol,
    folds: Folds,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Project:
    """Cross-validate the tuned configuration; its epoch is that of the refit.

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
    values: dict[str, Any],
    *,
    epochs: int,
    protocol: Protocol,
    look_again: bool = False,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train the tuned configuration on all development data, and save backbone and head as one.

    `model.keras` takes float32 (n, size, size, 3) in [-1, 1] and answers with 18 probabilities;
    it is saved uncompiled and of stock layers, so Keras alone loads it in safe mode. What its
    input must be is recorded beside it in `model.json`. Where both are there already and belong
    to these arguments, nothing is trained.

    Args:
        development: the development set.
        directory: the study's folder; the model is saved in its `final`.
        values: the four hyperparameters.
        epochs: how many, from 1.
        protocol: the scientific choices.
        look_again: whether the model may take the place of one that has looked at the hold-out
            set.
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
    from rust_tuner.models.fold_training import FoldPlace
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
        fault = f"{folder / HOLDOUT_FILE} holds what another model reached"
        raise look_refused(Path(directory), looks[-1], fault)
    features = extract_features(
        radiographs.images, recipe, cache=cache, rows=radiographs.rows, progress=report
    )
    targets = training_targets(radiographs, masked_loss=protocol.masked_loss)
    # A place of its own: no fold of the cross-validation has this number.
    place = FoldPlace(protocol.seed, 0, protocol.final_folds)
    with report.task("final model", epochs) as task:
        head = fit_head(
            hypermodel, features, targets, epochs=epochs, place=place, on_epoch=task.advance
        )
    with atomic_path(folder / MODEL_FILE) as path:
        assemble(hypermodel, head).save(path)
    card = {
        "format": 1,
        "key": key,
        "model_sha256": sha256_of_file(folder / MODEL_FILE),
        "input": {
            "shape": [protocol.image_size, protocol.image_size, 3],
            "dtype": "float32",
            "range": [-1, 1],
            "preprocessing": PREPROCESSING,
            "resize": protocol.resize,
        },
        "output": list(LABELS),
        "view_cortices": {view: list(names) for view, names in protocol.view_cortices.items()},
        "hyperparameters": {name: values[name] for name in HYPERPARAMETERS},
        "epochs": epochs,
        "radiographs": len(radiographs),
        "patients": len(set(radiographs.patient_ids)),
        "weights": recipe.weights.to_json(),
        "union": _union_cutoff(Path(directory), protocol).to_json(),
        "seed": protocol.seed,
        "versions": versions(),
        "onednn": onednn_enabled(),
        "use": "research only; not a medical device",
    }
    write_json(folder / CARD_FILE, card)
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
    # A compiled head would bring its loss into the file, and the masked one is none of Keras's own.
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
) -> dict[str, Any]:
    """Look at the hold-out set, once; what it gives is an estimate. The study's lock is held.

    The look is noted in `study.json`, on disk, before the first image is read. Then
    `predictions.csv` is written, one row a radiograph, `figures.csv`, every figure of
    `metrics.assess` with its interval over patients, and `holdout.json`, with which the look is
    complete. Where it is complete, `holdout.json` is returned as it is and nothing is computed;
    where it is not, the same model goes on with it.

    Args:
        directory: the study's folder, whose `final` holds `model.keras`.
        development: the development set; it gives the view-only baseline its prevalences.
        holdout: the sealed set.
        epoch: the epoch that the cross-validation chose, from 0; recorded only.
        protocol: gives the union threshold; `Protocol.study()` where None. From which predicted
            total on the model says union is chosen on the out-of-fold predictions of
            `final/cross_validation`, never on the hold-out set.
        look_again: the reason for another look; None for the first.
        progress: where to report; nowhere by default.

    Returns:
        The content of `holdout.json`. In `metrics` first the figures of the most likely scores,
        then AUROC of all labels and of visible cortices, precision, recall and F1 at 0.5; these
        per label in `labels`; in `figures` all that is not of one label.

    Raises:
        SearchError: for anything but a hold-out set.
        ResumeError: where there is no model, or it is not the one its record tells of; where the
            study has not been prepared; for a look after the first one without a reason.
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
        raise ResumeError(f"{directory} has no study.json, where a look is noted; prepare it first")
    look = file.begin_look(card["model_sha256"], look_again)
    radiographs = holdout.radiographs
    image_size = int(card["input"]["shape"][0])
    # Loaded first: a model that cannot be loaded leaves the hold-out set unseen.
    model = load_final_model(folder / MODEL_FILE, image_size=image_size)
    images = decode_images(
        radiographs,
        image_size=image_size,
        resize=card["input"]["resize"],
        progress=progress,
    )
    answers = predict_probabilities(model, images)
    table = radiographs.table.reset_index(drop=True)
    # In float64: pandas writes float32 with as many digits as tell it from other float32 values,
    # and whoever computes a figure from the file would miss ours by up to 1e-7 of it.
    named = pd.DataFrame(
        answers.astype(np.float64), columns=[f"probability_{label}" for label in LABELS]
    )
    told = pd.concat([table, named], axis=1)
    union = _union_cutoff(Path(directory), protocol or Protocol.study())
    if card.get("union") != union.to_json():
        # Of a model that an earlier version fitted, or fitted for another threshold.
        write_json(folder / CARD_FILE, card | {"union": union.to_json()})
    figures = figures_table(
        as_predictions(told), union_threshold=union.threshold, union_cutoff=union.value
    )
    found = {
        "format": 1,
        "kind": "estimate: of patients that nothing which was chosen had seen",
        "date": look.date,
        "looks": [
            {"date": one.date, "model_sha256": one.model_sha256, "reason": one.reason}
            for one in file.looks
        ],
        "radiographs": len(radiographs),
        "patients": len(set(radiographs.patient_ids)),
        "threshold": THRESHOLD,
        "union_threshold": union.threshold,
        "union_cutoff": union.to_json(),
        "epoch": epoch,
        "model_sha256": card["model_sha256"],
    } | holdout_figures(development, holdout, figures)
    found["figures"] = [
        {name: _plain(value) for name, value in row.items()}
        for row in overall_figures(figures).to_dict("records")
    ]
    write_text(folder / PREDICTIONS_FILE, csv_text(told))
    found["predictions_sha256"] = sha256_of_file(folder / PREDICTIONS_FILE)
    write_text(folder / FIGURES_FILE, csv_text(figures))
    write_json(folder / HOLDOUT_FILE, found)
    file.finish_look(found["metrics"])
    return found


def holdout_figures(
    development: Development, holdout: HoldOut, figures: pd.DataFrame
) -> dict[str, Any]:
    """What `holdout.json` has beside the list of all figures, as JSON values.

    Args:
        development: gives the view-only baseline its prevalences.
        holdout: the sealed set.
        figures: from `figures_table`, of its predictions.

    Returns:
        `metrics`, `view_only_baseline` and `labels`; None where a figure is undefined.
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
    return {
        "metrics": metrics,
        "view_only_baseline": {
            scope.metric: _number(
                macro_average(auroc(*scope.problem(labels, alone, visible))).value
            )
            for scope in SCOPES
        },
        "labels": [
            {
                "label": row["label"],
                "positives": int(labels[:, LABELS.index(row["label"])].sum()),
                "rows": len(labels),
                **{name: _number(row[name]) for name in _LABEL_FIGURES},
            }
            for row in rows
        ],
    }


def _union_cutoff(directory: Path, protocol: Protocol) -> UnionCutoff:
    """From which predicted total on the model says union: chosen on development data alone."""
    place = directory / FINAL / CROSS_VALIDATION
    try:
        project = read_project(place)
    except (RustTunerError, OSError):
        project = None
    return development_cutoff(project, threshold=protocol.union_threshold)


def _value(figures: pd.DataFrame, name: str, of: str) -> float | None:
    """The value of a figure; None where it is undefined or not there."""
    row = find_figure(figures, name, of)
    return None if row is None else _number(row["value"])


def known_evaluation(directory: str | Path, *, reason: str | None = None) -> dict[str, Any] | None:
    """What the last look found, where there is none to be made or continued.

    The same command with the same reason and model shows what it found, as any step does.

    Args:
        directory: the study's folder.
        reason: why the hold-out set is looked at again; None where nobody asks for that.

    Returns:
        The content of `final/holdout.json`; None where a look may be made, or goes on.

    Raises:
        ProtocolError: for a reason where there was no look yet.
        ResumeError: where there was a look, no reason is given, and what it found is not there or
            was changed, or its model is not there to go on with it.
    """
    place = Path(directory)
    looks = _looks(place)
    if not looks:
        if reason is not None:
            raise ProtocolError(
                f"look_again={reason!r}; the hold-out set of {place} has not been looked at yet, "
                "so leave it out"
            )
        return None
    last, path = looks[-1], place / FINAL / HOLDOUT_FILE
    model = place / FINAL / MODEL_FILE
    found = sha256_of_file(model) if model.is_file() else None
    has_model = found is not None and found == last.model_sha256
    if last.state == "begun":
        if reason is None and not has_model:
            fault = "is another one now" if found else "is not there any more"
            raise look_refused(place, last, f"{model} {fault}")
        return None
    if is_whole(last, place) and (reason is None or (reason == last.reason and has_model)):
        return read_holdout(place)
    if reason is None:
        fault = "is not the one that was written" if path.exists() else "is not there any more"
        raise look_refused(place, last, f"{path} {fault}")
    return None


def read_holdout(directory: str | Path) -> dict[str, Any] | None:
    """What the last look at the hold-out set found, or None where there is no record of it.

    Raises:
        ResumeError: where the record cannot be read.
    """
    path = Path(directory) / FINAL / HOLDOUT_FILE
    try:
        return read_record(path, HoldoutForm, mend="restore it from a copy")
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise ResumeError(str(error)) from error


def _looks(directory: Path) -> tuple[Look, ...]:
    file = StudyFile(directory)
    return file.looks if file.is_there else unrecorded_looks(directory)


def read_card(model: Path) -> dict[str, Any]:
    """What is recorded beside a model.

    Raises:
        ResumeError: where model or record are missing, or do not belong together.
    """
    path = model.with_suffix(".json")
    if not model.is_file():
        raise ResumeError(f"{model} is not there; `rust-tuner final` writes {MODEL_FILE}")
    try:
        card = read_record(path, CardForm, mend="restore it")
        actual = sha256_of_file(model)
    except FileNotFoundError as error:
        raise ResumeError(
            f"{error.filename} is missing; a model is {MODEL_FILE} with {CARD_FILE} beside it, as "
            "`rust-tuner final` writes them"
        ) from error
    if card.get("model_sha256") != actual:
        raise ResumeError(
            f"{path} was written for another model (SHA-256 {str(card.get('model_sha256'))[:12]}) "
            f"than {model.name} ({actual[:12]}); restore the one or the other"
        )
    return card


def load_final_model(model: Path, *, image_size: int) -> "keras.Model":
    """A saved model, in Keras's safe mode.

    Args:
        model: the file.
        image_size: the side of the images that its record says it takes, in pixels.

    Raises:
        ResumeError: where it cannot be loaded, or takes or gives something else.
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
            "`rust-tuner final` wrote. Code inside a model, such as a Lambda layer, is never run"
        ) from error
    shapes = getattr(loaded, "input_shape", None), getattr(loaded, "output_shape", None)
    expected = (None, image_size, image_size, 3), (None, len(LABELS))
    if shapes != expected:
        raise ResumeError(
            f"{model} takes {shapes[0]} and gives {shapes[1]}, expected {expected[0]} and "
            f"{expected[1]}; restore the file that `rust-tuner final` wrote"
        )
    return loaded


def predict_probabilities(
    model: "keras.Model", images: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(n, 18) probabilities of a model for (n, size, size, 3) decoded images."""
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
        return bool(read_card(folder / MODEL_FILE)["key"] == key)
    except (RustTunerError, KeyError):
        return False


def _plain(value: Any) -> Any:
    """A cell of a table as a JSON value; None where there is nothing."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
