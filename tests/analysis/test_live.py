"""How far a study is: from its searches' records, cheaply, and without writing."""

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from begun_studies import end_trial, write_begun_study
from narrowing import not_none
from report_searches import write_json, write_regime_2

from rust_tuner.analysis.live import fingerprint, live_view
from rust_tuner.figures.live import curves_svg, scores_svg
from rust_tuner.files import read_json
from rust_tuner.records.running import unfinished_curves


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_begun_study(tmp_path)


def stop_in_the_middle(folder: Path, *, finished: int) -> None:
    """Make a trial one that is running, with some folds finished."""
    path = folder / "trial.json"
    state: dict[str, Any] = {
        "status": "RUNNING",
        "score": None,
        "best_step": None,
        "metrics": {"metrics": {}},
    }
    write_json(path, read_json(path) | state)
    for fold in range(finished, 3):
        (folder / f"fold_{fold}.json").unlink()


def test_time_left_counts_folds_that_are_not_finished(study: Path) -> None:
    (step,) = live_view(study).steps
    assert (step.ended, step.total) == (3, 8)
    # A fold takes 1.5 s.
    assert step.seconds_left == pytest.approx(5 * 3 * 1.5)
    stop_in_the_middle(study / "regime_1" / "trial_0002", finished=2)
    (step,) = live_view(study).steps
    assert (step.ended, step.seconds_left) == (2, pytest.approx((6 * 3 - 2) * 1.5))  # type: ignore[comparison-overlap]


def test_a_finished_search_has_no_time_left(tmp_path: Path) -> None:
    write_regime_2(tmp_path / "regime_2")
    (step,) = live_view(tmp_path).steps
    assert step.is_finished
    assert step.seconds_left is None


def test_the_best_so_far_is_that_of_the_visible_cortices(study: Path) -> None:
    view = live_view(study)
    assert view.best_score.startswith("AUROC, visible cortices 0.604 (")
    assert view.best_trial == "0000"
    assert view.scores == pytest.approx((0.604, 0.594, 0.584))
    assert view.view_only == 0.5


def test_curves_are_those_of_the_running_trial(study: Path) -> None:
    stop_in_the_middle(study / "regime_1" / "trial_0002", finished=1)
    curves = live_view(study).curves
    assert not_none(curves).title == "Trial 0002 (unfinished): 1 of 3 folds"
    assert [fold.fold for fold in not_none(curves).folds] == [1]
    # A long fold leaves its curves while it is trained.
    past = {"validation": [{"cortex_auroc": 0.5}, {"cortex_auroc": 0.6}], "training": []}
    np.savez(
        study / "regime_1" / "trial_0002" / "fold_1.epoch.npz",
        past=np.frombuffer(json.dumps(past).encode(), np.uint8),
    )
    second = not_none(live_view(study).curves).folds[1]
    assert (second.fold, second.values) == (2, (0.5, 0.6))


def test_a_trial_without_any_fold_yet_leaves_the_curves_of_the_one_before(study: Path) -> None:
    stop_in_the_middle(study / "regime_1" / "trial_0002", finished=0)
    assert not_none(live_view(study).curves).title == "Trial 0001 (completed): 3 of 3 folds"


def compressed_and_damaged() -> bytes:
    """An archive of another program, with a fault in what is compressed."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, past=np.zeros(10_000, np.uint8))
    content = bytearray(buffer.getvalue())
    content[60:70] = b"\xff" * 10
    return bytes(content)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", compressed_and_damaged()])
def test_damaged_states_of_a_fold_have_no_curves(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fold_0.epoch.npz"
    assert unfinished_curves(path) == {}
    path.write_bytes(content)
    assert unfinished_curves(path) == {}


def test_a_pickle_in_a_state_is_not_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, past=np.array([{"validation": []}], dtype=object))
    path = tmp_path / "fold_0.epoch.npz"
    path.write_bytes(buffer.getvalue())
    assert unfinished_curves(path) == {}


def test_the_fingerprint_changes_with_each_trial_and_fold_and_not_else(study: Path) -> None:
    first = fingerprint(study)
    assert fingerprint(study) == first
    end_trial(study, 3)
    second = fingerprint(study)
    (study / "regime_1" / "trial_0003" / "fold_2.json").unlink()
    assert len({first, second, fingerprint(study)}) == 3


@pytest.mark.parametrize("field", ["st_mtime_ns", "st_ctime_ns", "st_size", "st_ino"])
def test_the_fingerprint_changes_with_each_sign_of_another_file(
    study: Path, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, first, stat = (
        study / "regime_1" / "trial_0001" / "trial.json",
        fingerprint(study),
        os.stat,
    )

    def other(path: Path, **options: Any) -> Any:
        found = stat(path, **options)
        if path != record:
            return found
        names = ("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino", "st_mode")
        return SimpleNamespace(**{n: getattr(found, n) + (n == field) for n in names})

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", other)
        changed = fingerprint(study)
    assert changed != first
    assert fingerprint(study) == first


def test_plots_are_whole_svgs_of_numbers_alone(study: Path) -> None:
    view = live_view(study)
    for svg in (
        curves_svg(not_none(view.curves)),
        scores_svg(view.scores, total=8, view_only=0.5),
        scores_svg((0.5,), total=1, view_only=None),
    ):
        assert svg.startswith("<svg ")
        assert svg.endswith("</svg>")
        assert "nan" not in svg
