"""The records of one trial's folds: the results of each fold, and the state of a fold in training.

    fold_0.json        histories of one fold, with a key of everything they depend on
    fold_0.npz         its validation predictions of every epoch, while the trial runs
    fold_0.predictions.bin   the same predictions, if they would take much memory
    fold_0.epoch.npz   the state of a long fold after its last finished epoch
    out_of_fold.npz    the predictions of the trial's chosen epoch
    model.json         the trial's model as it was built, see `built_models`

A record with another key, or one that does not match its hash, is never returned.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from rust_tuner.data.outputs import Outputs
from rust_tuner.errors import RecordError
from rust_tuner.files import sha256_of_json
from rust_tuner.models.epoch_file import EpochFile
from rust_tuner.records.arrays import read_arrays, write_arrays
from rust_tuner.records.built_models import read_built_model, write_built_model
from rust_tuner.records.model import (
    Curves,
    Epochs,
    FoldNumber,
    Json,
    Record,
    read_record,
    write_record,
)
from rust_tuner.records.trained_on import TrainedOn
from rust_tuner.records.worker_note import WORKER_FILE

TOGETHER = "together"
_ONE_BY_ONE = "one after another"
_NO_ROWS = np.empty(0, dtype=np.int64)
_AGAIN = "run the search again"
_FOLD_FILE = re.compile(r"fold_(\d{1,4})\.json")


class FoldHead(Record):
    """`fold_0.json`: histories of one fold, with a key of everything they depend on.

    Attributes:
        key: SHA-256 of what the record depends on.
        fold: its number, from 0.
        steps_per_epoch: optimiser steps of each epoch.
        seconds: how long the fold took.
        training: metric -> value per epoch, on the training batches as they were trained.
        validation: metric -> value per epoch, on the fold's validation rows.
        epochs_trained: where `fit` stopped early; the later epochs repeat the model that it left.
            None if all were trained.
        left_at: the epoch whose model a user's own `fit` left, such as that of the best weights;
            None if it is the last.
        folds_trained: whether it was trained together with the other folds, or why not: `together`,
            or `one after another: REASON`. None in records of earlier versions.
        trained_on: threads, kernels and machine; None in records of earlier versions.
        sha256: of all else in the record.
    """

    key: str
    fold: FoldNumber
    steps_per_epoch: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    training: Curves
    validation: Curves
    epochs_trained: Epochs | None = None
    left_at: Annotated[int, Field(ge=0)] | None = None
    folds_trained: str | None = None
    trained_on: TrainedOn | None = None
    sha256: str

    @model_validator(mode="after")
    def _of_one_length(self) -> "FoldHead":
        lengths = {len(curve) for curve in self.validation.values()}
        if len(lengths) > 1:
            raise ValueError("validation curves of different lengths")
        return self


@dataclass(frozen=True, eq=False)
class FoldRecord:
    """The results of one fold of one trial.

    Attributes:
        fold: its number, from 0.
        training: metric -> value per epoch, on the training batches as they were trained.
        validation: metric -> value per epoch, on the fold's validation rows.
        validation_indices: (n_validation,) int64 rows of the development set; empty once the
            trial is closed.
        predictions: (epochs, n_validation, outputs) float32, in a file if they are large; None
            once the trial is closed.
        steps_per_epoch: optimiser steps of each epoch.
        seconds: how long the fold took.
        epochs_trained: how many epochs `fit` trained before it stopped; None if all.
        left_at: see `FoldHead`.
        outputs: which columns of the predictions belong to which output; None if there is one.
        folds_trained: see `FoldHead`.
        trained_on: see `FoldHead`.
    """

    fold: int
    training: Curves
    validation: Curves
    validation_indices: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.float32] | EpochFile | None
    steps_per_epoch: int
    seconds: float
    epochs_trained: int | None = None
    left_at: int | None = None
    outputs: Outputs | None = None
    folds_trained: str | None = None
    trained_on: TrainedOn | None = None


def one_by_one(reason: str) -> str:
    """What records say of folds that were trained one after another."""
    return f"{_ONE_BY_ONE}: {reason}"


def reason_of(folds_trained: str | None) -> str | None:
    """Why folds were trained one after another; None where they were not, or it is not known."""
    if folds_trained is None or not folds_trained.startswith(f"{_ONE_BY_ONE}: "):
        return None
    return folds_trained.removeprefix(f"{_ONE_BY_ONE}: ")


class FoldStore:
    """Per-fold records of one trial; records with another key are never returned."""

    def __init__(
        self,
        folder: Path,
        key: Mapping[str, Any],
        *,
        before_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep records in a trial's folder.

        Args:
            folder: the trial's folder.
            key: everything that the records depend on, as JSON values.
            before_change: called before a record is written or taken back; its error prevents it.
        """
        self._folder = folder
        self._key = sha256_of_json(key)
        self._before_change = before_change

    def load(self, fold: int) -> FoldRecord | None:
        """The record of a fold, or None if there is none with this key."""
        arrays = read_arrays(self._arrays(fold), self._key)
        if arrays is None:
            return None
        if "shape" in arrays:
            predictions = self._large_predictions(fold, arrays)
            return None if predictions is None else self._from_head(fold, arrays, predictions)
        return self._from_head(fold, arrays, arrays.get("predictions"))

    def load_closed(self, num_folds: int) -> list[FoldRecord] | None:
        """All fold records of a trial that `close` finished, without their predictions."""
        if read_arrays(self._out_of_fold, self._key) is None:
            return None
        records = [self._from_head(fold, {}, None) for fold in range(num_folds)]
        whole = [record for record in records if record is not None]
        return whole if len(whole) == num_folds else None

    def save(self, record: FoldRecord) -> None:
        """Keep a record; it counts once its JSON is written, which comes last."""
        self._before_change()
        predictions: dict[str, Any] = {"predictions": record.predictions}
        if isinstance(record.predictions, EpochFile):
            record.predictions.sync()
            predictions = {
                "shape": np.asarray(record.predictions.shape),
                "checksum": np.asarray(record.predictions.checksum()),
            }
        write_arrays(
            self._arrays(record.fold),
            self._key,
            validation_indices=record.validation_indices,
            outputs=None if record.outputs is None else record.outputs.to_array(),
            **predictions,
        )
        head: dict[str, Any] = {
            "key": self._key,
            "fold": record.fold,
            "steps_per_epoch": record.steps_per_epoch,
            "seconds": record.seconds,
            "training": record.training,
            "validation": record.validation,
        }
        epochs = min((len(curve) for curve in record.validation.values()), default=0)
        if record.epochs_trained is not None and record.epochs_trained < epochs:
            head["epochs_trained"] = record.epochs_trained
        if record.left_at is not None:
            head["left_at"] = record.left_at
        if record.folds_trained is not None:
            head["folds_trained"] = record.folds_trained
        if record.trained_on is not None:
            head["trained_on"] = record.trained_on.to_json()
        signed = FoldHead.of(head | {"sha256": sha256_of_json(head)})
        write_record(self._head(record.fold), signed)
        self.checkpoint(record.fold).clear()

    @property
    def is_begun(self) -> bool:
        """Whether anything of the trial's training is kept, with whatever key."""
        return any(self._folder.glob("fold_*")) or self._out_of_fold.exists()

    def keep_model(self, description: Json) -> None:
        """Keep the description of the trial's model."""
        write_built_model(self._folder, self._key, description)

    def kept_model(self) -> Json | None:
        """The description that was kept, or None if there is none with this key."""
        return read_built_model(self._folder, self._key)

    def is_foreign(self) -> bool:
        """Whether the folder has intact records with another key."""
        heads = (_whole(path) for path in fold_files(self._folder))
        return any(head is not None and head.key != self._key for head in heads)

    def checkpoint(self, fold: int) -> "EpochCheckpoint":
        """Where a fold that is being trained keeps its state between epochs."""
        return EpochCheckpoint(self._folder / f"fold_{fold}.epoch.npz", self._key)

    def predictions_file(self, fold: int) -> Path:
        """Where a fold's predictions go that would take much memory."""
        return self._folder / f"fold_{fold}.predictions.bin"

    def close(
        self,
        out_of_fold: npt.NDArray[np.float32],
        epoch: int,
        repeats: npt.NDArray[np.float32] | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        """Keep the chosen epoch's out-of-fold predictions instead of every epoch's.

        Args:
            out_of_fold: (n, outputs), NaN in rows that no fold validates.
            epoch: the chosen epoch, from 0.
            repeats: (repeats, n, outputs), if folds validate a row more than once.
            outputs: which columns belong to which output, if there are several.
        """
        self._before_change()
        write_arrays(
            self._out_of_fold,
            self._key,
            predictions=out_of_fold,
            epoch=np.asarray(epoch),
            repeats=repeats,
            outputs=None if outputs is None else outputs.to_array(),
        )

    def reopen(self) -> None:
        """Take back what `close` did: the trial counts as running until it is closed again."""
        self._before_change()
        self._out_of_fold.unlink(missing_ok=True)

    def prune(self) -> None:
        """Delete the files that only a running trial needs, once its end is recorded."""
        for pattern in ("fold_*.npz", "fold_*.predictions.bin", WORKER_FILE):
            for path in self._folder.glob(pattern):
                path.unlink()

    def discard(self) -> None:
        """Delete everything that was trained, so that the trial starts again."""
        for path in [*self._folder.glob("fold_*"), self._out_of_fold]:
            path.unlink(missing_ok=True)

    def _large_predictions(self, fold: int, arrays: Mapping[str, Any]) -> EpochFile | None:
        """The predictions in a fold's own file, or None if they are not those of its record."""
        epochs, *epoch_shape = arrays["shape"].tolist()
        kept = EpochFile.of(self.predictions_file(fold), epoch_shape, epochs)
        return kept if kept is not None and kept.checksum() == int(arrays["checksum"]) else None

    def _from_head(
        self,
        fold: int,
        arrays: Mapping[str, Any],
        predictions: npt.NDArray[np.float32] | EpochFile | None,
    ) -> FoldRecord | None:
        head = _whole(self._head(fold))
        if head is None or head.key != self._key:
            return None
        return FoldRecord(
            fold=fold,
            training=head.training,
            validation=head.validation,
            predictions=predictions,
            validation_indices=arrays.get("validation_indices", _NO_ROWS),
            steps_per_epoch=head.steps_per_epoch,
            seconds=head.seconds,
            epochs_trained=head.epochs_trained,
            left_at=head.left_at,
            outputs=Outputs.from_array(arrays.get("outputs")),
            folds_trained=head.folds_trained,
            trained_on=head.trained_on,
        )

    @property
    def _out_of_fold(self) -> Path:
        return self._folder / "out_of_fold.npz"

    def _head(self, fold: int) -> Path:
        return self._folder / f"fold_{fold}.json"

    def _arrays(self, fold: int) -> Path:
        return self._folder / f"fold_{fold}.npz"


class EpochCheckpoint:
    """The state of one fold after its last finished epoch, in a file.

    Attributes:
        seconds_between: least time between two states; shorter folds are trained again from the
            first epoch.
    """

    seconds_between = 30.0

    def __init__(self, path: Path, key: str) -> None:
        """Keep states in `path`, with the key of the trial."""
        self._path = path
        self._key = key

    def load(self) -> dict[str, Any] | None:
        """The state that was kept, or None if there is none with this key."""
        return read_arrays(self._path, self._key)

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state that is kept."""
        write_arrays(self._path, self._key, **state)

    def clear(self) -> None:
        """Delete the state."""
        self._path.unlink(missing_ok=True)


def fold_files(folder: Path) -> list[Path]:
    """The fold records in a trial's folder, by number; files with any other name are ignored."""
    numbers = {
        path: int(match[1])
        for path in folder.glob("fold_*.json")
        if (match := _FOLD_FILE.fullmatch(path.name)) is not None
    }
    return sorted(numbers, key=numbers.__getitem__)


def read_fold(path: Path) -> FoldHead:
    """Read a fold's record.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged, or belongs to another fold.
    """
    head = read_record(path, FoldHead, mend=_AGAIN)
    content = {name: value for name, value in head.to_json().items() if name != "sha256"}
    if head.sha256 != sha256_of_json(content):
        raise RecordError.of(path, "does not match its SHA-256", mend=_AGAIN)
    if path.name != f"fold_{head.fold}.json":
        raise RecordError.of(path, f"is the record of fold {head.fold}", mend=_AGAIN)
    return head


def _whole(path: Path) -> FoldHead | None:
    """A fold's record, or None if it is missing or damaged."""
    try:
        return read_fold(path)
    except (FileNotFoundError, RecordError):
        return None
