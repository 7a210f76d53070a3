"""The study's first models, each cross-validated as one configuration at fixed hyperparameters.

Each is a search of one trial in a project folder of its own, so it is resumed, locked and read
like any other search. Their table belongs to `records.baselines`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import keras_tuner

from rust_tuner.data.splits import Development, Folds, folds_asked_for, require_development
from rust_tuner.errors import ProtocolError, ResumeError, WeightsError
from rust_tuner.models.backbones import find_weights
from rust_tuner.models.hypermodels import (
    ImageHyperModel,
    SearchSpace,
    TransferLearningHyperModel,
)
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
from rust_tuner.search.oracles import GridSearchOracle
from rust_tuner.search.subjects import sha256_of_folds
from rust_tuner.search.tuner import CrossValidationTuner

__all__ = ["BASELINES", "run_baselines"]

_LENET, _END_TO_END, _RADIMAGENET, _IMAGENET = BASELINES
# The one that is trained end to end takes the longest by far, so the others come first.
_ORDER = (_LENET, _RADIMAGENET, _IMAGENET, _END_TO_END)
_RADIMAGENET_FILE = "RadImageNet-InceptionV3_notop.h5"
_RADIMAGENET_SITE = "https://www.radimagenet.com"
# Each of the first models has weights of its own, and the scale is a label.
_ELSEWHERE = ("weights", "scale")
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
    """Cross-validate the study's first models; run again it goes on where it was interrupted.

    LeNet and InceptionV3 trained end to end start from random weights; the two others are the
    study's classifier on a frozen InceptionV3. All take the protocol's `baseline_` choices and
    Adam at its defaults.

    Args:
        development: the development set.
        directory: the study's folder; each model is a project in its subfolder `baselines`.
        models: some of `BASELINES`. Where None all of them, but RadImageNet's only where its
            weights are given, and ImageNet's only where the protocol does not ask for random
            weights; what is left out is said.
        radimagenet_weights: RadImageNet's InceptionV3 without top, an HDF5 file.
        protocol: the scientific choices; `Protocol.study()` where None.
        folds: folds that were made before; made from the protocol's seed where None.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The projects of the models that were run, in the order of `BASELINES`.

    Raises:
        ProtocolError: for a model that there is not.
        WeightsError: where weights cannot be had, before anything is trained.
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
    recorded = {name: values[name] for name in names if name not in _ELSEWHERE}
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
            development, epochs=chosen.baseline_epochs, cache=cache, about={"protocol": recorded}
        )
        project = projects[model] = tuner.project
        for trial in project.trials:
            if trial.status == "FAILED":
                report.say(
                    f"{model} failed ({trial.message}); delete {project.folder} to try it again"
                )
    return {model: projects[model] for model in BASELINES if model in projects}


def _refuse_other_folds(directory: str | Path, folds: Folds) -> None:
    """First models are compared on the same folds, which is seen before another one is trained."""
    found = sha256_of_folds(tuple(folds))
    for model, project in read_baselines(directory).items():
        known = project.run["subject"]
        if known["folds"] != found:
            raise ResumeError(
                f"{project.folder} was trained on {known['num_folds']} folds (SHA-256 "
                f"{known['folds'][:12]}), asked for are {folds.num_folds} ({found[:12]}); "
                "the first models are compared on the same folds: ask for those, or delete "
                f"{model}'s folder"
            )


def _asked(
    models: Sequence[str] | None,
    radimagenet_weights: str | Path | None,
    protocol: Protocol,
    report: Progress,
) -> tuple[str, ...]:
    """Which models to run; what is left out of all of them is said."""
    if models is not None:
        unknown = [model for model in models if model not in BASELINES]
        if unknown:
            raise ProtocolError(f"models={unknown[0]!r}; expected some of {', '.join(BASELINES)}")
        if _RADIMAGENET in models and radimagenet_weights is None:
            raise WeightsError(f"{_RADIMAGENET} needs its weights: {_HOW_TO_ADD_RADIMAGENET}")
        return tuple(models)
    if radimagenet_weights is None:
        report.say(f"{_RADIMAGENET} is left out; to add it, {_HOW_TO_ADD_RADIMAGENET}")
    if protocol.weights == "random":
        report.say(
            f"{_IMAGENET} is left out, since the protocol's weights are random; to add it, name it "
            "in models"
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
    # Found now, since other models may train for days before their turn comes.
    find_weights(source)
    return TransferLearningHyperModel(
        SearchSpace(protocol.baseline_batch_size, protocol.baseline_dropout_rate),
        weights=source,
        flips=protocol.flips,
        image_size=protocol.image_size,
        resize=protocol.resize,
        masked_loss=protocol.masked_loss,
        precision=protocol.precision,
    )
