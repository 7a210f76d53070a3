"""The commands that search: Regime I, Regime II, both nested, and the noise floor of the best."""

import shlex
from typing import Annotated

import typer

from rust_tuner.cli.options import (
    BatchSizes,
    Cache,
    DistinctPatients,
    DropoutRates,
    Epochs,
    Epsilons,
    FoldsByOption,
    Holdout,
    ImageSize,
    LearningRates,
    Manifest,
    NumFolds,
    PrecisionOption,
    ProtocolOption,
    Seed,
    StudyDirectory,
    TensorBoard,
    Trials,
    UnionThreshold,
    ViewsOption,
    Weights,
)
from rust_tuner.cli.support import (
    fetch_weights,
    open_study,
    out,
    parse_batch_sizes,
    parse_numbers,
    reporting,
    say_next,
    start_tensorflow,
)
from rust_tuner.records.nested import NESTED, read_nested
from rust_tuner.records.noise import NOISE
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.steps.noise import as_searched, best_project
from rust_tuner.steps.plan import plan_nested, plan_noise
from rust_tuner.terminal.repeats import nested_table, noise_table
from rust_tuner.terminal.searches import (
    best_trials_table,
    plan_table,
)


def regime1(
    study: StudyDirectory,
    manifest: Manifest = None,
    distinct_patients: DistinctPatients = False,
    trials: Trials = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    batch_sizes: BatchSizes = None,
    dropout_rates: DropoutRates = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Regime I: random search over batch size and dropout rate.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            distinct_patients=distinct_patients,
            cache=cache,
            tensorboard=tensorboard,
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            batch_size_range=parse_batch_sizes(batch_sizes),
            dropout_rate_range=parse_numbers("--dropout-rates", dropout_rates, float, count=2),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=precision,
            folds_by=folds_by,
            union_threshold=union_threshold,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_1()
        out.print(best_trials_table(read_project(study / REGIME_1)))
        say_next(f"rust-tuner regime2 {shlex.quote(str(study))}")


def regime2(
    study: StudyDirectory,
    manifest: Manifest = None,
    distinct_patients: DistinctPatients = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fixed; Regime I's best where not given.")
    ] = None,
    dropout_rate: Annotated[
        float | None, typer.Option(help="Fixed; Regime I's best where not given.")
    ] = None,
    learning_rates: LearningRates = None,
    epsilons: Epsilons = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Regime II: grid search over Adam's learning rate and epsilon.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    if dropout_rate is not None and not 0 <= dropout_rate < 1:
        raise typer.BadParameter(
            f"{dropout_rate}; expected a number from 0 to below 1", param_hint="--dropout-rate"
        )
    with reporting():
        opened = open_study(
            study,
            manifest,
            distinct_patients=distinct_patients,
            cache=cache,
            tensorboard=tensorboard,
            num_folds=folds,
            epochs=epochs,
            learning_rates=parse_numbers("--learning-rates", learning_rates, float),
            epsilons=parse_numbers("--epsilons", epsilons, float),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=precision,
            folds_by=folds_by,
            union_threshold=union_threshold,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_2(batch_size, dropout_rate)
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say_next(f"rust-tuner export {shlex.quote(str(study))} best.json")


def nested(
    study: StudyDirectory,
    manifest: Manifest = None,
    distinct_patients: DistinctPatients = False,
    outer_folds: Annotated[
        int | None,
        typer.Option(min=2, help="Each holds both searches.  [default: 5]"),
    ] = None,
    trials: Trials = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Inner folds of a trial.  [default: 6]")
    ] = None,
    epochs: Epochs = None,
    batch_sizes: BatchSizes = None,
    dropout_rates: DropoutRates = None,
    learning_rates: LearningRates = None,
    epsilons: Epsilons = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    cache: Cache = None,
) -> None:
    """Nested cross-validation: selection score against estimate.

    Both regimes inside every outer fold of the development set, on its training patients alone.
    What they promise is a selection score; what they choose is scored once on the fold's own
    patients: an estimate. What lies between is the optimism of the search. Choices that are not
    given are those of the study's own searches, where they have been run. Interrupted, it goes on
    where it stopped when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            distinct_patients=distinct_patients,
            cache=cache,
            outer_folds=outer_folds,
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            batch_size_range=parse_batch_sizes(batch_sizes),
            dropout_rate_range=parse_numbers("--dropout-rates", dropout_rates, float, count=2),
            learning_rates=parse_numbers("--learning-rates", learning_rates, float),
            epsilons=parse_numbers("--epsilons", epsilons, float),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=precision,
        )
        sites = opened.count_sites()
        planned = plan_nested(
            opened.protocol_of(NESTED), opened.count_radiographs(), num_sites=sites
        )
        out.print(plan_table(planned))
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.nested()
        out.print(nested_table(read_nested(study / NESTED)))
        say_next(f"rust-tuner report {shlex.quote(str(study))}")


def noise(
    study: StudyDirectory,
    repeats: Annotated[
        int | None,
        typer.Option(min=2, help="How many of each kind; may grow later.  [default: 10]"),
    ] = None,
    cache: Cache = None,
) -> None:
    """Noise floor: repeat the best configuration of the searches.

    Under other seeds on the same folds, and under other assignments of the patients to folds. What
    its score then varies by is what a difference has to exceed. Interrupted, it goes on where it
    stopped when it is typed again.
    """
    with reporting():
        opened = open_study(study, None, cache=cache)
        steps = plan_noise(
            as_searched(opened.protocol_of(NOISE), best_project(study)),
            opened.count_radiographs(),
            opened.begun_repeats() if repeats is None else repeats,
            num_sites=opened.count_sites(),
        )
        out.print(plan_table(steps))
        start_tensorflow()
        fetch_weights(opened.protocol.weights)
        out.print(noise_table(opened.noise(repeats)))
        say_next(f"rust-tuner report {shlex.quote(str(study))}")
