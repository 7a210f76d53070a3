"""Intervals, ties and all figures of predictions, on the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rust_tuner.analysis.assessment import (
    POOLED,
    as_predictions,
    auroc_two_ways,
    label_figures,
    overall_figures,
    reliability_bins,
    site_figures,
)
from rust_tuner.analysis.columns import Column
from rust_tuner.analysis.study_figures import (
    ERROR,
    FOLDS,
    OVER,
    find_figure,
    foreign_predictions,
    holdout_figures,
    out_of_fold_figures,
    union_of,
    union_text,
)
from rust_tuner.analysis.summary_scores import METRICS_TOLD
from rust_tuner.analysis.tie_note import tie_note
from rust_tuner.labels import CORTICES
from rust_tuner.metrics import Predictions, UnionCutoff
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, VISITS
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import holdout_title
from rust_tuner.records.project import Project
from rust_tuner.records.rows import NO_FOLD, out_of_fold_predictions, read_rows
from rust_tuner.report.holdout_room import HoldoutRoom
from rust_tuner.report.page import Cell, PageTable, Room, Section, attempt, decimal, results, text
from rust_tuner.scope import CORTEX_SCOPE, LABEL_SCOPE
from rust_tuner.words import LABEL_NAMES, METRICS, figure_name

_GROUPS = {
    LABEL_SCOPE.key: LABEL_SCOPE.name,
    CORTEX_SCOPE.key: "cortices where visible",
    "visits": "visits with all four cortices",
}
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
_CROSS = "Tuned model, out of fold (selection score)"


def tell_worth(section: Section, project: Project, table: pd.DataFrame) -> None:
    """Say how certain the best trial's score is, and which trials are tied with it.

    Args:
        section: gets the sentences.
        project: a search with a best trial.
        table: its trials, from `trials_table`.
    """
    best = project.best
    intervals = {} if best is None else {name: best.interval(name) for name in METRICS_TOLD}
    scores = "; ".join(
        f"{METRICS[name]} {found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
        for name, found in intervals.items()
        if not pd.isna(found.low)
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


def add_all_figures(section: Section, room: Room, records: StudyRecords) -> None:
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
        sealed = HoldoutRoom(room.folder, records.looks)
        what = Evaluation("holdout", title, figures, predictions.get(title), sites)
        add_figures(section, sealed, what, **shared)
    project = records.cross_validation
    if project is not None and project.best is not None:

        def cross_validated() -> None:
            rows = read_rows(project)
            out_of_fold = out_of_fold_predictions(project)
            predictions[_CROSS] = out_of_fold
            sites = rows.loc[rows["fold"] != NO_FOLD, "site"].tolist()
            figures = out_of_fold_figures(project, union)
            what = Evaluation("out_of_fold", _CROSS, figures, out_of_fold, sites)
            add_figures(section, room, what, **shared)

        attempt(section, f"The figures of {_CROSS.lower()}", cross_validated)
    if predictions:
        add_auroc_two_ways(section, room, predictions, exact)


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
    section: Section,
    room: Room,
    evaluation: Evaluation,
    *,
    union: UnionCutoff,
    exact: dict[str, float] | None = None,
) -> None:
    """Add every figure of some predictions: overall, of each label, reliability, by site.

    Args:
        section: gets the tables.
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
        note = "; both macro AUROCs are scores of the cross-validation, with intervals over folds"
        section.tables.append(
            PageTable(
                f"{title}: all figures with 95 % intervals over patients"
                f"{note if over_folds else ''}. {union_text(union)}",
                ("figure", "of", "average", "value", "from", "to", "defined", "why no interval"),
                [_figure_row(row) for row in overall_figures(figures).to_dict("records")],
                files,
            )
        )
        row = find_figure(figures, "auroc", ALL_LABELS)
        if row is not None and exact is not None:
            exact[title] = row["value"]

    def of_labels() -> None:
        labels = label_figures(figures)
        if labels.empty:
            return
        files = {"CSV": room.table(f"{name}_label_figures", labels)}
        rows = labels.to_dict("records")
        section.tables.append(results(f"{title}: figures of each label", rows, _OF_EACH, files))

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
        section.tables.append(results(caption, shown, _OF_BINS, files))

    def by_site() -> None:
        assert predictions is not None
        table = site_figures(
            predictions,
            evaluation.sites,
            union_threshold=union.threshold,
            union_cutoff=union.value,
        )
        if table.empty:
            return
        files = {"CSV": room.table(f"{name}_sites", table)}
        rows = table.assign(figure=table["figure"].map(figure_name)).to_dict("records")
        section.tables.append(results(f"{title}: by site", rows, _OF_SITES, files))

    attempt(section, f"The figures of {title.lower()}", everything)
    attempt(section, f"The label figures of {title.lower()}", of_labels)
    if predictions is not None:
        attempt(section, f"The reliability table of {title.lower()}", reliability)
        if len(evaluation.sites):
            attempt(section, f"The figures by site of {title.lower()}", by_site)


def add_auroc_two_ways(
    section: Section,
    room: Room,
    predictions: Mapping[str, Predictions],
    exact: Mapping[str, float],
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


def _figure_row(row: Mapping[Any, Any]) -> list[Cell]:
    of = row["of"]
    what = "cortices" if of == CORTEX_GROUP and row["total"] == len(CORTICES) else "labels"
    what = "visits" if of == VISITS else what
    counted = "" if pd.isna(row["defined"]) else f"{row['defined']} of {row['total']} {what}"
    return [
        text(figure_name(row["figure"], published=of == ALL_LABELS and row["average"] == "macro")),
        text(_GROUPS.get(of, of)),
        text(row["average"]),
        *(decimal(row[item]) for item in ("value", "low", "high")),
        text(counted),
        text(row["reason"]),
    ]
