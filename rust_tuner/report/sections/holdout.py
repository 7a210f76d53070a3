"""The figures of the page on the hold-out set: scores of cortices, totals of visits, worst errors.

They show the content of `final/predictions.csv`, which was written at the look at that set.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rust_tuner.analysis.assessment import POOLED, as_predictions, reliability_bins
from rust_tuner.analysis.gallery import find_images, read_thumbnails, worst_errors
from rust_tuner.analysis.study_figures import ERROR, find_figure, holdout_figures
from rust_tuner.analysis.totals import trajectory_table, visit_scale, visit_table
from rust_tuner.data.reading import Framing, Reading
from rust_tuner.errors import ResumeError
from rust_tuner.figures.final import (
    FEWEST_DRAWN,
    draw_calibration,
    draw_confusion,
    draw_precision_recall,
    draw_roc,
    is_drawn,
)
from rust_tuner.figures.gallery import draw_gallery, gallery_height
from rust_tuner.figures.style import Drawing
from rust_tuner.figures.totals import draw_bland_altman, draw_totals, draw_trajectories
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import TotalAgreement
from rust_tuner.metrics.figure import CORTEX_GROUP, VISITS
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.protocol import Protocol
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import holdout_title
from rust_tuner.records.pixels import read_pixels
from rust_tuner.records.predictions import (
    confusion_table,
    label_table,
    precision_recall_table,
    roc_table,
)
from rust_tuner.records.private import key_of, manifest_of
from rust_tuner.report.holdout_room import HoldoutRoom
from rust_tuner.report.page import Cell, PageTable, Picture, Room, Section, attempt, text, whole
from rust_tuner.report.sections.chapters import Chapters


def draw_holdout(
    chapters: Chapters, room: Room, records: StudyRecords, predictions: pd.DataFrame
) -> None:
    """Draw every figure of the hold-out set into its section.

    Args:
        chapters: get the figures.
        room: where their files go.
        records: the study.
        predictions: its `final/predictions.csv`.
    """
    figures = holdout_figures(records)
    _draw_totals(chapters.rust, room, predictions, figures)
    labels = label_table(predictions)
    _draw(chapters.cortices, {"confusion matrices": lambda: _confusion(room, predictions)})
    if labels.empty or _has_curves(labels):
        curves = {
            "ROC curves": lambda: _roc(room, labels),
            "precision-recall curves": lambda: _precision_recall(room, labels),
        }
        _draw(chapters.cortices, curves)
    else:
        chapters.cortices.missing.append(
            "No ROC and precision-recall curves are drawn: no score of a cortex has "
            f"{FEWEST_DRAWN} radiographs with it and {FEWEST_DRAWN} without. Their figures, with "
            "intervals, are in the tables below."
        )
    errors = worst_errors(predictions)
    if errors.empty:
        chapters.cortices.missing.append(
            "No cortex of the hold-out set was misread, so no error is shown."
        )
    else:
        gallery = {"worst errors": lambda: _gallery(room, records, predictions, errors)}
        _draw(chapters.cortices, gallery)
        attempt(
            chapters.cortices,
            "The table of the worst errors",
            lambda: _worst(chapters.cortices, room, errors),
        )
    _draw(chapters.appendix, {"calibration": lambda: _calibration(room, predictions, figures)})


def _draw(section: Section, steps: Mapping[str, Callable[[], Picture]]) -> None:
    def add(step: Callable[[], Picture]) -> None:
        section.pictures.append(step())

    for what, step in steps.items():
        attempt(section, f"The figure of the {what}", functools.partial(add, step))


def _draw_totals(
    section: Section, room: Room, predictions: pd.DataFrame, figures: pd.DataFrame
) -> None:
    visits = visit_table(predictions)
    if visits.empty:
        section.missing.append(
            "No visit of the hold-out set has all four cortices scored, so no total is drawn."
        )
        return
    agreement = _agreement(figures, len(visits))
    steps: dict[str, Callable[[], Picture]] = {
        "totals": lambda: _totals(room, visits, agreement),
        "differences of totals": lambda: _bland_altman(room, visits, agreement),
    }
    courses = trajectory_table(visits)
    if courses.empty:
        section.missing.append(
            "No patient of the hold-out set has two visits with all four cortices scored, so "
            "no trajectory is drawn."
        )
    else:
        steps["healing trajectories"] = lambda: _trajectories(room, visits, courses)
    _draw(section, steps)


def _has_curves(labels: pd.DataFrame) -> bool:
    """Whether any score of a cortex has enough radiographs for a curve."""
    of_label = labels.groupby(["cortex", "score"])["positive"]
    counts = pd.DataFrame({"positives": of_label.sum(), "rows": of_label.size()})
    return any(map(is_drawn, counts.to_dict("records")))


def _worst(section: Section, room: Room, errors: pd.DataFrame) -> None:
    """The table of the worst errors, which names the file and the patient of each."""
    files = {"CSV": room.table("holdout_worst", errors)}
    rows = [
        [
            whole(row["rank"]),
            text(row["image"]),
            *(text(row[name]) for name in ("patient_id", "visit", "view")),
            whole(row["error"]),
            *(_true_and_predicted(row, cortex) for cortex in CORTICES),
        ]
        for row in errors.to_dict("records")
    ]
    header = ("rank", "file", "patient", "visit", "view", "points off", *CORTICES)
    title = holdout_title(room.looks if isinstance(room, HoldoutRoom) else ())
    caption = f"{title}: radiographs misread most; true → most likely score"
    section.tables.append(PageTable(caption, header, rows, files))


def _true_and_predicted(row: Mapping[Any, Any], cortex: str) -> Cell:
    true, predicted = row[f"{cortex}_true"], row[f"{cortex}_predicted"]
    return text(None if math.isnan(true) else f"{true:.0f} → {predicted:.0f}")


def _roc(room: Room, labels: pd.DataFrame) -> Picture:
    points = roc_table(labels)
    return room.picture(
        "holdout_roc",
        Drawing(functools.partial(draw_roc, points), height=4.7),
        points,
        caption="Hold-out set. ROC curves of each score, where the cortex is visible. A score with "
        f"fewer than {FEWEST_DRAWN} positives, or negatives, has no curve.",
        alt=f"AUROC of each cortex and score: {_per_label(points, 'auroc')}.",
    )


def _precision_recall(room: Room, labels: pd.DataFrame) -> Picture:
    points = precision_recall_table(labels)
    listed = _per_label(points, "average_precision")
    return room.picture(
        "holdout_precision_recall",
        Drawing(functools.partial(draw_precision_recall, points), height=4.7),
        points,
        caption="Hold-out set. Precision-recall curves of each score, where the cortex is "
        "visible; in brackets the share of positives, which is the precision expected by chance. A "
        f"score with fewer than {FEWEST_DRAWN} positives, or negatives, has no curve.",
        alt=f"Average precision of each cortex and score: {listed}.",
    )


def _confusion(room: Room, predictions: pd.DataFrame) -> Picture:
    counts = confusion_table(predictions)
    agreeing = "; ".join(
        f"{cortex} {rows.loc[rows['true_score'] == rows['predicted_score'], 'count'].sum()} of "
        f"{rows['count'].sum()}"
        for cortex, rows in counts.groupby("cortex", sort=False)
    )
    return room.picture(
        "holdout_confusion",
        Drawing(functools.partial(draw_confusion, counts), height=3.7),
        counts,
        caption="Hold-out set. Most likely against true score, where the cortex is visible: right "
        "answers are blue, wrong ones orange, and red where they are 2 or 3 points off; stronger "
        "cells are more frequent. A grey row stands for a score that no radiograph has.",
        alt=f"Most likely score agrees with the true one: {agreeing}.",
    )


def _agreement(figures: pd.DataFrame, pairs: int) -> TotalAgreement:
    """The figures of totals, each with its interval."""
    intervals = {}
    for name in ("mae", "bias", "lower_limit", "upper_limit", "icc"):
        row = find_figure(figures, name, VISITS) or dict.fromkeys(
            ("value", "low", "high"), math.nan
        )
        intervals[name] = Interval(row["value"], row["low"], row["high"])
    mae = intervals.pop("mae").value
    return TotalAgreement(pairs=pairs, mae=mae, **intervals)


def _with_figures(table: pd.DataFrame, figures: Mapping[str, Interval]) -> pd.DataFrame:
    """The table, with a column for each drawn figure and the ends of its interval."""
    columns = {
        f"{name}{end}": value
        for name, figure in figures.items()
        for end, value in (("", figure.value), ("_low", figure.low), ("_high", figure.high))
    }
    return table.assign(**columns)


def _calibration(room: Room, predictions: pd.DataFrame, figures: pd.DataFrame) -> Picture:
    bins = reliability_bins(as_predictions(predictions))
    bins = bins[bins["label"] == POOLED].reset_index(drop=True)
    row = find_figure(figures, ERROR, CORTEX_GROUP, average="micro") or {}
    error = float(row.get("value", math.nan))
    gap = (bins["mean_probability"] - bins["share_positive"]).abs().max()
    return room.picture(
        "holdout_calibration",
        Drawing(functools.partial(draw_calibration, bins, error=error), height=3.3),
        bins.assign(**{ERROR: error}),
        caption="Hold-out set. Calibration of all visible cortex labels together, in bins of equal "
        "width, with 95 % intervals over patients for bins with enough of them.",
        alt=f"Observed share against predicted probability in {len(bins)} bins; they differ by up "
        f"to {gap:.2f}.",
    )


def _totals(room: Room, visits: pd.DataFrame, agreement: TotalAgreement) -> Picture:
    return room.picture(
        "holdout_totals",
        Drawing(functools.partial(draw_totals, visits, agreement=agreement), height=3.6),
        _with_figures(visits.assign(mae=agreement.mae), {"icc": agreement.icc}),
        caption="Hold-out set. RUST total of each visit with all four cortices scored, both views "
        "together: sum of the most likely scores against the true one. MAE: mean absolute error. "
        "ICC(2,1) with its 95 % interval over patients.",
        alt=f"Predicted against true total of {len(visits)} visits: they differ by "
        f"{agreement.mae:.2f} points on average.",
    )


def _bland_altman(room: Room, visits: pd.DataFrame, agreement: TotalAgreement) -> Picture:
    table = visits.assign(
        mean=(visits["true_total"] + visits["predicted_total"]) / 2,
        difference=visits["predicted_total"] - visits["true_total"],
    )
    drawn = {name: getattr(agreement, name) for name in ("bias", "lower_limit", "upper_limit")}
    low, high = drawn["lower_limit"].value, drawn["upper_limit"].value
    limits = (
        "too few for limits of agreement"
        if math.isnan(low) or math.isnan(high)
        else f"limits of agreement {low:+z.2f} to {high:+z.2f}"
    )
    return room.picture(
        "holdout_bland_altman",
        Drawing(functools.partial(draw_bland_altman, visits, agreement=agreement), height=3.0),
        _with_figures(table, drawn),
        caption="Hold-out set. Bland-Altman plot of the RUST total: bias and 95 % limits of "
        "agreement, with their 95 % intervals over patients.",
        alt=f"Difference of the totals of {len(visits)} visits: bias {drawn['bias'].value:+z.2f} "
        f"points, {limits}.",
    )


def _trajectories(room: Room, visits: pd.DataFrame, courses: pd.DataFrame) -> Picture:
    scale = visit_scale(visits["visit"])
    shown = courses["patient_id"].nunique()
    total = courses.attrs["patients"]
    return room.picture(
        "holdout_trajectories",
        Drawing(
            functools.partial(
                draw_trajectories, courses, unit=scale.unit, is_ordinal=scale.is_ordinal
            ),
            height=1.2 + 1.05 * math.ceil(shown / 3),
        ),
        courses,
        caption=f"Hold-out set. Healing of {shown} of {total} patients with two complete visits or "
        "more: true and predicted RUST total.",
        alt=f"True and predicted totals of {shown} patients over their visits; mean absolute "
        f"errors from {courses['error'].min():.1f} to {courses['error'].max():.1f} points.",
    )


def _gallery(
    room: Room, records: StudyRecords, predictions: pd.DataFrame, errors: pd.DataFrame
) -> Picture:
    thumbnails = read_thumbnails(_images_of(records, errors))
    shown = int(predictions["image"].nunique())
    lacking = len(errors) - len(thumbnails)
    note = f" {lacking} image files were not found." if lacking else ""
    return room.picture(
        "holdout_worst",
        Drawing(
            functools.partial(draw_gallery, errors, thumbnails=thumbnails, num_radiographs=shown),
            height=gallery_height(len(errors)),
        ),
        errors,
        caption=f"Hold-out set. The {len(errors)} radiographs that were misread most, as the "
        f"model sees them. They are pictures of patients: restrict access to this file.{note}",
        alt=f"The {len(errors)} radiographs that were misread most, "
        f"from {errors['image'].iloc[0]}, off by "
        f"{errors['error'].max():.0f} to {errors['error'].min():.0f} points, with true and most "
        "likely scores.",
    )


def _images_of(records: StudyRecords, errors: pd.DataFrame) -> dict[str, tuple[Path, Reading]]:
    """The files of some radiographs; those that cannot be found without the study's key lack."""
    study = records.study
    if study is None:
        return find_images(errors, None)
    manifest = manifest_of(records.directory, study)
    if manifest is None:
        return {}
    pixels = None
    # Without it, pictures are shown as they are stored.
    with contextlib.suppress(ResumeError):
        if study.pixels_sha256 is not None:
            pixels = read_pixels(records.directory, study.pixels_sha256)
    protocol = Protocol.from_json(study.protocol)
    return find_images(
        errors,
        manifest,
        key=key_of(records.directory, study),
        pixels=pixels,
        framing=Framing.of(protocol.crop, protocol.remove_borders),
        view_cortices=protocol.view_cortices,
    )


def _per_label(points: pd.DataFrame, name: str) -> str:
    first = points.drop_duplicates(["cortex", "score"]).to_dict("records")
    return "; ".join(
        f"{row['cortex']} {row['score']} "
        f"{'undefined' if pd.isna(row[name]) else format(row[name], '.2f')}"
        for row in first
    )
