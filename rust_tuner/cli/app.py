"""The `rust-tuner` command: parse, call, print. What it does is done by the rooms below."""

import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner import __version__
from rust_tuner.analysis.export import export_best_hyperparameters
from rust_tuner.cli.checks import check
from rust_tuner.cli.options import Cache, Views
from rust_tuner.cli.searches import nested, noise, regime1, regime2
from rust_tuner.cli.steps import baselines, final, prepare, whole_study
from rust_tuner.cli.support import (
    err,
    fetch_weights,
    out,
    reporting,
    say,
    say_next,
    start_tensorflow,
    view_cortices,
)
from rust_tuner.data.csv_output import csv_text
from rust_tuner.errors import ResumeError, WeightsError
from rust_tuner.files import write_text
from rust_tuner.progress import ConsoleProgress
from rust_tuner.protocol import Protocol
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.records.study_record import STUDY_FILE
from rust_tuner.study import Study
from rust_tuner.terminal.console import prepare_streams
from rust_tuner.terminal.searches import best_trials_table, predictions_table
from rust_tuner.terminal.status import status_lines

_DEMO_PATIENTS = 24
_DEMO_CHANGES: dict[str, Any] = {
    "num_folds": 3,
    "epochs": 5,
    "trials": 4,
    "batch_size_range": (8, 64),
    "fit_batch_sizes": True,
    "learning_rates": (1e-3, 1e-4),
    "epsilons": (1e-1, 1e-7),
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich would take "[default: ...]" for markup of its own and leave it out.
    rich_markup_mode=None,
    help=(
        "Cross-validated hyperparameter search for a frozen-InceptionV3 model that reads RUST "
        "scores from radiographs.\n\n"
        "New here: 'rust-tuner demo' runs everything on synthetic radiographs in a few minutes. "
        "With your own: study, or prepare, baselines, regime1, regime2, final and report one by "
        "one. A command that was interrupted goes on where it stopped when it is typed again.\n\n"
        "Research use only."
    ),
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit()


@app.command()
def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the demonstration is kept.")
    ] = Path("rust-tuner-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Decides every random choice.")] = 0,
    cache: Cache = None,
) -> None:
    """Run both regimes, scaled down, on synthetic radiographs.

    Takes a few minutes. Without a network it goes on with random weights, and says so.
    """
    with reporting():
        folder = directory / "study"
        # One that was begun says which kernels TensorFlow is started with.
        Study(folder)
        start_tensorflow()
        from rust_tuner.data.phantoms import write_phantoms

        weights = _demo_weights(folder)
        say(f"1. {_DEMO_PATIENTS} synthetic patients -> {directory / 'radiographs'}")
        manifest = write_phantoms(directory / "radiographs", patients=_DEMO_PATIENTS, seed=seed)
        protocol = Protocol.study(seed=seed, weights=weights, **_DEMO_CHANGES)
        study = Study(folder, manifest, protocol, cache=cache, progress=ConsoleProgress(err))
        say("2. Regime I: random search over batch size and dropout rate")
        study.regime_1()
        out.print(best_trials_table(read_project(folder / REGIME_1)))
        say("3. Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        study.regime_2()
        out.print(best_trials_table(read_project(folder / REGIME_2)))
        target = directory / "best_hyperparameters.json"
        export_best_hyperparameters(folder / REGIME_2, target)
        say(f"4. Best hyperparameters -> {target}")
        if weights == "random":
            say("These figures come from a random backbone: see above.", style="bold yellow")
        say_next(f"rust-tuner status {shlex.quote(str(folder))}")


@app.command()
def phantoms(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the radiographs.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    views: Annotated[
        Views, typer.Option(help="Which cortices the two views show.")
    ] = Views.anatomical,
    sites: Annotated[int, typer.Option(min=1, help="How many sites the patients are of.")] = 1,
) -> None:
    """Make synthetic radiographs with known RUST scores.

    Their manifest is DIR/manifest.csv.
    """
    with reporting():
        from rust_tuner.data.phantoms import write_phantoms

        with ConsoleProgress(err).task("drawing", patients) as task:
            drawn = 0

            def advance(done: int, total: int) -> None:
                nonlocal drawn
                reached = done * patients // total
                task.advance(reached - drawn)
                drawn = reached

            manifest = write_phantoms(
                directory,
                patients=patients,
                seed=seed,
                view_cortices=view_cortices(views),
                sites=sites,
                on_progress=advance,
            )
        say(f"wrote {manifest}")
        say_next(f"rust-tuner prepare STUDY --manifest {shlex.quote(str(manifest))}")


app.command()(prepare)
app.command()(baselines)
app.command()(regime1)
app.command()(regime2)
app.command()(nested)
app.command()(noise)
app.command()(check)
app.command()(final)
app.command("study")(whole_study)


@app.command()
def status(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Show how far a study is, and its best so far.

    Also while a search runs, and for a damaged folder.
    """
    with reporting():
        for line in status_lines(study):
            out.print(line, highlight=False, soft_wrap=True)


@app.command()
def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a project folder.")],
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="Ends in .json, .yaml, .yml or .csv.")
    ],
) -> None:
    """Write the best hyperparameters to a file.

    Regime II's where there are any, else Regime I's.
    """
    with reporting():
        best = export_best_hyperparameters(_project_folder(study), path)
        told = f"{best['objective']} {best['score']:.4f}, a selection score"
        say(f"trial {best['trial']}: {told} -> {path}")


@app.command()
def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Draw tables, figures and the HTML report from what is there.

    Also for a study that is not finished.
    """
    with reporting():
        from rust_tuner.report.html import write_report

        # Not through `Study`, which does not open a damaged one.
        say(f"report -> {write_report(study)}")


@app.command()
def tensorboard(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a project folder.")],
) -> None:
    """Write TensorBoard logs of the searches that are there.

    Also while one runs; a search that is started with --tensorboard keeps its logs by itself.
    """
    with reporting():
        from rust_tuner.tensorboard.logs import write_logs

        logs = write_logs(study)
        say(f"logs -> {logs}")
        say_next(f"tensorboard --logdir {shlex.quote(str(logs))}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="model.keras of a study.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG or JPEG.")],
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs", help="Each two images are the views of one visit; adds its RUST total."
        ),
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all probabilities to this file.")] = None,
) -> None:
    """Read RUST scores from radiographs by a final model.

    Research use only; not a medical device.
    """
    with reporting():
        start_tensorflow()
        from rust_tuner.steps.predict import NOTICE, predict_radiographs

        found = predict_radiographs(model, images, pairs=pairs)
        if csv is not None:
            write_text(csv, csv_text(found))
            say(f"{len(found)} images -> {csv}")
        else:
            out.print(predictions_table(found))
        say(NOTICE, style="yellow")


def main() -> None:
    """Run the command."""
    prepare_streams()
    app()


def _project_folder(folder: Path) -> Path:
    if (folder / RUN_FILE).is_file():
        return folder
    for regime in (REGIME_2, REGIME_1):
        project = folder / regime
        if (project / RUN_FILE).is_file() and read_project(project).best is not None:
            return project
    raise ResumeError(
        f"{folder} holds no search with a completed trial; run regime1 or regime2 first"
    )


def _demo_weights(folder: Path) -> str:
    """ImageNet weights where they can be had; without them the demonstration goes on, aloud."""
    from rust_tuner.models.weights import WEIGHTS_VARIABLE

    # One that was interrupted goes on with the weights that it began with.
    begun = Study(folder).protocol.weights if (folder / STUDY_FILE).exists() else None
    if begun == "random":
        say("This demonstration was begun without pretrained weights.", style="yellow")
    else:
        try:
            fetch_weights("imagenet")
            return "imagenet"
        except WeightsError as refusal:
            # A file that the user named and that will not do is no reason to take something else.
            if begun is not None or os.environ.get(WEIGHTS_VARIABLE):
                raise
            reason = _download_reason(refusal)
            say(f"The ImageNet weights could not be downloaded: {reason}.", style="yellow")
    say(
        "THE DEMONSTRATION GOES ON WITH A RANDOM BACKBONE. Its features have learned nothing, so "
        "expect figures near chance (0.5 for cortices); they show how the program works and say "
        "nothing about radiographs. With pretrained weights: run it in another folder, and where "
        "they cannot be downloaded, name a file of InceptionV3 weights without top in "
        f"{WEIGHTS_VARIABLE}.",
        style="bold yellow",
    )
    return "random"


def _download_reason(refusal: WeightsError) -> str:
    """The last of Keras's words, which is the reason, without address and number."""
    told = str(refusal.__cause__ or refusal).rpartition(" -- ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", told)
