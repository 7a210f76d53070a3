"""Folds that a user's own `fit` trains for different numbers of epochs, brought to one number."""

import dataclasses

import numpy as np

from rust_tuner.models.epoch_file import EpochFile
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.model import Curves


def of_one_length(records: list[FoldRecord], store: FoldStore | None) -> list[FoldRecord]:
    """Records with as many epochs as the longest; the others keep those of the model that is left.

    How many epochs a user's own `fit` trains is known only once all folds are trained.
    """
    epochs = max(_num_epochs(record) for record in records)
    made = []
    for record in records:
        predictions = record.predictions
        assert predictions is not None
        if _num_epochs(record) < epochs or len(predictions) < epochs:
            left = len(predictions) - 1 if record.left_at is None else record.left_at
            while isinstance(predictions, EpochFile) and len(predictions) < epochs:
                predictions.append(predictions[left])
            if not isinstance(predictions, EpochFile):
                again = predictions[[left] * (epochs - len(predictions))]
                predictions = np.concatenate([predictions, again])
            record = dataclasses.replace(
                record,
                training=_lengthened(record.training, epochs),
                validation=_lengthened(record.validation, epochs, record.left_at),
                predictions=predictions,
                epochs_trained=record.epochs_trained or _num_epochs(record),
            )
            if store is not None:
                store.save(record)
        made.append(record)
    return made


def _num_epochs(record: FoldRecord) -> int:
    return max(len(curve) for curve in record.validation.values())


def _lengthened(curves: Curves, epochs: int, left_at: int | None = None) -> Curves:
    epoch = -1 if left_at is None else left_at
    return {
        name: [*curve, *[curve[epoch]] * (epochs - len(curve))] for name, curve in curves.items()
    }
