"""Records of a search written by hand, as small as they can be."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from rust_tuner.files import write_json
from rust_tuner.records.folds import FoldRecord, FoldStore

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
