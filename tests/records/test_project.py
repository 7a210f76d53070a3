"""A search's folder: every trial is read as it was written, or named as damaged."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from narrowing import not_none
from search_records import RUN, write_trial

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json, sha256_of_json, write_json
from rust_tuner.metrics import fold_interval
from rust_tuner.records.folds import FoldHead
from rust_tuner.records.project import count_ended, read_project
from rust_tuner.records.trial_tables import history_table, results_table
from rust_tuner.records.trials import TrialRecord, read_trial


def test_running_and_failed_trials_are_read_without_a_score(project: Path) -> None:
    read = read_project(project)
    assert read.problems == ()
    assert read.objective == "val_auroc"
    assert [(t.trial, t.status, len(t.folds)) for t in read.trials] == [
        ("0000", "COMPLETED", 2),
        ("0001", "COMPLETED", 2),
        ("0002", "FAILED", 0),
        ("0003", "RUNNING", 1),
    ]
    assert [(t.score, t.epoch) for t in read.trials] == [
        (pytest.approx(0.7), 1),
        (pytest.approx(0.8125), 1),
        (None, None),
        (None, None),
    ]
    assert read.trials[2].message == "MemoryError: no room"
    assert not_none(read.best).trial == "0001"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trial.json", ""),
        ("trial.json", '{"trial_id": "0001"'),
        ("trial.json", "[]"),
        ("trial.json", "null"),
        ("trial.json", "{}"),
        ("fold_1.json", '{"key": '),
        ("fold_1.json", "[]"),
        ("fold_1.json", "{}"),
    ],
)
def test_a_damaged_trial_is_told_and_the_others_are_still_read(
    name: str, content: str, project: Path
) -> None:
    (project / "trial_0001" / name).write_text(content)
    read = read_project(project)
    (problem,) = read.problems
    assert problem.startswith("trial_0001: ")
    assert [trial.trial for trial in read.trials] == ["0000", "0002", "0003"]
    assert not_none(read.best).trial == "0000"
    assert list(results_table(read)["trial"]) == ["0000", "0002", "0003"]
    assert set(history_table(read)["trial"]) == {"0000", "0003"}


@pytest.mark.parametrize(
    "changes",
    [
        {"score": None},
        {"best_step": None},
        {"metrics": {"metrics": {"val_auroc": {"observations": []}}}},
        {"hyperparameters": {}},
        {"hyperparameters": {"values": 7}},
    ],
)
def test_a_completed_trial_that_lacks_something_is_told(
    changes: dict[str, dict[str, int] | None], project: Path
) -> None:
    path = project / "trial_0001" / "trial.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    read = read_project(project)
    assert len(read.problems) == 1
    assert [trial.trial for trial in read.trials] == ["0000", "0002", "0003"]


def folds_of(curves: Mapping[str, Sequence[list[float]]]) -> tuple[FoldHead, ...]:
    """The records of folds with validation curves, given by metric and fold."""
    return tuple(
        FoldHead(
            key="",
            fold=fold,
            steps_per_epoch=1,
            seconds=0.0,
            training={},
            validation={name: values[fold] for name, values in curves.items()},
            sha256="",
        )
        for fold in range(len(next(iter(curves.values()))))
    )


@pytest.mark.parametrize(
    ("curves", "learned_nothing"),
    [
        ({"auroc": [[0.5, 0.5], [0.5, 0.5]]}, True),
        ({"auroc": [[0.5, 0.5], [0.5, 0.5]], "cortex_auroc": [[0.5, 0.5], [0.5, 0.5]]}, True),
        ({"auroc": [[0.5, 0.5], [0.5, 0.5]], "cortex_auroc": [[0.5, 0.5], [0.5, 0.51]]}, False),
        ({"auroc": [[0.5, 0.41], [0.5, 0.45]]}, False),
        ({"auroc": [[0.5, 0.5], [0.5, 0.500001]]}, False),
        ({"loss": [[0.5, 0.5], [0.5, 0.5]]}, False),
    ],
)
def test_a_trial_learned_nothing_where_every_auroc_of_every_fold_and_epoch_is_one_half(
    curves: dict[str, list[list[float]]], learned_nothing: bool
) -> None:
    folds = folds_of(curves)
    trial = TrialRecord("0000", "COMPLETED", {}, 0.5, 0, None, {}, folds)
    assert trial.learned_nothing is learned_nothing
    assert not dataclasses.replace(trial, status="RUNNING").learned_nothing


def test_an_interval_allows_for_the_rows_that_repeated_folds_share(tmp_path: Path) -> None:
    offsets = [0.01, 0.03, 0.02, 0.05, 0.0, 0.04, 0.02, 0.01]
    # Two folds, four times: each trains on half of the patients.
    units = {"kind": "patients", "training": [20] * 8, "validation": [20] * 8}
    subject = {"num_folds": 8, "units": units}
    write_json(tmp_path / "search.json", RUN | {"subject": subject})
    write_trial(tmp_path, "0000", folds=offsets)
    scores = [0.75 - offset for offset in offsets]
    found = not_none(read_project(tmp_path).best).interval("auroc")
    expected = fold_interval(scores, overlap=1.0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.high - found.low > 2 * (lambda one: one.high - one.low)(fold_interval(scores))


@pytest.mark.parametrize(
    ("name", "values", "is_clipped"),
    [
        ("accuracy", [0.9, 0.99, 1.0], True),
        # A metric of one's own, in per cent.
        ("accuracy", [81.0, 85.0, 88.0], False),
        ("true_neg_rate", [0.9, 0.89, 0.91], False),
    ],
)
def test_an_interval_is_clipped_only_where_the_values_lie_in_the_range_of_the_name(
    name: str, values: list[float], is_clipped: bool
) -> None:
    folds = folds_of({name: [[value] for value in values]})
    mean = sum(values) / 3
    trial = TrialRecord("0000", "COMPLETED", {}, mean, 0, None, {f"val_{name}": mean}, folds)
    found, plain = trial.interval(name), fold_interval(values)
    assert found.low == pytest.approx(plain.low)
    assert found.high == pytest.approx(1.0 if is_clipped else plain.high)


def test_folds_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_json(tmp_path / "search.json", RUN | {"subject": {"num_folds": 11}})
    write_trial(tmp_path, "0000", folds=[0.01 * fold for fold in range(11)])
    (trial,) = read_project(tmp_path).trials
    assert [fold.fold for fold in trial.folds] == list(range(11))


def test_trials_that_ended_are_counted_and_none_where_nothing_can_be_read(
    project: Path, tmp_path: Path
) -> None:
    trials = read_project(project).trials
    assert count_ended(project) == sum(trial.status != "RUNNING" for trial in trials) > 0
    (project / "search.json").write_text("{")
    assert count_ended(project) == 0
    assert count_ended(tmp_path / "nowhere") == 0


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"is not a search folder \(search\.json is missing\)"):
        read_project(tmp_path)


def test_a_damaged_run_manifest_is_named(project: Path) -> None:
    (project / "search.json").write_text('{"objective"')
    with pytest.raises(RustTunerError, match=r"search\.json is not valid JSON"):
        read_project(project)


@pytest.mark.parametrize(
    ("names", "objective"),
    [
        ([("auc_2", "auc_3"), ("auc", "auc_1")], "val_auc"),
        ([("auc_2", "auc_3"), ("auc_2", "auc_3")], "val_auc_1"),
        ([("auc", "auc_1"), ("auc_7", "auc_8")], None),
    ],
)
def test_metrics_that_keras_numbered_otherwise_are_read_under_one_name(
    names: list[tuple[str, str]], objective: str | None, project: Path
) -> None:
    run = json.loads((project / "search.json").read_text())
    run["objective"] = {"name": objective, "direction": "max"} if objective else {}
    write_json(project / "search.json", run)
    for fold, (first, second) in enumerate(names):
        path = project / "trial_0000" / f"fold_{fold}.json"
        head = json.loads(path.read_text())
        head["validation"] = {"loss": [0.5, 0.4], first: [0.1, 0.2], second: [0.3, 0.4]}
        head["training"] = {"loss": [0.5, 0.4], first: [0.1, 0.2], second: [0.3, 0.4]}
        del head["sha256"]
        write_json(path, head | {"sha256": sha256_of_json(head)})
    trial = read_trial(project / "trial_0000", objective=objective)
    for recorded in trial.folds:
        assert recorded.validation["auc"] == [0.1, 0.2]
        assert recorded.validation["auc_1"] == [0.3, 0.4]
    assert trial.fold_values("auc_1") == [0.4, 0.4]


def test_reading_records_starts_no_tensorflow(project: Path) -> None:
    code = (
        "import sys\n"
        "from rust_tuner.records.project import read_project\n"
        "from rust_tuner.records.trial_tables import history_table, results_table\n"
        "project = read_project(sys.argv[1])\n"
        "print(len(results_table(project)), len(history_table(project)))\n"
        "print({'tensorflow', 'keras', 'keras_tuner', 'torch', 'jax'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["4 30", "set()"]


@pytest.mark.parametrize(
    "name",
    [
        "trial_0000 (conflicted copy)",
        "trial_0000~",
        "trial_00000",
        "trial_1",
        "trial_",
        "trial_x",
        "trial_\u0663\u0663\u0663\u0663",
    ],
)
def test_a_folder_of_another_name_is_no_trial(name: str, project: Path) -> None:
    before = read_project(project)
    shutil.copytree(project / "trial_0000", project / name)
    after = read_project(project)
    assert [trial.trial for trial in after.trials] == [trial.trial for trial in before.trials]
    assert after.problems == before.problems


@pytest.mark.parametrize("name", ["fold_x.json", "fold_1 (copy).json", "fold_01234567.json"])
def test_a_file_of_another_name_is_no_fold(name: str, project: Path) -> None:
    (project / "trial_0001" / name).write_text("{}")
    assert len(read_project(project).trials[1].folds) == 2
    assert read_project(project).problems == ()


def test_a_trial_under_another_number_is_not_taken_for_it(project: Path) -> None:
    shutil.copytree(project / "trial_0000", project / "trial_0007")
    read = read_project(project)
    assert [trial.trial for trial in read.trials] == ["0000", "0001", "0002", "0003"]
    assert "belongs to trial 0000" in read.problems[0]


def test_a_fold_record_without_its_hash_is_damaged(project: Path) -> None:
    path = project / "trial_0001" / "fold_1.json"
    head = read_json(path)
    del head["sha256"]
    write_json(path, head)
    read = read_project(project)
    assert [trial.trial for trial in read.trials] == ["0000", "0002", "0003"]
    assert "fold_1.json is damaged (sha256: field required)" in read.problems[0]
