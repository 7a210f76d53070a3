"""The study's first models, each cross-validated as one configuration at fixed hyperparameters.

Each is a search of one trial in its own project folder, so it is resumed, locked and read like any
other search. `records.baselines` makes the table of their results.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras_tuner

from rust_tuner.data.folds import Folds, folds_asked_for
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import ProtocolError, ResumeError, WeightsError
from rust_tuner.models.backbones import find_weights
from rust_tuner.models.hypermodels import ImageHyperModel, SearchSpace, TransferLearningHyperModel
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.progress import Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.baselines import (
    BASELINES,
    BASELINES_FOLDER,
    FROZEN_BASELINES,
    available_baselines,
    read_baselines,
)
from rust_tuner.records.project import Project
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.subject_folds import sha256_of_folds
from rust_tuner.search.tuner import CrossValidationTuner

__all__ = ["BASELINES", "run_baselines"]

_LENET, _END_TO_END, _RADIMAGENET, _IMAGENET = BASELINES
# The model that is trained end to end takes by far the longest, so it comes last.
_ORDER = (_LENET, _RADIMAGENET, _IMAGENET, _END_TO_END)
_RADIMAGENET_FILE = "RadImageNet-InceptionV3_notop.h5"
_RADIMAGENET_SITE = "https://www.radimagenet.com"
# Each of the first models has its own weights, and the scale is only a label.
_NOT_RECORDED = ("weights", "scale")
_HOW_TO_ADD_RADIMAGENET = (
    f"request the files at {_RADIMAGENET_SITE} and give the path of {_RADIMAGENET_FILE} as "
    "radimagenet_weights"
)


def run_baselines(
    development: Development,
    directory: str | Path,
    *,
    models: Sequence[str] | None = None,
    radimagenet_weights: str | Path | None = None,
    protocol: Protocol | None = None,
    folds: Folds | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Project]:
    """Cross-validate the study's first models; call it again to resume.

    LeNet and InceptionV3 are trained end to end from random weights; the other two are the study's
    classifier on a frozen InceptionV3. All use the protocol's `baseline_` choices and Adam with its
    default settings.

    Args:
        development: the development set.
        directory: the study's folder; each model is a project in its subfolder `baselines`.
        models: some of `BASELINES`. If None, all of them: RadImageNet's only where its weights are
            given, and ImageNet's only where the protocol does not ask for random weights. Models
            that are left out are reported.
        radimagenet_weights: RadImageNet's InceptionV3 without top, an HDF5 file.
        protocol: the scientific choices; `Protocol.study()` where None.
        folds: folds that were made before; made from the protocol's seed where None.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The projects of the models that were run, in the order of `BASELINES`.

    Raises:
        ProtocolError: for an unknown model.
        WeightsError: where weights are not available, before anything is trained.
        SearchError, ResumeError, LockedError: as `CrossValidationTuner.search`.
    """
    require_development(development)
    chosen = protocol or Protocol.study()
    report = progress or Silent()
    asked = _asked(models, radimagenet_weights, chosen, report)
    weights = {_IMAGENET: "imagenet", _RADIMAGENET: radimagenet_weights}
    hypermodels = {model: _hypermodel(model, chosen, weights) for model in _ORDER if model in asked}
    if folds is not None:
        _refuse_other_folds(directory, folds)
    values, names = chosen.to_json(), chosen.compared_by(BASELINES_FOLDER)
    recorded = {name: values[name] for name in names if name not in _NOT_RECORDED}
    projects = {}
    for model, hypermodel in hypermodels.items():
        objective = keras_tuner.Objective(chosen.objective, "max")
        tuner = CrossValidationTuner(
            hypermodel,
            GridSearchOracle(objective, seed=chosen.seed),
            cv=folds_asked_for(development, chosen, chosen.baseline_folds)
            if folds is None
            else folds,
            seed=chosen.seed,
            directory=Path(directory) / BASELINES_FOLDER,
            project_name=model,
            score_epoch=chosen.score_epoch,
            progress=report,
        )
        tuner.search(
            development,
            epochs=chosen.baseline_epochs,
            verbose=0,
            cache=cache,
            about={"protocol": recorded},
        )
        project = projects[model] = tuner.project
        for trial in project.trials:
            if trial.status == "FAILED":
                report.say(
                    f"{model} failed ({trial.message}); delete {project.folder} to try it again"
                )
    return {model: projects[model] for model in BASELINES if model in projects}


def _refuse_other_folds(directory: str | Path, folds: Folds) -> None:
    """Refuse folds that differ from those of the models already trained, before training more."""
    requested = sha256_of_folds(tuple(folds))
    for model, project in read_baselines(directory).items():
        trained = project.run.subject
        if trained.folds != requested:
            raise ResumeError(
                f"{project.folder} was trained on {trained.num_folds} folds (SHA-256 "
                f"{str(trained.folds)[:12]}), but {folds.num_folds} folds ({requested[:12]}) are "
                "requested; the first models are compared on the same folds: request the folds "
                f"of {model}, or delete its folder"
            )


def _asked(
    models: Sequence[str] | None,
    radimagenet_weights: str | Path | None,
    protocol: Protocol,
    report: Progress,
) -> tuple[str, ...]:
    """The models to run; those that are left out are reported."""
    if models is not None:
        unknown = [model for model in models if model not in BASELINES]
        if unknown:
            raise ProtocolError(f"models={unknown[0]!r}; expected some of {', '.join(BASELINES)}")
        if _RADIMAGENET in models and radimagenet_weights is None:
            raise WeightsError(f"{_RADIMAGENET} needs its weights: {_HOW_TO_ADD_RADIMAGENET}")
        return tuple(models)
    if radimagenet_weights is None:
        report.say(f"{_RADIMAGENET} is left out; to add it, {_HOW_TO_ADD_RADIMAGENET}")
    if protocol.weights in UNTRAINED:
        report.say(
            f"{_IMAGENET} is left out, since the protocol's weights are {protocol.weights}; to add "
            "it, name it in models"
        )
    has_radimagenet = radimagenet_weights is not None
    return available_baselines(protocol.weights, has_radimagenet=has_radimagenet)


def _hypermodel(
    model: str, protocol: Protocol, weights: Mapping[str, str | Path | None]
) -> ImageHyperModel | TransferLearningHyperModel:
    if model == _LENET:
        return ImageHyperModel.from_protocol(protocol, "lenet1998")
    if model == _END_TO_END:
        return ImageHyperModel.from_protocol(protocol, "inceptionv3_end2end")
    assert model in FROZEN_BASELINES
    source = weights[model]
    assert source is not None
    # Checked now, since other models may train for days before this one starts.
    find_weights(source)
    return TransferLearningHyperModel.from_protocol(
        dataclasses.replace(protocol, weights=str(source)),
        SearchSpace(protocol.baseline_batch_size, protocol.baseline_dropout_rate),
    )
