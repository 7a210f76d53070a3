"""Successive halving: who goes on at a rung, what a search records, and every kill."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from fake_executors import LastFirst, SameProcess
from fault_injection import Killed, Killer
from notes import Notes
from scipy.stats import spearmanr
from search_problems import trial_states

from rust_tuner import CrossValidationTuner, RandomSearchOracle, SuccessiveHalvingOracle
from rust_tuner.analysis.stopped import rungs_note, stopped_note
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.search.halving import Rungs, RungWatch, SuccessiveHalving, mean_of_folds
from rust_tuner.search.hopeless import StopRule
from rust_tuner.terminal.searches import best_trials_table
from rust_tuner.terminal.status import status_lines

EPOCHS, TRIALS = 5, 6
OBJECTIVE = keras_tuner.Objective("val_loss", "min")


def rungs(*earlier: float, factor: int = 3, direction: str = "max") -> Rungs:
    return Rungs(SuccessiveHalving(2, factor), {2: list(earlier)}, direction)


@pytest.mark.parametrize(
    ("first", "factor", "epochs", "expected"),
    [
        (2, 3, 20, [2, 6, 18]),
        (2, 3, 19, [2, 6, 18]),
        (2, 3, 18, [2, 6]),
        (1, 2, 8, [1, 2, 4]),
        (3, 2, 3, []),
        (1, 4, 1, []),
    ],
)
def test_rungs_multiply_and_lie_before_the_last_epoch(
    first: int, factor: int, epochs: int, expected: list[int]
) -> None:
    assert SuccessiveHalving(first, factor).rungs(epochs) == expected


@pytest.mark.parametrize("given", [(0, 3), (2, 1), (True, 3), (2, 2.5), (-1, 3)])
def test_rungs_that_make_no_sense_are_refused(given: tuple[int, float]) -> None:
    with pytest.raises(SearchError, match="expected an integer from"):
        SuccessiveHalving(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ["max", "min"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_best_share_of_the_trials_so_far_goes_on(direction: str, factor: int) -> None:
    sign = -1 if direction == "min" else 1
    for number, rank in itertools.product(range(1, 13), range(1, 13)):
        if rank > number:
            continue
        others = [sign * place for place in range(number, 0, -1)]
        score = sign * (number - rank + 1)
        others.remove(score)
        compared = rungs(*others, factor=factor, direction=direction)
        verdict = compared.verdict(score, 2)
        assert (verdict is None) == (rank <= max(1, number // factor))
        if verdict is not None:
            assert (verdict.epoch, verdict.rank, verdict.reached) == (1, rank, number)


def test_equal_scores_go_on_together_and_missing_ones_do_not_count() -> None:
    assert rungs(0.7, 0.7, 0.7).verdict(0.7, 2) is None
    assert rungs(float("nan"), float("-inf"), 0.6).verdict(0.7, 2) is None
    assert rungs(0.8, 0.9).verdict(float("nan"), 2) is None
    assert rungs(0.8, 0.9).verdict(0.7, 6) is None
    assert rungs().verdict(0.1, 2) is None


def test_a_watch_judges_the_mean_of_the_folds_at_rungs_alone() -> None:
    watch = RungWatch(Rungs(SuccessiveHalving(2, 3), {2: [0.5], 6: [0.9]}, "max"), 12)
    folds = [[0.1, 0.3], [0.4, 0.62], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.8, 0.9], [1.0, 1.0]]
    assert [watch.see(scores) for scores in folds] == [False] * 5 + [True, True]
    assert str(watch.verdict) == (
        "stopped after epoch 5 (from 0): rank 2 of the 2 trials so far, of which 1 continues"
    )
    last = RungWatch(Rungs(SuccessiveHalving(2, 3), {2: [0.5], 6: [0.9]}, "max"), 6)
    assert not any(last.see(scores) for scores in folds[:6])
    assert np.isnan(mean_of_folds([0.5, float("nan")]))


def build(hp: Any) -> keras.Model:
    inputs = keras.Input((4,))
    wrong = keras.initializers.Identity(gain=-1.0)
    outputs = keras.layers.Dense(2, activation="sigmoid", kernel_initializer=wrong)(inputs)
    model = keras.Model(inputs, outputs)
    rate = hp.Float("rate", 1e-5, 0.5, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy")
    return model


def search(
    folder: Path,
    *,
    oracle: Any = None,
    stop_hopeless: Any = False,
    max_trials: int = TRIALS,
    lines: list[str] | None = None,
    executor: Any = None,
) -> CrossValidationTuner:
    oracle = oracle or SuccessiveHalvingOracle(
        OBJECTIVE, max_trials, seed=0, first_rung=1, factor=2
    )
    progress = Notes()
    tuner = CrossValidationTuner(
        build, oracle, cv=3, directory=folder, project_name="p", progress=progress
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 4)).astype("float32")
    tuner.search(
        x,
        (x[:, :2] > 0).astype("float32"),
        np.arange(48) // 2,
        EPOCHS,
        batch_size=8,
        stop_hopeless=stop_hopeless,
        executor=executor,
    )
    if lines is not None:
        lines += progress.said
    return tuner


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return search(tmp_path_factory.mktemp("halved"))


@pytest.mark.slow
def test_trials_and_curves_are_those_of_random_search_up_to_the_rungs_that_stop_them(
    halved: CrossValidationTuner, tmp_path: Path
) -> None:
    oracle = RandomSearchOracle(OBJECTIVE, TRIALS, seed=0)
    plain = search(tmp_path, oracle=oracle).project.trials
    rule = SuccessiveHalving(1, 2)
    reached: dict[int, list[float]] = {rung: [] for rung in rule.rungs(EPOCHS)}
    statuses = []
    for trial, whole in zip(halved.project.trials, plain, strict=True):
        assert trial.values == whole.values
        curves = [fold.validation["loss"] for fold in whole.folds]
        means = [float(np.mean(scores)) for scores in zip(*curves, strict=True)]
        length, status = EPOCHS, "COMPLETED"
        for rung, earlier in reached.items():
            score = means[rung - 1]
            better = sum(value < score for value in earlier)
            earlier.append(score)
            if better >= max(1, len(earlier) // 2):
                length, status = rung, "PRUNED"
                break
        statuses.append(status)
        assert trial.status == status
        assert trial.score == (whole.score if status == "COMPLETED" else None)
        for fold, longer in zip(trial.folds, whole.folds, strict=True):
            assert fold.validation["loss"] == longer.validation["loss"][:length]
    assert {"COMPLETED", "PRUNED"} == set(statuses)


@pytest.mark.slow
@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(SameProcess(1), id="one"),
        pytest.param(LastFirst(3), marks=pytest.mark.slow, id="three, last first"),
    ],
)
def test_workers_leave_the_trials_of_a_search_in_one_process(
    executor: SameProcess, halved: CrossValidationTuner, tmp_path: Path
) -> None:
    """Also where a worker, which knew fewer trials, stopped one that goes on."""
    sent = search(tmp_path, executor=executor)
    assert trial_states(sent) == trial_states(halved)


@pytest.mark.slow
def test_tables_and_status_say_what_was_stopped_and_how_well_rungs_rank(
    halved: CrossValidationTuner,
) -> None:
    project = halved.project
    stopped = sum(trial.status == "PRUNED" for trial in project.trials)
    start = f"{stopped} of {TRIALS} trials were stopped by successive halving, which saved "
    note = stopped_note(project)
    assert note is not None and note.startswith(start)
    assert "after 1 epoch, and after each 2 times as many, only one in 2" in note
    assert "rank the trials is unknown" in note
    assert start in str(best_trials_table(project).caption)
    lines = "\n".join(str(line) for line in status_lines(halved.project_folder))
    assert f"{stopped} stopped by successive halving" in lines


@pytest.mark.slow
def test_the_end_of_a_search_says_how_well_the_first_rung_ranks_the_trials(
    halved: CrossValidationTuner,
) -> None:
    folder = halved.project_folder.parent
    before = {path: path.read_bytes() for path in folder.rglob("trial.json")}
    lines: list[str] = []
    again = search(folder, lines=lines)
    assert trial_states(again) == trial_states(halved)
    assert {path: path.read_bytes() for path in folder.rglob("trial.json")} == before
    assert [line for line in lines if "rank" in line] == [f"note: {rungs_note(again.project)}"]


class Folds:
    """A fold of a trial that is only a curve."""

    def __init__(self, curve: list[float]) -> None:
        self.validation = {"loss": curve}


class Trials:
    """What `rungs_note` reads of a project."""

    objective = "val_loss"

    def __init__(self, curves: list[list[float]]) -> None:
        self.run = type("R", (), {"stop_hopeless": {"first_rung": 2, "factor": 3}})
        self.trials = [
            type("T", (), {"status": "COMPLETED", "score": curve[-1], "folds": [Folds(curve)]})
            for curve in curves
        ]
        self.trials.append(type("T", (), {"status": "PRUNED", "score": None, "folds": []}))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_rank_correlation_is_that_of_the_first_rung_with_the_last_epoch(sign: int) -> None:
    rng = np.random.default_rng(3)
    early = rng.normal(size=9)
    late = sign * early + 0.3 * rng.normal(size=9)
    project: Any = Trials([[0.0, a, 0.0, b] for a, b in zip(early, late, strict=True)])
    note = str(rungs_note(project))
    assert f"rank correlation of {spearmanr(early, late).statistic:.2f}" in note
    assert ("early epochs do not rank them" in note) == (sign < 0)
    few: Any = Trials([[0.0, a, 0.0, b] for a, b in zip(early[:4], late, strict=False)])
    assert "unknown: fewer than 5" in str(rungs_note(few))
    equal: Any = Trials([[0.0, 1.0, 0.0, b] for b in late])
    assert "unknown" in str(rungs_note(equal))
    none: Any = Trials([[0.0, 1.0]])
    none.trials.pop()
    assert rungs_note(none) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "from_the_end"), [("before", 9), pytest.param("after", 2, marks=pytest.mark.slow)]
)
def test_a_kill_around_a_write_of_a_stopped_trial_ends_in_the_same_search(
    halved: CrossValidationTuner, tmp_path: Path, moment: str, from_the_end: int
) -> None:
    # The second trial is the first that is stopped; its writes are the last ones.
    assert halved.project.trials[1].status == "PRUNED"
    for folder in (tmp_path / "whole", tmp_path / "killed"):
        folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(tmp_path / "whole", patch)
        search(tmp_path / "whole", max_trials=2)
    strike = len(killer.writes) - from_the_end
    with pytest.MonkeyPatch.context() as patch:
        killed = Killer(tmp_path / "killed", patch, strike, moment)
        with contextlib.suppress(Killed):
            search(tmp_path / "killed", max_trials=2)
    assert killed.dead
    assert trial_states(search(tmp_path / "killed", max_trials=2)) == trial_states(halved)[:2]


@pytest.mark.slow
def test_a_search_with_more_trials_goes_on_from_the_recorded_rungs(
    halved: CrossValidationTuner, tmp_path: Path
) -> None:
    search(tmp_path, max_trials=3)
    assert trial_states(search(tmp_path)) == trial_states(halved)


@pytest.mark.slow
def test_a_search_keeps_its_rungs_and_has_one_rule(
    halved: CrossValidationTuner, tmp_path: Path
) -> None:
    folder = halved.project_folder.parent
    other = SuccessiveHalvingOracle(OBJECTIVE, TRIALS, seed=0, first_rung=1, factor=3)
    with pytest.raises(ResumeError, match="stop_hopeless"):
        search(folder, oracle=other)
    for rule in (True, StopRule()):
        with pytest.raises(SearchError, match="by a rule of its own; leave one of the two out"):
            search(tmp_path, stop_hopeless=rule)


@pytest.mark.slow
def test_any_oracle_can_have_rungs(halved: CrossValidationTuner, tmp_path: Path) -> None:
    plain = RandomSearchOracle(OBJECTIVE, 2, seed=0)
    tuner = search(tmp_path, oracle=plain, stop_hopeless=SuccessiveHalving(1, 2))
    assert trial_states(tuner) == trial_states(halved)[:2]
