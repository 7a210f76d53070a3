"""What a study asked, what came out, and what that is worth: summary and warnings.

A figure is either a *selection score* (something was chosen by it: a trial, a model, an epoch) or
an *estimate* (of patients that nothing which was chosen had seen), and never called the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rust_tuner.analysis.against_view import PARTS, study_standings
from rust_tuner.analysis.reproduction import preset_of
from rust_tuner.records.baselines import CHANCE, FROZEN_BASELINES, VIEW_ONLY
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import count_text
from rust_tuner.records.project import REGIME_1, REGIME_2, Project, TrialRecord
from rust_tuner.scope import AUROCS
from rust_tuner.words import METRICS, short_number

SEARCH_NAMES = {REGIME_1: "Regime I", REGIME_2: "Regime II"}
MODEL_NAMES = {
    "lenet1998": "LeNet",
    "inceptionv3_end2end": "InceptionV3, end to end",
    "inceptionv3_radimagenet": "InceptionV3, RadImageNet",
    "inceptionv3_imagenet": "InceptionV3, ImageNet",
    CHANCE: "chance",
    VIEW_ONLY: "view only",
}

_FIGURES = AUROCS
_FEW_POSITIVES = 10
_RANDOM = "random"


@dataclass(frozen=True)
class SummaryRow:
    """One result: what it is, its figures as text, and what they are worth."""

    what: str
    auroc: str
    cortex_auroc: str
    worth: str


@dataclass(frozen=True)
class Summary:
    """What was asked, and the results from the least to the most that can be relied on."""

    asked: list[str]
    rows: list[SummaryRow]


def view_only_of(project: Project) -> dict[str, float]:
    """The view-only baseline that a project records, by metric without `val_`."""
    known = project.run.get("view_only_baseline") or {}
    return {name.removeprefix("val_"): value for name, value in known.items()}


def summary(records: StudyRecords) -> Summary:
    """What was asked and what came out of it."""
    rows = [SummaryRow("Chance", "0.500", "0.500", "what guessing reaches")]
    known = next((view_only_of(item) for item in records.projects.values()), {})
    if known:
        worth = "knows the view and nothing else; a model has to beat it"
        rows.append(SummaryRow("View only", *_pair(known), worth))
    done = {name: item.best for name, item in records.baselines.items() if item.best is not None}
    if done:
        objective = next(iter(records.baselines.values())).objective
        name, best = max(done.items(), key=lambda item: item[1].metrics.get(objective, 0.0))
        worth = f"selection score: cross-validation, the best of {len(done)} models and epochs"
        rows.append(SummaryRow(f"Best first model: {MODEL_NAMES[name]}", *_spread(best), worth))
    for key, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is None or project.best is None:
            continue
        number = sum(trial.score is not None for trial in project.trials)
        worth = (
            f"selection score: the best of {number} trials, which chance helped; it says which "
            "values to take, not how well they will do"
        )
        num_tied = sum(tie.tied for tie in project.ties.values())
        if num_tied > 1:
            worth += f"; {num_tied} trials are statistically tied for the best"
        title = f"{SEARCH_NAMES[key]}: best trial"
        rows.append(SummaryRow(title, *_spread(project.best), worth))
    final = records.cross_validation
    if final is not None and final.best is not None:
        folds = final.run["subject"]["num_folds"]
        worth = (
            f"selection score: {folds}-fold cross-validation on the patients it was tuned on, so "
            "still too good"
        )
        rows.append(SummaryRow("Tuned model, cross-validated", *_spread(final.best), worth))
    rows += _nested_rows(records)
    if records.holdout is not None:
        number = records.holdout["patients"]
        worth = (
            f"estimate: one look at {number} patients that nothing had seen: the figure to report"
            if len(records.looks) < 2
            else f"estimate: {number} patients, {count_text(records.looks)}; what was seen at one "
            "look may have led to the model of the next"
        )
        figures = _pair(records.holdout["metrics"])
        rows.append(SummaryRow("Tuned model, hold-out set", *figures, worth))
        beside = _pair(records.holdout["view_only_baseline"])
        worth = "what the view alone reaches on the same radiographs"
        rows.append(SummaryRow("View only, hold-out set", *beside, worth))
    return Summary(_asked(records), rows)


def warnings_of(records: StudyRecords) -> list[str]:
    """What a reader must know before believing a figure, the gravest first."""
    return [
        *_check_warnings(records),
        *_weights_warnings(records),
        *_view_only_warnings(records),
        *_look_warnings(records),
        *_holdout_warnings(records),
        *_search_warnings(records),
        *_difference_warnings(records),
        *(f"Damaged: {problem}" for problem in records.problems),
    ]


def _asked(records: StudyRecords) -> list[str]:
    protocol = (records.study or {}).get("protocol") or {}
    if not protocol:
        return ["The study's choices are not known: study.json is missing or damaged."]
    objective = str(protocol.get("objective", "")).removeprefix("val_")
    preset = preset_of(protocol)
    rule = protocol.get("score_epoch")
    epoch = {"best_mean": "its best epoch", "last": "its last epoch"}.get(
        str(rule), f"epoch {rule} (from 0)"
    )
    asked = [
        f"Which hyperparameters give a frozen InceptionV3 with a new head the best "
        f"{METRICS.get(objective, objective)}, in cross-validation grouped by patient?",
        f"Protocol: {preset or 'own choices'}. A trial's score averages each epoch's validation "
        f"figure over the folds and takes {epoch}.",
    ]
    if protocol.get("scale") == "small":
        asked.append("Scale: small, made to try things out; not the published study's.")
    return asked


def _nested_rows(records: StudyRecords) -> list[SummaryRow]:
    if records.nested is None or records.nested.summary is None:
        return []
    found = records.nested.summary
    found_optimism = " and ".join(f"{found['optimism'][name]['mean']:+.3f}" for name in _FIGURES)
    worth = (
        f"estimate: {found['outer_folds']} outer folds, each scored once by a model that was tuned "
        f"without its patients; the optimism of the searches inside was {found_optimism}"
    )
    rows = []
    for what, title, said in (
        ("estimate", "Tuning procedure, nested cross-validation", worth),
        (
            "view_only_baseline",
            "View only, outer folds",
            "what the view alone reaches on the same radiographs",
        ),
    ):
        told = [f"{found[what][n]['mean']:.3f} ± {found[what][n]['std']:.3f}" for n in _FIGURES]
        rows.append(SummaryRow(title, told[0], told[1], said))
    return rows


def _pair(figures: Mapping[str, Any]) -> tuple[str, str]:
    first, second = (_decimal(figures.get(name)) for name in _FIGURES)
    return first, second


def _spread(trial: TrialRecord) -> tuple[str, str]:
    told = []
    for name in _FIGURES:
        spread = trial.spread(name)
        text = _decimal(trial.metrics.get(f"val_{name}"))
        told.append(text if spread is None else f"{text} ± {spread:.3f}")
    return told[0], told[1]


def _decimal(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _searches(records: StudyRecords) -> dict[str, Project]:
    found = {"Regime I": records.regime_1, "Regime II": records.regime_2}
    found["The tuned model's cross-validation"] = records.cross_validation
    return {name: project for name, project in found.items() if project is not None}


def _weights_warnings(records: StudyRecords) -> list[str]:
    projects = _searches(records)
    projects |= {
        MODEL_NAMES[name]: project
        for name, project in records.baselines.items()
        if name in FROZEN_BASELINES
    }
    names = [
        name
        for name, project in projects.items()
        if (project.run["subject"].get("weights") or {}).get("asked") == _RANDOM
    ]
    if not names:
        return []
    return [
        f"Random weights: the frozen backbone of {', '.join(names)} was never trained, so its "
        "figures say nothing about radiographs. Use ImageNet's or RadImageNet's weights."
    ]


def _check_warnings(records: StudyRecords) -> list[str]:
    if records.checks is None:
        return []
    found = records.checks
    return [
        *(f"Check failed, {v.title}: {v.reason} {v.mend}".strip() for v in found.of("failed")),
        *(f"Check, {v.title}: {v.reason}" for v in found.of("warning")),
    ]


def _view_only_warnings(records: StudyRecords) -> list[str]:
    return [
        f"{PARTS[part]}: {METRICS[item.metric]}: {item.doubt}."
        for part, items in study_standings(records).items()
        for item in items
        if item.doubt
    ]


def _look_warnings(records: StudyRecords) -> list[str]:
    """What a second look, or one that was not finished, does to the figures."""
    looks, found = records.looks, []
    if len(looks) > 1:
        found.append(
            f"The hold-out set was {count_text(looks)}. Its figures are an estimate only if "
            "nothing that was seen at an earlier look led to this model."
        )
    if looks and looks[-1].state == "begun":
        found.append(
            f"A look at the hold-out set was begun on {looks[-1]}: run rust-tuner final again to "
            "finish it; the files in final may be of it or of an earlier look."
        )
    return found


def _holdout_warnings(records: StudyRecords) -> list[str]:
    if records.holdout is None and records.looks:
        if records.looks[-1].state == "begun":
            return []
        return [f"The hold-out set was looked at on {records.looks[-1]}; the rest is missing."]
    if records.holdout is None:
        if records.nested is not None and records.nested.summary is not None:
            return [
                "The hold-out set has not been evaluated: the estimate of the nested "
                "cross-validation is that of the tuning procedure, not of one final model."
            ]
        return [
            "The hold-out set has not been evaluated: nothing here says how well the model does "
            "on new patients."
        ]
    few = [row for row in records.holdout["labels"] if row["positives"] < _FEW_POSITIVES]
    if not few:
        return []
    told = ", ".join(f"{row['label']} ({row['positives']})" for row in few)
    return [
        f"Hold-out set, labels with fewer than {_FEW_POSITIVES} positives: {told}. Their figures "
        "are very uncertain or undefined."
    ]


def _search_warnings(records: StudyRecords) -> list[str]:
    found: list[str] = []
    if records.study is None:
        found.append("study.json is missing or damaged: data and choices are not known.")
    elif (records.study["protocol"]).get("scale") == "small":
        found.append("Scale small: fewer trials, folds and epochs and smaller images than needed.")
    for name, project in _searches(records).items():
        ended = sum(trial.has_ended for trial in project.trials)
        total = project.run["num_trials"]
        if ended < total:
            found.append(f"{name} is not finished: {ended} of {total} trials.")
        failed = [trial for trial in project.trials if trial.status == "FAILED"]
        if failed:
            reason = (failed[0].message or "no reason recorded").splitlines()[0]
            found.append(
                f"{name}: {len(failed)} of {total} trials failed and have no score, such as "
                f"{failed[0].trial} ({reason})."
            )
        alike = [trial.trial for trial in project.trials if trial.learned_nothing]
        if alike:
            found.append(
                f"{name}: {len(alike)} of {total} trials learned nothing (AUROC 0.500 in every "
                f"fold and epoch, as of one answer to all), such as {alike[0]}."
            )
        found += [f"{name}: {text}" for text in _at_the_edge(project)]
    nested = records.nested
    if nested is not None and len(nested.outer) < nested.outer_folds:
        found.append(
            f"Nested cross-validation is not finished: {len(nested.outer)} of "
            f"{nested.outer_folds} outer folds."
        )
    missing = [
        title
        for title, part in (
            ("First models", records.baselines or None),
            ("Regime I", records.regime_1),
            ("Regime II", records.regime_2),
            ("The tuned model's cross-validation", records.cross_validation),
            ("The checks", records.checks),
        )
        if part is None
    ]
    if missing:
        found.append(f"Not there yet: {', '.join(missing)}.")
    return found


def _at_the_edge(project: Project) -> list[str]:
    """Grid values that the best trial has at one end of the grid."""
    if project.best is None:
        return []
    found = []
    for name, item in project.run["space"].items():
        values = item["config"].get("values") if item["class_name"] == "Choice" else None
        best = project.best.values.get(name)
        if values and len(values) > 1 and best in (min(values), max(values)):
            found.append(
                f"the best {name.replace('_', ' ')}, {short_number(best)}, is at the edge of what "
                "was searched; the best may lie beyond."
            )
    return found


def _difference_warnings(records: StudyRecords) -> list[str]:
    searches = _searches(records)
    found = []
    for title, told in (
        ("weights", lambda run: (run["subject"].get("weights") or {}).get("sha256")),
        ("radiographs", lambda run: run["subject"].get("targets")),
        ("versions", lambda run: tuple(sorted(run["versions"].items()))),
        ("state of TensorFlow's oneDNN", lambda run: run.get("onednn")),
    ):
        if len({told(project.run) for project in searches.values()}) > 1:
            found.append(
                f"{', '.join(searches)} were not made with the same {title}; see Provenance."
            )
    return found
