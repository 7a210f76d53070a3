"""Searches written by hand: every figure is a formula of trial, fold and epoch.

So a test of the report can compute each by itself, without TensorFlow.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner import Protocol
from rust_tuner.files import read_json, sha256_of_json

VIEW_ONLY = {"val_auroc": 0.7, "val_cortex_auroc": 0.5}
VERSIONS = {"python": "3.11.7", "rust-tuner": "0.1.0", "keras": "3.15.1"}
SHA = "ab" * 32
# Radiographs that a fold trains on.
ROWS_TRAINED = 400


def write_json(path: Path, value: object) -> None:
    """As the package writes it, but without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))


def change_json(path: Path, **changes: object) -> None:
    """Write changed fields of a JSON object."""
    write_json(path, read_json(path) | changes)


def signed(head: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the hash of all else in it, as its reader expects."""
    content = {name: value for name, value in head.items() if name != "sha256"}
    return content | {"sha256": sha256_of_json(content)}


def curve_value(
    metric: str, trial: int, fold: int, epoch: int, *, split: str = "validation"
) -> float:
    """Rises to epoch 2 and falls again; differs between folds and trials, and never by a tie."""
    base = {"auroc": 0.75, "cortex_auroc": 0.6, "loss": 0.4}[metric]
    gain = -0.01 * (epoch - 2) ** 2 if split == "validation" else 0.02 * epoch
    # Not by the same amount on every fold, which would be no evidence of a difference.
    return base + gain - 0.01 * trial + 0.004 * fold + 1e-8 * (trial * fold**2 % 1009)


def write_trial(
    folder: Path,
    number: int,
    values: Mapping[str, Any],
    *,
    num_folds: int,
    epochs: int,
    metrics: Sequence[str],
    objective: str = "val_auroc",
) -> None:
    place = folder / f"trial_{number:04d}"
    for fold in range(num_folds):
        curves = {
            split: {
                metric: [
                    curve_value(metric, number, fold, epoch, split=split) for epoch in range(epochs)
                ]
                for metric in metrics
            }
            for split in ("training", "validation")
        }
        head = {
            "key": SHA,
            "fold": fold,
            "steps_per_epoch": -(-ROWS_TRAINED // values.get("batch_size", 8)),
            "seconds": 1.5,
            **curves,
        }
        write_json(place / f"fold_{fold}.json", signed(head))
    means = {
        metric: [
            float(np.mean([curve_value(metric, number, f, epoch) for f in range(num_folds)]))
            for epoch in range(epochs)
        ]
        for metric in metrics
    }
    target = means[objective.removeprefix("val_")]
    epoch = int(np.argmax(target))
    observed = {
        f"val_{metric}": {"direction": "max", "observations": [{"value": [mean[epoch]], "step": 0}]}
        for metric, mean in means.items()
    }
    state = {
        "trial_id": f"{number:04d}",
        "hyperparameters": {"space": [], "values": values},
        "metrics": {"metrics": observed},
        "score": target[epoch],
        "best_step": epoch,
        "status": "COMPLETED",
        "message": None,
    }
    write_json(place / "trial.json", state)


def write_project(
    folder: Path,
    trials: Sequence[Mapping[str, Any]],
    *,
    space: Mapping[str, Any] | None = None,
    num_folds: int = 3,
    epochs: int = 5,
    num_trials: int | None = None,
    metrics: Sequence[str] = ("auroc", "cortex_auroc", "loss"),
    objective: str = "val_auroc",
    view_only: Mapping[str, float] = VIEW_ONLY,
    weights: str = "imagenet",
) -> Path:
    """A project folder whose trials have these hyperparameter values, the first one is the best."""
    protocol = Protocol.study(epochs=epochs, num_folds=num_folds).to_json()
    run = {
        "format": 1,
        "oracle": "RandomSearchOracle",
        "objective": {"name": objective, "direction": "max"},
        "space": space or {},
        "max_trials": num_trials,
        "num_trials": len(trials) if num_trials is None else num_trials,
        "seed": 0,
        "oracle_seed": 0,
        "score_epoch": "best_mean",
        "epochs": epochs,
        "batch_size": None,
        "subject": {
            "inputs": SHA,
            "targets": SHA,
            "folds": SHA,
            "num_folds": num_folds,
            "units": {
                "kind": "patients",
                "training": [30 - 30 // num_folds] * num_folds,
                "validation": [30 // num_folds] * num_folds,
            },
            "weights": {"asked": weights, "file": None, "sha256": SHA},
        },
        "view_only_baseline": view_only,
        "versions": VERSIONS,
        "protocol": protocol,
    }
    write_json(folder / "search.json", run)
    for number, values in enumerate(trials):
        write_trial(
            folder,
            number,
            values,
            num_folds=num_folds,
            epochs=epochs,
            metrics=metrics,
            objective=objective,
        )
    return folder


def dimension(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {name: {"class_name": kind, "config": {"name": name, **config}}}


def write_regime_1(folder: Path, *, count: int = 12, **options: Any) -> Path:
    space = dimension("batch_size", "Int", min_value=16, max_value=2048)
    space |= dimension("dropout_rate", "Float", min_value=0.0, max_value=0.5)
    space |= dimension("learning_rate", "Fixed", value=1e-3)
    space |= dimension("epsilon", "Fixed", value=1e-7)
    trials = [
        {
            "batch_size": 16 + 31 * number,
            "dropout_rate": 0.5 * (number * 5 % count) / count,
            "learning_rate": 1e-3,
            "epsilon": 1e-7,
        }
        for number in range(count)
    ]
    return write_project(folder, trials, space=space, **options)


def write_regime_2(
    folder: Path,
    *,
    rates: Sequence[float] = (1e-1, 1e-3, 1e-2),
    epsilons: Sequence[float] = (1e-7, 1e-1),
    **options: Any,
) -> Path:
    space = dimension("batch_size", "Fixed", value=16)
    space |= dimension("dropout_rate", "Fixed", value=0.0)
    space |= dimension("learning_rate", "Choice", values=list(rates))
    space |= dimension("epsilon", "Choice", values=list(epsilons))
    trials = [
        {"batch_size": 16, "dropout_rate": 0.0, "learning_rate": rate, "epsilon": epsilon}
        for rate in rates
        for epsilon in epsilons
    ]
    return write_project(folder, trials, space=space, **options)


def write_baselines(folder: Path, models: Iterable[str], **options: Any) -> None:
    for model in models:
        write_project(folder / model, [{"batch_size": 128}], **({"num_folds": 4} | options))
