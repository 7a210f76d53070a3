"""Predictions written by hand: those of the hold-out set with its record, and those out of fold."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from report_searches import SHA, write_json

from rust_tuner.analysis.assessment import as_predictions, figures_table, label_figures
from rust_tuner.analysis.study_figures import find_figure
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES, LABELS, SCORES
from rust_tuner.records.folds import FoldStore
from rust_tuner.records.rows import rows_sha256, write_rows


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


def make_out_of_fold(rows: int = 120, outer_folds: int = 3, seed: int = 1) -> pd.DataFrame:
    """Out-of-fold predictions, each patient in one outer fold."""
    table = make_predictions(rows, seed)
    owner = table["patient_id"].astype(int) % outer_folds
    return table.assign(outer_fold=owner)
