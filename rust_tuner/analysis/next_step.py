"""The command that naturally comes next in a study, and why; from its records only."""

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from rust_tuner.models.weights import UNTRAINED
from rust_tuner.protocol import PUBLISHED_VIEWS
from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.records.project import Project
from rust_tuner.scope import CORTEX_SCOPE
from rust_tuner.words import counted, have

# Patients of a hold-out set below which its figures are too uncertain to settle a question.
FEW_PATIENTS = 50


@dataclass(frozen=True)
class NextStep:
    """A command, complete as it is typed, and what it adds."""

    command: str
    why: str


def command(step: str, directory: Path, *options: str) -> str:
    """The command of a step, as it is typed if the study's path was given."""
    # A name that begins with a dash would be read as an option.
    typed = f"./{directory}" if str(directory).startswith("-") else str(directory)
    return shlex.join(["rust-tuner", step, typed, *options])


def is_unfinished(project: Project) -> bool:
    """Whether trials of a search are missing or still running."""
    return sum(trial.has_ended for trial in project.trials) < project.run.num_trials


def next_step(records: StudyRecords, *, is_reliable: bool = True) -> NextStep:
    """What to run next: the first step that is missing or unfinished, else what follows a study.

    Args:
        records: the study.
        is_reliable: whether its result can be relied on at all; otherwise its model is not used.
    """
    step = _search_step(records) or _final_step(records) or _afterwards(records)
    return step or (_use(records) if is_reliable else _try_again(records))


def next_command(study: Path, *, after: str) -> str:
    """The command that usually follows one that has just ended.

    Args:
        study: the study's folder.
        after: that command, such as `final`; what adds results is followed by `report`.
    """
    records = read_study(study)
    adds_results = after in ("nested", "noise", "check")
    if adds_results or (after in ("final", "baselines") and records.looks):
        return command("report", study)
    return next_step(records).command


def _search_step(records: StudyRecords) -> NextStep | None:
    folder = records.directory
    if records.study is None and not records.projects:
        why = "study.json is missing or damaged; restore it, or prepare the study in a new folder"
        return NextStep(command("prepare", folder, "--manifest", "MANIFEST.csv"), why)
    first, second = records.regime_1, records.regime_2
    # Regime II may be run alone, with the values of Regime I given.
    if first is None and second is None and records.cross_validation is None:
        why = "searches batch size and dropout rate by cross-validation"
        return NextStep(command("regime1", folder), why)
    for step, project in (("regime1", first), ("regime2", second)):
        if project is not None and is_unfinished(project):
            ended = sum(trial.has_ended for trial in project.trials)
            trials = counted(project.run.num_trials, "trial")
            why = (
                f"{ended} of {trials} {have(ended, project.run.num_trials)} ended; unless the "
                "search is running, this command resumes it"
            )
            return NextStep(command(step, folder), why)
    if second is None and records.cross_validation is None:
        why = "searches Adam's learning rate and epsilon, with the best of Regime I fixed"
        return NextStep(command("regime2", folder), why)
    return None


def _final_step(records: StudyRecords) -> NextStep | None:
    folder, project = records.directory, records.cross_validation
    if project is not None and is_unfinished(project):
        why = "the final model is not finished; unless it is running, this command resumes it"
        return NextStep(command("final", folder), why)
    if records.looks and records.looks[-1].state == "begun":
        return NextStep(command("final", folder), "a look at the hold-out set is not finished")
    if records.holdout is None and not records.looks:
        why = (
            "trains the tuned model on all development patients and evaluates it once on the "
            "patients that were set aside"
        )
        return NextStep(command("final", folder), why)
    return None


def _afterwards(records: StudyRecords) -> NextStep | None:
    """What makes a finished study's answer better."""
    folder = records.directory
    searched = records.regime_2 or records.regime_1 or records.cross_validation
    weights = None if searched is None else searched.run.subject.weights
    study, manifest = records.study, _manifest(records)
    if weights is not None and weights.asked in UNTRAINED:
        options = ("--manifest", manifest, "--weights", "imagenet")
        return NextStep(
            command("study", another_folder(folder), *options, *_kept_choices(records)),
            "this backbone was not trained on photographs or radiographs; a pretrained one can be "
            "better",
        )
    if study is not None and study.is_small:
        options = ("--manifest", manifest, "--scale", "full")
        return NextStep(
            command("study", another_folder(folder), *options, *_kept_choices(records)),
            "the small scale is for trying things out; this runs the whole study in a new folder",
        )
    if not records.baselines:
        why = "trains the first models of the published study, which the tuned one is compared with"
        return NextStep(command("baselines", folder), why)
    if records.checks is None:
        why = "looks for leaks between patients, and for a model that learns from shuffled labels"
        return NextStep(command("check", folder), why)
    few = records.holdout is not None and records.holdout.patients < FEW_PATIENTS
    if records.nested is None and (few or records.holdout is None):
        why = "estimates the performance on every development patient, so with narrower intervals"
        return NextStep(command("nested", folder), why)
    if records.nested is not None and len(records.nested.outer) < records.nested.outer_folds:
        return NextStep(command("nested", folder), "nested cross-validation is not finished")
    return None


def _use(records: StudyRecords) -> NextStep:
    model = records.directory / "final" / "model.keras"
    why = "every step is finished; this reads new radiographs with the final model"
    return NextStep(f"{shlex.join(['rust-tuner', 'predict', str(model)])} IMAGE...", why)


def _try_again(records: StudyRecords) -> NextStep:
    """Another study, if this one's model is not to be used."""
    options = ["--manifest", _manifest(records), *_kept_choices(records)]
    if _is_clinical(records):
        why = "more patients may help, or other pretrained weights (--weights FILE)"
    else:
        options += ["--protocol", "clinical"]
        why = (
            "more patients may help, and the clinical protocol searches for what reads the visible "
            "cortices best"
        )
    return NextStep(command("study", another_folder(records.directory), *options), why)


def _kept_choices(records: StudyRecords) -> list[str]:
    """The options that belong to the manifest or the question, so another study needs them too."""
    study = records.study
    if study is None:
        return []
    options = ["--protocol", "clinical"] if _is_clinical(records) else []
    # As JSON, which has lists in place of tuples.
    if study.protocol.get("view_cortices") == json.loads(json.dumps(PUBLISHED_VIEWS)):
        options += ["--views", "published"]
    if study.protocol.get("folds_by") == "site":
        options += ["--folds-by", "site"]
    if study.distinct_patients is True:
        options += ["--distinct-patients"]
    if study.patient_ids == "plain":
        options += ["--plain-ids"]
    return options


def _is_clinical(records: StudyRecords) -> bool:
    protocol = {} if records.study is None else records.study.protocol
    return protocol.get("objective") == CORTEX_SCOPE.objective


def _manifest(records: StudyRecords) -> str:
    study = records.study
    # The path of a manifest whose patients have other names is not written either.
    if study is None or study.patient_ids == "hashed":
        return "MANIFEST.csv"
    return os.path.normpath(records.directory / study.manifest)


def another_folder(folder: Path) -> Path:
    """A folder beside a study, for one that replaces it."""
    # `.` and `..` have no name of their own to change.
    return Path(os.path.normpath(folder / ".." / f"{folder.resolve().name}-2"))
