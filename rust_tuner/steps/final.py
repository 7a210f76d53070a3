"""The final model: cross-validated, refitted on all development data, then the hold-out set.

The only module that takes a `HoldOut`. What it finds there is an estimate: it is written once and
never computed again; training and the choice of the epoch see the development set alone.

It is long because the hold-out set may be taken in one module alone, and each of its steps says
what it refuses.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.images import PREPROCESSING
from rust_tuner.data.pipeline import DecodedImages, decode_images
from rust_tuner.data.split_file import radiographs_sha256
from rust_tuner.data.splits import Development, Folds, HoldOut, require_development
from rust_tuner.errors import ResumeError, RustTunerError, SearchError
from rust_tuner.files import (
    atomic_path,
    read_json,
    sha256_of_file,
    sha256_of_json,
    write_json,
    write_text,
)
from rust_tuner.labels import LABELS, NUM_VIEWS
from rust_tuner.metrics import auroc, decisions, view_only_scores
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.steps.refit import HYPERPARAMETERS, fit_head, tuned_hypermodel
from rust_tuner.analysis.assessment import as_predictions, figures_table, overall_figures
from rust_tuner.records.project import Project, read_project

if TYPE_CHECKING:
    import keras

    from rust_tuner.models.hypermodels import TransferLearningHyperModel

FINAL = "final"
CROSS_VALIDATION = "cross_validation"
MODEL_FILE = "model.keras"
CARD_FILE = "model.json"
PREDICTIONS_FILE = "predictions.csv"
FIGURES_FILE = "figures.csv"
HOLDOUT_FILE = "holdout.json"
THRESHOLD = 0.5

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
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The model's file.

    Raises:
        SplitError: for anything but a development set.
        ResumeError: where the hold-out set was evaluated with another model.
        TrialError: where the training diverges.
    """
    from rust_tuner.models.features import extract_features
    from rust_tuner.models.fold_training import FoldPlace
    from rust_tuner.models.runtime import start_backend, versions
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
    if (folder / HOLDOUT_FILE).exists():
        raise ResumeError(
            f"{folder / HOLDOUT_FILE} holds what another model reached on the hold-out set, which "
            "is looked at once; restore model.keras and model.json, or take a new study folder"
        )
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
        "seed": protocol.seed,
        "versions": versions(),
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
    inputs = keras.Input(extractor.input_shape[1:], name="radiograph")
    return keras.Model(inputs, head(extractor(inputs), training=False), name="rust_model")


def evaluate_holdout(
    directory: str | Path,
    development: Development,
    holdout: HoldOut,
    *,
    epoch: int,
    protocol: Protocol | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Look at the hold-out set, once; what it gives is an estimate.

    Writes `predictions.csv`, one row a radiograph, `figures.csv`, every figure of
    `metrics.assess` with its interval over patients, and `holdout.json`; where the last is there it
    is read and returned as it is, with its date, and nothing is computed.

    Args:
        directory: the study's folder, whose `final` holds `model.keras`.
        development: the development set; it gives the view-only baseline its prevalences.
        holdout: the sealed set.
        epoch: the epoch that the cross-validation chose, from 0; recorded only.
        protocol: gives the union threshold; `Protocol.study()` where None.
        progress: where to report; nowhere by default.

    Returns:
        The content of `holdout.json`: AUROC of all labels and of visible cortices, precision,
        recall and F1 at 0.5, macro and per label; in `figures` all that is not of one label.

    Raises:
        SearchError: for anything but a hold-out set.
        ResumeError: where there is no model, or it is not the one its record tells of.
    """
    folder = Path(directory) / FINAL
    seen = read_holdout(directory)
    if seen is not None:
        return seen
    if not isinstance(holdout, HoldOut):
        raise SearchError(f"got {type(holdout).__name__}, expected HoldOut, from split_holdout")
    card = read_card(folder / MODEL_FILE)
    radiographs = holdout.radiographs
    images = decode_images(
        radiographs,
        image_size=int(card["input"]["shape"][0]),
        resize=card["input"]["resize"],
        progress=progress,
    )
    answers = predict_probabilities(folder / MODEL_FILE, images)
    table = radiographs.table.reset_index(drop=True)
    named = pd.DataFrame(answers, columns=[f"probability_{label}" for label in LABELS])
    told = pd.concat([table, named], axis=1)
    choices = protocol or Protocol.study()
    figures = figures_table(as_predictions(told), union_threshold=choices.union_threshold)
    found = {
        "format": 1,
        "kind": "estimate: of patients that nothing which was chosen had seen",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "radiographs": len(radiographs),
        "patients": len(set(radiographs.patient_ids)),
        "threshold": THRESHOLD,
        "union_threshold": choices.union_threshold,
        "epoch": epoch,
        "model_sha256": card["model_sha256"],
    } | holdout_figures(development, holdout, answers)
    found["figures"] = [
        {name: _plain(value) for name, value in row.items()}
        for row in overall_figures(figures).to_dict("records")
    ]
    write_text(folder / PREDICTIONS_FILE, told.to_csv(index=False))
    write_text(folder / FIGURES_FILE, figures.to_csv(index=False, lineterminator="\n"))
    write_json(folder / HOLDOUT_FILE, found)
    return found


def holdout_figures(
    development: Development, holdout: HoldOut, answers: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """The figures of hold-out predictions (n, 18), as JSON values; None where undefined."""
    radiographs = holdout.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    cortices = (labels[:, NUM_VIEWS:], answers[:, NUM_VIEWS:])
    decided = decisions(labels, answers, threshold=THRESHOLD)
    shown = decisions(*cortices, threshold=THRESHOLD, mask=visible)
    areas = auroc(labels, answers)
    alone = view_only_scores(development.radiographs.labels, labels)
    metrics = {
        "auroc": _mean_of_defined(areas),
        "cortex_auroc": _mean_of_defined(auroc(*cortices, visible)),
        "precision": decided.macro_precision,
        "recall": decided.macro_recall,
        "f1": decided.macro_f1,
        "cortex_precision": shown.macro_precision,
        "cortex_recall": shown.macro_recall,
        "cortex_f1": shown.macro_f1,
    }
    baseline = {
        "auroc": _mean_of_defined(auroc(labels, alone)),
        "cortex_auroc": _mean_of_defined(auroc(cortices[0], alone[:, NUM_VIEWS:], visible)),
    }
    return {
        "metrics": {name: _number(value) for name, value in metrics.items()},
        "view_only_baseline": {name: _number(value) for name, value in baseline.items()},
        "labels": [
            {
                "label": label,
                "positives": int(labels[:, index].sum()),
                "rows": len(labels),
                "auroc": _number(areas[index]),
                "precision": _number(decided.precision[index]),
                "recall": _number(decided.recall[index]),
                "f1": _number(decided.f1[index]),
            }
            for index, label in enumerate(LABELS)
        ],
    }


def read_holdout(directory: str | Path) -> dict[str, Any] | None:
    """What the one look at the hold-out set found, or None where there was none yet."""
    try:
        found: dict[str, Any] = read_json(Path(directory) / FINAL / HOLDOUT_FILE)
    except FileNotFoundError:
        return None
    return found


def read_card(model: Path) -> dict[str, Any]:
    """What is recorded beside a model.

    Raises:
        ResumeError: where model or record are missing, or do not belong together.
    """
    path = model.with_suffix(".json")
    if not model.is_file():
        raise ResumeError(f"{model} is not there; `rust-tuner final` writes {MODEL_FILE}")
    try:
        card: dict[str, Any] = read_json(path)
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


def predict_probabilities(model: Path, images: DecodedImages) -> npt.NDArray[np.float32]:
    """(n, 18) probabilities of a saved model for decoded images."""
    import keras

    from rust_tuner.models.runtime import start_backend

    start_backend()
    loaded = keras.models.load_model(model, compile=False)
    starts = range(0, len(images), _PREDICTION_BATCH)
    parts = [
        np.asarray(loaded.predict_on_batch(images.values[start : start + _PREDICTION_BATCH]))
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


def _mean_of_defined(areas: npt.NDArray[np.float64]) -> float:
    """The macro figure; NaN where a small hold-out set defines none of its labels."""
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def _plain(value: Any) -> Any:
    """A cell of a table as a JSON value; None where there is nothing."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
