"""Scores of an outer fold's configuration on the fold's validation patients, in two ways.

The estimate is that of the model refitted on all outer training patients. The inner estimate is
that of the models of the inner folds, trained again as in the search. They see as few patients as
the models behind the selection score, so the difference between the two is the optimism of the
search alone. A refit sees more patients, and is better for it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.folds import Folds
from rust_tuner.data.outer_folds import OuterFold
from rust_tuner.errors import TrialError
from rust_tuner.labels import NUM_LABELS
from rust_tuner.metrics import macro_auroc, view_only_baseline
from rust_tuner.progress import Progress
from rust_tuner.protocol import Protocol
from rust_tuner.records.model import HyperValues
from rust_tuner.records.nested import FIGURES
from rust_tuner.scope import SCOPES
from rust_tuner.steps.refit import declared_values, fit_head, tuned_hypermodel

if TYPE_CHECKING:
    from rust_tuner.models.features import FrozenFeatures
    from rust_tuner.models.hypermodels import TransferLearningHyperModel

Answers = npt.NDArray[np.float32]
Pairs = Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


@dataclass(frozen=True, eq=False)
class OuterScores:
    """Figures on the outer validation patients, each by `auroc` and `cortex_auroc`.

    Attributes:
        estimate: of the refitted model.
        inner_estimate: of the inner folds' models, their mean.
        answers: (n, 18) probabilities of the refitted model.
    """

    estimate: dict[str, float]
    inner_estimate: dict[str, float]
    answers: Answers


def score_outer_fold(
    fold: OuterFold,
    folds: Folds,
    values: HyperValues,
    *,
    trial: int,
    epoch: int,
    protocol: Protocol,
    cache: str | Path | None,
    progress: Progress,
) -> OuterScores:
    """Score a tuned configuration on an outer fold's validation patients, once.

    Args:
        fold: the outer fold.
        folds: the inner folds of its training side.
        values: the four hyperparameters.
        trial: the number of the trial that they come from.
        epoch: the epoch that the inner cross-validation chose, from 0.
        protocol: the scientific choices.
        cache: folder of the feature cache; the default one if None.
        progress: where the extraction of features is reported.

    Raises:
        TrialError: if the configuration diverges.
        MetricError: if no label of the validation side has both classes.
    """
    from rust_tuner.models.features import FrozenFeatures, features_of
    from rust_tuner.models.fold_batches import FoldPlace
    from rust_tuner.models.runtime import empty_aligned, release
    from rust_tuner.search.subjects import training_targets

    hypermodel = tuned_hypermodel(protocol, values)
    seen, held = fold.training.radiographs, fold.validation.radiographs
    features, asked = (
        features_of(side, hypermodel.feature_recipe(), cache=cache, progress=progress)
        for side in (seen, held)
    )
    targets = training_targets(seen, masked_loss=protocol.masked_loss)
    # No inner fold and no refit of another outer fold has this number, so the seeds are different.
    place = FoldPlace(
        protocol.seed, trial, len(folds) + fold.number, name=f"fit of outer fold {fold.number}"
    )
    try:
        head = fit_head(hypermodel, features, targets, epochs=epoch + 1, place=place)
        answers = np.asarray(head(asked.values[:, 0], training=False), dtype=np.float32)
        release((*head.variables, *head.optimizer.variables))
        if not np.isfinite(answers).all():
            raise TrialError("predictions of the refitted model are not finite")
        joined = empty_aligned((len(seen) + len(held), *features.values.shape[1:]))
        np.concatenate([features.values, asked.values], out=joined)
        together = FrozenFeatures(joined, "both sides")
        rows = np.arange(len(seen), len(together))
        inner = answers_of_inner_models(
            hypermodel,
            together,
            # The labels of the validation side are not passed on.
            np.concatenate([targets, np.zeros((len(held), NUM_LABELS), np.float32)]),
            [(training, rows) for training, _ in folds],
            trial=trial,
            epochs=epoch + 1,
            seed=protocol.seed,
        )
    except TrialError as error:
        raise TrialError(
            f"outer fold {fold.number}: the configuration that its searches chose diverges when it "
            f"is trained again ({error}); leave out the learning rates that diverge"
        ) from error
    of_models = [_figures(fold, of_model) for of_model in inner]
    mean = {name: float(np.mean([figures[name] for figures in of_models])) for name in FIGURES}
    return OuterScores(_figures(fold, answers), mean, answers)


def answers_of_inner_models(
    hypermodel: "TransferLearningHyperModel",
    features: "FrozenFeatures",
    targets: npt.NDArray[np.float32],
    pairs: Pairs,
    *,
    trial: int,
    epochs: int,
    seed: int,
) -> list[Answers]:
    """Train the folds of a trial as the search trained them, and predict other rows with them.

    Args:
        hypermodel: with the trial's values fixed.
        features: of n radiographs.
        targets: (n, 18); those of rows that no fold trains on do not matter.
        pairs: for each fold the rows that it trains on and those that it predicts.
        trial: the number of the trial.
        epochs: for how many epochs, from 1.
        seed: of the search.

    Returns:
        For each fold (rows, 18) probabilities after the last epoch.

    Raises:
        TrialError: if a fold diverges.
    """
    from rust_tuner.models.fold_batches import TrainingData
    from rust_tuner.models.fold_parallel import FoldParallelTrainer
    from rust_tuner.models.fold_plan import MixedFolds
    from rust_tuner.search.fold_runs import run_folds, run_folds_together

    data = TrainingData(features, targets, lambda answers, rows, where: [{} for _ in rows])
    declared = declared_values(hypermodel)
    shared: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": int(declared.get("batch_size")),
        "seed": seed,
        "trial": trial,
    }
    trainer = FoldParallelTrainer(data)
    try:
        outcome = run_folds_together(
            lambda: hypermodel.build_head(declared), trainer, pairs, **shared
        )
    except MixedFolds:
        outcome = run_folds(
            lambda running: hypermodel.build_head(declared, metrics=[running]),
            data,
            pairs,
            keep_running=True,
            owns_models=True,
            **shared,
        )
    finally:
        trainer.release()
    predictions = []
    for record in outcome.folds:
        assert record.predictions is not None
        predictions.append(record.predictions[-1])
    return predictions


def view_only_of_fold(fold: OuterFold) -> dict[str, float]:
    """The view-only baseline on an outer fold's validation patients.

    Raises:
        MetricError: if no label of the validation side has both classes.
    """
    held = fold.validation.radiographs
    training = fold.training.radiographs.labels
    baseline = view_only_baseline(training, held.labels, held.visible, where=_where(fold))
    return dataclasses.asdict(baseline)


def _figures(fold: OuterFold, answers: Answers) -> dict[str, float]:
    held = fold.validation.radiographs
    arrays = (held.labels, answers, held.visible)
    return {
        scope.metric: macro_auroc(*scope.problem(*arrays), where=_where(fold)) for scope in SCOPES
    }


def _where(fold: OuterFold) -> str:
    return f"outer fold {fold.number}"
