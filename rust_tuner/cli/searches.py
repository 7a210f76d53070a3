"""The commands for the searches, nested cross-validation and the noise floor."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.options import (
    Cache,
    Epochs,
    Grid,
    NumFolds,
    Preparing,
    Ranges,
    StudyDirectory,
    TimeBudget,
    Trials,
    Tuning,
    TuningInWorkers,
)
from rust_tuner.cli.support import (
    ending_in_time,
    fetch_weights,
    open_study,
    out,
    reporting,
    say,
    say_left_of_search,
    say_next_step,
)
from rust_tuner.cli.with_options import with_options
from rust_tuner.errors import RustTunerError

if TYPE_CHECKING:
    from rich.text import Text


@with_options
def regime1(
    study: StudyDirectory,
    *,
    trials: Trials = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    ranges: Ranges,
    preparing: Preparing,
    running: TuningInWorkers,
) -> None:
    """Regime I: random search over batch size and dropout rate.

    Prepares the study first if needed. If interrupted, run the same command again to resume.
    """
    with reporting():
        choices = ranges.choices
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study,
            **vars(preparing),
            **vars(running),
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            **choices,
        )
        with _ending_search(study, "regime_1", running.time_budget):
            opened.prepare()
            fetch_weights(opened.protocol.weights, study)
            opened.regime_1()
            _print_trials(study / "regime_1")
            say_next_step(study, after="regime1")


@with_options
def regime2(
    study: StudyDirectory,
    *,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fixed batch size.  [default: Regime I's best]"),
    ] = None,
    dropout_rate: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Fixed dropout rate.  [default: Regime I's best]"),
    ] = None,
    grid: Grid,
    folds: NumFolds = None,
    epochs: Epochs = None,
    preparing: Preparing,
    running: TuningInWorkers,
) -> None:
    """Regime II: grid search over Adam's learning rate and epsilon.

    Prepares the study first if needed. If interrupted, run the same command again to resume.
    """
    if dropout_rate is not None and not 0 <= dropout_rate < 1:
        raise typer.BadParameter(
            f"{dropout_rate}; expected a number from 0 to below 1", param_hint="--dropout-rate"
        )
    with reporting():
        choices = grid.choices
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study, **vars(preparing), **vars(running), num_folds=folds, epochs=epochs, **choices
        )
        with _ending_search(study, "regime_2", running.time_budget):
            opened.prepare()
            fetch_weights(opened.protocol.weights, study)
            opened.regime_2(batch_size, dropout_rate)
            _print_trials(study / "regime_2")
            say_next_step(study, after="regime2")


@with_options
def nested(
    study: StudyDirectory,
    *,
    outer_folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="N",
            help="Number of outer folds; both searches run in each.  [default: 5]",
        ),
    ] = None,
    trials: Trials = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, metavar="N", help="Inner folds of a trial.  [default: 6]"),
    ] = None,
    epochs: Epochs = None,
    ranges: Ranges,
    grid: Grid,
    preparing: Preparing,
    running: Tuning,
) -> None:
    """Nested cross-validation: selection score against estimate.

    Runs both regimes inside each outer fold of the development set, on its training patients only.
    Their best score is a selection score. The chosen configuration is scored once on the patients
    that the outer fold left out, which gives an estimate. The difference is the optimism of the
    search. Options that are not given are taken from the study's searches, if they have been run.
    If interrupted, run the same command again to resume.
    """
    with reporting():
        choices = ranges.choices | grid.choices
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study,
            **vars(preparing),
            **vars(running),
            outer_folds=outer_folds,
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            **choices,
        )
        from rust_tuner.records.nested import NESTED, read_nested
        from rust_tuner.steps.plan import plan_nested
        from rust_tuner.terminal.repeats import nested_table
        from rust_tuner.terminal.searches import plan_table
        from rust_tuner.terminal.status_repeats import nested_lines

        sites = opened.count_sites()
        planned = plan_nested(
            opened.protocol_of(NESTED), opened.count_radiographs(), num_sites=sites
        )
        out.print(plan_table(planned))
        with ending_in_time(
            study, running.time_budget, lambda: _say_lines(study / NESTED, nested_lines)
        ):
            opened.prepare()
            fetch_weights(opened.protocol.weights, study)
            opened.nested()
            out.print(nested_table(read_nested(study / NESTED)))
            say_next_step(study, after="nested")


def noise(
    study: StudyDirectory,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=2, metavar="N", help="Repeats of each kind; can be increased later.  [default: 10]"
        ),
    ] = None,
    cache: Cache = None,
    time_budget: TimeBudget = None,
) -> None:
    """Noise floor: repeat the best configuration of the searches.

    Repeats it with other seeds on the same folds, and with other assignments of patients to folds.
    A difference between scores means something only if it exceeds the variation of these repeats.
    If interrupted, run the same command again to resume.
    """
    with reporting():
        refuse_unprepared(study)
        opened = open_study(study, cache=cache)
        from rust_tuner.records.noise import NOISE
        from rust_tuner.steps.noise import as_searched, best_project
        from rust_tuner.steps.plan import plan_noise
        from rust_tuner.terminal.repeats import noise_table
        from rust_tuner.terminal.searches import plan_table
        from rust_tuner.terminal.status_repeats import noise_lines

        steps = plan_noise(
            as_searched(opened.protocol_of(NOISE), best_project(study)),
            opened.count_radiographs(),
            opened.begun_repeats() if repeats is None else repeats,
            num_sites=opened.count_sites(),
        )
        out.print(plan_table(steps))
        with ending_in_time(study, time_budget, lambda: _say_lines(study / NOISE, noise_lines)):
            fetch_weights(opened.protocol.weights, study)
            out.print(noise_table(opened.noise(repeats)))
            say_next_step(study, after="noise")


@contextlib.contextmanager
def _ending_search(study: Path, regime: str, time_budget: float | None) -> Iterator[None]:
    """End a search at a pause once its time is up, and show the trials that it has."""

    def show() -> None:
        from rust_tuner.analysis.verdict import SEARCH_NAMES
        from rust_tuner.records.project import read_project
        from rust_tuner.records.run import RUN_FILE

        folder = study / regime
        if (folder / RUN_FILE).is_file() and read_project(folder).best is not None:
            _print_trials(folder)
        say_left_of_search(folder, SEARCH_NAMES[regime])

    with ending_in_time(study, time_budget, show):
        yield


def _print_trials(folder: Path) -> None:
    from rust_tuner.records.project import read_project
    from rust_tuner.terminal.searches import best_trials_table

    out.print(best_trials_table(read_project(folder)))


def _say_lines(folder: Path, lines: "Callable[[Path], Iterable[Text]]") -> None:
    # Time may be up before the first record is written.
    with contextlib.suppress(RustTunerError, OSError):
        for line in lines(folder):
            say(str(line))
