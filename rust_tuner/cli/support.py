"""What the commands of `rust-tuner` share: opening a study, the terminal, starting TensorFlow."""

import contextlib
import enum
import io
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rust_tuner.cli.consoles import err as err
from rust_tuner.cli.consoles import errors
from rust_tuner.cli.consoles import out as out
from rust_tuner.cli.early import refuse_wrong_choices, refuse_wrong_paths
from rust_tuner.cli.exit_codes import ExitCode
from rust_tuner.cli.logged_progress import LoggedProgress
from rust_tuner.cli.option_values import Choices, Views
from rust_tuner.cli.run_log import log_failure, log_note
from rust_tuner.cli.shown_text import SHOW_VALUES, is_in_data, shown, shown_error
from rust_tuner.cli.verbosity import is_verbose
from rust_tuner.console_progress import ConsoleProgress, print_note
from rust_tuner.errors import ProtocolError, RustTunerError, SearchError, TimeBudgetError
from rust_tuner.interrupts import (
    Terminated,
    ignoring_interrupts,
    remembering_interrupts,
    within_time_budget,
)
from rust_tuner.progress import Progress, duration

if TYPE_CHECKING:
    from rust_tuner.study import Study

# The choices that are `--folds` in one command or another.
_NUM_FOLDS = {"num_folds", "baseline_folds", "final_folds"}
# Choices whose option has another name.
_OPTIONS = {
    **dict.fromkeys(_NUM_FOLDS, "--folds"),
    **dict.fromkeys(("baseline_epochs", "final_epochs"), "--epochs"),
    "batch_size_range": "--batch-sizes",
    "dropout_rate_range": "--dropout-rates",
    "view_cortices": "--views",
}


def open_study(
    directory: Path,
    manifest: Path | None = None,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    tensorboard: bool = False,
    time_budget: float | None = None,
    distinct_patients: bool = False,
    plain_ids: bool = False,
    protocol: Choices | None = None,
    views: Views | None = None,
    workers: str | None = None,
    slurm: Sequence[str] | None = None,
    **choices: Any,
) -> "Study":
    """Open a study with the options that the user gave; None if an option was not given.

    The time budget belongs to `ending_in_time`; it is accepted here with the other options.
    """
    progress = LoggedProgress(progress or ConsoleProgress(err), directory)
    if tensorboard:
        from rust_tuner.tensorboard.logs import TensorBoardLogs

        progress = TensorBoardLogs(directory, progress)
    from rust_tuner.search.executors.workers import asked_workers

    try:
        asked = asked_workers(workers, slurm or ())
    except SearchError as error:
        hint = "--slurm" if slurm else "--workers"
        raise typer.BadParameter(str(error), param_hint=hint) from error

    given = {
        name: value.value if isinstance(value, enum.Enum) else value
        for name, value in choices.items()
        if value is not None
    }
    refuse_wrong_paths(directory, manifest, weights=given.get("weights"), cache=cache)
    if protocol is not None:
        given = _preset(protocol) | given
    if views is not None:
        given["view_cortices"] = view_cortices(views)
    try:
        refuse_wrong_choices(given)
    except ProtocolError as error:
        if error.field not in given:
            raise
        raise typer.BadParameter(str(error), param_hint=_option_of(error.field)) from error
    from rust_tuner.study import Study

    study = Study(
        directory,
        manifest,
        choices=given,
        cache=cache,
        progress=progress,
        distinct_patients=distinct_patients,
        plain_ids=plain_ids,
        workers=asked,
    )
    # A scale sets them for studies that are divided by patient.
    if study.protocol.folds_by == "site" and "scale" not in given and _NUM_FOLDS & set(given):
        progress.say(
            "note: --folds has no effect in this study, where each fold leaves out one site "
            "(--folds-by site)"
        )
    return study


def _option_of(field: str) -> str:
    """The option of a command that sets a choice."""
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def _preset(choices: Choices) -> dict[str, Any]:
    """The choices in which the two presets differ; all others stay as prepared or as given."""
    from rust_tuner.protocol import Protocol

    study, clinical = Protocol.study().to_json(), Protocol.clinical().to_json()
    chosen = clinical if choices is Choices.clinical else study
    return {name: chosen[name] for name in study if study[name] != clinical[name]}


def view_cortices(views: Views) -> dict[str, tuple[str, ...]]:
    """The cortices that each view is expected to show."""
    from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS

    return dict(PUBLISHED_VIEWS if views is Views.published else ANATOMICAL_VIEWS)


def start_tensorflow() -> None:
    """Start TensorFlow as late as possible: its import takes several seconds."""
    from rust_tuner.models.runtime import start_backend

    start_backend()


def fetch_weights(weights: str, study: Path | None = None) -> None:
    """Download the weights if needed, with our own message in place of Keras's."""
    from rust_tuner.models.weights import find_local_weights

    if find_local_weights(weights) is not None:
        return
    from rust_tuner.locks import hold_lock

    note = _OneNote("downloading the ImageNet weights (84 MB, once)")
    with contextlib.ExitStack() as stack:
        if study is not None:
            stack.enter_context(hold_lock(study, "downloading the weights", noted=True))
        from rust_tuner.models.backbones import find_weights

        with contextlib.redirect_stdout(note):
            find_weights(weights)


class _OneNote(io.TextIOBase):
    """A stream that prints a note when something is first written to it."""

    def __init__(self, note: str) -> None:
        self._note: str | None = note

    def write(self, text: str) -> int:
        if self._note is not None:
            note, self._note = self._note, None
            say(note)
        return len(text)


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Turn expected errors, Ctrl-C and SIGTERM into a message and an exit code."""
    try:
        with remembering_interrupts():
            yield
    except (RustTunerError, OSError) as error:
        text, has_hidden = shown_error(error)
        # Where the fault is in the user's data, the place in the code says nothing more.
        if is_verbose() and not is_in_data(error):
            _complain(traceback.format_exc())
        _complain(f"error: {text}", style="red")
        if has_hidden:
            _complain(SHOW_VALUES)
        log_failure(error)
        raise typer.Exit(ExitCode.FAILED) from error
    except KeyboardInterrupt as interrupt:
        is_terminated = isinstance(interrupt, Terminated)
        what = "ended by SIGTERM" if is_terminated else "interrupted"
        # Whoever presses Ctrl-C several times still wants to know how to resume.
        with ignoring_interrupts():
            _complain(f"\n{what}; nothing finished is lost. To resume, run again:", style="yellow")
            _complain(f"  {shlex.join(['rust-tuner', *sys.argv[1:]])}")
        code = ExitCode.TERMINATED if is_terminated else ExitCode.INTERRUPTED
        raise typer.Exit(code) from None


def _complain(text: str, style: str | None = None) -> None:
    """Print what is shown even with `--quiet`."""
    errors.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def ending_in_time(study: Path, seconds: float | None, show: Callable[[], None]) -> Iterator[None]:
    """End the work of the block at a pause once its time is up, and report what is there.

    Args:
        study: the study's folder.
        seconds: the time budget; None sets no budget.
        show: shows what the block has so far, and what is left.
    """
    try:
        with within_time_budget(seconds):
            yield
    except TimeBudgetError:
        from rust_tuner.report.html import write_report

        show()
        say(f"report -> {write_report(study)}")
        say(f"the time budget of {duration(seconds or 0)} is spent; to resume, run again:")
        say_command(sys.argv[1:])


def say_left_of_search(folder: Path, name: str) -> None:
    """Say how many trials of a search are left, and about how long they take."""
    from rust_tuner.records.project import read_project
    from rust_tuner.records.run import RUN_FILE

    if not (folder / RUN_FILE).is_file():
        say(f"{name} has no trial yet; features that were extracted are kept")
        return
    project = read_project(folder)
    ended = [trial for trial in project.trials if trial.has_ended]
    left = project.run.num_trials - len(ended)
    seconds = sum(fold.seconds for trial in ended for fold in trial.folds)
    about = f", about {duration(seconds / len(ended) * left)}" if ended and seconds else ""
    say(f"{name}: {len(ended)} of {project.run.num_trials} trials done, {left} left{about}")


def say(text: str, style: str | None = None) -> None:
    """Print a note to standard error; standard output is for results."""
    print_note(err, shown(text), style)
    log_note(text)


def say_command(arguments: Sequence[str]) -> None:
    """Print a command on a line of its own, which can be copied."""
    command = shlex.join(["rust-tuner", *arguments])
    err.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def say_next_step(study: Path, *, after: str) -> None:
    """Name the command that usually follows in a study."""
    from rust_tuner.analysis.next_step import next_command

    say_next(next_command(study, after=after))


def say_next(command: str) -> None:
    """Name the command that usually follows."""
    # Not wrapped at words: a command is copied as one line.
    err.print(f"next: {command}", style="green", markup=False, highlight=False, soft_wrap=True)
