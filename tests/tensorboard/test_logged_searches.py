"""A search that writes logs computes the same as without, and has all of them also after kills."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pytest
from search_problems import arrays, make_tuner, run_search
from tensorboard.plugins.hparams import metadata
from tensorboard_logs import files_of, hparams

from rust_tuner.progress import Silent
from rust_tuner.search.tuner import CrossValidationTuner
from rust_tuner.tensorboard import logs as tensorboard
from rust_tuner.tensorboard.logs import LOGS, TensorBoardLogs, write_logs


class Killed(BaseException):
    """Stands for kill -9."""


def outcome(tuner: CrossValidationTuner) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuner.results().drop(columns="seconds"), tuner.history()


@pytest.mark.slow
def test_a_search_with_logs_computes_what_it_does_without(tmp_path: Path) -> None:
    plain = run_search(tmp_path / "plain", "random")
    logging = run_search(tmp_path / "logs", "random", progress=TensorBoardLogs(tmp_path / "logs"))
    for one, other in zip(outcome(plain), outcome(logging), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    # As those that are written from its records afterwards.
    kept = set(files_of(tmp_path / "logs" / LOGS))
    shutil.rmtree(tmp_path / "logs" / LOGS)
    write_logs(tmp_path / "logs" / "search")
    assert set(files_of(tmp_path / "logs" / LOGS)) == kept
    assert len(kept) == 1 + 2 * (2 + 2)


@pytest.mark.slow
def test_logs_grow_with_every_record(tmp_path: Path) -> None:
    seen = []

    class Watching(Silent):
        def recorded(self, project: Path, trial: str | None = None) -> None:
            logs = tmp_path / LOGS / project.name
            folds = {str(path.parent.relative_to(logs)) for path in logs.glob("*/fold_*/*")}
            ended = {
                path.name
                for path in logs.glob("*/")
                if metadata.SESSION_END_INFO_TAG in hparams(path)
            }
            seen.append((trial, len(folds), len(ended)))

    run_search(tmp_path, "grid", progress=TensorBoardLogs(tmp_path, Watching()))
    # The search, then the start, each fold and the end of each trial.
    assert seen == [
        (None, 0, 0),
        *(("0000", folds, 0) for folds in (0, 1, 2)),
        ("0000", 2, 1),
        *(("0001", folds, 1) for folds in (2, 3, 4)),
        ("0001", 4, 2),
    ]


def kill_while_logging(folder: Path, strike: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that dies inside the event file of this number, half of it written."""
    written: list[Path]
    atomic_write, written = tensorboard.atomic_write, []  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def dying(path: Path) -> Iterator[IO[bytes]]:
        if len(written) == strike:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(".1-ab.part").write_bytes(b"half")
            raise Killed
        written.append(path)
        with atomic_write(path) as stream:
            yield stream

    with monkeypatch.context() as patch:
        patch.setattr(tensorboard, "atomic_write", dying)
        with pytest.raises(Killed):
            run_search(folder, "grid", max_trials=1, progress=TensorBoardLogs(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "strikes", [(4,), pytest.param((0, 1, 2, 3), marks=pytest.mark.slow)], ids=["last", "others"]
)
def test_a_search_killed_while_it_writes_logs_ends_with_all_of_them_once(
    strikes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(tmp_path / "whole", "grid", max_trials=1).history()
    for strike in strikes:
        folder = tmp_path / str(strike)
        kill_while_logging(folder, strike, monkeypatch)
        tuner = run_search(folder, "grid", max_trials=1, progress=TensorBoardLogs(folder))
        pd.testing.assert_frame_equal(tuner.history(), whole, check_exact=True)
        kept = sorted(name.rpartition(".")[0] for name in files_of(folder / LOGS))
        assert kept == [
            f"search/{name}events.out.tfevents.{order}"
            for name, order in (
                ("", 0),
                ("trial_0000/", 0),
                ("trial_0000/", 1),
                ("trial_0000/fold_0/", 0),
                ("trial_0000/fold_1/", 0),
            )
        ]


@pytest.mark.slow
def test_a_search_that_is_finished_gets_the_logs_that_it_lacks(tmp_path: Path) -> None:
    run_search(tmp_path, "grid", max_trials=1)
    assert not (tmp_path / LOGS).exists()
    tuner = make_tuner(tmp_path, "grid", max_trials=1, progress=TensorBoardLogs(tmp_path))
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=2, batch_size=16)
    assert len(files_of(tmp_path / LOGS)) == 1 + 2 + 2
