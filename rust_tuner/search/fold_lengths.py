"""Folds that a user's own `fit` trains for different numbers of epochs, brought to one number."""

import dataclasses

import numpy as np

from rust_tuner.models.epoch_file import EpochFile
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.model import Curves


def of_one_length(records: list[FoldRecord], store: FoldStore | None) -> list[FoldRecord]:
    """Records with as many epochs as the longest; the others keep their last figures.

    How many epochs a user's own `fit` trains is known only once all folds are trained.
    """
    epochs = max(_num_epochs(record) for record in records)
    made = []
    for record in records:
        predictions = record.predictions
        assert predictions is not None
        if _num_epochs(record) < epochs or len(predictions) < epochs:
            while isinstance(predictions, EpochFile) and len(predictions) < epochs:
                predictions.append(predictions[-1])
            if not isinstance(predictions, EpochFile):
                missing = epochs - len(predictions)
                predictions = np.concatenate([predictions, *[predictions[-1:]] * missing])
            record = dataclasses.replace(
                record,
                training=_lengthened(record.training, epochs),
                validation=_lengthened(record.validation, epochs),
                predictions=predictions,
                epochs_trained=record.epochs_trained or _num_epochs(record),
            )
            if store is not None:
                store.save(record)
        made.append(record)
    return made


def _num_epochs(record: FoldRecord) -> int:
    return max(len(curve) for curve in record.validation.values())


def _lengthened(curves: Curves, epochs: int) -> Curves:
    return {name: [*curve, *curve[-1:] * (epochs - len(curve))] for name, curve in curves.items()}
