"""What figures are worth, on the page: intervals, ties, and every figure of some predictions."""

from rust_tuner.report.page import Section
from rust_tuner.report.style import METRICS
from rust_tuner.search.out_of_fold import score_intervals
from rust_tuner.search.records import Project


def tell_worth(section: Section, project: Project) -> None:
    """How sure the best trial's score is, and whether it is the best."""
    intervals = score_intervals(project)
    if intervals:
        told = "; ".join(
            f"{METRICS[metric.removeprefix('val_')]} {interval.value:.3f} "
            f"({interval.low:.3f} to {interval.high:.3f})"
            for metric, interval in intervals.items()
        )
        section.lead.append(
            f"Best trial with its 95 % interval, by bootstrap over patients from out-of-fold "
            f"predictions: {told}. It tells how much the figure depends on which patients were "
            "scored, not how much chance helped in picking the trial."
        )
    compared = project.ties
    num_tied = sum(tie.tied for tie in compared.values())
    if len(compared) > 1:
        section.lead.append(
            f"{num_tied} of {len(compared)} trials are statistically tied for the best, so any "
            "of them may be: they are not told apart by Tukey's range test with the variance of "
            "Nadeau and Bengio, all trials at once at 5 %. The table's p is that of their "
            "corrected test against the best trial by itself."
            if num_tied > 1
            else f"No other of {len(compared)} trials is statistically tied with the best one "
            "(Tukey's range test with the variance of Nadeau and Bengio, all trials at once at "
            "5 %)."
        )
