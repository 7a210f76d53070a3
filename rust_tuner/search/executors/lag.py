"""How many trials an oracle that learns proposes before the first of them has a result.

It is recorded when a search is begun, and stays: the proposals of a search depend neither on how
many workers it is resumed with, nor on how long its trials take.
"""

from pathlib import Path

from rust_tuner.records.run import run_if_whole
from rust_tuner.search.learning_oracle import LearningOracle
from rust_tuner.search.oracles import ResumableOracle


def choose_lag(oracle: ResumableOracle, folder: Path, num_workers: int) -> str | None:
    """Let an oracle propose as many trials at once as there are workers, or as it began with.

    Args:
        oracle: of the search.
        folder: the project folder.
        num_workers: that train trials at once; 1 for this process.

    Returns:
        A note for the user, if there is anything to say.
    """
    if not isinstance(oracle, LearningOracle):
        return None
    begun = run_if_whole(folder)
    oracle.lag = num_workers - 1 if begun is None else begun.lag
    at_once = oracle.lag + 1
    if num_workers > at_once:
        trials = "one trial" if at_once == 1 else f"{at_once} trials"
        idle = (
            "1 worker stays idle"
            if num_workers - at_once == 1
            else (f"{num_workers - at_once} workers stay idle")
        )
        return f"note: this search was begun with {trials} at a time and keeps that, so {idle}"
    if oracle.lag == 0:
        return None
    total = oracle.num_trials()
    if total <= at_once:
        return (
            f"WARNING: all {total} trials are proposed before the first of them has a result, so "
            f"{type(oracle).__name__} learns nothing; use fewer workers in a new folder"
        )
    return (
        f"note: each trial is proposed without the results of the {oracle.lag} before it, which "
        "may still run; with fewer workers in a new folder, more is learned from each trial"
    )
