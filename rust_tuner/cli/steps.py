"""The commands `prepare`, `baselines` and `final`, and `study`, which runs all steps in order."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rust_tuner.cli.early import refuse_unprepared
from rust_tuner.cli.options import (
    FirstModels,
    Preparing,
    RadImageNet,
    Running,
    Scale,
    Scales,
    StudyDirectory,
    with_options,
)
from rust_tuner.cli.support import (
    fetch_weights,
    open_study,
    out,
    reporting,
    say,
    say_next,
)

if TYPE_CHECKING:
    from rust_tuner.protocol import Protocol
    from rust_tuner.study import Study


@with_options
def prepare(
    study: StudyDirectory,
    *,
    preparing: Preparing,
) -> None:
    """Check the manifest and every image, and seal the hold-out set.

    The options given here hold for the whole study.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study,
            **vars(preparing),
        )
        development = opened.prepare()
        patients = len(set(development.radiographs.patient_ids))
        say(
            f"{study} is prepared: {len(development)} radiographs of {patients} patients for "
            "development; the rest is sealed"
        )
        say_next(f"rust-tuner regime1 {shlex.quote(str(study))}")


@with_options
def baselines(
    study: StudyDirectory,
    *,
    model: Annotated[
        list[FirstModels] | None,
        typer.Option(help="Can be repeated.  [default: all]"),
    ] = None,
    radimagenet_weights: RadImageNet = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Number of folds of each model.  [default: 10]"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs of a fold.  [default: 50]")
    ] = None,
    preparing: Preparing,
    running: Running,
) -> None:
    """Cross-validate the study's first models.

    These are LeNet, InceptionV3 trained end to end, and InceptionV3 frozen with pretrained weights.
    Prepares the study first if needed. If interrupted, run the same command again to resume.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        opened = open_study(
            study,
            **vars(preparing),
            **vars(running),
            baseline_folds=folds,
            baseline_epochs=epochs,
        )
        models = None if model is None else [item.value for item in model]
        _run_baselines(opened, models, radimagenet_weights)
        say_next(f"rust-tuner regime1 {shlex.quote(str(study))}")


@with_options
def final(
    study: StudyDirectory,
    *,
    folds: Annotated[
        int | None,
        typer.Option("--folds", min=2, help="Folds of the cross-validation.  [default: 10]"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs of each fold, and at most of the refit.  [default: 40]"),
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
        opened = open_study(
            study,
            **vars(running),
            final_folds=folds,
            final_epochs=epochs,
        )
        _run_final(opened, look_again)
        say_next(f"rust-tuner report {shlex.quote(str(study))}")


@with_options
def whole_study(
    study: StudyDirectory,
    *,
    scale: Scale = None,
    radimagenet_weights: RadImageNet = None,
    preparing: Preparing,
    running: Running,
) -> None:
    """Run all steps in order, from prepare to report.

    Prints the plan first, and about how long it takes. Finished steps are skipped. If interrupted,
    run the same command again to resume.
    """
    with reporting():
        refuse_unprepared(study, preparing.manifest)
        from rust_tuner.protocol import Protocol
        from rust_tuner.records.baselines import available_baselines
        from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
        from rust_tuner.records.study_record import STUDY_FILE

        given = {name: value for name, value in vars(preparing).items() if value is not None}
        # A scale is chosen when a study is prepared; its steps may have been started otherwise.
        scaled = _scaled(scale)
        if (study / STUDY_FILE).exists():
            scaled = {
                name: value for name, value in scaled.items() if name not in Protocol.varying()
            }
        opened = open_study(study, **vars(running), **(scaled | given))
        from rust_tuner.steps.plan import plan_study
        from rust_tuner.terminal.searches import best_trials_table, plan_table

        models = available_baselines(
            opened.protocol.weights, has_radimagenet=radimagenet_weights is not None
        )
        planned = plan_study(
            _planned_protocol(opened),
            opened.count_radiographs(),
            models,
            num_sites=opened.count_sites(),
        )
        out.print(plan_table(planned))
        _run_baselines(opened, None, radimagenet_weights)
        say("Regime I: random search over batch size and dropout rate")
        opened.regime_1()
        out.print(best_trials_table(read_project(study / REGIME_1)))
        say("Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        opened.regime_2()
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say("the tuned model")
        _run_final(opened)
        say(f"report -> {opened.report()}")
        say_next(f"rust-tuner status {shlex.quote(str(study))}")


def _run_baselines(
    study: "Study", models: Sequence[str] | None, radimagenet_weights: Path | None
) -> None:
    from rust_tuner.records.baselines import IMAGENET, available_baselines
    from rust_tuner.terminal.searches import baselines_table

    study.prepare()
    has_radimagenet = radimagenet_weights is not None
    weights = study.protocol.weights
    if IMAGENET in (models or available_baselines(weights, has_radimagenet=has_radimagenet)):
        fetch_weights("imagenet", study.directory)
    say("first models")
    results = study.baselines(models or None, radimagenet_weights)
    out.print(baselines_table(results, study.protocol.objective))


def _run_final(study: "Study", look_again: str | None = None) -> None:
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


def _planned_protocol(study: "Study") -> "Protocol":
    """The choices of all steps of a study together, each as its step uses it."""
    from rust_tuner.protocol import Protocol
    from rust_tuner.records.baselines import BASELINES_FOLDER
    from rust_tuner.records.looks import FINAL
    from rust_tuner.records.project import REGIME_1

    return dataclasses.replace(
        study.protocol_of(REGIME_1),
        **{
            name: getattr(study.protocol_of(step), name)
            for step in (BASELINES_FOLDER, FINAL)
            for name in Protocol.own_to(step)
        },
    )


def _scaled(scale: Scales | None) -> dict[str, Any]:
    if scale is None:
        return {}
    from rust_tuner.protocol import SMALL_SCALE

    return dict(SMALL_SCALE) if scale is Scales.small else {"scale": "full"}
