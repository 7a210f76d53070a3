"""The command `rust-tuner manifest`: from an archive and a table of scores to a manifest."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rust_tuner.cli.option_values import Views
from rust_tuner.cli.options import Crop, RemoveBorders
from rust_tuner.cli.support import err, reporting, say, say_next, view_cortices
from rust_tuner.cli.verbosity import is_verbose
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.errors import ManifestError, Message, marked

if TYPE_CHECKING:
    # It imports NumPy, which the start of a command need not wait for.
    from rust_tuner.data.matching import Unmatched

_REASONS_SHOWN = 5
_PLACES_SHOWN = 4


def manifest(
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the images: DICOM, PNG, JPEG or TIFF.")
    ],
    scores: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Table of scores, .xlsx or CSV: one row per radiograph, visit or patient.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The manifest to write.")] = Path(
        "manifest.csv"
    ),
    pattern: Annotated[
        str | None,
        typer.Option(
            help="What the parts of file names mean, such as '{patient_id}_{visit}_{view}.png'; "
            "also {date}, {side} and *. Without it the table names the images, or DICOM tags are "
            "read."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING=NAME",
            help="What a column is, if its name does not say so: patient_id, visit, date, view, "
            "side, site, image, a cortex (medial), or a view and a cortex (ap_medial). May be "
            "repeated.",
        ),
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of an Excel file with several.")] = None,
    views: Annotated[
        Views, typer.Option(help="Which cortices the two views show.")
    ] = Views.anatomical,
    crop: Crop = None,
    remove_borders: RemoveBorders = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a manifest that is already there.")
    ] = False,
) -> None:
    """Join a folder of images with a table of scores.

    Writes the manifest, a contact sheet (HTML) with every image beside its scores, and a list of
    what did not match and why. Nothing is guessed: unclear rows and images are left out and listed.
    """
    with reporting():
        from rust_tuner.data.reading import Framing
        from rust_tuner.report.contact_sheet import write_contact_sheet
        from rust_tuner.steps.make_manifest import make_manifest

        progress = ConsoleProgress(err)
        framing = Framing.of(crop, remove_borders)
        made = make_manifest(
            images,
            scores,
            out,
            pattern=pattern,
            columns=_given(column or []),
            sheet=sheet,
            view_cortices=view_cortices(views),
            overwrite=overwrite,
            progress=progress,
        )
        for line in made.columns.lines():
            say(Message(f"column {marked(line)}"))
        page = out.with_name(f"{out.stem}_contact_sheet.html")
        with progress.task("contact sheet", len(made.matching.pairs)) as task:
            said = write_contact_sheet(
                page,
                made.matching.pairs,
                scores=made.matching.scores,
                images=made.matching.images,
                framing=framing,
                on_progress=lambda done, total: task.advance(),
            )
        for note in (*made.notes, *_counted(said)):
            say(Message(f"note: {marked(note)}"), style="yellow")
        say(f"{len(made.matching.pairs)} images with their scores -> {made.path}")
        unscored = sum(not pair.scores.scores for pair in made.matching.pairs)
        if unscored:
            say(
                f"note: the table has no score of {unscored} of these images, so they count as "
                "showing no cortex; if nobody has scored them yet, delete their rows",
                style="yellow",
            )
        for what, items in (
            ("scores without an image", made.matching.scores),
            ("images without scores", made.matching.images),
        ):
            if items:
                lines = _reasons(items)
                such_as = ", such as" if len(lines) > _REASONS_SHOWN else ""
                say(f"{what}: {len(items)}{such_as}", style="yellow")
                for line in lines[:_REASONS_SHOWN]:
                    say(f"  {line}")
        if made.unmatched is not None:
            say(f"all of them -> {made.unmatched}")
        say(f"look at each pair before you train -> {page}")
        options = ["--manifest", str(made.path)]
        options += ["--crop", crop] if crop is not None else []
        options += ["--remove-borders"] if remove_borders else []
        say_next(f"rust-tuner prepare STUDY {shlex.join(options)}")


def _counted(notes: Sequence[str]) -> list[str]:
    """Notes on images; without values, equal ones are one line."""
    if is_verbose():
        return list(notes)
    alike: dict[str, list[str]] = {}
    for note in notes:
        alike.setdefault(Message(marked(note)).hiding_values(), []).append(note)
    return [
        such[0] if len(such) == 1 else f"{text} ({len(such)} images)"
        for text, such in alike.items()
    ]


def _reasons(items: Sequence["Unmatched"]) -> list[str]:
    """Why scores or images were not joined; without values, equal reasons are one line."""
    if is_verbose():
        return [f"{item.what}: {item.reason}" for item in items]
    places: dict[str, list[str]] = {}
    for item in items:
        places.setdefault(Message(marked(item.reason)).hiding_values(), []).append(item.place)
    return [f"{_listed(where)}: {reason}" for reason, where in places.items()]


def _listed(places: Sequence[str]) -> str:
    """Some places by name; images, which have none here, are counted."""
    names = list(dict.fromkeys(places))
    if len(names) < len(places):
        return f"{len(places)} images"
    more = len(names) - _PLACES_SHOWN
    listed = "; ".join(names[:_PLACES_SHOWN])
    return listed if more <= 0 else f"{listed}; and {more} more"


def _given(options: list[str]) -> dict[str, str]:
    """Column name by meaning, from options such as `patient_id=Case No`."""
    given = {}
    for option in options:
        meaning, equals, name = option.partition("=")
        if not equals or not meaning.strip() or not name.strip():
            raise ManifestError(
                f'--column {option}: expected MEANING=NAME, such as --column patient_id="Case No"'
            )
        given[meaning.strip()] = name.strip().strip('"')
    return given
