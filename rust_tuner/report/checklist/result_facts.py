"""Facts of the figures, of their limits, and of where all of it can be found."""

import os
import re
import shlex
from pathlib import Path

import pandas as pd

from rust_tuner.analysis.against_view import holdout_standings
from rust_tuner.analysis.assessment import compared_sites
from rust_tuner.analysis.study_figures import find_figure, holdout_figures
from rust_tuner.analysis.verdict import warnings_of
from rust_tuner.labels import CORTEX_LABELS, NUM_LABELS
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import count_text
from rust_tuner.report.checklist.registry import choices_of, fact, study_of
from rust_tuner.words import AS_PUBLISHED, METRICS, figure_name

_MOST_LIMITS = 12
# Figures of the most likely scores, which come first in every list.
_OF_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "kappa": "weighted kappa",
}
# What a mean is taken over, by group and figure, if not over labels.
_COUNTED = {"labels": {}, "cortices": {"accuracy": "cortices", "kappa": "cortices"}}


@fact
def _metrics(records: StudyRecords) -> list[str]:
    return [
        "most likely score of each visible cortex: accuracy, balanced accuracy, macro F1, "
        "quadratic-weighted kappa, agreement within one",
        f"exact AUROC and average precision, macro and micro, over {NUM_LABELS} labels and over "
        f"the {len(CORTEX_LABELS)} of the cortices where visible; precision, recall, F1 at a "
        "probability of 0.5",
        "RUST total of a visit, both views paired: mean absolute error, ICC(2,1), Bland-Altman "
        "limits; union: sensitivity, specificity, predictive values",
        "calibration: Brier score, expected calibration error, reliability table",
    ]


@fact
def _uncertainty(records: StudyRecords) -> list[str]:
    return [
        "95 % intervals over patients: for AUROCs score intervals with the clustered variance of "
        "Obuchowski (1997), for shares score intervals and for other figures t intervals, both "
        "with the jackknife's variance; none if too few patients contribute to a figure",
        "cross-validated scores: t interval over folds, variance of Nadeau and Bengio (2003)",
        "between configurations: corrected resampled t-test (Nadeau and Bengio 2003), and the set "
        "tied with the best by Tukey's range test with the same variance, at 5 % over all",
    ]


@fact
def _robustness(records: StudyRecords) -> list[str]:
    has_sites = records.split is not None and records.split.site_folds is not None
    lines = ["each fold leaves one site out"] if has_sites else []
    table = records.predictions
    if table is not None and "site" in table and compared_sites(table["site"].fillna("").tolist()):
        lines.append("figures by site: report/tables/holdout_sites.csv")
    return lines


@fact
def _internal(records: StudyRecords) -> list[str]:
    lines = []
    project = records.cross_validation
    if project is not None:
        folds = project.run.subject.num_folds
        lines.append(f"tuned configuration: {folds}-fold cross-validation of the development set")
    if records.holdout is not None:
        last = "the last on" if len(records.looks) > 1 else "on"
        looks = f"hold-out set, {count_text(records.looks)}"
        lines.append(f"{looks}, {last} {records.holdout.date}")
    elif records.looks:
        lines.append(f"hold-out set, {count_text(records.looks)}, on {records.looks[-1]}")
    return lines


@fact
def _external(records: StudyRecords) -> list[str]:
    if records.split is not None and records.split.site_folds is not None:
        return ["none in the records; cross-validation leaves one site out, which is internal"]
    return []


@fact
def _labels(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        return []
    counts = ", ".join(f"{row.label} {row.positives}" for row in holdout.labels)
    return [f"hold-out set, radiographs with each label, of {holdout.radiographs}: {counts}"]


@fact
def _headline(records: StudyRecords) -> list[str]:
    figures = _figures(records)
    return [
        line
        for line in (
            *(
                _figure(figures, name, "cortices", f"hold-out {title}, most likely scores")
                for name, title in _OF_SCORES.items()
            ),
            _figure(figures, "auroc", "cortices", "hold-out AUROC, visible cortices"),
            *(
                _figure(
                    figures,
                    name,
                    "labels",
                    f"{figure_name(name)} of {NUM_LABELS} labels, {AS_PUBLISHED}",
                )
                for name in ("auroc", "precision", "recall")
            ),
            _figure(
                figures, "average_precision", "cortices", "average precision, visible cortices"
            ),
            *([f"hold-out set {count_text(records.looks)}"] if len(records.looks) > 1 else []),
        )
        if line
    ]


@fact
def _view_only(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    baseline = records.holdout.view_only_baseline
    return [
        f"a predictor that knows only the view: AUROC {baseline.cortex_auroc:.3f} of visible "
        f"cortices, {baseline.auroc:.3f} of {NUM_LABELS} labels",
        *(
            f"the model against it, {METRICS[item.metric]}: {item.doubt or item.in_words}"
            for item in holdout_standings(records)
        ),
    ]


@fact
def _agreement(records: StudyRecords) -> list[str]:
    figures = _figures(records)
    return [
        line
        for line in (
            *(
                _figure(figures, name, "cortices", f"{title}, mean of the cortices")
                for name, title in _OF_SCORES.items()
            ),
            _figure(figures, "mae", "visits", "RUST total: mean absolute error"),
            _figure(figures, "icc", "visits", "RUST total: ICC(2,1)"),
            _figure(figures, "brier", "cortices", "Brier score, visible cortices"),
        )
        if line
    ]


@fact
def _union(records: StudyRecords) -> list[str]:
    figures = _figures(records)
    names = {
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "positive_predictive_value": "positive predictive value",
        "negative_predictive_value": "negative predictive value",
    }
    lines = (_figure(figures, name, "visits", f"union, {title}") for name, title in names.items())
    return [line for line in lines if line]


@fact
def _failures(records: StudyRecords) -> list[str]:
    if records.predictions is None:
        return []
    return ["confusion of each cortex's scores: report/figures/holdout_confusion.csv"]


@fact
def _limitations(records: StudyRecords) -> list[str]:
    return [of_any_study(text, records.directory) for text in warnings_of(records)[:_MOST_LIMITS]]


@fact
def _imbalance(records: StudyRecords) -> list[str]:
    choices_of(records)
    return ["no reweighting or resampling; splits are stratified by label"]


@fact
def _updating(records: StudyRecords) -> list[str]:
    return ["the model was not updated"] if records.holdout is not None else []


@fact
def _predictions(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    return ["with the saved model, from the pixels only, as rust-tuner predict does"]


@fact
def _card(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        return []
    return [f"final/model.keras, SHA-256 {holdout.model_sha256}; its card is final/model.json"]


@fact
def _use(records: StudyRecords) -> list[str]:
    return ["the software is for research; it is not a medical device"]


@fact
def _protocol(records: StudyRecords) -> list[str]:
    choices_of(records)
    return [
        "study.json records every choice; report/index.html lists the commands that repeat the "
        "study"
    ]


@fact
def _software(records: StudyRecords) -> list[str]:
    version = (study_of(records).versions or {}).get("rust-tuner")
    return [f"rust_tuner {version}, Apache-2.0"]


def _figures(records: StudyRecords) -> pd.DataFrame | None:
    """The figures of the hold-out set; None if it has not been looked at."""
    return None if records.holdout is None else holdout_figures(records)


def _figure(figures: pd.DataFrame | None, name: str, of: str, title: str) -> str:
    row = None if figures is None else find_figure(figures, name, of)
    if row is None or pd.isna(row["value"]):
        return ""
    text = f"{title}: {row['value']:.3f}"
    if not pd.isna(row["low"]):
        text += f" (95 % interval {row['low']:.3f} to {row['high']:.3f})"
    elif row["reason"]:
        text += f" (no interval: {row['reason']})"
    if of in _COUNTED and not pd.isna(row["defined"]):
        text += f", over {row['defined']} of {row['total']} {_COUNTED[of].get(name, 'labels')}"
    return text


def of_any_study(text: str, directory: Path) -> str:
    """A text whose commands and paths name the study as `STUDY`; a paper has no folder of ours."""
    folder = str(directory)
    command = rf"(rust-tuner [\w-]+ ){re.escape(shlex.quote(folder))}(?![\w/-]|\.\w)"
    text = re.sub(command, r"\1STUDY", text)
    # A name without a folder may be a word of the text as well, such as `study`.
    after = r"(?![\w.-])" if os.sep in folder else "(?=/)"
    return re.sub(rf"(?<![\w./-]){re.escape(folder)}{after}", "STUDY", text)
