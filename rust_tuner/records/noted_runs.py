"""The processes that steps note in a study's folders: who works there, and how the last one ended.

The note of one folder belongs to `last_run`; sentences about it belong to their readers.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from rust_tuner.last_run import LastRun, read_last_run
from rust_tuner.records.baselines import BASELINES_FOLDER
from rust_tuner.records.checks import CHECKS
from rust_tuner.records.looks import FINAL
from rust_tuner.records.nested import NESTED
from rust_tuner.records.noise import NOISE
from rust_tuner.records.project import REGIME_1, REGIME_2

_PARTS = (REGIME_1, REGIME_2, NESTED, NOISE, CHECKS, f"{FINAL}/cross_validation")


def noted_runs(folder: Path) -> list[tuple[LastRun, Path]]:
    """The last process of each folder of a study or search, with the folder; the study's first."""
    return [(run, path) for path in _folders(folder) if (run := read_last_run(path)) is not None]


def last_of(runs: Sequence[LastRun]) -> LastRun:
    """The process that ended last, by its outermost step; a killed one as its killed step says."""
    # Of a step and the search inside it, the step comes first here and ends last.
    last = max(runs, key=lambda run: run.ended or run.since)
    same = [run for run in runs if (run.host, run.process) == (last.host, last.process)]
    return next((run for run in same if run.state == "killed"), last)


def _folders(folder: Path) -> Iterator[Path]:
    """The folders that steps note their work in, the study itself first."""
    yield folder
    for name in _PARTS:
        yield folder / name
    with contextlib.suppress(OSError):
        yield from sorted((folder / BASELINES_FOLDER).iterdir())
