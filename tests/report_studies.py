"""Study folders written by hand, so that the report's tests need no TensorFlow.

Every figure is a formula of trial, fold and epoch, so that a test can compute it by itself.
"""

import dataclasses
import functools
import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from rust_tuner import Protocol
from rust_tuner.analysis.assessment import as_predictions, figures_table, label_figures
from rust_tuner.analysis.nested import nested_summary
from rust_tuner.analysis.study_figures import find_figure
from rust_tuner.analysis.tables import write_table
from rust_tuner.figures.style import save_figure
from rust_tuner.files import read_json, sha256_of_json
from rust_tuner.labels import CORTICES, LABELS, SCORES
from rust_tuner.records.checks import CheckRecord, Verdict, searches_seen
from rust_tuner.records.folder import read_study
from rust_tuner.records.folds import FoldStore
from rust_tuner.records.nested import (
    NESTED_PREDICTIONS,
    NestedManifest,
    OuterRecord,
    outer_folder,
    write_outer,
    write_summary,
)
from rust_tuner.records.rows import rows_sha256, write_rows
from rust_tuner.report import page
from rust_tuner.report.html import write_report

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
    return base + gain - 0.01 * trial + 0.004 * fold


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


def write_out_of_fold(
    folder: Path,
    trial: int = 0,
    *,
    rows: int = 90,
    seed: int = 1,
    site: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows and out-of-fold predictions of a project of this folder, as a search leaves them."""
    run = read_json(folder / "search.json")
    num_folds = run["subject"]["num_folds"]
    table = make_predictions(rows, seed)
    if site is not None:
        table.insert(4, "site", site)
    names = ["patient_id", "visit", "view", *(["site"] if site is not None else []), *CORTICES]
    known = table[names].assign(fold=table["patient_id"].astype(int) % num_folds)
    write_rows(folder, known)
    run["subject"]["rows"] = rows_sha256(known)
    write_json(folder / "search.json", run)
    answers = table[[f"probability_{label}" for label in LABELS]].to_numpy(dtype=np.float32)
    FoldStore(folder / f"trial_{trial:04d}", {}).close(answers, epoch=2)
    return table


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


def make_predictions(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Predictions that are right more often than not: patients with two visits of two views."""
    rng = np.random.default_rng(seed)
    views = np.where(np.arange(rows) % 2 == 0, "ap", "lateral")
    table = pd.DataFrame(
        {
            "image": [f"images/{number}.png" for number in range(rows)],
            "patient_id": [f"{number // 4:03d}" for number in range(rows)],
            "visit": np.where(np.arange(rows) % 4 < 2, "6 weeks", "3 months"),
            "view": views,
        }
    )
    for cortex in CORTICES:
        shown = (views == "ap") == (cortex in ("medial", "lateral"))
        table[cortex] = np.where(shown, rng.choice(SCORES, rows), np.nan)
    for label in LABELS:
        cortex, _, score = label.partition("_")
        if cortex == "view":
            table[f"probability_{label}"] = (views == score) * 0.9 + 0.05
            continue
        logit = rng.normal(-1, 1, rows) + 2 * (table[cortex] == int(score))
        table[f"probability_{label}"] = 1 / (1 + np.exp(-logit))
    return table


def holdout_record(**changes: Any) -> dict[str, Any]:
    record = {
        "format": 1,
        "date": "2026-11-24T12:00:00+00:00",
        "radiographs": 60,
        "patients": 15,
        "threshold": 0.5,
        "epoch": 2,
        "metrics": {
            "auroc": 0.81,
            "cortex_auroc": 0.66,
            "precision": 0.6,
            "recall": 0.4,
            "f1": 0.48,
            "cortex_precision": 0.5,
            "cortex_recall": 0.4,
            "cortex_f1": 0.44,
        },
        "view_only_baseline": {"auroc": 0.72, "cortex_auroc": 0.5},
        "labels": [
            {
                "label": label,
                "positives": 3 if label == "medial_4" else 20,
                "rows": 60,
                "auroc": None if label == "posterior_4" else 0.8,
                "precision": 0.5,
                "recall": 0.5,
                "f1": 0.5,
            }
            for label in LABELS
        ],
        "model_sha256": SHA,
    }
    return record | changes


def holdout_record_of(predictions: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    """A record whose figures are those of predictions, as a look leaves it, but for their list."""
    found = as_predictions(predictions)
    figures = figures_table(found)
    groups = (("", "labels"), ("cortex_", "cortices"))
    names = ("auroc", "precision", "recall", "f1")
    metrics = {
        f"{start}{name}": plain(row["value"])
        for start, group in groups
        for name in names
        if (row := find_figure(figures, name, group)) is not None
    }
    own = label_figures(figures)
    labels = [
        {
            "label": row["label"],
            "positives": int(found.labels[:, LABELS.index(row["label"])].sum()),
            "rows": len(predictions),
            **{name: plain(row[name]) for name in names},
        }
        for row in own[own["counted"] == "all"].to_dict("records")
    ]
    counts = {"radiographs": len(predictions), "patients": predictions["patient_id"].nunique()}
    return holdout_record(metrics=metrics, labels=labels, **counts) | changes


def plain(value: Any) -> Any:
    """A cell as a JSON value."""
    return None if pd.isna(value) else value.item() if isinstance(value, np.generic) else value


def write_split(path: Path, *, num_folds: int = 3) -> None:
    development = [f"{number:03d}" for number in range(30, 60)]
    content = {
        "version": 1,
        "seed": 0,
        "fraction": 0.15,
        "radiographs_sha256": SHA,
        "development_sha256": SHA,
        "development": development,
        "holdout": [f"{number:03d}" for number in range(15)],
        "folds": {
            str(num_folds): {
                "seed": 0,
                "patients": {name: n % num_folds for n, name in enumerate(development)},
            }
        },
    }
    write_json(path, content | {"sha256": sha256_of_json(content)})


def make_out_of_fold(rows: int = 120, outer_folds: int = 3, seed: int = 1) -> pd.DataFrame:
    """Out-of-fold predictions, each patient in one outer fold."""
    table = make_predictions(rows, seed)
    owner = table["patient_id"].astype(int) % outer_folds
    return table.assign(outer_fold=owner)


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


def write_passed_checks(folder: Path) -> None:
    """The record of checks that all passed, run on the searches that the folder holds."""
    verdicts = tuple(
        Verdict(name, title, "passed", f"{title} is as it must be.")
        for name, title in (("near_duplicates", "Equal images"), ("shuffled_labels", "Shuffled"))
    )
    searches = searches_seen(read_study(folder).projects)
    record = CheckRecord("2026-11-24T12:00:00+00:00", searches, verdicts)
    write_json(folder / "checks.json", {"format": 1, **dataclasses.asdict(record)})


def study_record(**changes: Any) -> dict[str, Any]:
    record = {
        "format": 1,
        "manifest": "../radiographs/manifest.csv",
        "protocol": Protocol.study(num_folds=3, epochs=5, trials=12).to_json(),
        "radiographs": 120,
        "patients": 60,
        "radiographs_sha256": SHA,
        "images_sha256": SHA,
        "development_sha256": SHA,
        "weights": {"asked": "imagenet", "file": None, "sha256": SHA},
        "versions": VERSIONS,
    }
    return record | changes


def write_study(folder: Path) -> Path:
    """A finished study with everything that a report can tell of."""
    shutil.copytree(_written_once(), folder, dirs_exist_ok=True)
    return folder


@functools.cache
def _written_once() -> Path:
    """The finished study that all are copies of; `conftest` lets it be removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="written-study-"))
    _write_finished(folder)
    return folder


def remove_written_study() -> None:
    """Remove what `write_study` copies, if it was ever asked for."""
    if _written_once.cache_info().currsize:
        shutil.rmtree(_written_once())
        _written_once.cache_clear()


def _write_finished(folder: Path) -> None:
    write_json(folder / "study.json", study_record())
    write_split(folder / "split.json")
    write_baselines(folder / "baselines", ("lenet1998", "inceptionv3_imagenet"))
    write_regime_1(folder / "regime_1")
    write_regime_2(folder / "regime_2")
    for seed, regime in enumerate(("regime_1", "regime_2"), start=2):
        write_out_of_fold(folder / regime, seed=seed)
    write_nested(folder / "nested")
    write_noise(folder / "noise")
    write_project(folder / "final" / "cross_validation", [{"batch_size": 16}], num_folds=4)
    write_out_of_fold(folder / "final" / "cross_validation")
    predictions = make_predictions()
    write_json(folder / "final" / "holdout.json", holdout_record_of(predictions))
    predictions.to_csv(folder / "final" / "predictions.csv", index=False)
    write_passed_checks(folder)


def write_unrendered_report(study: Path, *, rendered: Collection[str] = ()) -> Path:
    """The report with all its files, for tests of tables, captions and text.

    Its figures are drawn, but rendering them takes most of a report's time: their pictures are
    empty but for those that are named.
    """

    def save(figure: Figure, path: str | Path, data: pd.DataFrame) -> list[Path]:
        if Path(path).name in rendered:
            return save_figure(figure, path, data)
        files = [Path(f"{path}.{suffix}") for suffix in ("png", "svg", "csv")]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        files[0].write_bytes(b"")
        files[1].write_text('<?xml version="1.0"?>\n<svg></svg>\n')
        write_table(data, files[2])
        return files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "save_figure", save)
        return write_report(study)
