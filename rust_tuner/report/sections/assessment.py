"""What figures are worth, on the page: intervals, ties, and every figure of some predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rust_tuner.analysis.assessment import (
    as_predictions,
    auroc_two_ways,
    figures_table,
    label_figures,
    overall_figures,
    reliability_bins,
    site_figures,
)
from rust_tuner.labels import UNION_THRESHOLD
from rust_tuner.metrics import Predictions
from rust_tuner.metrics.assessment import VISITS
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import holdout_title
from rust_tuner.records.project import Project
from rust_tuner.records.rows import (
    NO_FOLD,
    out_of_fold_predictions,
    read_rows,
    score_intervals,
)
from rust_tuner.report.holdout_room import HoldoutRoom
from rust_tuner.report.page import Cell, PageTable, Room, Section, attempt, decimal, text, whole
from rust_tuner.words import METRICS

NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1": "F1",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
    "kappa": "quadratic-weighted kappa",
    "exact": "exact agreement",
    "within_one": "agreement within one",
    "mae": "RUST total: mean absolute error",
    "bias": "RUST total: bias",
    "lower_limit": "RUST total: lower limit of agreement",
    "upper_limit": "RUST total: upper limit of agreement",
    "icc": "RUST total: ICC(2,1)",
    "icc_analytic": "RUST total: ICC(2,1), interval of McGraw and Wong",
    "sensitivity": "union: sensitivity",
    "specificity": "union: specificity",
    "positive_predictive_value": "union: positive predictive value",
    "negative_predictive_value": "union: negative predictive value",
}
_GROUPS = {
    "labels": "18 labels",
    "cortices": "cortices where visible",
    "visits": "visits with all four cortices",
}
_OF_LABELS = ("auroc", "average_precision", "brier")
_POOLED = "all"
_CROSS = "Tuned model, out of fold (selection score)"


def tell_worth(section: Section, project: Project) -> None:
    """How sure the best trial's score is, and whether it is the best."""
    intervals = score_intervals(project)
    if intervals:
        told = "; ".join(
            f"{METRICS[metric.removeprefix('val_')]} {interval.value:.3f} "
            f"({interval.reason or f'{interval.low:.3f} to {interval.high:.3f}'})"
            for metric, interval in intervals.items()
        )
        section.lead.append(
            f"Best trial with its 95 % interval over patients, from out-of-fold predictions: "
            f"{told}. It tells how much the figure depends on which patients were "
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


def add_all_figures(section: Section, room: Room, records: StudyRecords) -> None:
    """Add the figures of the hold-out set, and of the tuned model's out-of-fold predictions."""
    protocol = (records.study or {}).get("protocol") or {}
    shared: dict[str, Any] = {
        "union_threshold": float(protocol.get("union_threshold", UNION_THRESHOLD)),
    }
    known: dict[str, Predictions] = {}
    table = records.predictions
    if table is not None:
        title = f"{holdout_title(records.looks)} (estimate)"
        known[title] = as_predictions(table)
        sites = table["site"].fillna("").tolist() if "site" in table else ()
        sealed = HoldoutRoom(room.folder, records.looks)
        add_figures(
            section, sealed, known[title], name="holdout", title=title, sites=sites, **shared
        )
    project = records.cross_validation
    if project is not None and project.best is not None:

        def cross_validated() -> None:
            rows = read_rows(project)
            known[_CROSS] = out_of_fold_predictions(project)
            sites = rows.loc[rows["fold"] != NO_FOLD, "site"].tolist()
            add_figures(
                section,
                room,
                known[_CROSS],
                name="out_of_fold",
                title=_CROSS,
                sites=sites,
                **shared,
            )

        attempt(section, f"The figures of {_CROSS.lower()}", cross_validated)
    if known:
        add_auroc_two_ways(section, room, known)


def add_figures(
    section: Section,
    room: Room,
    predictions: Predictions,
    *,
    name: str,
    title: str,
    sites: Sequence[str] = (),
    union_threshold: float,
) -> None:
    """Add every figure of some predictions: overall, of each label, reliability, by site.

    Args:
        section: gets the tables.
        room: where their files go.
        predictions: the predictions.
        name: what the files begin with.
        title: what the tables are of.
        sites: the site of each radiograph, or empty.
        union_threshold: as in `assess`.
    """
    shared: dict[str, Any] = {"union_threshold": union_threshold}

    def everything() -> None:
        figures = figures_table(predictions, **shared)
        files = {"CSV": room.table(f"{name}_figures", figures)}
        section.tables.append(
            PageTable(
                f"{title}: all figures with 95 % intervals over patients; union is a total of at "
                f"least {union_threshold:g}",
                ("figure", "of", "average", "value", "from", "to", "defined", "why no interval"),
                [_figure_row(row) for row in overall_figures(figures).to_dict("records")],
                files,
            )
        )
        labels = label_figures(figures)
        header = ["label", "rows counted"]
        header += [part for item in _OF_LABELS for part in (NAMES[item], "from", "to")]
        header.append("why no interval of the AUROC")
        rows = [
            [
                text(row["label"]),
                text(row["counted"]),
                *(
                    decimal(row[column])
                    for item in _OF_LABELS
                    for column in (item, f"{item}_low", f"{item}_high")
                ),
                text(row["auroc_reason"]),
            ]
            for row in labels.to_dict("records")
        ]
        files = {"CSV": room.table(f"{name}_label_figures", labels)}
        section.tables.append(PageTable(f"{title}: figures of each label", header, rows, files))

    def reliability() -> None:
        bins = reliability_bins(predictions)
        files = {"CSV": room.table(f"{name}_reliability", bins)}
        shown = bins[bins["label"] == _POOLED].to_dict("records")
        names = ("low", "high", "rows", "mean_probability", "share_positive")
        header = ("above", "up to", "rows", "mean probability", "share of positives")
        rows = [
            [whole(row[item]) if item == "rows" else decimal(row[item]) for item in names]
            for row in shown
        ]
        caption = f"{title}: reliability of all visible cortex labels together"
        section.tables.append(PageTable(caption, header, rows, files))

    def by_site() -> None:
        table = site_figures(predictions, sites, **shared)
        if table.empty:
            return
        files = {"CSV": room.table(f"{name}_sites", table)}
        rows = [
            [
                text(row["site"]),
                whole(row["radiographs"]),
                whole(row["patients"]),
                text(_named(row["figure"])),
                text(_GROUPS.get(row["of"], row["of"])),
                *(decimal(row[item]) for item in ("value", "low", "high")),
                text(row["reason"]),
            ]
            for row in table.to_dict("records")
        ]
        header = ["site", "radiographs", "patients", "figure", "of", "value", "from", "to"]
        header.append("why no interval")
        section.tables.append(PageTable(f"{title}: by site", header, rows, files))

    attempt(section, f"The figures of {title.lower()}", everything)
    attempt(section, f"The reliability table of {title.lower()}", reliability)
    if len(sites):
        attempt(section, f"The figures by site of {title.lower()}", by_site)


def add_auroc_two_ways(
    section: Section, room: Room, predictions: Mapping[str, Predictions]
) -> None:
    """Add the exact 18-label AUROC beside Keras's, and say why they differ."""

    def table() -> None:
        found = auroc_two_ways(predictions)
        files = {"CSV": room.table("auroc_two_ways", found)}
        names = ("exact", "keras", "difference", "by_bins", "by_undefined")
        rows = [
            [
                text(row["evaluation"]),
                text(f"{row['defined']} of {row['labels']}"),
                *(decimal(row[item], digits=4) for item in names),
            ]
            for row in found.to_dict("records")
        ]
        header = (
            "evaluation",
            "labels defined",
            "exact AUROC",
            "Keras AUC, 200 thresholds",
            "difference",
            "of it: ties within bins",
            "of it: undefined labels as 0",
        )
        section.tables.append(PageTable("AUROC of the 18 labels, two ways", header, rows, files))
        section.lead.append(
            "The AUROC here is exact, over the labels that have positives and negatives. The "
            "published study reported Keras's AUC with 200 thresholds (multi_label=True), which "
            "takes scores within one of 199 bins for tied and counts a label of one class only as "
            "0; the table shows both, and how much of the difference is due to which."
        )

    attempt(section, "The table of AUROC two ways", table)


def _figure_row(row: Mapping[Any, Any]) -> list[Cell]:
    of = row["of"]
    counted = "" if pd.isna(row["defined"]) else f"{row['defined']} of {row['total']}"
    digits = 2 if of == VISITS and row["figure"] in ("mae", "bias") else 3
    return [
        text(_named(row["figure"])),
        text(_GROUPS.get(of, of)),
        text(row["average"]),
        *(decimal(row[item], digits=digits) for item in ("value", "low", "high")),
        text(counted),
        text(row["reason"]),
    ]


def _named(figure: str) -> str:
    return NAMES.get(figure, figure.replace("_", " "))
