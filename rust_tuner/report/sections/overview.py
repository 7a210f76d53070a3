"""The figure at the top of the page, between what was asked and the table of what came out."""

from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.figures.style import DOUBLE_WIDTH, new_figure
from rust_tuner.figures.summary import draw_summary
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.page import Room, Section, attempt
from rust_tuner.words import METRICS


def overview_section(records: StudyRecords, room: Room) -> Section:
    """Every part's score beside what the view alone reaches; empty where nothing has a score."""
    section = Section("overview", "Overview")

    def draw() -> None:
        scores = summary_scores(records)
        if scores.empty:
            return
        figure = new_figure(width=DOUBLE_WIDTH, height=1.0 + 0.36 * scores["part"].nunique())
        draw_summary(scores, figure=figure)
        told = "; ".join(
            f"{row['part']} {METRICS[row['metric']]} {row['value']:.3f}"
            for row in scores.dropna(subset=["value"]).to_dict("records")
        )
        section.pictures.append(
            room.picture(
                "summary",
                figure,
                scores,
                caption="What came out, with 95 % intervals: over folds, which counts that they "
                "share training data; of the hold-out set over patients. A selection "
                "score is the best of several, or of patients that something was chosen on, and "
                "too good; any score counts only beyond what the view alone reaches.",
                alt=f"{told}.",
            )
        )

    attempt(section, "The figure of the results", draw)
    return section
