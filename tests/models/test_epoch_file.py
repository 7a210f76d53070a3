"""Large predictions stay in a file, epoch by epoch, as far as they are valid after a crash."""

from pathlib import Path

import numpy as np
import pytest

from rust_tuner.models import epoch_file
from rust_tuner.models.epoch_file import EpochFile, EpochLog

EPOCHS = np.random.default_rng(0).random((3, 4, 2, 5), dtype=np.float32)


def filled(path: Path, count: int = 3) -> EpochFile:
    file = EpochFile(path, EPOCHS.shape[1:])
    for epoch in EPOCHS[:count]:
        file.append(epoch)
    return file


def test_each_epoch_is_read_back_as_it_was(tmp_path: Path) -> None:
    file = filled(tmp_path / "deep" / "file.bin")
    assert (file.shape, len(file)) == (EPOCHS.shape, 3)
    for epoch in (0, 1, 2, -1):
        np.testing.assert_array_equal(file[epoch], EPOCHS[epoch])
    with pytest.raises(IndexError, match="epoch 3 of 3"):
        file[3]


def test_what_follows_the_valid_epochs_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    whole = filled(path).checksum()
    with path.open("ab") as stream:
        stream.write(b"half an epoch")
    reopened = EpochFile.of(path, EPOCHS.shape[1:], 2)
    assert reopened is not None
    reopened.append(EPOCHS[2])
    assert reopened.checksum() == whole
    assert reopened[2].tobytes() == EPOCHS[2].tobytes()


def test_a_shorter_or_missing_file_is_none(tmp_path: Path) -> None:
    filled(tmp_path / "file.bin", count=1)
    assert EpochFile.of(tmp_path / "file.bin", EPOCHS.shape[1:], 2) is None
    assert EpochFile.of(tmp_path / "other.bin", EPOCHS.shape[1:], 0) is None


@pytest.mark.parametrize("limit", [EPOCHS.nbytes, EPOCHS.nbytes - 1])
def test_predictions_go_to_a_file_where_all_epochs_would_be_too_large(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_file, "LARGEST_IN_MEMORY", limit)
    path = tmp_path / "file.bin"
    log = EpochLog(len(EPOCHS), path)
    for epoch in EPOCHS:
        log.append(epoch)
    assert path.exists() == (limit < EPOCHS.nbytes) == isinstance(log.result(), EpochFile)
    assert len(log) == 3
    np.testing.assert_array_equal(log.result()[1], EPOCHS[1])


def test_without_a_file_they_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch_file, "LARGEST_IN_MEMORY", 0)
    log = EpochLog(3, None)
    log.append(EPOCHS[0])
    assert isinstance(log.result(), np.ndarray)
    assert not log.reopen(EPOCHS.shape[1:], 1)


@pytest.mark.parametrize("in_file", [False, True])
def test_the_last_epochs_become_the_first(
    in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_file:
        monkeypatch.setattr(epoch_file, "LARGEST_IN_MEMORY", 0)
    log = EpochLog(3, tmp_path / "file.bin")
    for epoch in EPOCHS:
        log.append(epoch)
    assert (log.on_disk is not None) == in_file
    log.keep_last(2)
    result = log.result()
    np.testing.assert_array_equal([result[0], result[1]], EPOCHS[1:])
    assert len(log) == 2
