"""The study's two searches, with its ranges as defaults.

Regime I draws batch size and dropout rate at random, with Adam's default settings. Regime II is a
grid over Adam's learning rate and epsilon, at Regime I's best values.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras_tuner

from rust_tuner.data.folds import Folds, folds_asked_for, rows_trained_on
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import ProtocolError, SearchError
from rust_tuner.models.hypermodels import TransferLearningHyperModel
from rust_tuner.models.space import SearchSpace
from rust_tuner.models.weights import without_folder
from rust_tuner.progress import Progress
from rust_tuner.protocol import SEARCHES, Protocol
from rust_tuner.records.model import HyperValues, Json
from rust_tuner.records.nested import NestedManifest
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE, RunManifest, run_if_whole
from rust_tuner.search.executors.workers import Workers
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.random_search import RandomSearchOracle
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
    workers: int | str | Workers | None = None,
    executor: Any = None,
    say_batch_sizes: bool = True,
) -> CrossValidationTuner:
    """Regime I: random search over batch size and dropout rate, both linear.

    Call it again with the same arguments to resume. If a batch holds all radiographs that a fold
    trains on, an epoch is one step, and all such trials are alike. So where a fold trains on fewer
    than 2048 radiographs, the published range of batch sizes ends at their number and is drawn
    logarithmically.

    Args:
        development: the development set.
        directory: the study's folder; the project is its subfolder `regime_1`.
        trials: number of trials; the study's 100 where None.
        num_folds: folds of a trial; 6 where None.
        epochs: epochs of a fold; 20 where None.
        batch_size_range: 16 to 2048, or the part of it that fits, where None; a given range is
            never changed.
        dropout_rate_range: 0 to 0.5 where None.
        seed: decides everything; the protocol's where None.
        weights: `imagenet`, `random` or a path; the protocol's where None.
        protocol: the scientific choices; `Protocol.study()` where None. The arguments above
            replace its fields.
        folds: folds that were made before; made from the seed where None.
        cache: folder of the feature cache; the default one where None.
        progress: where to report; nowhere by default.
        workers: as `CrossValidationTuner.search`.
        executor: as `CrossValidationTuner.search`.
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
    # The tuner checks this too, but only once it has made a folder.
    require_development(development)
    begun = run_if_whole(Path(directory) / REGIME_1)
    chosen = as_begun(chosen, begun, progress)
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
        engine={"workers": workers, "executor": executor},
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
    workers: int | str | Workers | None = None,
    executor: Any = None,
) -> CrossValidationTuner:
    """Regime II: grid search over Adam's learning rate and epsilon.

    Call it again with the same arguments to resume.

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
        workers: as `CrossValidationTuner.search`.
        executor: as `CrossValidationTuner.search`.

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
        batch_size = int(best["batch_size"]) if batch_size is None else batch_size
        dropout_rate = float(best["dropout_rate"]) if dropout_rate is None else dropout_rate
    if batch_size < 1 or not 0 <= dropout_rate < 1:
        raise ProtocolError(
            f"batch_size={batch_size}, dropout_rate={dropout_rate}; expected a batch size from 1 "
            "and a dropout rate from 0 to below 1"
        )
    chosen = as_begun(chosen, run_if_whole(Path(directory) / REGIME_2), progress)
    space = SearchSpace(
        # NumPy's numbers, as in a results table, cannot be written as JSON.
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
        engine={"workers": workers, "executor": executor},
    )


def best_of_regime_1(directory: Path) -> HyperValues:
    """Regime I's best hyperparameters, from its project folder.

    Raises:
        SearchError: where none of its trials has completed, or some have not ended.
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
    if open_trials or len(project.trials) < project.run.num_trials:
        raise SearchError(
            f"{project.folder} has {len(project.trials) - len(open_trials)} of "
            f"{project.run.num_trials} trials; finish Regime I first, or give batch size and "
            "dropout rate"
        )
    return best.values


def as_begun(
    protocol: Protocol, begun: RunManifest | NestedManifest | None, progress: Progress | None = None
) -> Protocol:
    """The protocol, with what a search was begun with where that cannot change.

    Whether hopeless trials are stopped, and whether batch sizes are fitted: searches of earlier
    versions stopped none, and drew from the whole range.

    Args:
        protocol: the choices of this call.
        begun: the record of the search that is resumed, or None.
        progress: where a difference is reported; nowhere by default.
    """
    if begun is None:
        return protocol
    stops = begun.stop_hopeless is not None
    if stops != protocol.stop_hopeless:
        if progress is not None:
            how = "with" if stops else "without"
            progress.say(
                f"note: this search was begun {how} stopping hopeless trials, and continues so"
            )
        protocol = replace(protocol, stop_hopeless=stops)
    if begun.fit_batch_sizes or begun.protocol is None:
        return protocol
    if begun.protocol.get("batch_size_range") != list(protocol.batch_size_range):
        return protocol
    return replace(protocol, fit_batch_sizes=False)


def fitting(protocol: Protocol) -> Json:
    """What a search that draws batch sizes records in addition to its protocol.

    Nothing where the range is not fitted, so that searches of earlier versions can be resumed.
    """
    return {"fit_batch_sizes": True} if protocol.fit_batch_sizes else {}


def recorded_protocol(protocol: Protocol) -> Json:
    """The choices that a search is compared by when it is resumed.

    The number of trials is left out, since it may grow, and so are the choices of baselines, final
    model, outer folds and the judging of predictions, since no search depends on them. `fitting`
    records whether batch sizes were fitted.
    """
    values = protocol.to_json() | {"weights": without_folder(protocol.weights)}
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
    engine: Mapping[str, Any],
    about: Mapping[str, Any] | None = None,
) -> CrossValidationTuner:
    # The tuner checks this too, but only once it has made a folder.
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
    tuner.search(
        development,
        epochs=protocol.epochs,
        verbose=0,
        cache=cache,
        stop_hopeless=protocol.stop_hopeless,
        about=recorded,
        **engine,
    )
    return tuner
