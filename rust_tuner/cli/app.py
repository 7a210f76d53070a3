"""The `rust-tuner` command: it parses, calls the other packages and prints."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rust_tuner import __version__
from rust_tuner.cli.cache import cache_app
from rust_tuner.cli.checks import check
from rust_tuner.cli.command import App
from rust_tuner.cli.dashboard import dashboard
from rust_tuner.cli.demo import demo
from rust_tuner.cli.early import refuse_missing_files, refuse_no_study
from rust_tuner.cli.exit_codes import ExitCode, exit_code_help
from rust_tuner.cli.manifest import manifest
from rust_tuner.cli.option_values import Views
from rust_tuner.cli.searches import nested, noise, regime1, regime2
from rust_tuner.cli.show_config import config
from rust_tuner.cli.steps import baselines, final, prepare
from rust_tuner.cli.support import err, out, reporting, say, say_next, view_cortices
from rust_tuner.cli.verbosity import Quiet, Verbose, choose, is_verbose
from rust_tuner.cli.watch import watch
from rust_tuner.cli.whole_study import whole_study
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.errors import ResumeError
from rust_tuner.folder_kinds import is_lone_search
from rust_tuner.standard_error import drop_unwritten_output
from rust_tuner.terminal.console import prepare_streams

if TYPE_CHECKING:
    import pandas as pd

app = App(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    # Rich would read "[default: ...]" as markup and drop it.
    rich_markup_mode=None,
    epilog=exit_code_help(),
    help=(
        "Cross-validated hyperparameter search for a frozen-InceptionV3 model that reads RUST "
        "scores from radiographs.\n\n"
        "New here? 'rust-tuner demo' runs everything on synthetic radiographs in a few minutes. "
        "With your own radiographs, run study, or prepare, regime1, regime2, final, report and "
        "baselines one by one. If a command is interrupted, run the same command again to "
        "resume.\n\n"
        "Research use only."
    ),
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    choose(quiet=quiet, verbose=verbose)
    if version:
        out.print(__version__, highlight=False)
        raise typer.Exit()


app.command(examples=("rust-tuner demo", "rust-tuner demo DIR --seed 1"))(demo)


@app.command(examples=("rust-tuner phantoms radiographs --patients 200 --sites 4",))
def phantoms(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the radiographs.")],
    patients: Annotated[int, typer.Option(min=1, metavar="N", help="Number of patients.")] = 60,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="The same seed gives identical files.")
    ] = 0,
    views: Annotated[
        Views, typer.Option(help="Which cortices the two views show.")
    ] = Views.anatomical,
    sites: Annotated[int, typer.Option(min=1, metavar="N", help="Number of sites.")] = 1,
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
app.command(
    examples=(
        "rust-tuner prepare STUDY --manifest radiographs.csv",
        "rust-tuner prepare STUDY --manifest radiographs.csv --protocol clinical --seed 1",
    )
)(prepare)
app.command(
    examples=(
        "rust-tuner baselines STUDY",
        "rust-tuner baselines STUDY --model lenet1998 --time-budget 8h",
    )
)(baselines)
app.command(
    examples=(
        "rust-tuner regime1 STUDY --manifest radiographs.csv",
        "rust-tuner regime1 STUDY --trials 40 --time-budget 8h",
    )
)(regime1)
app.command(
    examples=(
        "rust-tuner regime2 STUDY",
        "rust-tuner regime2 STUDY --learning-rates 0.01,0.001 --epsilons 1e-1,1e-7",
    )
)(regime2)
app.command(examples=("rust-tuner nested STUDY --outer-folds 5 --trials 20",))(nested)
app.command(examples=("rust-tuner noise STUDY --repeats 10",))(noise)
app.command(examples=("rust-tuner check STUDY",))(check)
app.command(
    examples=("rust-tuner final STUDY", "rust-tuner final STUDY --look-again 'a label was wrong'")
)(final)
app.command(
    "study",
    examples=(
        "rust-tuner study STUDY --manifest radiographs.csv",
        "rust-tuner study STUDY --manifest radiographs.csv --scale small --skip baselines",
    ),
)(whole_study)


@app.command()
def status(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Show the progress of a study, and its best trial so far.

    Works while a search runs, and on a damaged folder.
    """
    with reporting():
        from rust_tuner.terminal.status import status_lines
        from rust_tuner.terminal.wrapping import print_lines

        print_lines(out, status_lines(study))
        if not study.exists():
            raise typer.Exit(ExitCode.FAILED)


@app.command(examples=("rust-tuner export STUDY best.json",))
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
        refuse_no_study(study)
        from rust_tuner.analysis.against_view import against_view_lines
        from rust_tuner.analysis.export import export_best_hyperparameters
        from rust_tuner.records.project import read_project

        folder = _project_folder(study)
        best = export_best_hyperparameters(folder, path)
        score = f"{best['objective']} {best['score']:.4f}, a selection score"
        say(f"trial {best['trial']}: {score} -> {path}")
        for line, is_doubt in against_view_lines(read_project(folder)):
            say(line, style="yellow" if is_doubt else None)


@app.command()
def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a search folder.")],
) -> None:
    """Write tables, figures and the report of a study or search.

    Works on an unfinished one too.
    """
    with reporting():
        refuse_no_study(study)
        if is_lone_search(study):
            from rust_tuner.report.search_page import write_search_report

            say(f"report -> {write_search_report(study)}")
            return
        from rust_tuner.report.html import write_report

        # Not through `Study`, which refuses a damaged folder.
        say(f"report -> {write_report(study)}")


app.command(examples=("rust-tuner config STUDY", "rust-tuner config STUDY regime1"))(config)
app.add_typer(cache_app, name="cache")
app.command()(watch)
app.command()(dashboard)


@app.command()
def tensorboard(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study or a search folder.")],
) -> None:
    """Write TensorBoard logs of a study's searches.

    Works while a search runs. A search started with --tensorboard writes its logs as it runs.
    """
    with reporting():
        refuse_no_study(study)
        from rust_tuner.tensorboard.logs import write_logs

        logs = write_logs(study)
        say(f"logs -> {logs}")
        say_next(f"tensorboard --logdir {shlex.quote(str(logs))}")


@app.command(
    examples=(
        "rust-tuner predict STUDY 017_ap.png 017_lat.png",
        "rust-tuner predict STUDY new/ --csv predictions.csv",
    )
)
def predict(
    model: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study's folder, or its model.keras.")
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="PNG, JPEG, TIFF or DICOM files, folders of them, or manifests.",
        ),
    ],
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Take every two images as the views of one visit. Otherwise AP and lateral views "
            "are paired by the manifest, or by names such as 017_ap.png and 017_lat.png.",
        ),
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write all probabilities to this CSV file."),
    ] = None,
    plain_ids: Annotated[
        bool,
        typer.Option(
            "--plain-ids",
            help="Name all images by their paths; otherwise the CSV file, and the table for images "
            "of folders and manifests, have new names, and STUDY/private/predicted.csv has the "
            "image of each. A model outside its study always names them by their paths.",
        ),
    ] = False,
) -> None:
    """Predict the RUST scores of radiographs with a final model.

    Adds the RUST total of each visit whose two views are found, and warns of images that are unlike
    those of the development set. Research use only; not a medical device.
    """
    with reporting():
        refuse_missing_files(model, *images)
        from rust_tuner.data.csv_output import csv_text
        from rust_tuner.errors import Message, StorageError, marked, private
        from rust_tuner.files import refuse_other_content, write_text
        from rust_tuner.steps.image_list import PREDICTED, list_images

        listed = list_images(images)
        if csv is not None:
            refuse_other_content(csv, PREDICTED, what="the predictions")
            if csv.resolve() in {image.resolve() for image in images}:
                raise StorageError(
                    f"{private(csv)} is one of the inputs; give another name with --csv"
                )
        from rust_tuner.cli.lean_keras import lean_keras
        from rust_tuner.records.model_card import read_card
        from rust_tuner.records.novelty import read_novelty
        from rust_tuner.records.private import PREDICTED_FILE, PRIVATE
        from rust_tuner.steps.predict import NOTICE, model_file, predict_radiographs, written_names
        from rust_tuner.terminal.predictions import pairing_note, predictions_table
        from rust_tuner.words import counted

        file = model_file(model)
        if not any(listed.boxes) and read_card(file).input.has_boxes:
            say(
                "note: images of the study were cropped by crop_left, crop_top, crop_right and "
                "crop_bottom of its manifest; give a manifest with these columns",
                style="yellow",
            )
        with lean_keras():
            predictions = predict_radiographs(
                model,
                listed.images,
                pairs=pairs or listed.pairs,
                boxes=listed.boxes,
                bits=listed.bits,
                say=lambda note: say(Message(f"note: {marked(note)}"), style="yellow"),
            )
        names = None if plain_ids else written_names(file, predictions["image"].tolist())
        written = predictions if names is None else predictions.assign(image=names)
        shown = _named_as_typed(predictions, written, images)
        note = "Pairs: every two images, in their order."
        if not pairs:
            note = pairing_note(listed, shown["image"].tolist())
        out.print(predictions_table(shown, read_novelty(file, read_card(file)), note))
        if shown["image"].tolist() != predictions["image"].tolist():
            is_kept = (file.parent.parent / PRIVATE / PREDICTED_FILE).is_file()
            say(
                "note: images that were not typed one by one have new names; private/predicted.csv "
                "of the study has the image of each, or give --plain-ids"
                if is_kept
                else "note: the study's folder private is not here, so images that were not typed "
                "one by one are numbered in their order; give --plain-ids to see their names"
            )
        if csv is not None:
            write_text(csv, csv_text(written))
            say(f"{counted(len(predictions), 'image')} -> {csv}")
        say(NOTICE, style="yellow")


def _named_as_typed(
    predictions: "pd.DataFrame", written: "pd.DataFrame", typed: Sequence[Path]
) -> "pd.DataFrame":
    """Predictions for the terminal: what was typed keeps its name, all else its written one."""
    if is_verbose():
        return predictions
    images = predictions["image"]
    return written.assign(
        image=images.where(images.isin([str(path) for path in typed]), written["image"])
    )


def main() -> None:
    """Run the command."""
    prepare_streams()
    # Also for `python -m rust_tuner`: shell completion belongs to the installed command.
    try:
        app(prog_name="rust-tuner")
    except OSError as error:
        # Commands report theirs; this one is of a help text, which could not be printed.
        err.print(f"error: the output cannot be written ({error.strerror or error})", style="red")
        raise SystemExit(ExitCode.FAILED) from error
    finally:
        drop_unwritten_output()


def _project_folder(folder: Path) -> Path:
    from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
    from rust_tuner.records.run import RUN_FILE

    if (folder / RUN_FILE).is_file():
        return folder
    for regime in (REGIME_2, REGIME_1):
        project = folder / regime
        if (project / RUN_FILE).is_file() and read_project(project).best is not None:
            return project
    raise ResumeError(
        f"{folder} has no search with a completed trial; run regime1 or regime2 first"
    )
