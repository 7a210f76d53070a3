"""Study folders written by hand, so that the report's tests need no TensorFlow.

Every figure is a formula of trial, fold and epoch, so that a test can compute it by itself.
"""

import contextlib
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from report_predictions import holdout_record_of, make_predictions, write_out_of_fold
from report_repeats import write_nested, write_noise
from report_searches import (
    SHA,
    VERSIONS,
    write_baselines,
    write_json,
    write_project,
    write_regime_1,
    write_regime_2,
)

from rust_tuner import Protocol
from rust_tuner.analysis.tables import write_table
from rust_tuner.figures.style import save_figure
from rust_tuner.files import sha256_of_json
from rust_tuner.records.checks import CheckRecord, Verdict, searches_seen
from rust_tuner.records.folder import read_study
from rust_tuner.report import page
from rust_tuner.report.html import write_report


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
    """The report with all its files, for tests of tables, captions and text."""
    with unrendered(but=rendered):
        return write_report(study)


@contextlib.contextmanager
def unrendered(*, but: Collection[str] = ()) -> Iterator[None]:
    """Reports of the block draw their figures, but rendering them takes most of a report's time.

    So their pictures are empty but for those that are named.
    """

    def save(figure: Figure, path: str | Path, data: pd.DataFrame) -> list[Path]:
        if Path(path).name in but:
            return save_figure(figure, path, data)
        files = [Path(f"{path}.{suffix}") for suffix in ("png", "svg", "csv")]
        files[0].parent.mkdir(parents=True, exist_ok=True)
        files[0].write_bytes(b"")
        files[1].write_text('<?xml version="1.0"?>\n<svg></svg>\n')
        write_table(data, files[2])
        return files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "save_figure", save)
        yield
