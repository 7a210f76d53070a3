"""The commands that search: Regime I, Regime II, both nested, and the noise floor of the best."""

import shlex
from typing import Annotated

import typer

from rust_tuner.cli.options import (
    Cache,
    Epochs,
    Grid,
    NumFolds,
    Preparing,
    Ranges,
    Running,
    StudyDirectory,
    Trials,
    with_options,
)
from rust_tuner.cli.support import (
    fetch_weights,
    open_study,
    out,
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


@with_options
def regime1(
    study: StudyDirectory,
    *,
    trials: Trials = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    ranges: Ranges,
    preparing: Preparing,
    running: Running,
) -> None:
    """Regime I: random search over batch size and dropout rate.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            **vars(preparing),
            **vars(running),
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            **ranges.choices,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_1()
        out.print(best_trials_table(read_project(study / REGIME_1)))
        say_next(f"rust-tuner regime2 {shlex.quote(str(study))}")


@with_options
def regime2(
    study: StudyDirectory,
    *,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fixed; Regime I's best where not given.")
    ] = None,
    dropout_rate: Annotated[
        float | None, typer.Option(help="Fixed; Regime I's best where not given.")
    ] = None,
    grid: Grid,
    folds: NumFolds = None,
    epochs: Epochs = None,
    preparing: Preparing,
    running: Running,
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
            **vars(preparing),
            **vars(running),
            num_folds=folds,
            epochs=epochs,
            **grid.choices,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_2(batch_size, dropout_rate)
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say_next(f"rust-tuner export {shlex.quote(str(study))} best.json")


@with_options
def nested(
    study: StudyDirectory,
    *,
    outer_folds: Annotated[
        int | None,
        typer.Option(min=2, help="Each holds both searches.  [default: 5]"),
    ] = None,
    trials: Trials = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Inner folds of a trial.  [default: 6]")
    ] = None,
    epochs: Epochs = None,
    ranges: Ranges,
    grid: Grid,
    preparing: Preparing,
    running: Running,
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
            **vars(preparing),
            **vars(running),
            outer_folds=outer_folds,
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            **ranges.choices,
            **grid.choices,
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
        opened = open_study(study, cache=cache)
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
