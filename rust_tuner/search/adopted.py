"""Takes up trials that are trained already: by a worker, or before their search was killed.

Whether a trial is stopped follows from all trials of lower numbers. A worker that trains it while
some of these still run knows only a part of them. It may stop the trial later than the rule says,
and then the epochs beyond are removed; or too early, and then the trial is trained again. So the
records are those of a search that runs its trials one after another.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from keras_tuner.engine.trial import Trial

from rust_tuner.models.epoch_file import EpochFile
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.search.mean_curves import CrossValidation, calculate_mean_metrics
from rust_tuner.search.pruning import Compared, are_together, judged, note_if_hopeless, num_epochs
from rust_tuner.search.run_state import Run


def is_too_short(run: Run, rival: Compared | None, trial: Trial, epochs: int) -> bool:
    """Whether a worker stopped a trial that the rule lets have more epochs.

    Args:
        run: what `search` passes to its trials.
        rival: what the trial is compared with, all trials of lower numbers having ended.
        trial: the trial.
        epochs: how many it has if it is not stopped.
    """
    if run.stop_rule is None:
        return False
    records = run.store_of(trial).load_closed(len(run.subject.folds))
    if records is None or not are_together(records):
        return False
    return num_epochs(records) < judged(run, rival, records, epochs)[0]


def adopted(
    run: Run, rival: Compared | None, trial: Trial, store: FoldStore, epochs: int
) -> list[FoldRecord] | CrossValidation | None:
    """The records of a trial that is trained already.

    Args:
        run: what `search` passes to its trials.
        rival: what the trial is compared with, all trials of lower numbers having ended.
        trial: the trial.
        store: its records.
        epochs: how many it has if it is not stopped.

    Returns:
        The records; a cross-validation that is to be closed where epochs were removed; None where
        the trial has to be trained.
    """
    records = store.load_closed(len(run.subject.folds))
    if records is None:
        return None
    if run.stop_rule is not None and are_together(records):
        count, _ = judged(run, rival, records, epochs)
        if num_epochs(records) < count:
            # While its folds have different lengths, the trial must not count as trained.
            store.reopen()
            return None
        if num_epochs(records) > count:
            return _shortened(store, len(records), count)
    note_if_hopeless(run, rival, trial, records, epochs)
    return records


def _shortened(store: FoldStore, num_folds: int, count: int) -> CrossValidation | None:
    """The trial with its first epochs only; None where predictions are missing."""
    loaded = [store.load(fold) for fold in range(num_folds)]
    whole = [record for record in loaded if record is not None and record.predictions is not None]
    if len(whole) < num_folds:
        return None
    # As above.
    store.reopen()
    folds = tuple(_first_epochs(record, count) for record in whole)
    return CrossValidation(folds, calculate_mean_metrics([fold.validation for fold in folds]))


def _first_epochs(record: FoldRecord, count: int) -> FoldRecord:
    return dataclasses.replace(
        record,
        training={name: curve[:count] for name, curve in record.training.items()},
        validation={name: curve[:count] for name, curve in record.validation.items()},
        predictions=_first_predictions(record.predictions, count),
    )


def _first_predictions(
    predictions: npt.NDArray[np.float32] | EpochFile | None, count: int
) -> npt.NDArray[np.float32] | EpochFile | None:
    if isinstance(predictions, EpochFile):
        # A file is cut off where its epochs end.
        return EpochFile(predictions.path, predictions.shape[1:], count)
    return None if predictions is None else predictions[:count]


def save_all(store: FoldStore, folds: Sequence[FoldRecord]) -> None:
    """Keep the records of folds that were trained together."""
    for record in folds:
        store.save(record)
