"""Searches whose records follow from given predictions, so that verdicts on them can be tested."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from report_searches import VERSIONS, write_json

from rust_tuner.data.folds import make_folds
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import macro_auroc, view_only_baseline
from rust_tuner.records.folds import FoldRecord, FoldStore
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.rows import rows_sha256, rows_table, write_rows

NUM_FOLDS = 3


def phantom_rows(patients: int = 80, seed: int = 3) -> Radiographs:
    return Radiographs(phantom_table(patients=patients, seed=seed))


def skilled(
    radiographs: Radiographs, *, skill: float = 1.0, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Probabilities of a reader: of the truth as far as it has skill, else of noise."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=radiographs.labels.shape) + 3 * skill * (radiographs.labels - 0.5)
    answers: npt.NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return answers


def of_the_view(radiographs: Radiographs, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Probabilities of a reader that sees which view it is, and guesses the rest."""
    labels = radiographs.labels
    means = np.stack([labels[labels[:, view] == 1].mean(axis=0) for view in range(NUM_VIEWS)])
    shown = means[labels[:, :NUM_VIEWS].argmax(axis=1)]
    noise = np.random.default_rng(seed).normal(scale=1e-3, size=shown.shape)
    answers: npt.NDArray[np.float32] = np.clip(shown + noise, 0, 1).astype(np.float32)
    return answers


def write_judged_search(
    folder: Path, radiographs: Radiographs, probabilities: npt.NDArray[np.float32]
) -> Project:
    """A project of one trial and one epoch whose figures are those of the predictions."""
    folds = make_folds(radiographs, NUM_FOLDS, seed=0)
    rows = rows_table(radiographs, [validation for _, validation in folds])
    store = FoldStore(folder / "trial_0000", {"of": folder.name})
    labels, visible = radiographs.labels, radiographs.visible
    figures, view_only = [], []
    for fold, (training, validation) in enumerate(folds):
        truth, answers, shown = labels[validation], probabilities[validation], visible[validation]
        cortices = macro_auroc(truth[:, NUM_VIEWS:], answers[:, NUM_VIEWS:], shown)
        found = {"auroc": macro_auroc(truth, answers), "cortex_auroc": cortices}
        figures.append(found)
        known = view_only_baseline(labels[training], truth, shown)
        view_only.append((known.auroc, known.cortex_auroc))
        curves = {name: [value] for name, value in found.items()}
        store.save(FoldRecord(fold, curves, curves, validation, answers[None], 4, 1.0))
    store.close(probabilities, 0)
    store.prune()
    write_rows(folder, rows)
    means = {name: float(np.mean([fold[name] for fold in figures])) for name in figures[0]}
    observed = {
        f"val_{name}": {"direction": "max", "observations": [{"value": [value], "step": 0}]}
        for name, value in means.items()
    }
    values = {"batch_size": 16, "dropout_rate": 0.1, "learning_rate": 1e-3, "epsilon": 1e-7}
    write_json(
        folder / "trial_0000" / "trial.json",
        {
            "trial_id": "0000",
            "hyperparameters": {"space": [], "values": values},
            "metrics": {"metrics": observed},
            "score": means["auroc"],
            "best_step": 0,
            "status": "COMPLETED",
            "message": None,
        },
    )
    baseline = np.mean(view_only, axis=0)
    write_json(
        folder / "search.json",
        {
            "format": 1,
            "objective": {"name": "val_auroc", "direction": "max"},
            "space": {},
            "num_trials": 1,
            "max_trials": 1,
            "seed": 0,
            "score_epoch": "best_mean",
            "epochs": 1,
            "subject": {"rows": rows_sha256(rows), "num_folds": NUM_FOLDS},
            "view_only_baseline": {"val_auroc": baseline[0], "val_cortex_auroc": baseline[1]},
            "versions": VERSIONS,
        },
    )
    return read_project(folder)
