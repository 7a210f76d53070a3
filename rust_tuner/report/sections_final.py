"""The section of the page on the final model: its cross-validation and the hold-out set."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from rust_tuner.report import figures_final
from rust_tuner.report.figures import METRICS, new_axes, new_figure
from rust_tuner.report.page import PageTable, Room, Section, attempt, decimal, text, whole
from rust_tuner.report.predictions import (
    calibration_table,
    confusion_table,
    label_table,
    precision_recall_table,
    roc_table,
)
from rust_tuner.report.sections import draw_project_curves
from rust_tuner.report.study_records import StudyRecords
from rust_tuner.report.tables import curves_table, final_table


def final_section(records: StudyRecords, room: Room) -> Section:
    """The tuned model: cross-validated, then on the hold-out set."""
    section = Section("final", "Final model")
    found = final_table(records)
    if records.cross_validation is None:
        section.missing.append("The final model has not been cross-validated.")
    else:
        draw_project_curves(
            section,
            room,
            records.cross_validation,
            name="final_curves",
            title="Tuned model",
        )
        project = records.cross_validation
        attempt(
            section,
            "The published layout of the final model",
            lambda: room.table(
                "as_published_final_model_kfold", curves_table(project, model="final")
            ),
        )
    if not found.empty:
        file = room.table("final", found)
        evaluations = {"cross_validation": "cross-validation", "holdout": "hold-out set"}
        rows = [
            [
                text(evaluations[row["evaluation"]]),
                text(row["kind"]),
                text(METRICS.get(row["metric"], row["metric"].replace("_", " "))),
                *(decimal(row[name]) for name in ("value", "std", "view_only")),
            ]
            for row in found.to_dict("records")
        ]
        header = ("evaluation", "kind", "figure", "value", "SD over folds", "view only")
        section.tables.append(PageTable("The tuned model", header, rows, file))
    holdout = records.holdout
    if holdout is None:
        section.missing.append("The hold-out set has not been evaluated; it is sealed.")
    else:
        section.lead.append(
            f"The hold-out set, {holdout['radiographs']} radiographs of {holdout['patients']} "
            f"patients, was evaluated once, on {holdout.get('date')}; its figures are an estimate."
        )
        attempt(section, "The table of labels", lambda: _labels(section, room, holdout))
    if records.predictions is None:
        section.missing.append("final/predictions.csv is not there or cannot be read.")
    else:
        _holdout_pictures(section, room, records.predictions)
    return section


def _labels(section: Section, room: Room, holdout: Mapping[str, Any]) -> None:
    names = ("label", "positives", "rows", "auroc", "precision", "recall", "f1")
    table = pd.DataFrame([{name: row[name] for name in names} for row in holdout["labels"]])
    file = room.table("holdout_labels", table)
    rows = [
        [
            text(row["label"]),
            *(whole(row[name]) for name in names[1:3]),
            *(decimal(row[name]) for name in names[3:]),
        ]
        for row in table.to_dict("records")
    ]
    caption = f"Labels of the hold-out set, threshold {holdout.get('threshold')}"
    section.tables.append(PageTable(caption, names, rows, file))


def _holdout_pictures(section: Section, room: Room, predictions: pd.DataFrame) -> None:
    labels = label_table(predictions)

    def roc() -> None:
        points = roc_table(labels)
        figure = new_figure(height=4.0)
        figures_final.draw_roc(points, figure=figure)
        told = _per_label(points, "auroc")
        section.pictures.append(
            room.picture(
                "holdout_roc",
                figure,
                points,
                caption="Hold-out set. ROC curves of each score, where the cortex is visible.",
                alt=f"AUROC of each cortex and score: {told}.",
            )
        )

    def precision_recall() -> None:
        points = precision_recall_table(labels)
        figure = new_figure(height=4.7)
        figures_final.draw_precision_recall(points, figure=figure)
        told = _per_label(points, "average_precision")
        section.pictures.append(
            room.picture(
                "holdout_precision_recall",
                figure,
                points,
                caption="Hold-out set. Precision-recall curves of each score, where the cortex is "
                "visible; in brackets the share of positives, which chance reaches.",
                alt=f"Average precision of each cortex and score: {told}.",
            )
        )

    def confusion() -> None:
        counts = confusion_table(predictions)
        figure = new_figure(height=3.4)
        figures_final.draw_confusion(counts, figure=figure)
        told = "; ".join(
            f"{cortex} {rows.loc[rows['true_score'] == rows['predicted_score'], 'count'].sum()} of "
            f"{rows['count'].sum()}"
            for cortex, rows in counts.groupby("cortex", sort=False)
        )
        section.pictures.append(
            room.picture(
                "holdout_confusion",
                figure,
                counts,
                caption="Hold-out set. Most likely against true score, where the cortex is "
                "visible; a grey row has no radiograph.",
                alt=f"Most likely score agrees with the true one: {told}.",
            )
        )

    def calibration() -> None:
        bins = calibration_table(labels)
        axes = new_axes(height=3.3)
        figures_final.draw_calibration(bins, axes=axes)
        gap = (bins["predicted"] - bins["observed"]).abs().max()
        section.pictures.append(
            room.picture(
                "holdout_calibration",
                axes.figure,
                bins,
                caption="Hold-out set. Calibration of all visible cortex labels together; the "
                "intervals take labels as independent, which is too narrow.",
                alt=f"Observed share against predicted probability in {len(bins)} bins; they "
                f"differ by up to {gap:.2f}.",
            )
        )

    for what, step in {
        "ROC curves": roc,
        "precision-recall curves": precision_recall,
        "confusion matrices": confusion,
        "calibration": calibration,
    }.items():
        attempt(section, f"The figure of the {what}", step)


def _per_label(points: pd.DataFrame, name: str) -> str:
    first = points.drop_duplicates(["cortex", "score"]).to_dict("records")
    return "; ".join(
        f"{row['cortex']} {row['score']} "
        f"{'undefined' if pd.isna(row[name]) else format(row[name], '.2f')}"
        for row in first
    )
