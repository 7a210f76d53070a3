"""The command `rust-tuner demo`: a whole small study on synthetic radiographs."""

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rust_tuner.cli.logged_progress import LoggedProgress
from rust_tuner.cli.options import Cache
from rust_tuner.cli.support import (
    err,
    fetch_weights,
    out,
    reporting,
    say,
    say_next,
    start_tensorflow,
)
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.errors import WeightsError

if TYPE_CHECKING:
    import pandas as pd

_PATIENTS = 100
_CHANGES: dict[str, Any] = {
    "num_folds": 3,
    "epochs": 8,
    "stop_hopeless": True,
    "trials": 6,
    "batch_size_range": (8, 64),
    "fit_batch_sizes": True,
    "learning_rates": (1e-3, 1e-4),
    "epsilons": (1e-1, 1e-7),
    "final_folds": 3,
    "final_epochs": 15,
}
# What the small network was trained with; InceptionV3 keeps the study's size.
_PHANTOMS_CHANGES: dict[str, Any] = {"image_size": 149}


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the demonstration.")
    ] = Path("rust-tuner-demo"),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of every random choice.")] = 0,
    cache: Cache = None,
) -> None:
    """Run a small study on synthetic radiographs, with its report.

    Takes a few minutes. Without internet access it uses a small backbone that was trained on
    synthetic radiographs, and says so.
    """
    with reporting():
        from rust_tuner.analysis.export import export_best_hyperparameters
        from rust_tuner.data.phantoms import write_phantoms
        from rust_tuner.protocol import Protocol
        from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
        from rust_tuner.study import Study
        from rust_tuner.terminal.searches import best_trials_table

        folder = directory / "study"
        # A study that was started before decides which kernels TensorFlow uses.
        Study(folder)
        start_tensorflow()
        weights = _choose_weights(folder)
        progress = LoggedProgress(ConsoleProgress(err), folder)
        say(f"1. {_PATIENTS} synthetic patients -> {directory / 'radiographs'}")
        manifest = write_phantoms(directory / "radiographs", patients=_PATIENTS, seed=seed)
        changes = _CHANGES | (_PHANTOMS_CHANGES if weights == "phantoms" else {})
        protocol = Protocol.study(seed=seed, weights=weights, **changes)
        study = Study(folder, manifest, protocol, cache=cache, progress=progress)
        say("2. Regime I: random search over batch size and dropout rate")
        study.regime_1()
        out.print(best_trials_table(read_project(folder / REGIME_1)))
        say("3. Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        study.regime_2()
        out.print(best_trials_table(read_project(folder / REGIME_2)))
        target = directory / "best_hyperparameters.json"
        export_best_hyperparameters(folder / REGIME_2, target)
        say(f"   best hyperparameters -> {target}")
        say("4. The final model, and one look at the hold-out set")
        study.final()
        out.print(_answer(folder), highlight=False, soft_wrap=True)
        say("5. The report")
        report = study.report()
        say(f"   {report}: open it in a browser")
        if weights == "phantoms":
            say(
                "The small demonstration backbone was trained on synthetic radiographs; these "
                "figures say nothing about radiographs of patients.",
                style="yellow",
            )
        say_next(f"rust-tuner status {shlex.quote(str(folder))}")


def _answer(folder: Path) -> str:
    """What the look at the hold-out set found, in three lines."""
    import pandas as pd

    from rust_tuner.analysis.study_figures import find_figure, holdout_figures
    from rust_tuner.metrics.figure import CORTEX_GROUP, VISITS
    from rust_tuner.records.folder import read_study

    records = read_study(folder)
    assert records.holdout is not None
    figures = holdout_figures(records)
    alone = records.holdout.view_only_baseline.by_name["cortex_auroc"]
    auroc = _with_interval(figures, "auroc", CORTEX_GROUP, digits=3)
    lines = [
        f"Hold-out set: {records.holdout.radiographs} radiographs of "
        f"{records.holdout.patients} patients that no search has seen",
        f"  AUROC of visible cortices {auroc}; the view alone {alone:.3f}"
        if alone is not None
        else f"  AUROC of visible cortices {auroc}",
    ]
    if (error := find_figure(figures, "mae", VISITS)) is not None and pd.notna(error["value"]):
        lines.append(
            f"  RUST total (4 to 16) off by {_with_interval(figures, 'mae', VISITS, digits=1)} "
            "points on average"
        )
    return "\n".join(lines)


def _with_interval(figures: "pd.DataFrame", name: str, of: str, *, digits: int) -> str:
    """A figure with its interval over patients, if it has one."""
    import pandas as pd

    from rust_tuner.analysis.study_figures import find_figure

    row = find_figure(figures, name, of)
    if row is None or pd.isna(row["value"]):
        return "undefined"
    text = f"{row['value']:.{digits}f}"
    if pd.isna(row["low"]):
        return text
    return f"{text} (95 % interval {row['low']:.{digits}f} to {row['high']:.{digits}f})"


def _choose_weights(folder: Path) -> str:
    """ImageNet weights if they are available; otherwise the demonstration's, with a note."""
    from rust_tuner.models.weights import PHANTOMS, UNTRAINED, WEIGHTS_VARIABLE
    from rust_tuner.records.study_record import STUDY_FILE
    from rust_tuner.study import Study

    # An interrupted demonstration resumes with the weights that it started with.
    earlier = Study(folder).protocol.weights if (folder / STUDY_FILE).exists() else None
    if earlier in UNTRAINED:
        say("This demonstration was started without pretrained weights.", style="yellow")
        return str(earlier)
    try:
        fetch_weights("imagenet")
        return "imagenet"
    except WeightsError as refusal:
        # A file that the user named is never replaced silently, even if it cannot be used.
        if earlier is not None or os.environ.get(WEIGHTS_VARIABLE):
            raise
        say(
            f"The ImageNet weights could not be downloaded: {_download_reason(refusal)}.",
            style="yellow",
        )
    say(
        "The demonstration uses a small backbone that was trained on synthetic radiographs. Its "
        "figures show how the program works and say nothing about radiographs of patients. To use "
        "pretrained weights, run the demonstration in another folder. If the weights cannot be "
        f"downloaded, set {WEIGHTS_VARIABLE} to a file of InceptionV3 weights without top.",
        style="bold yellow",
    )
    return PHANTOMS


def _download_reason(refusal: WeightsError) -> str:
    """The end of Keras's message: the reason, without the address and the error number."""
    message = str(refusal.__cause__ or refusal).rpartition(" -- ")[2]
    return re.sub(r"^\[Errno -?\d+\] ", "", message)
