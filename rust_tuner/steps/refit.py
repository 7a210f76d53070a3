"""The tuned configuration, trained on all given radiographs.

It owns what the final model and nested cross-validation share: the values that a finished search
chose, and the training of a head with them.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.splits import Development
from rust_tuner.errors import SearchError
from rust_tuner.models.space import SearchSpace
from rust_tuner.protocol import Protocol
from rust_tuner.records.model import HyperValue, HyperValues
from rust_tuner.records.project import Project

if TYPE_CHECKING:
    import keras

    from rust_tuner.models.features import FrozenFeatures
    from rust_tuner.models.fold_batches import FoldPlace
    from rust_tuner.models.hypermodels import TransferLearningHyperModel

HYPERPARAMETERS = SearchSpace.names()


def tuned_values(project: Project) -> HyperValues:
    """The best trial's hyperparameters.

    Raises:
        SearchError: if the search is not finished, or no trial has a score.
    """
    best = project.best
    done = sum(trial.has_ended for trial in project.trials)
    if best is None and done == project.run.num_trials and not project.problems:
        failed = next((trial for trial in project.trials if trial.message), None)
        why = "" if failed is None else f" (trial {failed.trial}: {failed.message})"
        raise SearchError(
            f"none of the {done} trials of {project.folder} has a score, so none is best{why}; "
            "mend the cause, move that folder away and run the search again"
        )
    if best is None or project.problems or done < project.run.num_trials:
        raise SearchError(
            f"{project.folder} has {done} of {project.run.num_trials} trials; finish the search "
            "first, so that the final model is the best of all trials"
        )
    return {name: best.values[name] for name in HYPERPARAMETERS}


def require_own_search(project: Project, development: Development) -> None:
    """Refuse a search on other radiographs: its choice may have used the hold-out set.

    Raises:
        SearchError: if the search was not run on this development set.
    """
    from rust_tuner.search.subjects import targets_sha256

    radiographs = development.radiographs
    own = [targets_sha256(radiographs, masked_loss=masked) for masked in (True, False)]
    recorded = project.run.subject.targets
    if recorded is not None and recorded not in own:
        raise SearchError(
            f"{project.folder} was run on other radiographs than the development set of this "
            "study, and may have used its hold-out set; move that folder away and run the search "
            "again"
        )


def tuned_hypermodel(
    protocol: Protocol, values: Mapping[str, HyperValue]
) -> "TransferLearningHyperModel":
    """The hypermodel with the hyperparameters fixed."""
    from rust_tuner.models.hypermodels import TransferLearningHyperModel

    return TransferLearningHyperModel.from_protocol(protocol, SearchSpace.fixed(values))


def fit_head(
    hypermodel: "TransferLearningHyperModel",
    features: "FrozenFeatures",
    targets: npt.NDArray[np.float32],
    *,
    epochs: int,
    place: "FoldPlace",
    on_epoch: Callable[[], None] = lambda: None,
) -> "keras.Model":
    """Train a head on all given radiographs.

    Args:
        hypermodel: from `tuned_hypermodel`.
        features: of n radiographs.
        targets: (n, 18), from `training_targets`.
        epochs: how many, from 1.
        place: decides initial weights, order, flips and dropout.
        on_epoch: called after each epoch.

    Raises:
        TrialError: if the training diverges.
        SearchError: while another thread of this process is searching.
    """
    from rust_tuner.models.fold_batches import TrainingData
    from rust_tuner.models.fold_training import train_all
    from rust_tuner.models.keras_state import users_layers_kept
    from rust_tuner.models.schedules import batch_sizes
    from rust_tuner.models.seeding import seeded_weights

    data = TrainingData(features, targets, lambda answers, rows, where: [{} for _ in rows])
    hyperparameters = declared_values(hypermodel)
    sizes = batch_sizes(len(targets), int(hyperparameters.get("batch_size")))
    # No other thread may search meanwhile: random states belong to the process.
    with users_layers_kept():
        with seeded_weights(place):
            head = hypermodel.build_head(hyperparameters)
        train_all(head, data, sizes=sizes, epochs=epochs, place=place, on_epoch=on_epoch)
    return head


def declared_values(hypermodel: "TransferLearningHyperModel") -> Any:
    """The values of a hypermodel whose hyperparameters are all fixed, as KerasTuner's object."""
    import keras_tuner

    hyperparameters = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hyperparameters)
    return hyperparameters
