"""The figure at the top of the page, above the table of results."""

from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.figures.style import DOUBLE_WIDTH, new_figure
from rust_tuner.figures.summary import draw_summary
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.page import Room, Section, attempt
from rust_tuner.words import METRICS


def overview_section(records: StudyRecords, room: Room) -> Section:
    """Every part's score beside that of the view alone; empty if no part has a score."""
    section = Section("overview", "Overview")

    def draw() -> None:
        scores = summary_scores(records)
        if scores.empty:
            return
        figure = new_figure(width=DOUBLE_WIDTH, height=1.0 + 0.36 * scores["part"].nunique())
        draw_summary(scores, figure=figure)
        listed = "; ".join(
            f"{row['part']} {METRICS[row['metric']]} {row['value']:.3f}"
            for row in scores.dropna(subset=["value"]).to_dict("records")
        )
        section.pictures.append(
            room.picture(
                "summary",
                figure,
                scores,
                caption="Results with 95 % intervals: over folds, allowing for the training data "
                "that they share; for the hold-out set over patients. A selection score is the "
                "best of several, or of patients that a choice was made on, so it is too high. A "
                "score means something only where it exceeds that of the view alone.",
                alt=f"{listed}.",
            )
        )

    attempt(section, "The figure of the results", draw)
    return section
