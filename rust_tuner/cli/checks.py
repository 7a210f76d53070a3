"""The command that checks a study: `rust-tuner check`."""

from typing import Annotated

import typer

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.options import Cache, StudyDirectory
from rust_tuner.cli.support import open_study, out, reporting, say, say_next_step


def check(
    study: StudyDirectory,
    permutations: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Times the labels are shuffled; each takes as long as a trial.  [default: 10]",
        ),
    ] = None,
    cache: Cache = None,
) -> None:
    """Check a study for leakage, and its models for sanity.

    Gives a verdict for each check. On the data: patients on both sides of a split or with two ids,
    changed files, and the same picture or leg under two patients. On the models: whether the best
    trials beat chance and the view alone, and two trainings that must learn nothing from images, on
    shuffled labels and on the view alone. Before a search, only the data are checked. The exit code
    is 1 if a check fails. If interrupted, run the same command again to resume.
    """
    with reporting():
        refuse_unprepared(study)
        from rust_tuner.records.checks import CHECKS_FILE
        from rust_tuner.terminal.checks import verdict_lines
        from rust_tuner.terminal.wrapping import print_lines

        opened = open_study(study, None, cache=cache)
        record = opened.check(permutations)
        print_lines(out, verdict_lines(record))
        say(f"{record.in_words} -> {study / CHECKS_FILE}")
        say_next_step(study, after="check")
    if record.of("failed"):
        raise typer.Exit(1)
