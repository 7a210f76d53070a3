"""The `rust-tuner` command: it parses, calls the other packages and prints."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from rust_tuner import __version__
from rust_tuner.analysis.export import export_best_hyperparameters
from rust_tuner.cli.checks import check
from rust_tuner.cli.demo import demo
from rust_tuner.cli.manifest import manifest
from rust_tuner.cli.options import Views
from rust_tuner.cli.searches import nested, noise, regime1, regime2
from rust_tuner.cli.steps import baselines, final, prepare, whole_study
from rust_tuner.cli.support import (
    err,
    out,
    reporting,
    say,
    say_next,
    start_tensorflow,
    view_cortices,
)
from rust_tuner.data.csv_output import csv_text
from rust_tuner.errors import ResumeError
from rust_tuner.files import write_text
from rust_tuner.progress import ConsoleProgress
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE
from rust_tuner.terminal.console import prepare_streams
from rust_tuner.terminal.searches import predictions_table
from rust_tuner.terminal.status import status_lines

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Rich would read "[default: ...]" as markup and drop it.
    rich_markup_mode=None,
    help=(
        "Cross-validated hyperparameter search for a frozen-InceptionV3 model that reads RUST "
        "scores from radiographs.\n\n"
        "New here? 'rust-tuner demo' runs everything on synthetic radiographs in a few minutes. "
        "With your own radiographs, run study, or prepare, baselines, regime1, regime2, final and "
        "report one by one. If a command is interrupted, run the same command again to resume.\n\n"
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


app.command()(demo)


@app.command()
def phantoms(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the radiographs.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives identical files.")] = 0,
    views: Annotated[
        Views, typer.Option(help="Which cortices the two views show.")
    ] = Views.anatomical,
    sites: Annotated[int, typer.Option(min=1, help="Number of sites.")] = 1,
) -> None:
    """Make synthetic radiographs with known RUST scores.

    The manifest is written to DIR/manifest.csv.
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


app.command()(manifest)
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
    """Show how far a study is, and its best trial so far.

    Works while a search runs, and on a damaged folder.
    """
    with reporting():
        for line in status_lines(study):
            out.print(line, highlight=False, soft_wrap=True)


@app.command()
def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a search folder.")],
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write: .json, .yaml, .yml or .csv.")
    ],
) -> None:
    """Write the best hyperparameters to a file.

    Those of Regime II if it has a completed trial, else those of Regime I.
    """
    with reporting():
        best = export_best_hyperparameters(_project_folder(study), path)
        score = f"{best['objective']} {best['score']:.4f}, a selection score"
        say(f"trial {best['trial']}: {score} -> {path}")


@app.command()
def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Write the tables, figures and HTML report of a study.

    Works on an unfinished study too.
    """
    with reporting():
        from rust_tuner.report.html import write_report

        # Not through `Study`, which refuses a damaged folder.
        say(f"report -> {write_report(study)}")


@app.command()
def tensorboard(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a search folder.")],
) -> None:
    """Write TensorBoard logs of a study's searches.

    Works while a search runs. A search started with --tensorboard writes its logs as it runs.
    """
    with reporting():
        from rust_tuner.tensorboard.logs import write_logs

        logs = write_logs(study)
        say(f"logs -> {logs}")
        say_next(f"tensorboard --logdir {shlex.quote(str(logs))}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model.keras of a study.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="PNG or JPEG files.")],
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Take every two images as the views of one visit, and add its RUST total.",
        ),
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="Write all probabilities to this CSV file.")
    ] = None,
) -> None:
    """Predict the RUST scores of radiographs with a final model.

    Research use only; not a medical device.
    """
    with reporting():
        start_tensorflow()
        from rust_tuner.steps.predict import NOTICE, predict_radiographs

        predictions = predict_radiographs(model, images, pairs=pairs)
        if csv is not None:
            write_text(csv, csv_text(predictions))
            say(f"{len(predictions)} images -> {csv}")
        else:
            out.print(predictions_table(predictions))
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
        f"{folder} has no search with a completed trial; run regime1 or regime2 first"
    )
