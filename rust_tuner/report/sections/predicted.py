"""The sections of the page on what the tuned model predicted: hold-out set and out of fold."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rust_tuner.analysis.assessment import as_predictions
from rust_tuner.analysis.next_step import command
from rust_tuner.analysis.study_figures import (
    foreign_predictions,
    holdout_figures,
    out_of_fold_figures,
    union_of,
    union_text,
)
from rust_tuner.metrics import Predictions
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.looks import holdout_title
from rust_tuner.records.rows import NO_FOLD, out_of_fold_predictions, read_rows
from rust_tuner.report.holdout_room import HoldoutRoom
from rust_tuner.report.page import PageTable, Room, Section, attempt, decimal, text, whole
from rust_tuner.report.sections.assessment import Evaluation, add_auroc_two_ways, add_figures
from rust_tuner.report.sections.chapters import Chapters
from rust_tuner.report.sections.holdout import draw_holdout
from rust_tuner.words import words

_CROSS = "Tuned model, out of fold (selection score)"


def predicted_sections(records: StudyRecords, room: Room) -> tuple[Section, Section, Section]:
    """RUST and union, the cortices, and the appendix, of the hold-out set and out of fold."""
    chapters = Chapters()
    rust, cortices, appendix = chapters.rust, chapters.cortices, chapters.appendix
    holdout = records.holdout
    sealed = HoldoutRoom(room.folder, records.looks, processes=room.processes)
    if records.predictions is None:
        begun = records.holdout is not None or records.looks
        missing = (
            "final/predictions.csv is missing or cannot be read."
            if begun
            else "There are no predictions of the hold-out set yet: "
            f"{command('final', records.directory)}"
        )
        rust.missing.append(missing)
        cortices.missing.append(missing)
    elif fault := foreign_predictions(records):
        rust.missing.append(fault)
        cortices.missing.append(fault)
    else:
        draw_holdout(chapters, sealed, records, records.predictions)
    _add_all_figures(chapters, room, records)
    if holdout is not None:
        attempt(appendix, "The table of labels", lambda: _labels(appendix, sealed, holdout))
    if rust.tables:
        rust.lead.append(union_text(union_of(records)))
    if not appendix.tables:
        appendix.missing.append("There are no predictions of the tuned model yet.")
    return rust, cortices, appendix


def _add_all_figures(chapters: Chapters, room: Room, records: StudyRecords) -> None:
    """Add the figures of the hold-out set, and of the tuned model's out-of-fold predictions."""
    union = union_of(records)
    predictions: dict[str, Predictions] = {}
    exact: dict[str, float] = {}
    shared: dict[str, Any] = {"union": union, "exact": exact}
    figures, table = holdout_figures(records), records.predictions
    if not figures.empty:
        title = f"{holdout_title(records.looks)} (estimate)"
        sites: Sequence[str] = ()
        if table is not None and not foreign_predictions(records):
            predictions[title] = as_predictions(table)
            sites = table["site"].fillna("").tolist() if "site" in table else ()
        sealed = HoldoutRoom(room.folder, records.looks, processes=room.processes)
        what = Evaluation("holdout", title, figures, predictions.get(title), sites)
        add_figures(chapters, sealed, what, **shared)
    project = records.cross_validation
    if project is not None and project.best is not None:

        def cross_validated() -> None:
            rows = read_rows(project)
            out_of_fold = out_of_fold_predictions(project)
            predictions[_CROSS] = out_of_fold
            sites = rows.loc[rows["fold"] != NO_FOLD, "site"].tolist()
            figures = out_of_fold_figures(project, union)
            what = Evaluation("out_of_fold", _CROSS, figures, out_of_fold, sites)
            add_figures(chapters, room, what, **shared)

        attempt(chapters.appendix, f"The figures of {_CROSS.lower()}", cross_validated)
    if predictions:
        add_auroc_two_ways(chapters.appendix, room, predictions, exact)


def _labels(section: Section, room: HoldoutRoom, holdout: Holdout) -> None:
    names = ("label", "positives", "rows", "auroc", "precision", "recall", "f1")
    table = pd.DataFrame([row.to_json() for row in holdout.labels], columns=list(names))
    files = {"CSV": room.table("holdout_labels", table)}
    rows = [
        [
            text(words(row["label"])),
            *(whole(row[name]) for name in names[1:3]),
            *(decimal(row[name]) for name in names[3:]),
        ]
        for row in table.to_dict("records")
    ]
    title = holdout_title(room.looks)
    caption = f"Labels of the {title[0].lower()}{title[1:]}, threshold {holdout.threshold}"
    section.tables.append(PageTable(caption, names, rows, files))
