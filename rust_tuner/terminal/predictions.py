"""Predicted scores on the terminal: a row for each image, and notes that name images."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from rust_tuner.labels import CORTICES
from rust_tuner.records.novelty import Novelty
from rust_tuner.steps.image_list import ImageList
from rust_tuner.terminal.table import plain_table
from rust_tuner.terminal.wrapping import longest_piece
from rust_tuner.words import counted

UNLIKE = "!"

# A name whose parts are longer is listed below the table.
_LONGEST_PIECE = 16
# The worst of 16 development sets of fewer patients marked 37 % of ordinary phantoms; of sets of at
# least so many, 5 % (experiments/novelty.py).
_FEW_PATIENTS = 20
_NAMES_SHOWN = 5


def predictions_table(
    predictions: pd.DataFrame, novelty: Novelty | None = None, pairing: str = ""
) -> Table:
    """One row per image: the view, and the scores of the cortices that it shows.

    Args:
        predictions: from `predict_radiographs`.
        novelty: what the images were compared with; None if they could not be.
        pairing: how views were paired.
    """
    names = image_names(predictions["image"].tolist())
    are_listed = max(map(longest_piece, names), default=0) > _LONGEST_PIECE
    has_totals = "rust_total" in predictions
    unlike = predictions["unlike"].fillna(False).to_numpy(dtype=bool)
    notes = ["Most likely score (its probability) of each cortex that the view shows.", pairing]
    if has_totals:
        notes += _missing_totals(predictions, names)
    notes.append(_compared(predictions, names, novelty))
    if are_listed:
        notes += ["Images:", *(f"  {row}: {name}" for row, name in enumerate(names, start=1))]
    table = plain_table("RUST scores", "\n".join(note for note in notes if note))
    table.add_column("image", no_wrap=are_listed)
    for name in ("view", *CORTICES, *(["RUST"] if has_totals else [])):
        table.add_column(name)
    for index, row in enumerate(predictions.to_dict("records")):
        scores = (
            f"{row[name]} ({row[f'{name}_probability']:.2f})" if row[f"{name}_shown"] else "-"
            for name in CORTICES
        )
        name = str(index + 1) if are_listed else names[index]
        # Without a space, so that the mark stays with the name.
        name = f"{UNLIKE}{name}" if unlike[index] else name
        cells = [name, f"{row['view']} ({row['view_probability']:.2f})", *scores]
        if has_totals:
            cells.append("-" if pd.isna(row["rust_total"]) else str(row["rust_total"]))
        table.add_row(*cells)
    return table


def pairing_note(listed: ImageList, shown: Sequence[str] | None = None) -> str:
    """How AP and lateral views were paired, with an example.

    Args:
        listed: the images, and their pairs.
        shown: the name of each image; its path if None.
    """
    if not listed.pairs:
        return "No AP and lateral view could be paired, by a manifest or by name."
    by_name = len(listed.pairs) - listed.by_visit
    parts = []
    if listed.by_visit:
        parts.append(f"{listed.by_visit} by patient and visit")
    if by_name:
        parts.append(f"{by_name} by name")
    images = [str(path) for path in listed.images] if shown is None else shown
    names = image_names([images[position] for position in listed.pairs[-1]])
    return f"Pairs of views: {', '.join(parts)}; such as {names[0]} with {names[1]}."


def image_names(images: Sequence[str]) -> list[str]:
    """Short names of files: without folders, or without those that all share."""
    short = [Path(image).name for image in images]
    if len(set(short)) == len(set(images)):
        return short
    shared = os.path.commonpath([os.path.abspath(image) for image in images])
    return [os.path.relpath(image, shared) for image in images]


def _missing_totals(predictions: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Why some images have no total, each reason once."""
    missing = predictions["total_missing"].to_numpy()
    lines = []
    for reason in dict.fromkeys(reason for reason in missing if reason):
        rows = [names[index] for index in range(len(names)) if missing[index] == reason]
        lines.append(f"No total ({counted(len(rows), 'image')}): {reason}: {_some(rows)}.")
    return lines


def _compared(predictions: pd.DataFrame, names: Sequence[str], novelty: Novelty | None) -> str:
    """Which images are unlike those of the development set, and how often that is wrong."""
    if novelty is None:
        return (
            "Whether the images resemble those of the development set cannot be checked: the "
            "model has no readable novelty.npz, which rust-tuner final writes beside a new model."
        )
    distances = predictions["distance"].tolist()
    unlike = [
        f"{name} ({distance:.1f})"
        for name, distance in zip(names, distances, strict=True)
        if distance > 1
    ]
    each = f"{novelty.radiographs} development radiographs, each compared with the other patients"
    if not unlike:
        but = f"all but {novelty.false_alarms} of" if novelty.false_alarms else "all of"
        images = "The image resembles" if len(names) == 1 else "All images resemble"
        return f"{images} the development set (so do {but} the {each})."
    doubt = (
        f" With only {novelty.patients} patients to compare with, up to a third of ordinary images "
        "may be marked."
        if novelty.patients < _FEW_PATIENTS
        else ""
    )
    be, its = ("is", "its") if len(unlike) == 1 else ("are", "their")
    return (
        f"{UNLIKE} WARNING: {counted(len(unlike), 'image')} {be} unlike the development set, and "
        f"{its} scores may mean nothing: {_some(unlike)}. In brackets: "
        f"the distance, as a multiple of the threshold; it is also above 1 for "
        f"{novelty.false_alarms or 'none'} of the {each}.{doubt}"
    )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
