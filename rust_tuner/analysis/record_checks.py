"""Checks of a study's records, which train nothing.

A check that cannot be made yet is reported as such; it never counts as passed.
"""

from collections.abc import Callable, Mapping
from typing import Any

from rust_tuner.analysis.against_view import PARTS, study_standings
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.checks import Status, Verdict
from rust_tuner.records.folder import DAMAGED, StudyRecords
from rust_tuner.records.looks import count_text
from rust_tuner.records.project import REGIME_1, REGIME_2, Project
from rust_tuner.scope import CORTEX_SCOPE
from rust_tuner.words import counted

PASSED: Status = "passed"
FAILED: Status = "failed"
WARNING: Status = "warning"
NOT_YET: Status = "not_run"

Step = Callable[[StudyRecords], tuple[Status, str]]
_CHECKS: dict[str, Step] = {}


def record_checks(records: StudyRecords) -> list[Verdict]:
    """All checks of a study's records; one that is not possible yet is `not_run`."""
    checks = []
    for question, step in _CHECKS.items():
        try:
            status, reason = step(records)
        except DAMAGED as error:
            status, reason = FAILED, f"the records cannot be read: {error or repr(error)}"
        checks.append(Verdict(step.__name__.strip("_"), question, status, reason))
    return checks


def _asks(question: str) -> Callable[[Step], Step]:
    """Register a function as the check that answers a question, in the order of this file."""

    def add(step: Step) -> Step:
        _CHECKS[question] = step
        return step

    return add


@_asks("Can every record be read?")
def _records_are_whole(records: StudyRecords) -> tuple[Status, str]:
    if records.problems:
        return FAILED, f"{len(records.problems)} damaged parts, named in the summary"
    return PASSED, "every existing part can be read"


@_asks("Is no patient in both hold-out and development set?")
def _holdout_is_apart(records: StudyRecords) -> tuple[Status, str]:
    if records.split is None:
        return NOT_YET, "split.json is missing"
    development, holdout = set(records.split.development), set(records.split.holdout)
    both = development & holdout
    if both:
        return FAILED, f"{counted(len(both), 'patient')} on both sides"
    both_sides = f"{len(development)} and {counted(len(holdout), 'patient')}"
    return PASSED, f"{both_sides}, none in common"


@_asks("Is each patient in one fold only?")
def _folds_cover(records: StudyRecords) -> tuple[Status, str]:
    split = records.split
    if split is None or not (split.folds or split.site_folds):
        return NOT_YET, "no folds have been made"
    made = [(f"{n} folds", int(n), split.folds[n]) for n in sorted(split.folds, key=int)]
    if split.site_folds is not None:
        made.append(("folds by site", len(split.site_folds.sites), split.site_folds))
    for name, number, record in made:
        if set(record.patients) != set(split.development):
            return FAILED, f"the {name} do not have the patients of the development set"
        if set(record.patients.values()) != set(range(number)):
            return FAILED, f"the {name} are misnumbered, or one is empty"
    names = ", ".join(name for name, _, _ in made)
    return PASSED, f"{names}: each patient of the development set is in one fold"


@_asks("Is the split the one that was prepared?")
def _split_is_the_studys(records: StudyRecords) -> tuple[Status, str]:
    if records.split is None or records.study is None:
        return NOT_YET, "study.json or split.json is missing"
    recorded = records.study.development_sha256, records.split.development_sha256
    if recorded[0] != recorded[1]:
        return FAILED, "split.json seals other patients than study.json says"
    return PASSED, f"SHA-256 {str(recorded[0])[:12]} in both"


@_asks("Were all parts trained on the same labels?")
def _same_data(records: StudyRecords) -> tuple[Status, str]:
    targets = {name: project.run.subject.targets for name, project in records.projects.items()}
    if len(targets) < 2:
        return NOT_YET, "fewer than two parts have been run"
    if len(set(targets.values())) > 1:
        return FAILED, "parts were trained on different labels; see Provenance"
    return PASSED, f"{len(targets)} parts, SHA-256 {str(next(iter(targets.values())))[:12]}"


@_asks("Did searches and tuned model use the same weights?")
def _same_weights(records: StudyRecords) -> tuple[Status, str]:
    used = {name: _weights(project)[1] for name, project in _tuned(records).items()}
    if not used:
        return NOT_YET, "no search has been started"
    if len(set(used.values())) > 1:
        return FAILED, f"{', '.join(used)} used different weights; see Provenance"
    return PASSED, f"{', '.join(used)}: SHA-256 {str(next(iter(used.values())))[:12]}"


@_asks("Was the backbone pretrained?")
def _pretrained(records: StudyRecords) -> tuple[Status, str]:
    asked = {name: _weights(project)[0] for name, project in _tuned(records).items()}
    if not asked:
        return NOT_YET, "no search has been started"
    for kind, fault in UNTRAINED.items():
        names = [name for name, weights in asked.items() if weights == kind]
        if names:
            return FAILED, f"the backbone of {', '.join(names)} {fault}: their figures say nothing"
    return PASSED, ", ".join(sorted({str(weights) for weights in asked.values()}))


@_asks("Did the batch size take effect?")
def _batch_size_was_applied(records: StudyRecords) -> tuple[Status, str]:
    """Whether one number of rows explains the batch size and steps per epoch of every trial."""
    sizes: dict[int, int] = {}
    low, high, count, whole = 0, 0, 0, 0
    for project in (records.regime_1, records.regime_2):
        for trial in project.trials if project is not None else ():
            size = trial.values.get("batch_size")
            if trial.score is None or not isinstance(size, int) or not trial.folds:
                continue
            steps = max(fold.steps_per_epoch for fold in trial.folds)
            sizes[size] = steps
            # The numbers of rows that make `steps` batches of `size`; the last may be smaller.
            fewest, most = (steps - 1) * size + 1, steps * size
            low, high = max(low, fewest), min(high or most, most)
            count += 1
            whole += steps == 1
    if not sizes:
        return NOT_YET, "no search has a finished trial"
    if low > high:
        return FAILED, (
            f"the steps per epoch of {count} trials do not match their batch sizes for any number "
            "of radiographs"
        )
    rows = str(low) if low == high else f"{low} to {high}"
    reason = f"{len(sizes)} batch sizes; their steps per epoch match {rows} radiographs per fold"
    held = sum(steps == 1 for steps in sizes.values())
    if held:
        reason = (
            f"{held} of {len(sizes)} batch sizes held all that a fold trains on, so an epoch was "
            f"one step, in {whole} of {count} trials: these sizes made no difference"
        )
    if len(sizes) > 1 and 2 * held > len(sizes):
        return FAILED, reason
    # A single size that contains the whole fold cannot be compared with another.
    is_alike = len(sizes) > 1 and len(set(sizes.values())) == 1
    return (WARNING if held or is_alike else PASSED), reason


@_asks("Did every trial end with a score?")
def _is_complete(records: StudyRecords) -> tuple[Status, str]:
    projects = _tuned(records)
    if not projects:
        return NOT_YET, "no search has been started"
    lines, is_done = [], True
    for name, project in projects.items():
        ended = sum(trial.has_ended for trial in project.trials)
        failed = sum(trial.status == "FAILED" for trial in project.trials)
        lines.append(f"{name} {ended} of {project.run.num_trials}")
        if failed:
            lines[-1] += f" ({failed} failed)"
        is_done = is_done and ended == project.run.num_trials and not failed
    return (PASSED if is_done else WARNING), "; ".join(lines)


@_asks("Do scores on visible cortices beat the view alone?")
def _beats_the_view(records: StudyRecords) -> tuple[Status, str]:
    results = {
        PARTS[part]: item
        for part, items in study_standings(records).items()
        for item in items
        if item.metric == CORTEX_SCOPE.metric
    }
    if not results:
        return NOT_YET, "nothing has a score yet"
    reason = "; ".join(f"{name} {item.doubt or item.in_words}" for name, item in results.items())
    answers = {item.answer for item in results.values()}
    if "below" in answers:
        return FAILED, reason
    if answers == {"undecided"}:
        return NOT_YET, reason
    return (PASSED if answers == {"above"} else WARNING), reason


@_asks("Was the hold-out set looked at once, with sealed patients only?")
def _one_look(records: StudyRecords) -> tuple[Status, str]:
    looks = records.looks
    if looks and looks[-1].state == "begun":
        return WARNING, f"a look was started on {looks[-1]}: run rust-tuner final again"
    if records.holdout is None and looks:
        return FAILED, f"looked at on {looks[-1]}, but final/holdout.json is missing"
    if records.holdout is None:
        return NOT_YET, "it is sealed"
    rows, shown = records.holdout.radiographs, records.predictions
    if shown is not None and len(shown) != rows:
        return FAILED, f"holdout.json counts {rows} radiographs, predictions.csv {len(shown)}"
    if shown is not None and records.split is not None:
        strangers = set(shown["patient_id"]) - set(records.split.holdout)
        if strangers:
            return FAILED, f"{len(strangers)} patients of predictions.csv were not sealed"
    if len(looks) > 1:
        # The same model gives the same figures; another may be chosen because of an earlier look.
        is_same = len({look.model_sha256 for look in looks}) == 1
        with_model = "always with the same model" if is_same else "with different models"
        return (WARNING if is_same else FAILED), f"{count_text(looks)}; {with_model}"
    return PASSED, f"once, on {records.holdout.date}"


def _weights(project: Project) -> tuple[str | None, str | None]:
    """The requested weights, and the SHA-256 of those used."""
    used = project.run.subject.weights
    return (None, None) if used is None else (used.asked, used.sha256)


def _tuned(records: StudyRecords) -> Mapping[str, Project]:
    projects: dict[str, Any] = {
        SEARCH_NAMES[REGIME_1]: records.regime_1,
        SEARCH_NAMES[REGIME_2]: records.regime_2,
        "cross-validation": records.cross_validation,
    }
    return {name: project for name, project in projects.items() if project is not None}
