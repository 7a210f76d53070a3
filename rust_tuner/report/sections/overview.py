"""The figure at the top of the page, above the table of results."""

import functools

import pandas as pd

from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.figures.style import Drawing
from rust_tuner.figures.summary import draw_summary
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.page import Picture, Room, Section, attempt, folded
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import METRICS


def overview_section(records: StudyRecords, room: Room) -> Section:
    """Every part's score beside that of the view alone; empty if no part has a score."""
    section = Section("overview", "Overview")

    def picture(scores: pd.DataFrame, name: str, metric: str) -> Picture:
        shown = scores[scores["metric"] == metric]
        listed = "; ".join(
            f"{row['part']} {METRICS[row['metric']]} {row['value']:.3f}"
            for row in shown.dropna(subset=["value"]).to_dict("records")
        )
        return room.picture(
            name,
            Drawing(
                functools.partial(draw_summary, scores, metric=metric),
                height=0.95 + 0.36 * scores["part"].nunique(),
            ),
            shown.reset_index(drop=True),
            caption=f"{METRICS[metric]}, with 95 % intervals: over folds, allowing for the "
            "training data that they share; for the hold-out set over patients. A selection score "
            "is the best of several, or of patients that a choice was made on, so it is too high. "
            "A score means something only where it exceeds that of the view alone.",
            alt=f"{listed}.",
        )

    def draw() -> None:
        scores = summary_scores(records)
        if scores.empty:
            return
        main, beside = CORTEX_SCOPE.metric, LABEL_SCOPE.metric
        section.pictures.append(
            folded([picture(scores, "summary", main), picture(scores, "summary_labels", beside)])
        )

    attempt(section, "The figure of the results", draw)
    return section
