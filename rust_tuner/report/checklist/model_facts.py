"""Facts of the model, of how it was trained, and of how its hyperparameters were chosen."""

from rust_tuner.analysis.study_figures import union_of, union_text
from rust_tuner.analysis.verdict import SEARCH_NAMES
from rust_tuner.labels import NUM_LABELS
from rust_tuner.models.description import describe_model
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.records.trials import PRUNED
from rust_tuner.report.checklist.registry import (
    backbone_weights,
    choices_of,
    fact,
    search_of,
    study_of,
)
from rust_tuner.words import counted, epoch_of_score, short_number


@fact
def _model(records: StudyRecords) -> list[str]:
    return [describe_model(backbone_weights(records))]


@fact
def _inputs(records: StudyRecords) -> list[str]:
    return ["input: one radiograph, anteroposterior or lateral; the model sees nothing else"]


@fact
def _outputs(records: StudyRecords) -> list[str]:
    return [
        f"{NUM_LABELS} probabilities: two views, and four scores of each of four cortices; the "
        "most likely score of a cortex is the predicted one"
    ]


@fact
def _thresholds(records: StudyRecords) -> list[str]:
    holdout = records.holdout
    if holdout is None:
        threshold = choices_of(records).get("union_threshold")
        return [f"union: a true total of at least {threshold:g}"] if threshold else []
    return [
        union_text(union_of(records)),
        f"precision, recall and F1: probability of at least {holdout.threshold:g}",
    ]


@fact
def _versions(records: StudyRecords) -> list[str]:
    versions = study_of(records).versions or {}
    return [", ".join(f"{name} {version}" for name, version in versions.items())]


@fact
def _machines(records: StudyRecords) -> list[str]:
    steps_on: dict[str, list[str]] = {}
    for step, machines in (study_of(records).environments or {}).items():
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


@fact
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


@fact
def _seed(records: StudyRecords) -> list[str]:
    seed = choices_of(records)["seed"]
    return [f"head: Keras's initial weights; all random numbers come from the seed {seed}"]


@fact
def _training(records: StudyRecords) -> list[str]:
    protocol = choices_of(records)
    flips = str(protocol["flips"]).replace("_", " ")
    loss = "where the cortex is visible" if protocol["masked_loss"] else "over all labels"
    return [f"Adam, binary cross-entropy {loss}; augmentation by random flips: {flips}"]


@fact
def _searches(records: StudyRecords) -> list[str]:
    lines = []
    for name, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2)):
        if project is None:
            continue
        run = project.run
        done = sum(trial.score is not None for trial in project.trials)
        line = (
            f"{SEARCH_NAMES[name]}: {done} of {counted(run.num_trials, 'configuration')} scored by "
            f"{run.subject.num_folds}-fold cross-validation of {counted(run.epochs, 'epoch')}"
        )
        stopped = sum(trial.status == PRUNED for trial in project.trials)
        if stopped:
            line += f"; {stopped} stopped early as significantly worse than the best so far"
        lines.append(line)
    return lines


@fact
def _best(records: StudyRecords) -> list[str]:
    project = search_of(records)
    if project is None or project.best is None:
        return []
    values = ", ".join(
        f"{name.replace('_', ' ')} {short_number(value)}"
        for name, value in project.best.values.items()
    )
    return [f"best configuration: {values}"]


@fact
def _selection(records: StudyRecords) -> list[str]:
    epoch = epoch_of_score(choices_of(records)["score_epoch"])
    return [
        f"a configuration's score is its mean over the folds, at {epoch}; "
        "the best score is a selection score"
    ]


@fact
def _ties(records: StudyRecords) -> list[str]:
    project = search_of(records)
    compared = project.ties if project is not None else {}
    tied = sum(tie.tied for tie in compared.values())
    if len(compared) < 2:
        return []
    return [f"{tied} of {len(compared)} configurations are statistically tied for the best"]


@fact
def _ensembles(records: StudyRecords) -> list[str]:
    if records.holdout is None:
        return []
    return ["none: one model, refitted on the whole development set"]
