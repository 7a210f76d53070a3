"""The noise floor: one configuration, other seeds or other folds, resumed as any search."""

import contextlib
import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_injection import Killed, Killer
from narrowing import as_json, not_none
from studies import StudyFolder

from rust_tuner import load_manifest, make_folds, split_holdout
from rust_tuner.analysis.noise import noise_spread
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import ProtocolError, ResumeError, SearchError, SplitError
from rust_tuner.files import read_json
from rust_tuner.protocol import Protocol
from rust_tuner.records.noise import NoiseFloor, read_noise
from rust_tuner.records.project import read_out_of_fold, read_project
from rust_tuner.steps.noise import assigned_folds, best_project, measure_noise


@pytest.fixture(scope="module")
def floor(repeated_study: StudyFolder) -> NoiseFloor:
    return read_noise(repeated_study.directory / "noise")


def state(
    folder: Path,
) -> dict[tuple[str, str], tuple[dict[str, str | float], dict[str, float], bytes]]:
    """Values, scores and predictions of all repeats, without times."""
    found = {}
    for path in sorted(folder.rglob("search.json")):
        project = read_project(path.parent)
        assert project.problems == ()
        for trial in project.trials:
            predictions = read_out_of_fold(project.folder, trial.trial).tobytes()
            found[project.folder.name, trial.trial] = trial.values, trial.metrics, predictions
    return found


@pytest.mark.slow
def test_every_repeat_has_the_best_configuration_of_regime_2(
    repeated_study: StudyFolder, floor: NoiseFloor
) -> None:
    best = read_project(repeated_study.directory / "regime_2").best
    assert floor.run["configuration"] == not_none(best).values
    assert (floor.run["regime"], floor.run["trial"]) == ("regime_2", not_none(best).trial)
    assert as_json(floor.run)["selection_score"]["auroc"] == not_none(best).metrics["val_auroc"]
    repeats = state(repeated_study.directory / "noise")
    assert set(repeats) == {
        ("seeds", "0000"),
        ("seeds", "0001"),
        ("assignment_000", "0000"),
        ("assignment_001", "0000"),
    }
    for values, _, _ in repeats.values():
        assert values == not_none(best).values


@pytest.mark.slow
def test_no_two_repeats_are_the_same_and_none_is_the_searchs_own_trial(
    repeated_study: StudyFolder,
) -> None:
    own = read_project(repeated_study.directory / "regime_2")
    predictions = [value[2] for value in state(repeated_study.directory / "noise").values()]
    predictions += [read_out_of_fold(own.folder, trial.trial).tobytes() for trial in own.trials]
    assert len(set(predictions)) == len(predictions) == 6


@pytest.mark.slow
def test_other_seeds_keep_the_folds_and_other_assignments_do_not(
    repeated_study: StudyFolder,
) -> None:
    folder = repeated_study.directory / "noise"
    own = read_project(repeated_study.directory / "regime_2").run
    seeds = read_project(folder / "seeds").run
    assert seeds["subject"] == own["subject"]
    assert seeds["seed"] != own["seed"]
    folds = {as_json(own)["subject"]["folds"]}
    for number in range(2):
        run = read_project(folder / f"assignment_{number:03d}").run
        folds.add(as_json(run)["subject"]["folds"])
        for name in ("inputs", "targets", "weights", "num_folds"):
            assert as_json(run)["subject"][name] == as_json(own)["subject"][name]
        assert (run["epochs"], run["score_epoch"]) == (own["epochs"], own["score_epoch"])
    assert len(folds) == 3


@pytest.mark.slow
def test_running_again_adds_nothing_and_more_repeats_keep_those_that_are_there(
    repeated_copy: StudyFolder,
) -> None:
    folder = repeated_copy.directory / "noise"
    before = {path: path.read_bytes() for path in folder.rglob("trial_*/*")}
    again = repeated_copy.open().noise()
    assert {path: path.read_bytes() for path in folder.rglob("trial_*/*")} == before
    assert (again.count("seed"), again.count("assignment")) == (2, 2)
    more = repeated_copy.open().noise(repeats=3)
    assert {path: path.read_bytes() for path in before} == before
    assert (more.count("seed"), more.count("assignment")) == (3, 3)
    assert noise_spread(more.values)["repeats"].eq(3).all()
    with pytest.raises(ResumeError, match="number of trials may only grow"):
        repeated_copy.open().noise(repeats=2)


@pytest.mark.slow
def test_another_best_is_refused_with_what_was_and_is(repeated_copy: StudyFolder) -> None:
    best = read_project(repeated_copy.directory / "regime_2").best
    path = repeated_copy.directory / "regime_2" / f"trial_{not_none(best).trial}" / "trial.json"
    path.write_text(json.dumps(read_json(path) | {"score": 0.0}))
    other = read_project(repeated_copy.directory / "regime_2").best
    expected = f"trial: was {not_none(best).trial}, is {not_none(other).trial}"
    with pytest.raises(ResumeError, match=rf"contains a noise floor that differs(?s:.*){expected}"):
        repeated_copy.open().noise()


@pytest.mark.slow
def test_regime_1s_best_is_repeated_where_there_is_no_other(finished_copy: StudyFolder) -> None:
    assert best_project(finished_copy.directory).folder.name == "regime_2"
    shutil.rmtree(finished_copy.directory / "regime_2")
    assert best_project(finished_copy.directory).folder.name == "regime_1"
    shutil.rmtree(finished_copy.directory / "regime_1")
    with pytest.raises(SearchError, match="has no search with a completed trial; run regime1"):
        best_project(finished_copy.directory)


def test_other_folds_or_radiographs_than_the_searchs_are_refused(
    finished_copy: StudyFolder, tiny_protocol: Protocol
) -> None:
    development = finished_copy.open().prepare()
    shared: dict[str, Any] = {"protocol": tiny_protocol, "cache": finished_copy.cache}
    folds = make_folds(development, 3, 5)
    with pytest.raises(ResumeError, match="was run on other folds"):
        measure_noise(development, finished_copy.directory, folds=folds, **shared)
    changed = dataclasses.replace(tiny_protocol, flips="none")
    with pytest.raises(ResumeError, match="was run on other radiographs, weights or preproc"):
        measure_noise(
            development,
            finished_copy.directory,
            folds=make_folds(development, 3, 0),
            protocol=changed,
        )
    assert not (finished_copy.directory / "noise").exists()


def test_a_single_repeat_and_the_hold_out_set_are_refused(
    finished_study: StudyFolder, tiny_protocol: Protocol, phantom_manifest: Path
) -> None:
    development, holdout = split_holdout(load_manifest(phantom_manifest))
    folds = make_folds(development, 3, 0)
    with pytest.raises(ProtocolError, match="repeats=1; a standard deviation needs at least 2"):
        measure_noise(development, finished_study.directory, folds=folds, repeats=1)
    with pytest.raises(SplitError, match="got HoldOut, expected Development"):
        measure_noise(holdout, finished_study.directory, folds=folds)  # type: ignore[arg-type]
    assert isinstance(development, Development)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_killed_again_and_again_it_ends_as_if_untouched(
    finished_copy: StudyFolder, repeated_study: StudyFolder, moment: str
) -> None:
    deaths = 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            killer = Killer(finished_copy.directory / "noise", patch, 17 + deaths, moment)
            with contextlib.suppress(Killed):
                found = finished_copy.open().noise(repeats=2)
        if not killer.dead:
            break
        deaths += 1
    assert deaths > 1
    assert state(finished_copy.directory / "noise") == state(repeated_study.directory / "noise")
    expected = read_noise(repeated_study.directory / "noise")
    assert np.array_equal(found.values["value"], expected.values["value"])


@pytest.mark.parametrize("num_folds", [2, 3])
def test_no_two_assignments_of_few_patients_are_alike(num_folds: int, tmp_path: Path) -> None:
    development = Development(Radiographs(phantom_table(patients=12, seed=0)))
    searched = make_folds(development, num_folds, 0)
    made = assigned_folds(development, tmp_path, searched, 0, 10)
    assert 1 <= len(made) <= 10
    sides = [
        {frozenset(validation.tolist()) for _, validation in folds} for folds in (searched, *made)
    ]
    assert all(one != other for one, other in itertools.combinations(sides, 2))
    again = assigned_folds(development, tmp_path, searched, 0, 10)
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one.assignment, other.assignment)
