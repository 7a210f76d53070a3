"""The best trials of a search as text: score, spread over the folds, interval, ties and values."""

import math
from typing import Any

import pandas as pd

from rust_tuner.records.project import Project
from rust_tuner.records.trial_tables import results_table


def summary_text(project: Project, num_trials: int = 10) -> str:
    """The best trials, best first, as KerasTuner's `results_summary` lists them.

    Args:
        project: the search.
        num_trials: how many trials to list.
    """
    table = results_table(project)
    done = table[table["rank"].notna()].sort_values("rank") if len(table) else table
    tied = int(table["tied_with_best"].fillna(False).sum()) if len(table) else 0
    parts = project.run.objective.parts
    objectives = ", ".join(f"{part.name} ({part.direction})" for part in parts)
    folds = project.run.subject.num_folds
    lines = [
        f"Results in {project.folder}",
        f"Objective: {objectives}; mean ± standard deviation over {folds} folds",
        f"{len(done)} of {len(table)} trials are completed"
        + (f", {tied} tied with the best" if tied > 1 else ""),
    ]
    trials = {trial.trial: trial for trial in project.trials}
    for _, row in done.head(num_trials).iterrows():
        lines += ["", _headline(row)]
        lines += [f"  {name}: {value}" for name, value in trials[row["trial"]].values.items()]
    failed = [trial for trial in project.trials if trial.status == "FAILED"]
    if failed:
        lines += ["", f"{len(failed)} failed, the last: {failed[-1].message}"]
    return "\n".join(lines)


def _headline(row: "pd.Series[Any]") -> str:
    names = ["score", "score_std", "score_low", "score_high"]
    score, spread, low, high = row[names].astype("float64")
    parts = [f"#{row['rank']} trial {row['trial']}: {score:.4f}"]
    if not math.isnan(spread):
        parts[0] += f" ± {spread:.4f}"
    if not math.isnan(low):
        parts.append(f"95 % interval {low:.3f} to {high:.3f}")
    parts.append(f"epoch {row['epoch']:.0f}")
    if row["rank"] != 1 and row["tied_with_best"] is True:
        parts.append("tied with the best")
    return ", ".join(parts)
