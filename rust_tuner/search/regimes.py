"""The study's two searches, with its ranges as defaults.

Regime I draws batch size and dropout rate at random, with Adam at its defaults; Regime II lays a
grid over Adam's learning rate and epsilon, with Regime I's best fixed.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner

from rust_tuner.data.splits import (
    Development,
    Folds,
    folds_asked_for,
    require_development,
    rows_trained_on,
)
from rust_tuner.errors import ProtocolError, SearchError
from rust_tuner.models.hypermodels import TransferLearningHyperModel
from rust_tuner.models.space import SearchSpace
from rust_tuner.progress import Progress
from rust_tuner.protocol import SEARCHES, Protocol
from rust_tuner.records.project import REGIME_1, REGIME_2, RUN_FILE, read_project
from rust_tuner.records.schema import read_if_whole
from rust_tuner.search.oracles import GridSearchOracle, RandomSearchOracle, ResumableOracle
from rust_tuner.search.tuner import CrossValidationTuner


def regime_1(
    development: Development,
    directory: str | Path,
    *,
    trials: int | None = None,
    num_folds: int | None = None,
    epochs: int | None = None,
    batch_size_range: tuple[int, int] | None = None,
    dropout_rate_range: tuple[float, float] | None = None,
    seed: int | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | None = None,
    folds: Folds | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
    say_batch_sizes: bool = True,
) -> CrossValidationTuner:
    """Regime I: random search over batch size and dropout rate, both linear.

    Run again with the same arguments it goes on where it was interrupted. A batch that holds all
    that a fold trains on makes an epoch one step, and all such trials are alike; so the published
    range of batch sizes ends at the radiographs that a fold trains on, and is drawn
    logarithmically, where they are fewer than 2048.

    Args:
        development: the development set.
        directory: the study's folder; the project is its subfolder `regime_1`.
        trials: number of trials; the study's 100 where None.
        num_folds: folds of a trial; 6 where None.
        epochs: epochs of a fold; 20 where None.
        batch_size_range: 16 to 2048, or what fits of it, where None; one that is given is drawn
            from as it is.
        dropout_rate_range: 0 to 0.5 where None.
        seed: decides everything; the protocol's where None.
        weights: `imagenet`, `random` or a path; the protocol's where None.
        protocol: the scientific choices; `Protocol.study()` where None. The arguments above
            replace its fields.
        folds: folds that were made before; made from the seed where None.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.
        say_batch_sizes: whether a new search reports which batch sizes it draws.

    Returns:
        The tuner, its search finished.

    Raises:
        ProtocolError: for a choice out of range.
        SearchError, ResumeError, LockedError: as `CrossValidationTuner.search`.
    """
    chosen = _choose(
        protocol,
        trials=trials,
        num_folds=num_folds,
        epochs=epochs,
        batch_size_range=batch_size_range,
        dropout_rate_range=dropout_rate_range,
        seed=seed,
        weights=None if weights is None else str(weights),
    )
    # The tuner would say so too, but only once it had made a folder.
    require_development(development)
    begun = read_if_whole(Path(directory) / REGIME_1 / RUN_FILE)
    chosen = as_begun(chosen, begun)
    rows = rows_trained_on(development, chosen, chosen.num_folds if folds is None else folds)
    sizes = chosen.batch_sizes(rows)
    if progress is not None and begun is None and say_batch_sizes and sizes.share_of_one_step:
        progress.say(sizes.note("a fold of Regime I"))
    oracle = RandomSearchOracle(_objective(chosen), max_trials=chosen.trials, seed=chosen.seed)
    space = SearchSpace(
        batch_size=(sizes.lowest, sizes.highest),
        batch_size_sampling=sizes.sampling,
        dropout_rate=chosen.dropout_rate_range,
    )
    return _search(
        REGIME_1,
        oracle,
        space,
        development,
        Path(directory),
        chosen,
        folds=folds,
        cache=cache,
        progress=progress,
        about=fitting(chosen),
    )


def regime_2(
    development: Development,
    directory: str | Path,
    batch_size: int | None = None,
    dropout_rate: float | None = None,
    *,
    learning_rates: tuple[float, ...] | None = None,
    epsilons: tuple[float, ...] | None = None,
    num_folds: int | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | None = None,
    folds: Folds | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> CrossValidationTuner:
    """Regime II: grid search over Adam's learning rate and epsilon.

    Run again with the same arguments it goes on where it was interrupted.

    Args:
        development: the development set.
        directory: the study's folder; the project is its subfolder `regime_2`.
        batch_size: fixed; the best of the folder's Regime I where None.
        dropout_rate: fixed; the best of the folder's Regime I where None.
        learning_rates: 1e-1 to 1e-4 where None.
        epsilons: 1e-1 to 1e-8 where None.
        num_folds: folds of a trial; 6 where None.
        epochs: epochs of a fold; 20 where None.
        seed: decides everything; the protocol's where None.
        weights: `imagenet`, `random` or a path; the protocol's where None.
        protocol: the scientific choices; `Protocol.study()` where None. The arguments above
            replace its fields.
        folds: folds that were made before; made from the seed where None.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.

    Returns:
        The tuner, its search finished.

    Raises:
        SearchError: where Regime I is needed and has no completed trial.
        ProtocolError: for a choice out of range.
        ResumeError, LockedError: as `CrossValidationTuner.search`.
    """
    chosen = _choose(
        protocol,
        learning_rates=learning_rates,
        epsilons=epsilons,
        num_folds=num_folds,
        epochs=epochs,
        seed=seed,
        weights=None if weights is None else str(weights),
    )
    if batch_size is None or dropout_rate is None:
        best = best_of_regime_1(Path(directory))
        batch_size = best["batch_size"] if batch_size is None else batch_size
        dropout_rate = best["dropout_rate"] if dropout_rate is None else dropout_rate
    if batch_size < 1 or not 0 <= dropout_rate < 1:
        raise ProtocolError(
            f"batch_size={batch_size}, dropout_rate={dropout_rate}; expected a batch size from 1 "
            "and a dropout rate from 0 to below 1"
        )
    space = SearchSpace(
        # NumPy's numbers, as a results table holds them, are no JSON.
        batch_size=int(batch_size),
        dropout_rate=float(dropout_rate),
        **SearchSpace.grid_of(chosen),
    )
    oracle = GridSearchOracle(_objective(chosen), seed=chosen.seed)
    return _search(
        REGIME_2,
        oracle,
        space,
        development,
        Path(directory),
        chosen,
        folds=folds,
        cache=cache,
        progress=progress,
    )


def best_of_regime_1(directory: Path) -> dict[str, Any]:
    """Regime I's best hyperparameters, from its project folder.

    Raises:
        SearchError: where no trial of it has completed, or trials are still open.
    """
    if not (directory / REGIME_1 / RUN_FILE).is_file():
        raise SearchError(
            f"Regime I has not been run in {directory}; run it first, or give batch size and "
            "dropout rate"
        )
    project = read_project(directory / REGIME_1)
    best = project.best
    if best is None:
        raise SearchError(
            f"{project.folder} has no completed trial; run Regime I first, or give batch size and "
            "dropout rate"
        )
    open_trials = [trial.trial for trial in project.trials if not trial.has_ended]
    if open_trials or len(project.trials) < project.run["num_trials"]:
        raise SearchError(
            f"{project.folder} has {len(project.trials) - len(open_trials)} of "
            f"{project.run['num_trials']} trials; finish Regime I first, or give batch size and "
            "dropout rate"
        )
    return best.values


def as_begun(protocol: Protocol, begun: Mapping[str, Any] | None) -> Protocol:
    """The protocol, with its range of batch sizes as it is where a search was begun like that.

    Searches that were begun by earlier versions drew from the range as it was.

    Args:
        protocol: what is asked for now.
        begun: the record of the search that is resumed, or None.
    """
    if begun is None or begun.get("fit_batch_sizes", False):
        return protocol
    recorded = begun.get("protocol")
    if not isinstance(recorded, dict):
        return protocol
    if recorded.get("batch_size_range") != list(protocol.batch_size_range):
        return protocol
    return replace(protocol, fit_batch_sizes=False)


def fitting(protocol: Protocol) -> dict[str, Any]:
    """What a search that draws batch sizes records beside its protocol.

    Nothing where the range is drawn from as it is, so that the records of earlier versions stay
    those of the same search.
    """
    return {"fit_batch_sizes": True} if protocol.fit_batch_sizes else {}


def recorded_protocol(protocol: Protocol) -> dict[str, Any]:
    """The choices that a search is compared by when it is resumed.

    The number of trials may grow, and what baselines, final model and outer folds do, or how
    predictions are judged, is no part of a search. Whether batch sizes were fitted is recorded
    where they are drawn; see `fitting`.
    """
    values = protocol.to_json()
    return {name: values[name] for name in protocol.compared_by(*SEARCHES)}


def _choose(protocol: Protocol | None, **changes: Any) -> Protocol:
    given = {name: value for name, value in changes.items() if value is not None}
    return (protocol or Protocol.study()).with_choices(**given)


def _objective(protocol: Protocol) -> keras_tuner.Objective:
    return keras_tuner.Objective(protocol.objective, "max")


def _search(
    name: str,
    oracle: ResumableOracle,
    space: SearchSpace,
    development: Development,
    directory: Path,
    protocol: Protocol,
    *,
    folds: Folds | None,
    cache: str | Path | None,
    progress: Progress | None,
    about: Mapping[str, Any] | None = None,
) -> CrossValidationTuner:
    # The tuner would say so too, but only once it had made a folder.
    require_development(development)
    tuner = CrossValidationTuner(
        TransferLearningHyperModel.from_protocol(protocol, space),
        oracle,
        cv=folds_asked_for(development, protocol, protocol.num_folds) if folds is None else folds,
        seed=protocol.seed,
        directory=directory,
        project_name=name,
        score_epoch=protocol.score_epoch,
        progress=progress,
    )
    recorded = {"protocol": recorded_protocol(protocol)} | dict(about or {})
    tuner.search(development, epochs=protocol.epochs, cache=cache, about=recorded)
    return tuner
