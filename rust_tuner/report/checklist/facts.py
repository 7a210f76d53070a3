"""The facts that a study's records have for reporting checklists, each a sentence or two.

A fact is left out if the record that it comes from is missing or damaged.
"""

import html
import re
import shlex
from collections.abc import Callable

import pandas as pd

from rust_tuner.analysis.against_view import holdout_standings
from rust_tuner.analysis.assessment import compared_sites
from rust_tuner.analysis.study_figures import (
    find_figure,
    holdout_figures,
    union_of,
    union_text,
)
from rust_tuner.analysis.verdict import SEARCH_NAMES, warnings_of
from rust_tuner.labels import CORTEX_LABELS, NUM_LABELS
from rust_tuner.models.description import describe_backbone, describe_model
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.looks import count_text
from rust_tuner.records.model import Json
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.split import SplitRecord
from rust_tuner.records.study_record import StudyRecord
from rust_tuner.records.trials import PRUNED
from rust_tuner.words import AS_PUBLISHED, METRICS, figure_name, short_number

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
_MARKS = re.compile(r"[\\`*\[\]|]")


Fact = Callable[[StudyRecords], list[str]]
# By the names that the items use.
FACTS: dict[str, Fact] = {}


def _fact(tell: Fact) -> Fact:
    """Make a function the fact of its name."""
    FACTS[tell.__name__.removeprefix("_")] = tell
    return tell


def facts_of(records: StudyRecords) -> dict[str, list[str]]:
    """The facts in the records, by the names that the items use; a list of lines each."""
    facts: dict[str, list[str]] = {}
    for name, tell in FACTS.items():
        try:
            lines = [one_line(line) for line in tell(records) if line]
        except DAMAGED:
            # A damaged part leaves blanks; the page reports the damage.
            continue
        if lines:
            facts[name] = lines
    return facts


def one_line(text: object) -> str:
    """A text without line breaks, escaped for Markdown and HTML."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return _MARKS.sub(r"\\\g<0>", escaped)


def _study(records: StudyRecords) -> StudyRecord:
    if records.study is None:
        raise LookupError("study.json")
    return records.study


def _split(records: StudyRecords) -> SplitRecord:
    if records.split is None:
        raise LookupError("split.json")
    return records.split


def _choices(records: StudyRecords) -> Json:
    return _study(records).protocol


def _backbone_weights(records: StudyRecords) -> str:
    """The weights that were used, or else requested; untrained ones where several were."""
    asked = {
        weights.asked
        for project in records.projects.values()
        if (weights := project.run.subject.weights) is not None
    }
    asked = asked or {str(_choices(records).get("weights"))}
    return min(asked, key=lambda weights: (weights not in UNTRAINED, weights))


def _search(records: StudyRecords) -> Project | None:
    """The search that the final model's values come from, or the last one that was started."""
    return records.regime_2 or records.regime_1


@_fact
def _technology(records: StudyRecords) -> list[str]:
    backbone = describe_backbone(_backbone_weights(records))
    return [
        f"deep learning: a convolutional network, {backbone}, which is not trained further, with a "
        "head that is; hyperparameters searched by cross-validation"
    ]


@_fact
def _question(records: StudyRecords) -> list[str]:
    objective = str(_choices(records)["objective"]).removeprefix("val_")
    return [f"optimised: {METRICS.get(objective, objective)}"]


@_fact
def _design(records: StudyRecords) -> list[str]:
    return ["development of a model with evaluation on internal data: cross-validation"] + (
        [f"and a hold-out set, {count_text(records.looks)}"] if records.looks else []
    )


@_fact
def _data(records: StudyRecords) -> list[str]:
    study = _study(records)
    return [
        f"{study.radiographs} radiographs of {study.patients} patients; SHA-256 of patients, "
        f"views and scores {study.radiographs_sha256}, of the images "
        f"{study.images_sha256}"
    ]


@_fact
def _sites(records: StudyRecords) -> list[str]:
    made = None if records.split is None else records.split.site_folds
    if made is not None:
        sites = ", ".join(made.sites)
        return [f"{len(made.sites)} sites: {sites}; each fold leaves one out"]
    table = records.predictions
    if table is None or "site" not in table:
        return []
    names = sorted(set(table["site"].dropna()) - {""})
    return [f"sites of the hold-out set: {', '.join(names)}"] if names else []


@_fact
def _preprocessing(records: StudyRecords) -> list[str]:
    protocol = _choices(records)
    size = protocol["image_size"]
    ways = {"squash": "squashed to the square", "letterbox": "scaled with its aspect ratio kept"}
    way = ways[str(protocol["resize"])]
    return [
        f"each radiograph is {way}, {size} x {size} pixels in three channels, "
        "which are equal where the file is greyscale, with values in [-1, 1]"
    ]


@_fact
def _subset(records: StudyRecords) -> list[str]:
    return [f"all {_study(records).radiographs} rows of the manifest were used"]


@_fact
def _checked(records: StudyRecords) -> list[str]:
    return [f"the {_study(records).radiographs} images were decoded and checked beforehand"]


@_fact
def _missing(records: StudyRecords) -> list[str]:
    protocol = _choices(records)
    trained = "left out of the loss" if protocol["masked_loss"] else "trained as negative"
    return [
        "a cortex without a score counts as not visible: its four labels are zero, "
        f"{trained}, and left out of the figures of visible cortices",
        "a visit without all four cortices has no total",
    ]


@_fact
def _reference(records: StudyRecords) -> list[str]:
    _choices(records)
    return [
        "scores of 1-4 for each cortex, as the manifest has them (RUST: Whelan et al., J Trauma "
        "2010, doi:10.1097/TA.0b013e3181a7c16d)"
    ]


@_fact
def _partitions(records: StudyRecords) -> list[str]:
    split = _split(records)
    development, holdout = len(split.development), len(split.holdout)
    return [
        f"{holdout} of {development + holdout} patients sealed at random as the hold-out set "
        f"(requested fraction: {split.fraction:g}), stratified by label, seed {split.seed}; the "
        f"other {development} are the development set"
    ]


@_fact
def _folds(records: StudyRecords) -> list[str]:
    split = _split(records)
    numbers = sorted(map(int, split.folds))
    folds = [f"{number} folds of patients, stratified by label" for number in numbers]
    if split.site_folds is not None:
        folds.append(f"{len(split.site_folds.sites)} folds that leave one site out")
    return [f"development set: {'; '.join(folds)}"] if folds else []


@_fact
def _disjoint(records: StudyRecords) -> list[str]:
    return ["patients: no patient is on both sides of a split"] if records.split else []


@_fact
def _sizes(records: StudyRecords) -> list[str]:
    study, lines = records.study, []
    if study is not None:
        lines.append(f"{study.radiographs} radiographs of {study.patients} patients")
    if records.split is not None:
        lines.append(f"development set: {len(records.split.development)} patients")
    if records.holdout is not None:
        holdout = records.holdout
        lines.append(
            f"hold-out set: {holdout.radiographs} radiographs of {holdout.patients} patients"
        )
    return lines


@_fact
def _model(records: StudyRecords) -> list[str]:
    return [describe_model(_backbone_weights(records))]


@_fact
def _inputs(records: StudyRecords) -> list[str]:
    return ["input: one radiograph, anteroposterior or lateral; the model sees nothing else"]


@_fact
def _outputs(records: StudyRecords) -> list[str]:
    return [
        f"{NUM_LABELS} probabilities: two views, and four scores of each of four cortices; the "
        "most likely score of a cortex is the predicted one"
    ]


@_fact
def _thresholds(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        threshold = _choices(records).get("union_threshold")
        return [f"union: a true total of at least {threshold:g}"] if threshold else []
    return [
        union_text(union_of(records)),
        f"precision, recall and F1: probability of at least {holdout.threshold:g}",
    ]


@_fact
def _versions(records: StudyRecords) -> list[str]:
    versions = _study(records).versions or {}
    return [", ".join(f"{name} {version}" for name, version in versions.items())]


@_fact
def _machines(records: StudyRecords) -> list[str]:
    steps_on: dict[str, list[str]] = {}
    for step, machines in (_study(records).environments or {}).items():
        for machine in machines:
            text = f"{machine.get('processor')}, {machine.get('usable_cores')} cores"
            if machine.get("memory_gib"):
                text += f", {machine['memory_gib']} GiB"
            if machine.get("inter_op_threads"):
                text += f", {machine['inter_op_threads']} inter-op thread"
            if isinstance(machine.get("onednn"), bool):
                text += f", oneDNN {'on' if machine['onednn'] else 'off'}"
            steps_on.setdefault(text, []).append(step)
    return [f"{text} ({', '.join(steps)})" for text, steps in steps_on.items()]


@_fact
def _weights(records: StudyRecords) -> list[str]:
    used = {
        (weights.asked, weights.sha256)
        for project in records.projects.values()
        if (weights := project.run.subject.weights) is not None
    }
    return [
        f"backbone weights {asked}, SHA-256 {sha256}"
        for asked, sha256 in sorted(used, key=str)
        if sha256
    ]


@_fact
def _seed(records: StudyRecords) -> list[str]:
    seed = _choices(records)["seed"]
    return [f"head: Keras's initial weights; all random numbers come from the seed {seed}"]


@_fact
def _training(records: StudyRecords) -> list[str]:
    protocol = _choices(records)
    flips = str(protocol["flips"]).replace("_", " ")
    loss = "where the cortex is visible" if protocol["masked_loss"] else "over all labels"
    return [f"Adam, binary cross-entropy {loss}; augmentation by random flips: {flips}"]


@_fact
def _searches(records: StudyRecords) -> list[str]:
    lines = []
    for name, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is None:
            continue
        run = project.run
        done = sum(trial.score is not None for trial in project.trials)
        line = (
            f"{SEARCH_NAMES[name]}: {done} of {run.num_trials} configurations scored by "
            f"{run.subject.num_folds}-fold cross-validation of {run.epochs} epochs"
        )
        stopped = sum(trial.status == PRUNED for trial in project.trials)
        if stopped:
            line += f"; {stopped} stopped early as significantly worse than the best so far"
        lines.append(line)
    return lines


@_fact
def _best(records: StudyRecords) -> list[str]:
    project = _search(records)
    if project is None or project.best is None:
        return []
    values = ", ".join(
        f"{name.replace('_', ' ')} {short_number(value)}"
        for name, value in project.best.values.items()
    )
    return [f"best configuration: {values}"]


@_fact
def _selection(records: StudyRecords) -> list[str]:
    rule = {
        "best_mean": "the best epoch of the mean curve",
        "last": "the last epoch",
    }.get(str(_choices(records)["score_epoch"]), f"epoch {_choices(records)['score_epoch']}")
    return [
        f"a configuration's score is its mean over the folds, at {rule}; "
        "the best score is a selection score"
    ]


@_fact
def _ties(records: StudyRecords) -> list[str]:
    project = _search(records)
    compared = project.ties if project is not None else {}
    tied = sum(tie.tied for tie in compared.values())
    if len(compared) < 2:
        return []
    return [f"{tied} of {len(compared)} configurations are statistically tied for the best"]


@_fact
def _ensembles(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    return ["none: one model, refitted on the whole development set"]


@_fact
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


@_fact
def _uncertainty(records: StudyRecords) -> list[str]:
    return [
        "95 % intervals over patients: for AUROCs score intervals with the clustered variance of "
        "Obuchowski (1997), for shares score intervals and for other figures t intervals, both "
        "with the jackknife's variance; none if too few patients contribute to a figure",
        "cross-validated scores: t interval over folds, variance of Nadeau and Bengio (2003)",
        "between configurations: corrected resampled t-test (Nadeau and Bengio 2003), and the set "
        "tied with the best by Tukey's range test with the same variance, at 5 % over all",
    ]


@_fact
def _robustness(records: StudyRecords) -> list[str]:
    has_sites = records.split is not None and records.split.site_folds is not None
    lines = ["each fold leaves one site out"] if has_sites else []
    table = records.predictions
    if table is not None and "site" in table and compared_sites(table["site"].fillna("").tolist()):
        lines.append("figures by site: report/tables/holdout_sites.csv")
    return lines


@_fact
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


@_fact
def _external(records: StudyRecords) -> list[str]:
    if records.split is not None and records.split.site_folds is not None:
        return ["none in the records; cross-validation leaves one site out, which is internal"]
    return []


@_fact
def _labels(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        return []
    counts = ", ".join(f"{row.label} {row.positives}" for row in holdout.labels)
    return [f"hold-out set, radiographs with each label, of {holdout.radiographs}: {counts}"]


@_fact
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


@_fact
def _view_only(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    baseline = records.holdout.view_only_baseline
    return [
        f"a predictor that knows only the view: AUROC {baseline.cortex_auroc:.3f} of visible "
        f"cortices, {baseline.auroc:.3f} of {NUM_LABELS} labels",
        *(
            f"the model against it, {METRICS[item.metric]}: {item.doubt or item.told}"
            for item in holdout_standings(records)
        ),
    ]


@_fact
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


@_fact
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


@_fact
def _failures(records: StudyRecords) -> list[str]:
    if records.predictions is None:
        return []
    return ["confusion of each cortex's scores: report/figures/holdout_confusion.csv"]


@_fact
def _limitations(records: StudyRecords) -> list[str]:
    # A paper has no folder of ours: commands name the study as their help does.
    folder = str(records.directory)
    return [
        warning.replace(shlex.quote(folder), "STUDY").replace(folder, "STUDY")
        for warning in warnings_of(records)[:_MOST_LIMITS]
    ]


@_fact
def _imbalance(records: StudyRecords) -> list[str]:
    _choices(records)
    return ["no reweighting or resampling; splits are stratified by label"]


@_fact
def _updating(records: StudyRecords) -> list[str]:
    return ["the model was not updated"] if records.holdout is not None else []


@_fact
def _predictions(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    return ["with the saved model, from the pixels only, as rust-tuner predict does"]


@_fact
def _card(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        return []
    return [f"final/model.keras, SHA-256 {holdout.model_sha256}; its card is final/model.json"]


@_fact
def _use(records: StudyRecords) -> list[str]:
    return ["the software is for research; it is not a medical device"]


@_fact
def _protocol(records: StudyRecords) -> list[str]:
    _choices(records)
    return [
        "study.json records every choice; report/index.html lists the commands that repeat the "
        "study"
    ]


@_fact
def _software(records: StudyRecords) -> list[str]:
    version = (_study(records).versions or {}).get("rust-tuner")
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
