"""Nested cross-validations and noise floors written by hand."""

from pathlib import Path
from typing import Any

from report_predictions import make_out_of_fold
from report_searches import SHA, VERSIONS, write_json, write_project

from rust_tuner import Protocol
from rust_tuner.analysis.nested import nested_summary
from rust_tuner.records.nested import (
    NESTED_PREDICTIONS,
    NestedManifest,
    OuterRecord,
    outer_folder,
    write_outer,
    write_summary,
)


def outer_record(number: int, **changes: Any) -> dict[str, Any]:
    """What outer fold `number` gave; the first two chose the same batch size."""
    record = {
        "outer_fold": number,
        "trials": {"regime_1": "0003", "regime_2": f"{number:04d}"},
        "hyperparameters": {
            "batch_size": 64 if number < 2 else 128,
            "dropout_rate": 0.1 * (number + 1),
            "learning_rate": 1e-3,
            "epsilon": 1e-7,
        },
        "epoch": 3 + number,
        "selection_score": {"auroc": 0.80 + 0.01 * number, "cortex_auroc": 0.64},
        "inner_estimate": {"auroc": 0.76 + 0.002 * number, "cortex_auroc": 0.58},
        "estimate": {"auroc": 0.77 + 0.005 * number, "cortex_auroc": 0.60 - 0.01 * number},
        "view_only_baseline": {"auroc": 0.7, "cortex_auroc": 0.5},
        "training": {"radiographs": 40, "patients": 20, "sha256": SHA},
        "validation": {"radiographs": 20, "patients": 10, "sha256": SHA},
    }
    return record | changes


def nested_run(outer_folds: int = 3, **changes: Any) -> dict[str, Any]:
    protocol = Protocol.study(epochs=5, num_folds=3).to_json()
    run = {
        "format": 1,
        "objective": "val_auroc",
        "seed": 0,
        "outer_folds": outer_folds,
        "trials": {"regime_1": 12, "regime_2": 6},
        "subject": {
            "development": SHA,
            "inputs": SHA,
            "folds": SHA,
            "weights": {"asked": "imagenet", "file": None, "sha256": SHA},
        },
        "protocol": protocol,
        "versions": VERSIONS,
    }
    return run | changes


def write_nested(folder: Path, *, outer_folds: int = 3, finished: int = 3, **changes: Any) -> Path:
    """A nested cross-validation of which some outer folds are finished."""
    run = nested_run(outer_folds, **changes)
    write_json(folder / "nested.json", run)
    records = [OuterRecord(**outer_record(number)) for number in range(finished)]
    for record in records:
        place = outer_folder(folder, record.outer_fold)
        write_outer(place, record, key=SHA, predictions="patient_id\n")
    if finished == outer_folds:
        predictions = make_out_of_fold()
        predictions.to_csv(folder / NESTED_PREDICTIONS, index=False)
        write_summary(folder, nested_summary(NestedManifest.of(run), records, predictions))
    return folder


def write_noise(folder: Path, *, repeats: int = 4, **changes: Any) -> Path:
    """Repeats under other seeds, whose scores fall by 0.01 each, and under other assignments."""
    values = {"batch_size": 16, "dropout_rate": 0.0, "learning_rate": 0.1, "epsilon": 1e-7}
    run = {
        "format": 1,
        "regime": "regime_2",
        "trial": "0000",
        "configuration": values,
        "selection_score": {"auroc": 0.754, "cortex_auroc": 0.604},
        "objective": "val_auroc",
        "seed": 0,
        "repeats": repeats,
        "assignments": repeats,
    }
    write_json(folder / "noise.json", run | changes)
    write_project(folder / "seeds", [values] * repeats)
    for repeat in range(repeats):
        write_project(folder / f"assignment_{repeat:03d}", [values], num_folds=3 + repeat % 2)
    return folder
