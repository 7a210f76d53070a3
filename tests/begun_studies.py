"""A study whose first search has begun, for tests of what shows it while it runs."""

from pathlib import Path

from report_searches import write_json, write_regime_1, write_trial
from report_studies import study_record


def write_begun_study(folder: Path, *, count: int = 3) -> Path:
    """Write a study with the first trials of a Regime I of eight; returns its folder."""
    write_json(folder / "study.json", study_record())
    write_regime_1(folder / "regime_1", count=count, num_trials=8)
    return folder


def end_trial(study: Path, number: int) -> None:
    """Write one more trial that has ended."""
    values = {"batch_size": 16, "dropout_rate": 0.0}
    metrics = ("auroc", "cortex_auroc", "loss")
    write_trial(study / "regime_1", number, values, num_folds=3, epochs=5, metrics=metrics)
