"""The noise floor: the best configuration of a study, repeated.

It is repeated with other seeds on the same folds, and with other assignments of the patients to
folds. This module runs the repeats; `analysis.noise` computes their spread. Every repeat is a trial
of an ordinary search, so it is recorded, locked and resumed like one.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rust_tuner.data.folds import Folds, make_folds
from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import ProtocolError, ResumeError, SearchError
from rust_tuner.locks import hold_lock
from rust_tuner.metrics import view_only_baseline
from rust_tuner.progress import Part, Progress, Silent
from rust_tuner.protocol import Protocol
from rust_tuner.records.model import HyperValues
from rust_tuner.records.noise import (
    METRICS_REPEATED,
    NOISE,
    NOISE_FILE,
    SEEDS,
    NoiseFloor,
    NoiseManifest,
    assignment_folder,
    begun_repeats,
    read_noise,
)
from rust_tuner.records.project import REGIME_1, REGIME_2, Project, count_ended, read_project
from rust_tuner.records.run import RUN_FILE, run_if_whole
from rust_tuner.seeds import seed_word
from rust_tuner.steps.refit import HYPERPARAMETERS, tuned_hypermodel

_GROWING = ("repeats", "assignments")
# So often an assignment is drawn, until it differs from the others.
_MOST_DRAWN = 50


def measure_noise(
    development: Development,
    directory: str | Path,
    *,
    folds: Folds,
    protocol: Protocol | None = None,
    repeats: int | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> NoiseFloor:
    """Repeat the best configuration with other seeds, and with other assignments to folds.

    The configuration is Regime II's best, or Regime I's if there is no Regime II, trained for
    as many epochs and scored by the same rule as in its search. Call it again to resume; more
    repeats may be requested later. If each fold leaves one site out, there is only one
    assignment, so only the seed is changed.

    Args:
        development: the development set.
        directory: the study's folder with a search in it; the repeats are kept in its `noise`.
        folds: the folds of that search; the repeats with other seeds use them.
        protocol: the scientific choices that the search was run with.
        repeats: how many of each kind, from 2. If None, as many as were begun, or 10.
        cache: folder of the feature cache; the default one if None.
        progress: where to report; nowhere by default.

    Returns:
        The repeats; `analysis.noise.noise_spread` computes their standard deviations and ranges.

    Raises:
        ProtocolError: for fewer than two repeats.
        SearchError: if there is no search, or none of its trials completed.
        ResumeError: if the folder contains repeats of another configuration, data or choices,
            or more of them; if the search was run on other radiographs, weights or folds.
        MetricError: before any long work, if an assignment has a fold with nothing to score.
        LockedError: if another process works in the folder.
    """
    from rust_tuner.search.runs import claim_record, with_begun_weights

    require_development(development)
    folder = Path(directory) / NOISE
    count = begun_repeats(directory) if repeats is None else repeats
    if count < 2:
        raise ProtocolError(f"repeats={count}; a standard deviation needs at least 2")
    report = progress or Silent()
    source = best_project(directory)
    chosen = as_searched(protocol or Protocol.study(), source)
    require_same_data(source, development, folds, chosen)
    num_assigned = 0 if chosen.folds_by == "site" else count
    # Before anything is recorded, so that fewer folds or repeats can be asked for afterwards.
    assignments = assigned_folds(development, folder, folds, chosen.seed, num_assigned)
    if len(assignments) < num_assigned:
        report.say(
            f"note: {len(assignments)} and not {num_assigned} other assignments of patients to "
            "folds: so few patients have no more that differ"
        )
    num_assigned = len(assignments)
    run = _describe(source, chosen, repeats=count, assignments=num_assigned)
    with hold_lock(folder, "repeating the best configuration", noted=True):
        run = with_begun_weights(folder / NOISE_FILE, run)
        claim_record(folder / NOISE_FILE, run, what="a noise floor", free=_GROWING)
        folders = [assignment_folder(folder, repeat) for repeat in range(num_assigned)]
        per_trial = chosen.num_folds * chosen.epochs
        done = sum(map(count_ended, (folder / SEEDS, *folders))) * per_trial
        shared: dict[str, Any] = {"protocol": chosen, "values": run.configuration}
        shared |= {"cache": cache}
        total = (count + num_assigned) * per_trial
        with report.task("noise floor", total, done=done) as whole:
            part = Part(report, whole, name="other seeds", counted=(SEEDS,))
            _repeat(development, folder / SEEDS, folds, count=count, progress=part, **shared)
            for project, assigned in zip(folders, assignments, strict=True):
                part = Part(report, whole, name="other assignments", counted=(project.name,))
                _repeat(development, project, assigned, count=1, progress=part, **shared)
    return read_noise(folder)


def best_project(directory: str | Path) -> Project:
    """Regime II's project if a trial of it has completed, else Regime I's.

    Raises:
        SearchError: if neither has a completed trial.
    """
    for regime in (REGIME_2, REGIME_1):
        folder = Path(directory) / regime
        if (folder / RUN_FILE).is_file():
            project = read_project(folder)
            if project.best is not None:
                return project
    raise SearchError(
        f"{directory} has no search with a completed trial; run regime1 or regime2 first"
    )


def as_searched(protocol: Protocol, source: Project) -> Protocol:
    """The protocol with the search's number of folds, number of epochs and score epoch."""
    run = source.run
    return dataclasses.replace(
        protocol,
        num_folds=run.subject.num_folds,
        epochs=run.epochs,
        score_epoch=protocol.score_epoch if run.score_epoch is None else run.score_epoch,
    )


def require_same_data(
    source: Project, development: Development, folds: Folds, protocol: Protocol
) -> None:
    """Refuse to repeat a search on other data than its own, before any long work.

    Raises:
        ResumeError: if radiographs, weights, preprocessing or folds differ.
        WeightsError: if the weights are not available.
    """
    from rust_tuner.models.features import features_sha256
    from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
    from rust_tuner.search.subject_folds import sha256_of_folds

    radiographs = development.radiographs
    recipe = TransferLearningHyperModel.from_protocol(protocol, SearchSpace()).feature_recipe()
    searched = source.run.subject
    for recorded, words, now in (
        (searched.folds, "folds", sha256_of_folds(tuple(folds))),
        (
            searched.inputs,
            "radiographs, weights or preprocessing",
            features_sha256(
                radiographs.images, recipe, rows=radiographs.rows, readings=radiographs.readings
            ),
        ),
    ):
        if recorded != now:
            raise ResumeError(
                f"{source.folder} was run on other {words} (SHA-256 {str(recorded)[:12]}) than "
                f"the repeats would be ({now[:12]}); use those of the search"
            )


def _describe(
    source: Project, protocol: Protocol, *, repeats: int, assignments: int
) -> NoiseManifest:
    from rust_tuner.search.regimes import recorded_protocol
    from rust_tuner.search.runs import run_key

    best = source.best
    assert best is not None
    return NoiseManifest(
        format=1,
        regime=source.folder.name,
        trial=best.trial,
        configuration={name: best.values[name] for name in HYPERPARAMETERS},
        selection_score={name: best.metrics[f"val_{name}"] for name in METRICS_REPEATED},
        objective=source.objective,
        seed=protocol.seed,
        search=run_key(source.run),
        subject=source.run.subject,
        protocol=recorded_protocol(protocol),
        repeats=repeats,
        assignments=assignments,
    )


def assigned_folds(
    development: Development, noise: Path, searched: Folds, seed: int, repeats: int
) -> list[Folds]:
    """Folds that differ from those of the search and from each other, each with something to score.

    Those that an earlier version began are kept, also where they are alike. There are fewer than
    requested where so few patients have no more.
    """
    from rust_tuner.search.subject_folds import sha256_of_folds

    radiographs = development.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    made: list[Folds] = []
    for repeat in range(repeats):
        begun = run_if_whole(assignment_folder(noise, repeat))
        drawn = _drawn(development, searched.num_folds, seed, repeat)
        first = next(drawn)
        candidates = itertools.chain([first], drawn)
        if begun is not None:
            of_begun = (
                one for one in candidates if sha256_of_folds(tuple(one)) == begun.subject.folds
            )
            folds = next(of_begun, first)
        else:
            others = [searched, *made]
            new = (one for one in candidates if not any(_are_alike(one, two) for two in others))
            found = next(new, None)
            if found is None:
                return made
            folds = found
        for fold, (training, validation) in enumerate(folds):
            where = f"assignment {repeat}, fold {fold}"
            view_only_baseline(
                labels[training], labels[validation], visible[validation], where=where
            )
        made.append(folds)
    return made


def _drawn(development: Development, num_folds: int, seed: int, repeat: int) -> Iterator[Folds]:
    for attempt in range(_MOST_DRAWN):
        again = (attempt,) if attempt else ()
        yield make_folds(
            development, num_folds, seed_word(seed, NOISE, "assignment", repeat, *again)
        )


def _are_alike(folds: Folds, other: Folds) -> bool:
    """Whether two assignments divide the rows alike, whatever the numbers of the folds."""
    pairs = set(zip(folds.assignment.tolist(), other.assignment.tolist(), strict=True))
    return len(pairs) == folds.num_folds == other.num_folds


def _repeat(
    development: Development,
    folder: Path,
    folds: Folds,
    *,
    count: int,
    protocol: Protocol,
    values: HyperValues,
    cache: str | Path | None,
    progress: Progress,
) -> None:
    """Run a search in a project folder; all its trials have the same values."""
    import keras_tuner

    from rust_tuner.search.regimes import recorded_protocol
    from rust_tuner.search.repeats import RepeatOracle
    from rust_tuner.search.tuner import CrossValidationTuner

    # Another seed than the study's, so that no repeat equals a trial of its searches.
    seed = seed_word(protocol.seed, NOISE)
    tuner = CrossValidationTuner(
        tuned_hypermodel(protocol, values),
        RepeatOracle(keras_tuner.Objective(protocol.objective, "max"), max_trials=count, seed=seed),
        cv=folds,
        seed=seed,
        directory=folder.parent,
        project_name=folder.name,
        score_epoch=protocol.score_epoch,
        progress=progress,
    )
    tuner.search(
        development,
        epochs=protocol.epochs,
        verbose=0,
        cache=cache,
        about={"protocol": recorded_protocol(protocol)},
    )
