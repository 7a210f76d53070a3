"""Intervals, ties and all figures of predictions, on the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rust_tuner.analysis.assessment import (
    POOLED,
    auroc_two_ways,
    label_figures,
    overall_figures,
    reliability_bins,
    site_figures,
)
from rust_tuner.analysis.columns import Column
from rust_tuner.analysis.study_figures import ERROR, FOLDS, OVER, find_figure
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import Predictions, UnionCutoff
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, EVERY_ROW, VISIBLE, VISITS
from rust_tuner.records.project import Project
from rust_tuner.report.page import Room, Section, attempt, results
from rust_tuner.report.sections.chapters import Chapters
from rust_tuner.scope import AUROCS, CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import LABEL_NAMES, METRICS, figure_name

_GROUPS = {
    LABEL_SCOPE.key: LABEL_SCOPE.name,
    CORTEX_SCOPE.key: "cortices where visible",
    "visits": "visits with all four cortices",
}
_OF_ALL = [
    Column("figure", "figure"),
    Column("of", "of", names=_GROUPS),
    Column("average", "average"),
    Column("value", "value", "number"),
    Column("low", "from", "number"),
    Column("high", "to", "number"),
    Column("counted", "defined"),
    Column("reason", "why no interval"),
]
_OF_EACH = [
    Column("label", "label", names=LABEL_NAMES),
    Column("counted", "rows counted"),
    *(
        Column(f"{name}{part}", header or figure_name(name), "number")
        for name in ("auroc", "average_precision", "brier")
        for part, header in (("", ""), ("_low", "from"), ("_high", "to"))
    ),
    Column("auroc_reason", "why the AUROC has no interval"),
]
_OF_BINS = [
    Column("above", "above", "number"),
    Column("up_to", "up to", "number"),
    Column("rows", "rows", "whole"),
    Column("mean_probability", "mean probability", "number"),
    Column("share_positive", "share of positives", "number"),
    Column("share_low", "from", "number"),
    Column("share_high", "to", "number"),
]
_OF_SITES = [
    Column("site", "site"),
    Column("radiographs", "radiographs", "whole"),
    Column("patients", "patients", "whole"),
    Column("figure", "figure"),
    Column("of", "of", names=_GROUPS),
    Column("value", "value", "number"),
    Column("low", "from", "number"),
    Column("high", "to", "number"),
    Column("reason", "why no interval"),
]
_TWO_WAYS = [
    Column("evaluation", "evaluation"),
    Column("counted", "labels defined"),
    Column("fewest_in_a_fold", "fewest in a fold", "whole"),
    Column("exact", "exact AUROC", "number", digits=4),
    Column("keras", "Keras AUC, 200 thresholds", "number", digits=4),
    Column("difference", "difference", "number", digits=4),
    Column("by_bins", "due to ties within bins", "number", digits=4),
    Column("by_undefined", "due to undefined labels as 0", "number", digits=4),
]


def tell_worth(section: Section, project: Project, table: pd.DataFrame) -> None:
    """Say how certain the best trial's score is, and which trials are tied with it.

    Args:
        section: gets the sentences.
        project: a search with a best trial.
        table: its trials, from `trials_table`.
    """
    best = project.best
    intervals = {} if best is None else {name: best.interval(name) for name in reversed(AUROCS)}
    scores = "; ".join(
        f"{METRICS[name]} {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
        for name, figure in intervals.items()
        if not pd.isna(figure.low)
    )
    if scores:
        section.lead.append(
            f"Best trial with its 95 % interval over folds: {scores}. The interval allows for the "
            "training data that folds share (Nadeau and Bengio), but not for how much chance "
            "helped in picking the trial."
        )
    compared = project.ties
    num_tied = sum(tie.tied for tie in compared.values())
    if len(compared) > 1:
        section.lead.append(
            f"{num_tied} of {len(compared)} trials are statistically tied for the best, so any "
            "of them may be the best: Tukey's range test with the variance of Nadeau and Bengio "
            "cannot distinguish them, at 5 % over all trials together. The p in the table is that "
            "of their corrected test of one trial against the best one."
            if num_tied > 1
            else f"No other of {len(compared)} trials is statistically tied with the best one "
            "(Tukey's range test with the variance of Nadeau and Bengio, at 5 % over all trials "
            "together)."
        )
    note = tie_note(table)
    if note:
        section.lead.append(f"Trial {note}")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Some predictions and their figures.

    Attributes:
        name: what the files begin with.
        title: what the tables are of.
        figures: from `holdout_figures` or `out_of_fold_figures`.
        predictions: what the figures are of; None if they no longer exist.
        sites: the site of each radiograph, or empty.
    """

    name: str
    title: str
    figures: pd.DataFrame
    predictions: Predictions | None
    sites: Sequence[str] = ()


def add_figures(
    chapters: Chapters,
    room: Room,
    evaluation: Evaluation,
    *,
    union: UnionCutoff,
    exact: dict[str, float] | None = None,
) -> None:
    """Add every figure of some predictions: overall, of each label, reliability, by site.

    Args:
        chapters: get the tables.
        room: where their files go.
        evaluation: the predictions and their figures.
        union: the definition of union.
        exact: gets the macro AUROC of the 18 labels by title.
    """
    name, title, figures = evaluation.name, evaluation.title, evaluation.figures
    predictions = evaluation.predictions

    def everything() -> None:
        files = {"CSV": room.table(f"{name}_figures", figures)}
        over_folds = (figures[OVER] == FOLDS).any()
        note = "; the macro AUROC is a score of the cross-validation, with an interval over folds"
        overall = overall_figures(figures).to_dict("records")
        for section, what, is_here in (
            (chapters.rust, "RUST totals and union", _is_of_visits),
            (chapters.cortices, "scores of visible cortices", _is_of_cortices),
            (chapters.appendix, f"the {LABEL_SCOPE.name}", _is_of_labels),
        ):
            rows = [row for row in overall if is_here(row)]
            if not rows:
                continue
            of_folds = over_folds and any(
                row["figure"] == "auroc" and row["average"] == "macro" for row in rows
            )
            caption = f"{title}: {what}, with 95 % intervals over patients"
            caption += note if of_folds else ""
            section.tables.append(results(caption, map(_named, rows), _OF_ALL, files))
        row = find_figure(figures, "auroc", ALL_LABELS)
        if row is not None and exact is not None:
            exact[title] = row["value"]

    def of_labels() -> None:
        labels = label_figures(figures)
        if labels.empty:
            return
        files = {"CSV": room.table(f"{name}_label_figures", labels)}
        for section, counted, what in (
            (chapters.cortices, VISIBLE, "each cortex and score, where visible"),
            (chapters.appendix, EVERY_ROW, f"each of the {LABEL_SCOPE.name}"),
        ):
            rows = labels[labels["counted"] == counted].to_dict("records")
            if rows:
                section.tables.append(results(f"{title}: {what}", rows, _OF_EACH, files))

    def reliability() -> None:
        assert predictions is not None
        bins = reliability_bins(predictions)
        files = {"CSV": room.table(f"{name}_reliability", bins)}
        shown = bins[bins["label"] == POOLED].to_dict("records")
        error = find_figure(figures, ERROR, CORTEX_GROUP, average="micro")
        note = "" if error is None else f"; {figure_name(ERROR)} {error['value']:.3f}"
        caption = (
            f"{title}: calibration of all visible cortex labels together, with 95 % intervals of "
            f"the share over patients{note}"
        )
        chapters.appendix.tables.append(results(caption, shown, _OF_BINS, files))

    def by_site() -> None:
        assert predictions is not None
        table = site_figures(
            predictions, evaluation.sites, union_threshold=union.threshold, union_cutoff=union.value
        )
        if table.empty:
            return
        files = {"CSV": room.table(f"{name}_sites", table)}
        rows = table.assign(figure=table["figure"].map(figure_name)).to_dict("records")
        chapters.appendix.tables.append(results(f"{title}: by site", rows, _OF_SITES, files))

    appendix = chapters.appendix
    attempt(appendix, f"The figures of {title.lower()}", everything)
    attempt(appendix, f"The label figures of {title.lower()}", of_labels)
    if predictions is not None:
        attempt(appendix, f"The reliability table of {title.lower()}", reliability)
        if len(evaluation.sites):
            attempt(appendix, f"The figures by site of {title.lower()}", by_site)


def _is_of_visits(row: Mapping[Any, Any]) -> bool:
    return bool(row["of"] == VISITS)


def _is_of_cortices(row: Mapping[Any, Any]) -> bool:
    return row["of"] == CORTEX_GROUP or row["of"] in CORTICES


def _is_of_labels(row: Mapping[Any, Any]) -> bool:
    return not _is_of_visits(row) and not _is_of_cortices(row)


def add_auroc_two_ways(
    section: Section, room: Room, predictions: Mapping[str, Predictions], exact: Mapping[str, float]
) -> None:
    """Add the exact 18-label AUROC beside Keras's, and say why they differ."""

    def table() -> None:
        aurocs = auroc_two_ways(predictions, exact)
        files = {"CSV": room.table("auroc_two_ways", aurocs)}
        rows = [
            row | {"counted": f"{row['defined']} of {row['labels']}"}
            for row in aurocs.to_dict("records")
        ]
        title = f"AUROC of the {LABEL_SCOPE.name}, two ways"
        section.tables.append(results(title, rows, _TWO_WAYS, files))
        section.lead.append(
            "The AUROC here is exact, over the labels that have positives and negatives. The "
            "published study reported Keras's AUC with 200 thresholds (multi_label=True), which "
            "treats scores within one of 199 bins as tied and counts a label with one class only "
            "as 0. The table shows both AUROCs, and what each effect adds to their difference."
        )

    attempt(section, "The table of AUROC two ways", table)


def _named(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """A row with its figure in words, and how many of what it is defined for."""
    of = row["of"]
    what = "cortices" if of == CORTEX_GROUP and row["total"] == len(CORTICES) else "labels"
    what = "visits" if of == VISITS else what
    published = of == ALL_LABELS and row["average"] == "macro"
    return dict(row) | {
        "figure": figure_name(row["figure"], published=published),
        "counted": "" if pd.isna(row["defined"]) else f"{row['defined']} of {row['total']} {what}",
    }
