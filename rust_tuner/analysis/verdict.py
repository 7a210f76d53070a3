"""Summary and warnings: the question of a study, its results, and how far to trust them.

A figure is either a *selection score* (a trial, a model or an epoch was chosen by it) or an
*estimate* (on patients that no training or choice used). The two are never mixed up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rust_tuner.analysis.against_view import PARTS, study_standings
from rust_tuner.analysis.first_models import best_first_model, finished_first_models
from rust_tuner.analysis.next_step import command
from rust_tuner.analysis.reproduction import preset_of
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.baselines import CHANCE, FROZEN_BASELINES, VIEW_ONLY
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.looks import count_text
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.records.run import RunManifest
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import AUROCS
from rust_tuner.words import METRICS, counted, epoch_of_score, short_number, words

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
FEW_POSITIVES = 10
_STEPS = {
    "Regime I": "regime1",
    "Regime II": "regime2",
    "The tuned model's cross-validation": "final",
}


@dataclass(frozen=True)
class SummaryRow:
    """One result: its name, its figures as text, and how far to trust them."""

    what: str
    auroc: str
    cortex_auroc: str
    worth: str


@dataclass(frozen=True)
class Summary:
    """The question, and the results from the least to the most reliable."""

    asked: list[str]
    rows: list[SummaryRow]


def view_only_of(project: Project) -> dict[str, float]:
    """The view-only baseline that a project records, by metric without `val_`."""
    return {name.removeprefix("val_"): value for name, value in project.run.view_only.items()}


def summary(records: StudyRecords) -> Summary:
    """The question of a study and its results."""
    rows = [SummaryRow("Chance", "0.500", "0.500", "expected by chance")]
    view_only = next((view_only_of(item) for item in records.projects.values()), {})
    if view_only:
        worth = "a baseline without images, which a model has to beat"
        rows.append(SummaryRow("View only", *_pair(view_only), worth))
    done, name = finished_first_models(records), best_first_model(records)
    if name is not None:
        best = done[name].best
        assert best is not None
        rule = done[name].run.score_epoch
        worth = "selection score: cross-validation, "
        worth += f"the best of {len(done)} models, each " if len(done) > 1 else ""
        worth += f"at {epoch_of_score(rule)}"
        rows.append(SummaryRow(f"Best first model: {MODEL_NAMES[name]}", *_spread(best), worth))
    for key, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is None or project.best is None:
            continue
        number = sum(trial.score is not None for trial in project.trials)
        worth = (
            f"selection score: the best of {number} trials, so chance helped; it says which values "
            "to choose, not how well they will perform"
            if number > 1
            else "selection score: the only trial with a score, at "
            f"{epoch_of_score(project.run.score_epoch)}"
        )
        num_tied = sum(tie.tied for tie in project.ties.values())
        if num_tied > 1:
            worth += f"; {num_tied} trials are statistically tied for the best"
        title = f"{SEARCH_NAMES[key]}: best trial"
        rows.append(SummaryRow(title, *_spread(project.best), worth))
    final = records.cross_validation
    if final is not None and final.best is not None:
        folds = final.run.subject.num_folds
        worth = (
            f"selection score: {folds}-fold cross-validation on the patients it was tuned on, so "
            "still too high"
        )
        rows.append(SummaryRow("Tuned model, cross-validated", *_spread(final.best), worth))
    rows += _nested_rows(records)
    if records.holdout is not None:
        number = records.holdout.patients
        worth = (
            f"estimate: one look at {counted(number, 'patient')} never used before; the figure to "
            "report"
            if len(records.looks) < 2
            else f"estimate: {counted(number, 'patient')}, {count_text(records.looks)}; an earlier "
            "look may have influenced the model"
        )
        figures = _pair(records.holdout.metrics.by_name)
        rows.append(SummaryRow("Tuned model, hold-out set", *figures, worth))
        baseline = _pair(records.holdout.view_only_baseline.to_json())
        worth = "the baseline without images, on the same radiographs"
        rows.append(SummaryRow("View only, hold-out set", *baseline, worth))
    return Summary(_asked(records), rows)


def warnings_of(records: StudyRecords) -> list[str]:
    """What a reader must know before trusting a figure, the most serious first."""
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
    protocol = {} if records.study is None else records.study.protocol
    if not protocol:
        return ["The study's choices are not known: study.json is missing or damaged."]
    objective = str(protocol.get("objective", "")).removeprefix("val_")
    preset = preset_of(protocol)
    epoch = epoch_of_score(protocol.get("score_epoch"))
    by_site = protocol.get("folds_by") == "site"
    how = "that leaves one site out at a time" if by_site else "grouped by patient"
    asked = [
        f"Which hyperparameters give a frozen InceptionV3 with a new head the best "
        f"{METRICS.get(objective, objective)}, in cross-validation {how}?",
        f"Protocol: {preset or 'custom'}. A trial's score averages each epoch's validation figure "
        f"over the folds, at {epoch}.",
    ]
    if protocol.get("scale") == "small":
        asked.append("Scale: small, for trying things out; not that of the published study.")
    return asked


def _nested_rows(records: StudyRecords) -> list[SummaryRow]:
    if records.nested is None or records.nested.summary is None:
        return []
    nested = records.nested.summary
    optimism = " and ".join(f"{nested.optimism.figure(name).mean:+.3f}" for name in _FIGURES)
    worth = (
        f"estimate: {nested.outer_folds} outer folds, each scored once by a model that was tuned "
        f"without its patients; the optimism of the inner searches was {optimism}"
    )
    rows = []
    for what, title, said in (
        ("estimate", "Tuning procedure, nested cross-validation", worth),
        (
            "view_only_baseline",
            "View only, outer folds",
            "the baseline without images, on the same radiographs",
        ),
    ):
        figures = [nested.part(what).figure(name) for name in _FIGURES]
        texts = [f"{figure.mean:.3f} ± {figure.std:.3f}" for figure in figures]
        rows.append(SummaryRow(title, texts[0], texts[1], said))
    return rows


def _pair(figures: Mapping[str, Any]) -> tuple[str, str]:
    first, second = (_decimal(figures.get(name)) for name in _FIGURES)
    return first, second


def _spread(trial: TrialRecord) -> tuple[str, str]:
    texts = []
    for name in _FIGURES:
        spread = trial.spread(name)
        text = _decimal(trial.metrics.get(f"val_{name}"))
        texts.append(text if spread is None else f"{text} ± {spread:.3f}")
    return texts[0], texts[1]


def _decimal(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _searches(records: StudyRecords) -> dict[str, Project]:
    searches = {"Regime I": records.regime_1, "Regime II": records.regime_2}
    searches["The tuned model's cross-validation"] = records.cross_validation
    return {name: project for name, project in searches.items() if project is not None}


def _weights_warnings(records: StudyRecords) -> list[str]:
    projects = _searches(records)
    projects |= {
        MODEL_NAMES[name]: project
        for name, project in records.baselines.items()
        if name in FROZEN_BASELINES
    }
    warnings = []
    for kind, fault in UNTRAINED.items():
        names = [
            name
            for name, project in projects.items()
            if (weights := project.run.subject.weights) is not None and weights.asked == kind
        ]
        if names:
            warnings.append(
                f"Weights '{kind}': the frozen backbone of {', '.join(names)} {fault}, so its "
                "figures say nothing about radiographs of patients. Use ImageNet or RadImageNet "
                "weights."
            )
    return warnings


def _check_warnings(records: StudyRecords) -> list[str]:
    if records.checks is None:
        return []
    checks = records.checks
    return [
        *(f"Check failed, {v.title}: {v.reason} {v.mend}".strip() for v in checks.of("failed")),
        *(f"Check, {v.title}: {v.reason}" for v in checks.of("warning")),
    ]


def _view_only_warnings(records: StudyRecords) -> list[str]:
    return [
        f"{PARTS[part]}: {METRICS[item.metric]}: {item.doubt}."
        for part, items in study_standings(records).items()
        for item in items
        if item.doubt
    ]


def _look_warnings(records: StudyRecords) -> list[str]:
    """Warnings about a second look, or an unfinished one."""
    looks, warnings = records.looks, []
    if len(looks) > 1:
        warnings.append(
            f"The hold-out set was {count_text(looks)}. Its figures are an estimate only if no "
            "earlier look influenced this model."
        )
    if looks and looks[-1].state == "begun":
        warnings.append(
            f"A look at the hold-out set was started on {looks[-1]} but not finished: run "
            "rust-tuner final again. The files in final may belong to it or to an earlier look."
        )
    return warnings


def _holdout_warnings(records: StudyRecords) -> list[str]:
    if records.holdout is None and records.looks:
        if records.looks[-1].state == "begun":
            return []
        return [f"The hold-out set was looked at on {records.looks[-1]}; its figures are missing."]
    if records.holdout is None:
        if records.nested is not None and records.nested.summary is not None:
            return [
                "The hold-out set has not been evaluated: nested cross-validation estimates the "
                "tuning procedure, not one final model."
            ]
        return [
            "The hold-out set has not been evaluated: nothing here says how well the model "
            "performs on new patients."
        ]
    few = [row for row in records.holdout.labels if row.positives < FEW_POSITIVES]
    if not few:
        return []
    labels = "; ".join(f"{words(row.label)} ({row.positives})" for row in few)
    return [
        f"Hold-out set, labels with fewer than {FEW_POSITIVES} positives: {labels}. Their figures "
        "are very uncertain or undefined."
    ]


def _search_warnings(records: StudyRecords) -> list[str]:
    warnings: list[str] = []
    if records.study is None:
        warnings.append("study.json is missing or damaged: data and choices are not known.")
    elif records.study.is_small:
        warnings.append(
            "Scale small: fewer trials, folds and epochs and smaller images than needed."
        )
    for name, project in _searches(records).items():
        ended = sum(trial.has_ended for trial in project.trials)
        total = project.run.num_trials
        if ended < total:
            step = _STEPS[name]
            warnings.append(
                f"{name} is not finished: {ended} of {total} trials. To resume it: "
                f"{command(step, records.directory)}"
            )
        failed = [trial for trial in project.trials if trial.status == "FAILED"]
        if failed:
            reason = (failed[0].message or "no reason recorded").splitlines()[0]
            warnings.append(
                f"{name}: {len(failed)} of {total} trials failed and have no score, "
                f"such as {failed[0].trial} ({reason})."
            )
        alike = [trial.trial for trial in project.trials if trial.learned_nothing]
        if alike:
            warnings.append(
                f"{name}: {len(alike)} of {total} trials learned nothing (AUROC 0.500 in every "
                f"fold and epoch, as for a constant answer), such as {alike[0]}."
            )
        warnings += [f"{name}: {text}" for text in _at_the_edge(project)]
    nested = records.nested
    if nested is not None and len(nested.outer) < nested.outer_folds:
        warnings.append(
            f"Nested cross-validation is not finished: {len(nested.outer)} of "
            f"{nested.outer_folds} outer folds. To resume it: "
            f"{command('nested', records.directory)}"
        )
    missing = [
        f"{title} ({command(step, records.directory)})"
        for title, step, part in (
            ("First models", "baselines", records.baselines or None),
            ("Regime I", "regime1", records.regime_1),
            ("Regime II", "regime2", records.regime_2),
            ("The tuned model's cross-validation", "final", records.cross_validation),
            ("The checks", "check", records.checks),
        )
        if part is None
    ]
    if missing:
        warnings.append(f"Not run yet: {', '.join(missing)}.")
    return warnings


def _at_the_edge(project: Project) -> list[str]:
    """Hyperparameters whose best value is at one end of the grid."""
    if project.best is None:
        return []
    warnings = []
    for name, item in project.run.whole_space.items():
        values = item.config.values if item.class_name == "Choice" else None
        best = project.best.values.get(name)
        if values and len(values) > 1 and best in (min(values), max(values)):
            warnings.append(
                f"the best {name.replace('_', ' ')}, {short_number(best)}, is at the edge of the "
                "grid; better values may lie beyond it."
            )
    return warnings


def _difference_warnings(records: StudyRecords) -> list[str]:
    searches = _searches(records)
    warnings = []
    compared: tuple[tuple[str, Callable[[RunManifest], object]], ...] = (
        ("weights", lambda run: run.subject.weights and run.subject.weights.sha256),
        ("radiographs", lambda run: run.subject.targets),
        ("versions", lambda run: tuple(sorted(run.versions.items()))),
        ("setting of TensorFlow's oneDNN", lambda run: run.onednn),
    )
    for title, value_of in compared:
        if len({value_of(project.run) for project in searches.values()}) > 1:
            warnings.append(f"{', '.join(searches)} did not use the same {title}; see Provenance.")
    return warnings
