"""Records of folds: what is read is what was written, or it is not read at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from narrowing import is_a, not_none
from search_records import fold_record

from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json, write_json
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.project import read_out_of_fold

KEY = {"run": "abc", "trial": "0000", "values": {"units": 2}}


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


@pytest.mark.slow
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
