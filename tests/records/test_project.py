"""Records: what is read is what was written, or it is not read at all."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import is_a, not_none

from rust_tuner.errors import ResumeError, RustTunerError
from rust_tuner.files import read_json, sha256_of_json, write_json
from rust_tuner.metrics import corrected_t_test
from rust_tuner.records.folds import FoldHead, FoldRecord, FoldStore
from rust_tuner.records.project import count_ended, read_out_of_fold, read_project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns, results_table
from rust_tuner.records.trials import TrialRecord, read_trial

KEY = {"run": "abc", "trial": "0000", "values": {"units": 2}}
RUN = {
    "format": 1,
    "objective": {"name": "val_auroc", "direction": "max"},
    "space": {},
    "num_trials": 4,
    "seed": 0,
    "epochs": 2,
    "subject": {"num_folds": 2},
    "view_only_baseline": {"val_auroc": 0.6},
    "versions": {},
}


def fold_record(fold: int = 0, offset: float = 0.0) -> FoldRecord:
    predictions = np.arange(12, dtype=np.float32).reshape(2, 3, 2) / 12
    return FoldRecord(
        fold=fold,
        training={"loss": [0.7 + offset, 0.1 + 0.2]},
        validation={"loss": [0.8, 0.4], "auroc": [0.5 + offset, 0.75 - offset]},
        validation_indices=np.array([3 * fold, 3 * fold + 2, 3 * fold + 1]),
        predictions=np.asarray(predictions + np.float32(offset)),
        steps_per_epoch=4 + fold,
        seconds=1.5,
    )


def assert_same(record: FoldRecord | None, other: FoldRecord) -> None:
    for name in ("fold", "training", "validation", "steps_per_epoch", "seconds"):
        assert getattr(record, name) == getattr(other, name)
    assert is_a(np.ndarray, not_none(record).predictions).dtype == np.float32
    np.testing.assert_array_equal(not_none(record).predictions, other.predictions)
    assert not_none(record).validation_indices.dtype == np.int64
    np.testing.assert_array_equal(not_none(record).validation_indices, other.validation_indices)


@pytest.fixture
def store(tmp_path: Path) -> FoldStore:
    return FoldStore(tmp_path / "trial_0000", KEY)


@pytest.fixture
def files(store: FoldStore, tmp_path: Path) -> list[Path]:
    """The two files of one saved record."""
    store.save(fold_record())
    return [tmp_path / "trial_0000" / f"fold_0.{suffix}" for suffix in ("json", "npz")]


def test_a_record_comes_back_bit_for_bit(store: FoldStore) -> None:
    records = [fold_record(fold, 0.1 / 3) for fold in range(2)]
    for record in records:
        store.save(record)
    for record in records:
        assert_same(store.load(record.fold), record)
    assert store.load(2) is None


def test_a_record_saved_again_replaces_the_first(store: FoldStore) -> None:
    store.save(fold_record())
    store.save(fold_record(offset=0.125))
    assert_same(store.load(0), fold_record(offset=0.125))


@pytest.mark.parametrize(
    "other", [{}, KEY | {"run": "abd"}, KEY | {"trial": "0001"}, KEY | {"values": {"units": 3}}]
)
def test_a_record_of_another_key_is_never_returned(
    other: dict[str, Any], store: FoldStore, files: list[Path]
) -> None:
    stranger = FoldStore(files[0].parent, other)
    assert stranger.load(0) is None
    store.close(np.zeros((6, 2), np.float32), 1)
    assert store.load_closed(1) is not None
    assert stranger.load_closed(1) is None


def test_the_two_files_of_a_record_are_of_one_key(files: list[Path], store: FoldStore) -> None:
    head, arrays = files
    own = head.read_bytes(), arrays.read_bytes()
    FoldStore(head.parent, {}).save(fold_record())
    for path, content in zip(files, own, strict=True):
        others = path.read_bytes()
        path.write_bytes(content)
        assert store.load(0) is None
        path.write_bytes(others)


def test_a_record_cut_short_anywhere_is_never_returned(store: FoldStore, files: list[Path]) -> None:
    for path in files:
        content = path.read_bytes()
        # The last byte of the JSON is the end of its line.
        for size in range(len(content) - (path.suffix == ".json")):
            path.write_bytes(content[:size])
            assert store.load(0) is None
        path.write_bytes(content)
    assert_same(store.load(0), fold_record())


@pytest.mark.slow
def test_arrays_damaged_anywhere_are_never_returned(store: FoldStore, files: list[Path]) -> None:
    _, path = files
    content = path.read_bytes()
    refused = 0
    for position in range(len(content)):
        for flip in (0x08, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            record = store.load(0)
            if record is None:
                refused += 1
            else:
                # Where it is read all the same, the byte was a date or the like.
                assert_same(record, fold_record())
    assert refused > len(content)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", "{}", '{"key": 7}', "\x00\xff"])
def test_a_head_that_is_no_record_is_never_returned(
    content: str, store: FoldStore, files: list[Path]
) -> None:
    files[0].write_text(content, encoding="latin-1")
    assert store.load(0) is None


@pytest.mark.parametrize("field", ["fold", "training", "validation", "steps_per_epoch", "seconds"])
def test_a_head_without_all_its_fields_is_never_returned(
    field: str, store: FoldStore, files: list[Path]
) -> None:
    head = json.loads(files[0].read_text())
    del head[field]
    files[0].write_text(json.dumps(head))
    assert store.load(0) is None


@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_record_is_none(missing: int, store: FoldStore, files: list[Path]) -> None:
    files[missing].unlink()
    assert store.load(0) is None


def test_no_pickle_is_ever_read(store: FoldStore, files: list[Path]) -> None:
    key = np.load(files[1])["key"]
    np.savez(files[1], key=key, num_arrays=np.asarray(1), predictions=np.array([{}], dtype=object))
    assert store.load(0) is None


def test_a_trial_is_closed_once_its_out_of_fold_predictions_are_there(
    store: FoldStore, tmp_path: Path
) -> None:
    records = [fold_record(fold) for fold in range(2)]
    for record in records:
        store.save(record)
    assert store.load_closed(2) is None
    table = np.full((7, 2), np.nan, dtype=np.float32)
    table[:6] = np.concatenate([is_a(np.ndarray, record.predictions)[1] for record in records])
    store.close(table, epoch=1)
    store.prune()
    closed = store.load_closed(2)
    assert [record.fold for record in not_none(closed)] == [0, 1]
    for record, whole in zip(not_none(closed), records, strict=True):
        assert (record.training, record.validation) == (whole.training, whole.validation)
        assert (record.steps_per_epoch, record.seconds) == (whole.steps_per_epoch, 1.5)
        assert record.predictions is None
        assert len(record.validation_indices) == 0
    assert store.load_closed(3) is None
    np.testing.assert_array_equal(read_out_of_fold(tmp_path, "0000"), table)


def test_pruning_drops_the_predictions_of_every_epoch_and_the_checkpoints_alone(
    store: FoldStore, tmp_path: Path
) -> None:
    folder = tmp_path / "trial_0000"
    for fold in range(2):
        store.save(fold_record(fold))
    store.checkpoint(1).save({"weights": np.zeros(3)})
    store.close(np.zeros((6, 2), np.float32), 1)
    (folder / "trial.json").write_text("{}")
    store.prune()
    assert sorted(path.name for path in folder.iterdir()) == [
        "fold_0.json",
        "fold_1.json",
        "out_of_fold.npz",
        "trial.json",
    ]
    assert store.load(0) is None
    store.prune()


@pytest.mark.parametrize("damage", ["absent", "empty", "half"])
def test_a_trial_with_damaged_predictions_is_not_closed(
    damage: str, store: FoldStore, files: list[Path], tmp_path: Path
) -> None:
    store.close(np.zeros((3, 2), np.float32), 1)
    path = tmp_path / "trial_0000" / "out_of_fold.npz"
    content = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2 if damage == "half" else 0])
    assert store.load_closed(1) is None
    with pytest.raises(ResumeError, match=r"out_of_fold\.npz is missing or damaged; only complet"):
        read_out_of_fold(tmp_path, "0000")


def test_saving_a_fold_clears_its_checkpoint_and_no_other(store: FoldStore) -> None:
    for fold in range(2):
        store.checkpoint(fold).save({"weights": np.arange(3.0)})
    np.testing.assert_array_equal(not_none(store.checkpoint(0).load())["weights"], [0, 1, 2])
    store.save(fold_record(0))
    assert store.checkpoint(0).load() is None
    assert set(not_none(store.checkpoint(1).load())) == {"weights"}


# Whole projects.


def write_trial(
    folder: Path,
    trial: str,
    *,
    status: str = "COMPLETED",
    values: dict[str, int] | None = None,
    folds: list[float] | tuple[float, ...] = (0.0, 0.1),
    message: str | None = None,
) -> Path:
    """A trial whose score is the mean AUROC of its folds at epoch 1."""
    place = folder / f"trial_{trial}"
    place.mkdir(parents=True)
    store = FoldStore(place, {"trial": trial})
    for fold, offset in enumerate(folds):
        store.save(fold_record(fold, offset))
    completed = status == "COMPLETED"
    score = float(np.mean([0.75 - offset for offset in folds])) if completed else None

    def observed(value: float | None) -> dict[str, Sequence[Collection[str]]]:
        return {"direction": "max", "observations": [{"value": [value], "step": 1}]}

    metrics = {"val_auroc": observed(score), "val_loss": observed(0.4)} if completed else {}
    write_json(
        place / "trial.json",
        {
            "trial_id": trial,
            "status": status,
            "hyperparameters": {"space": [], "values": values or {"units": 2}},
            "metrics": {"metrics": metrics},
            "score": score,
            "best_step": 1 if completed else 0,
            "message": message,
        },
    )
    return place


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A completed trial, a better one, a failed one and a running one."""
    folder = tmp_path / "search"
    folder.mkdir()
    write_json(
        folder / "search.json",
        RUN,
    )
    write_trial(folder, "0000")
    write_trial(folder, "0001", values={"units": 3}, folds=(-0.125, 0.0))
    write_trial(folder, "0002", status="FAILED", folds=(), message="MemoryError: no room")
    write_trial(folder, "0003", status="RUNNING", folds=(0.0,))
    return folder


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
    folds = tuple(
        FoldHead(
            key="",
            fold=fold,
            steps_per_epoch=1,
            seconds=0.0,
            training={},
            validation={name: values[fold] for name, values in curves.items()},
            sha256="",
        )
        for fold in (0, 1)
    )
    trial = TrialRecord("0000", "COMPLETED", {}, 0.5, 0, None, {}, folds)
    assert trial.learned_nothing is learned_nothing
    assert not dataclasses.replace(trial, status="RUNNING").learned_nothing


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


def test_results_have_a_row_a_trial_with_scores_spreads_and_baselines(project: Path) -> None:
    table = results_table(read_project(project))
    assert list(table) == [
        "rank",
        "trial",
        "score",
        "score_std",
        "tied_with_best",
        "units",
        "epoch",
        "status",
        "score_low",
        "score_high",
        "p_against_best",
        "val_auroc",
        "val_auroc_std",
        "val_loss",
        "val_loss_std",
        "view_only_auroc",
        "folds_trained",
        "steps_per_epoch",
        "one_step",
        "seconds",
        "message",
    ]
    assert list(table["units"]) == [2, 3, 2, 2]
    assert list(table["rank"].fillna(0)) == [2, 1, 0, 0]
    np.testing.assert_allclose(table["score"], [0.7, 0.8125, np.nan, np.nan], rtol=1e-12)
    np.testing.assert_array_equal(table["val_auroc"], table["score"])
    # Two values spread by their distance over the root of two.
    spreads = [0.1 / np.sqrt(2), 0.125 / np.sqrt(2), np.nan, np.nan]
    np.testing.assert_allclose(table["score_std"], spreads, rtol=1e-12)
    # Student's t with one degree of freedom; of two folds each trains on the other's rows. An AUROC
    # ends at 0 and 1.
    reach = 12.706204736432095 * np.sqrt(1 / 2 + 1) * np.array(spreads)
    for end, expected in (("low", table["score"] - reach), ("high", table["score"] + reach)):
        np.testing.assert_allclose(table[f"score_{end}"], np.clip(expected, 0, 1), rtol=1e-9)
    np.testing.assert_allclose(table["val_auroc_std"], spreads, rtol=1e-12)
    np.testing.assert_allclose(table["val_loss_std"], [0, 0, np.nan, np.nan], atol=1e-15)
    np.testing.assert_array_equal(table["epoch"], [1, 1, np.nan, np.nan])
    # How many patients the folds had is not known here.
    assert table[["tied_with_best", "p_against_best"]].isna().all(axis=None)
    assert list(table["view_only_auroc"]) == [0.6] * 4
    np.testing.assert_array_equal(table["steps_per_epoch"], [5, 5, np.nan, 4])
    assert table["one_step"].tolist() == [False, False, pd.NA, False]
    assert list(table["seconds"]) == [3.0, 3.0, 0.0, 1.5]
    assert table["message"].tolist()[2] == "MemoryError: no room"


def test_results_mark_trials_whose_batch_held_the_whole_fold(project: Path) -> None:
    for path in (project / "trial_0001").glob("fold_*.json"):
        head = json.loads(path.read_text()) | {"steps_per_epoch": 1}
        del head["sha256"]
        write_json(path, head | {"sha256": sha256_of_json(head)})
    read = read_project(project)
    table = results_table(read).set_index("trial")
    assert table["one_step"].dtype == "boolean"
    assert table.loc[["0000", "0001"], "one_step"].tolist() == [False, True]
    assert [trial.one_step for trial in read.trials] == [False, True, None, False]


TABLE_COLUMNS = (
    *("trial", "status", "score", "score_std", "score_low", "score_high", "tied_with_best"),
    *("p_against_best", "epoch", "val_auroc", "val_auroc_std", "val_loss", "val_loss_std"),
    *("view_only_auroc", "folds_trained", "steps_per_epoch", "one_step", "seconds", "message"),
    *("rank", "best_so_far", "fold", "split", "metric", "value", "model"),
)


@pytest.mark.parametrize("name", TABLE_COLUMNS)
def test_a_hyperparameter_overwrites_no_column_and_is_kept_beside_it(
    name: str, project: Path
) -> None:
    plain = results_table(read_project(project)).set_index("trial")
    for path in sorted(project.glob("trial_*/trial.json")):
        state = json.loads(path.read_text())
        state["hyperparameters"]["values"] = {"units": 2, name: f"own {path.parent.name}"}
        write_json(path, state)
    read = read_project(project)
    table = results_table(read)
    assert table.columns.is_unique
    assert list(table[f"hp_{name}"]) == [f"own trial_000{number}" for number in range(4)]
    rest = table.drop(columns=f"hp_{name}").set_index("trial")
    columns = [column for column in plain if column != "units"]
    pd.testing.assert_frame_equal(rest[columns], plain[columns])
    assert list(table["trial"]) == ["0000", "0001", "0002", "0003"]


def test_a_prefix_stands_only_where_names_collide_and_then_until_they_do_not(project: Path) -> None:
    path = project / "trial_0000" / "trial.json"
    values = {"units": 2, "epochs": 3, "loss": "mse", "trial": 4, "hp_trial": 5}
    state = json.loads(path.read_text())
    write_json(path, state | {"hyperparameters": {"space": [], "values": values}})
    read = read_project(project)
    columns = hyperparameter_columns(read)
    assert columns == {
        "units": "units",
        "epochs": "epochs",
        "loss": "loss",
        "trial": "hp_hp_trial",
        "hp_trial": "hp_trial",
    }
    row = results_table(read).iloc[0]
    assert {name: row[column] for name, column in columns.items()} == values
    assert hyperparameter_columns(read, ("loss",))["loss"] == "hp_loss"


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


def test_results_say_which_trials_are_tied_with_the_best(project: Path) -> None:
    run = json.loads((project / "search.json").read_text())
    units = {"kind": "patients", "training": [10, 12], "validation": [2, 4]}
    write_json(project / "search.json", run | {"subject": {"units": units, "num_folds": 2}})
    read = read_project(project)
    table = results_table(read).set_index("trial")
    assert table["tied_with_best"].dtype == "boolean"
    scores = {name: read.trials[int(name)].fold_values("auroc") for name in ("0000", "0001")}
    expected = corrected_t_test(scores["0001"], scores["0000"], n_train=11, n_test=3).p_value  # type: ignore[arg-type]
    assert table.loc["0000", "p_against_best"] == pytest.approx(expected)
    assert table.loc["0000", "tied_with_best"] == (expected >= 0.05)
    assert table.loc["0001", "p_against_best"] == 1
    assert table.loc["0001", "tied_with_best"]
    # A trial that failed and one that runs are not compared.
    for name in ("0002", "0003"):
        assert table.loc[name, ["tied_with_best", "p_against_best"]].isna().all()


def test_the_history_has_every_value_of_every_fold_once(project: Path) -> None:
    table = history_table(read_project(project))
    assert list(table) == ["trial", "fold", "epoch", "split", "metric", "value"]
    # Two epochs of three curves of two, two, no and one fold.
    assert len(table) == 2 * 3 * (2 + 2 + 0 + 1)
    keys = ["trial", "fold", "epoch", "split", "metric"]
    values = table.set_index(keys)["value"]
    assert values.index.is_unique
    assert values["0000", 1, 0, "training", "loss"] == 0.7 + 0.1
    assert values["0000", 1, 1, "training", "loss"] == 0.1 + 0.2
    assert values["0001", 0, 1, "validation", "auroc"] == 0.875
    assert values["0003", 0, 0, "validation", "loss"] == 0.8
    assert set(table.loc[table["split"] == "training", "metric"]) == {"loss"}
    assert set(table.loc[table["split"] == "validation", "metric"]) == {"loss", "auroc"}


def test_a_search_without_trials_has_empty_tables_with_their_columns(tmp_path: Path) -> None:
    write_json(tmp_path / "search.json", RUN | {"view_only_baseline": {}})
    read = read_project(tmp_path)
    assert read.best is None
    names = ["rank", "trial", "score", "score_std", "tied_with_best", "epoch", "status"]
    assert list(results_table(read)) == [*names, "score_low", "score_high", "p_against_best"]
    pd.testing.assert_index_equal(
        history_table(read).columns,
        pd.Index(["trial", "fold", "epoch", "split", "metric", "value"]),
    )
    assert len(results_table(read)) == len(history_table(read)) == 0


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


def test_a_fold_record_without_its_hash_is_damaged(project: Path, store: FoldStore) -> None:
    path = project / "trial_0001" / "fold_1.json"
    head = read_json(path)
    del head["sha256"]
    write_json(path, head)
    read = read_project(project)
    assert [trial.trial for trial in read.trials] == ["0000", "0002", "0003"]
    assert "fold_1.json is damaged (sha256: field required)" in read.problems[0]


def test_the_store_never_returns_a_record_without_its_hash(
    store: FoldStore, files: list[Path]
) -> None:
    head = read_json(files[0])
    for sha256 in (None, "", "0" * 64):
        write_json(files[0], head | {"sha256": sha256})
        assert store.load(0) is None
    del head["sha256"]
    write_json(files[0], head)
    assert store.load(0) is None
    assert not store.is_foreign()
