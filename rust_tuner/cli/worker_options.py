"""`--workers`, and the options of its engines."""

import dataclasses
from collections.abc import Sequence

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.slurm_options import options_of_texts
from rust_tuner.search.executors.workers import Workers


def asked_workers(workers: str | None, slurm: Sequence[str]) -> Workers:
    """What the user asked for.

    Args:
        workers: the value of `--workers`.
        slurm: the values of `--slurm`, each `key=value`.

    Raises:
        SearchError: for a value that is not understood, or `--slurm` with another engine.
    """
    asked = Workers.of(workers)
    if not slurm:
        return asked
    if asked.engine != "slurm":
        raise SearchError("--slurm without --workers slurm:N; give both, such as slurm:8")
    return dataclasses.replace(asked, options={**asked.options, **options_of_texts(slurm)})
