"""The commands `prepare`, `baselines` and `final`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.option_values import FirstModels
from rust_tuner.cli.options import (
    NumFolds,
    Preparing,
    RadImageNet,
    Running,
    Searching,
    StudyDirectory,
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

if TYPE_CHECKING:
    from rust_tuner.study import Study


@with_options
def prepare(study: StudyDirectory, *, folds: NumFolds = None, preparing: Preparing) -> None:
    """Check the manifest and all images, and seal the hold-out set.

    The options given here apply to the whole study.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(study, **vars(preparing), num_folds=folds)
        development = opened.prepare()
        patients = len(set(development.radiographs.patient_ids))
        say(
            f"{study} is prepared: {len(development)} radiographs of {patients} patients for "
            "development; the rest is sealed"
        )
        say_next_step(study, after="prepare")


@with_options
def baselines(
    study: StudyDirectory,
    *,
    model: Annotated[
        list[FirstModels] | None,
        typer.Option(
            metavar="MODEL",
            help="One of lenet1998, inceptionv3_end2end, inceptionv3_radimagenet and "
            "inceptionv3_imagenet; can be repeated.  [default: all]",
        ),
    ] = None,
    radimagenet_weights: RadImageNet = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", min=2, metavar="N", help="Number of folds of each model.  [default: 10]"
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Number of epochs of a fold.  [default: 50]"),
    ] = None,
    preparing: Preparing,
    running: Searching,
) -> None:
    """Cross-validate the study's first models.

    These are LeNet, InceptionV3 trained end to end, and InceptionV3 frozen with pretrained weights.
    Prepares the study first if needed. If interrupted, run the same command again to resume.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study, **vars(preparing), **vars(running), baseline_folds=folds, baseline_epochs=epochs
        )
        models = None if model is None else [item.value for item in model]
        with ending_in_time(study, running.time_budget, lambda: _show_baselines(opened, models)):
            run_baselines(opened, models, radimagenet_weights)
            say_next_step(study, after="baselines")


@with_options
def final(
    study: StudyDirectory,
    *,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", min=2, metavar="N", help="Folds of the cross-validation.  [default: 10]"
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Epochs of each fold, and at most of the refit.  [default: 40]"
        ),
    ] = None,
    look_again: Annotated[
        str | None,
        typer.Option(
            metavar="REASON",
            help="Look at the hold-out set once more; the reason is shown with the figures.",
        ),
    ] = None,
    running: Running,
) -> None:
    """Fit the tuned model, and look at the hold-out set once.

    Cross-validates the model first, which decides for how many epochs it is fitted on all
    development data. The look is recorded in study.json before it is made. Run the same command
    again to show the figures with their date; another look needs --look-again and a reason.
    """
    with reporting():
        refuse_unprepared(study)
        opened = open_study(study, **vars(running), final_folds=folds, final_epochs=epochs)
        run_final(opened, look_again)
        say_next_step(study, after="final")


def run_baselines(
    study: "Study", models: Sequence[str] | None, radimagenet_weights: Path | None
) -> None:
    """Train the first models and print their table."""
    from rust_tuner.records.baselines import IMAGENET, available_baselines
    from rust_tuner.terminal.searches import baselines_table

    has_radimagenet = radimagenet_weights is not None
    weights = study.protocol.weights
    if IMAGENET in (models or available_baselines(weights, has_radimagenet=has_radimagenet)):
        fetch_weights("imagenet", study.directory)
    results = study.baselines(models or None, radimagenet_weights)
    out.print(baselines_table(results, study.protocol.objective))


def run_final(study: "Study", look_again: str | None = None) -> None:
    """Fit the tuned model, look at the hold-out set, and print its figures."""
    from rust_tuner.analysis.against_view import holdout_standings
    from rust_tuner.analysis.study_figures import holdout_figures
    from rust_tuner.records.folder import read_study
    from rust_tuner.records.looks import count_text
    from rust_tuner.terminal.holdout import holdout_table

    holdout = study.final(look_again)
    looks = study.looks
    records = read_study(study.directory)
    figures = holdout_figures(records)
    out.print(holdout_table(holdout, looks, holdout_standings(records), figures=figures))
    say(f"evaluated on {holdout.date}; hold-out set {count_text(looks)}")


def _show_baselines(study: "Study", models: Sequence[str] | None) -> None:
    """Show the first models that are there, and what is left of each."""
    from rust_tuner.records.baselines import BASELINES, BASELINES_FOLDER, baseline_results
    from rust_tuner.terminal.searches import baselines_table

    folder = study.directory / BASELINES_FOLDER
    if folder.is_dir():
        out.print(baselines_table(baseline_results(study.directory), study.protocol.objective))
    for name in models or BASELINES:
        if (folder / name).is_dir():
            say_left_of_search(folder / name, name)
