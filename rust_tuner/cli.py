"""The `rust-tuner` command: parse, call, print. What it does is done by the rooms below.

It is long because every command and the help of every option stands here, and nothing else.
"""

import contextlib
import dataclasses
import io
import math
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rust_tuner import __version__
from rust_tuner.cli_options import (
    Cache,
    Choices,
    Epochs,
    Holdout,
    ImageSize,
    Manifest,
    NumFolds,
    PrecisionOption,
    ProtocolOption,
    RadImageNet,
    Scale,
    Scales,
    Seed,
    StudyDirectory,
    Views,
    ViewsOption,
    Weights,
)
from rust_tuner.errors import ResumeError, RustTunerError, WeightsError
from rust_tuner.files import write_text
from rust_tuner.plan import plan_study
from rust_tuner.progress import ConsoleProgress
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS, SMALL_SCALE, Protocol
from rust_tuner.report.export import export_best_hyperparameters
from rust_tuner.report.terminal import (
    baselines_table,
    best_trials_table,
    holdout_table,
    plan_table,
    predictions_table,
    status_lines,
)
from rust_tuner.search.baseline_table import BASELINES
from rust_tuner.search.records import REGIME_1, REGIME_2, RUN_FILE, read_project
from rust_tuner.study import STUDY_FILE, Study

_DEMO_PATIENTS = 24
_DEMO_CHANGES: dict[str, Any] = {
    "num_folds": 3,
    "epochs": 5,
    "trials": 4,
    "batch_size_range": (8, 64),
    "learning_rates": (1e-3, 1e-4),
    "epsilons": (1e-1, 1e-7),
}
_INTERRUPTED = 130

_out = Console()
_err = Console(stderr=True)

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
        _out.print(__version__, highlight=False)
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
    with _reporting():
        _start_tensorflow()
        from rust_tuner.data.phantoms import write_phantoms

        folder = directory / "study"
        weights = _demo_weights(folder)
        _say(f"1. {_DEMO_PATIENTS} synthetic patients -> {directory / 'radiographs'}")
        manifest = write_phantoms(directory / "radiographs", patients=_DEMO_PATIENTS, seed=seed)
        protocol = Protocol.study(seed=seed, weights=weights, **_DEMO_CHANGES)
        study = Study(folder, manifest, protocol, cache=cache, progress=ConsoleProgress(_err))
        _say("2. Regime I: random search over batch size and dropout rate")
        study.regime_1()
        _out.print(best_trials_table(read_project(folder / REGIME_1)))
        _say("3. Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        study.regime_2()
        _out.print(best_trials_table(read_project(folder / REGIME_2)))
        target = directory / "best_hyperparameters.json"
        export_best_hyperparameters(folder / REGIME_2, target)
        _say(f"4. Best hyperparameters -> {target}")
        if weights == "random":
            _say("These figures come from a random backbone: see above.", style="bold yellow")
        _next(f"rust-tuner status {shlex.quote(str(folder))}")


@app.command()
def phantoms(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the radiographs.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    views: Annotated[
        Views, typer.Option(help="Which cortices the two views show.")
    ] = Views.anatomical,
) -> None:
    """Make synthetic radiographs with known RUST scores.

    Their manifest is DIR/manifest.csv.
    """
    with _reporting():
        from rust_tuner.data.phantoms import write_phantoms

        with ConsoleProgress(_err).task("drawing", patients) as task:
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
                view_cortices=_view_cortices(views),
                on_progress=advance,
            )
        _say(f"wrote {manifest}")
        _next(f"rust-tuner prepare STUDY --manifest {shlex.quote(str(manifest))}")


@app.command()
def prepare(
    study: StudyDirectory,
    manifest: Manifest = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
) -> None:
    """Check the manifest and every image, and seal the hold-out set.

    What is chosen here stays as it is for the whole study.
    """
    with _reporting():
        opened = _open(
            study,
            manifest,
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        development = opened.prepare()
        patients = len(set(development.radiographs.patient_ids))
        _say(
            f"{study} is prepared: {len(development)} radiographs of {patients} patients to "
            "develop on; the rest is sealed"
        )
        _next(f"rust-tuner regime1 {shlex.quote(str(study))}")


@app.command()
def baselines(
    study: StudyDirectory,
    manifest: Manifest = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(BASELINES)}; may be repeated.  [default: all]"),
    ] = None,
    radimagenet_weights: RadImageNet = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Folds of each model.  [default: 10]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 50]")] = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    cache: Cache = None,
) -> None:
    """Cross-validate the study's first models.

    LeNet, InceptionV3 end to end, and frozen with pretrained weights. Prepares the study first
    where that is not done. Interrupted, it goes on where it stopped when it is typed again.
    """
    with _reporting():
        opened = _open(
            study,
            manifest,
            cache=cache,
            baseline_folds=folds,
            baseline_epochs=epochs,
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        _start_tensorflow()
        _run_baselines(opened, model, radimagenet_weights)
        _next(f"rust-tuner regime1 {shlex.quote(str(study))}")


@app.command()
def regime1(
    study: StudyDirectory,
    manifest: Manifest = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many configurations.  [default: 100]")
    ] = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    batch_sizes: Annotated[
        str | None, typer.Option(help="Lowest and highest.  [default: 16,2048]")
    ] = None,
    dropout_rates: Annotated[
        str | None, typer.Option(help="Lowest and highest.  [default: 0,0.5]")
    ] = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    cache: Cache = None,
) -> None:
    """Regime I: random search over batch size and dropout rate.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    with _reporting():
        opened = _open(
            study,
            manifest,
            cache=cache,
            begun=(REGIME_1,),
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            batch_size_range=_numbers("--batch-sizes", batch_sizes, int, count=2),
            dropout_rate_range=_numbers("--dropout-rates", dropout_rates, float, count=2),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        _start_tensorflow()
        opened.prepare()
        _fetch_weights(opened.protocol.weights)
        opened.regime_1()
        _out.print(best_trials_table(read_project(study / REGIME_1)))
        _next(f"rust-tuner regime2 {shlex.quote(str(study))}")


@app.command()
def regime2(
    study: StudyDirectory,
    manifest: Manifest = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fixed; Regime I's best where not given.")
    ] = None,
    dropout_rate: Annotated[
        float | None, typer.Option(help="Fixed; Regime I's best where not given.")
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option(help="Adam's, with commas.  [default: 0.1,0.01,0.001,0.0001]")
    ] = None,
    epsilons: Annotated[
        str | None, typer.Option(help="Adam's, with commas.  [default: 1e-1,1e-2,...,1e-8]")
    ] = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
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
    with _reporting():
        opened = _open(
            study,
            manifest,
            cache=cache,
            begun=(REGIME_2, REGIME_1),
            num_folds=folds,
            epochs=epochs,
            learning_rates=_numbers("--learning-rates", learning_rates, float),
            epsilons=_numbers("--epsilons", epsilons, float),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        _start_tensorflow()
        opened.prepare()
        _fetch_weights(opened.protocol.weights)
        opened.regime_2(batch_size, dropout_rate)
        _out.print(best_trials_table(read_project(study / REGIME_2)))
        _next(f"rust-tuner export {shlex.quote(str(study))} best.json")


@app.command()
def final(study: StudyDirectory, cache: Cache = None) -> None:
    """Fit the tuned model, and look at the hold-out set once.

    It is cross-validated first, which decides for how many epochs it is fitted on all
    development data. Typed again, it shows what was found, with its date.
    """
    with _reporting():
        opened = _open(study, None, cache=cache, protocol=None, views=None)
        _start_tensorflow()
        _run_final(opened)
        _next(f"rust-tuner report {shlex.quote(str(study))}")


@app.command("study")
def whole_study(
    study: StudyDirectory,
    manifest: Manifest = None,
    scale: Scale = None,
    radimagenet_weights: RadImageNet = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    cache: Cache = None,
) -> None:
    """Run all steps in order, from prepare to report.

    Prints what it will do and about how long that takes. What is done is skipped; interrupted,
    it goes on where it stopped when it is typed again.
    """
    with _reporting():
        shared: dict[str, Any] = {
            "protocol": protocol,
            "views": views,
            "weights": weights,
            "seed": seed,
            "holdout_fraction": holdout_fraction,
            "precision": None if precision is None else precision.value,
        }
        shared |= _scaled(scale) | ({} if image_size is None else {"image_size": image_size})
        opened = _open(study, manifest, cache=cache, **shared)
        models = tuple(
            name for name in BASELINES if radimagenet_weights or not name.endswith("radimagenet")
        )
        _out.print(plan_table(plan_study(opened.protocol, opened.count_radiographs(), models)))
        _start_tensorflow()
        _run_baselines(opened, models, radimagenet_weights)
        _say("Regime I: random search over batch size and dropout rate")
        _open(study, None, cache=cache, begun=(REGIME_1,), protocol=None, views=None).regime_1()
        _out.print(best_trials_table(read_project(study / REGIME_1)))
        _say("Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        begun = (REGIME_2, REGIME_1)
        _open(study, None, cache=cache, begun=begun, protocol=None, views=None).regime_2()
        _out.print(best_trials_table(read_project(study / REGIME_2)))
        _say("the tuned model")
        _run_final(opened)
        _say(f"report -> {opened.report()}")
        _next(f"rust-tuner status {shlex.quote(str(study))}")


@app.command()
def status(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Show how far a study is, and its best so far.

    Also while a search runs, and for a damaged folder.
    """
    with _reporting():
        for line in status_lines(study):
            _out.print(line, highlight=False, soft_wrap=True)


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
    with _reporting():
        best = export_best_hyperparameters(_project_folder(study), path)
        _say(f"trial {best['trial']}: {best['objective']} {best['score']:.4f} -> {path}")


@app.command()
def report(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")],
) -> None:
    """Draw tables, figures and the HTML report from what is there.

    Also for a study that is not finished.
    """
    with _reporting():
        from rust_tuner.report.html import write_report

        # Not through `Study`, which does not open a damaged one.
        _say(f"report -> {write_report(study)}")


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
    with _reporting():
        _start_tensorflow()
        from rust_tuner.inference import NOTICE, predict_radiographs

        found = predict_radiographs(model, images, pairs=pairs)
        if csv is not None:
            write_text(csv, found.to_csv(index=False))
            _say(f"{len(found)} images -> {csv}")
        else:
            _out.print(predictions_table(found))
        _say(NOTICE, style="yellow")


def main() -> None:
    """Run the command."""
    app()


def _run_baselines(
    study: Study, models: Sequence[str] | None, radimagenet_weights: Path | None
) -> None:
    study.prepare()
    if not models or any(name.endswith("imagenet") for name in models):
        _fetch_weights(study.protocol.weights)
    _say("first models")
    found = study.baselines(models or None, radimagenet_weights)
    _out.print(baselines_table(found, study.protocol.objective))


def _run_final(study: Study) -> None:
    found = study.final()
    _out.print(holdout_table(found))
    _say(f"evaluated on {found['date']}; the hold-out set is looked at once")


def _scaled(scale: Scales | None) -> dict[str, Any]:
    if scale is None:
        return {}
    return dict(SMALL_SCALE) if scale is Scales.small else {"scale": "full"}


def _open(
    directory: Path,
    manifest: Path | None,
    *,
    cache: Path | None = None,
    begun: tuple[str, ...] = (),
    protocol: Choices | None,
    views: Views | None,
    **changes: Any,
) -> Study:
    """Open a study, what the user asked for laid over its own choices.

    What a search of `begun` was started with stands for what is not asked for, so that a bare
    command resumes it, and Regime II goes on as Regime I was.
    """
    progress = ConsoleProgress(_err)
    written = Study(directory, manifest).protocol if (directory / STUDY_FILE).exists() else None
    start = written or Protocol.study()
    for regime in begun:
        if (directory / regime / RUN_FILE).is_file():
            start = dataclasses.replace(start, **_searched_with(directory / regime, regime))
            break
    given = {name: value for name, value in changes.items() if value is not None}
    if protocol is not None:
        given |= _preset(protocol)
    if views is not None:
        given["view_cortices"] = _view_cortices(views)
    chosen = dataclasses.replace(start, **given)
    return Study(directory, manifest, chosen, cache=cache, progress=progress)


def _searched_with(folder: Path, regime: str) -> dict[str, Any]:
    try:
        run = read_project(folder).run
        searched = Protocol.from_json(run["protocol"])
        max_trials = run["max_trials"]
    except (RustTunerError, KeyError, TypeError):
        return {}  # The search itself says what is wrong with its folder.
    names = ["num_folds", "epochs", "score_epoch"]
    if regime == REGIME_1:
        names += ["batch_size_range", "dropout_rate_range"]
    else:
        names += ["learning_rates", "epsilons"]
    found = {name: getattr(searched, name) for name in names}
    return found | ({"trials": max_trials} if max_trials is not None else {})


def _preset(choices: Choices) -> dict[str, Any]:
    """What the two sets of choices differ in; all else stays as it was prepared or asked for."""
    study, clinical = Protocol.study().to_json(), Protocol.clinical().to_json()
    chosen = clinical if choices is Choices.clinical else study
    return {name: chosen[name] for name in study if study[name] != clinical[name]}


def _view_cortices(views: Views) -> dict[str, tuple[str, ...]]:
    return dict(PUBLISHED_VIEWS if views is Views.published else ANATOMICAL_VIEWS)


def _numbers(
    option: str, text: str | None, kind: type[int] | type[float], count: int | None = None
) -> tuple[Any, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    finite = all(math.isfinite(value) for value in values)
    if not values or not finite or (count is not None and len(values) != count):
        told = "numbers" if count is None else f"{count} numbers"
        raise typer.BadParameter(f"{text!r}; expected {told} with commas", param_hint=option)
    return values


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


def _start_tensorflow() -> None:
    """Start TensorFlow without its notes about the processor, which would bury our own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            from rust_tuner.models.runtime import start_backend

            start_backend()
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _demo_weights(folder: Path) -> str:
    """ImageNet weights where they can be had; without them the demonstration goes on, aloud."""
    from rust_tuner.models.backbones import WEIGHTS_VARIABLE

    # One that was interrupted goes on with the weights that it began with.
    begun = Study(folder).protocol.weights if (folder / STUDY_FILE).exists() else None
    if begun == "random":
        _say("This demonstration was begun without pretrained weights.", style="yellow")
    else:
        try:
            _fetch_weights("imagenet")
            return "imagenet"
        except WeightsError as refusal:
            # A file that the user named and that will not do is no reason to take something else.
            if begun is not None or os.environ.get(WEIGHTS_VARIABLE):
                raise
            reason = _download_reason(refusal)
            _say(f"The ImageNet weights could not be downloaded: {reason}.", style="yellow")
    _say(
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


def _fetch_weights(weights: str) -> None:
    """Download the weights where they must be, with our own words in place of Keras's."""
    from rust_tuner.models.backbones import find_weights

    with contextlib.redirect_stdout(_OneNote("downloading the ImageNet weights (84 MB, once)")):
        find_weights(weights)


class _OneNote(io.TextIOBase):
    """A stream that says one thing of its own when something is first written to it."""

    def __init__(self, note: str) -> None:
        self._note: str | None = note

    def write(self, text: str) -> int:
        if self._note is not None:
            note, self._note = self._note, None
            _say(note)
        return len(text)


@contextlib.contextmanager
def _reporting() -> Iterator[None]:
    """Turn expected errors and Ctrl-C into a message and an exit code."""
    try:
        yield
    except (RustTunerError, OSError) as error:
        _say(f"error: {error}", style="red")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        _say("\ninterrupted; nothing finished is lost. To go on, type again:", style="yellow")
        _say(f"  {shlex.join(['rust-tuner', *sys.argv[1:]])}")
        raise typer.Exit(_INTERRUPTED) from None


def _say(text: str, style: str | None = None) -> None:
    _err.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _next(command: str) -> None:
    _say(f"next: {command}", style="green")
