"""What stopping hopeless trials saves and costs, replayed on searches that stopped none.

    python experiments/hopeless_trials.py STUDY/regime_1 [MORE ...] [--orders 300]

The trials of a finished search are put into many random orders. In each, the rule of
`stop_hopeless=` decides from the recorded curves which trials it would have stopped. The table
says which part of the epochs is left out, how often the best trial is stopped, how often the best
of those that are left is tied with it, and how much lower its score is. Run the searches with
`--no-stop-hopeless`. Takes seconds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from rust_tuner.metrics.ties import fold_sizes
from rust_tuner.records.project import Project, read_project
from rust_tuner.search.hopeless import Rival, StopRule, hopeless

RULES = {
    "one epoch": StopRule(in_a_row=1),
    "two epochs in a row": StopRule(),
    "three epochs in a row": StopRule(in_a_row=3),
    "two, from epoch 2": StopRule(first_epoch=2),
}


def replay(project: Project, rule: StopRule, order: list[int]) -> tuple[float, int]:
    """The share of the epochs that is left out, and which trial is the best of those left.

    Args:
        project: a finished search without stopped trials.
        rule: when a trial is stopped.
        order: positions of the trials that completed, in the order in which they run.
    """
    trials = [trial for trial in project.trials if trial.score is not None]
    metric = project.objective.removeprefix("val_")
    sizes = fold_sizes(project.run.subject.to_json())
    assert sizes is not None
    sign = -1 if project.run.lower_is_better else 1
    epochs, left_out, best = project.run.epochs, 0, -1
    for position in order:
        trial = trials[position]
        curves = [fold.validation[metric] for fold in trial.folds]
        verdict = None
        if best >= 0:
            best_curves = [fold.validation[metric] for fold in trials[best].folds]
            rival = Rival(trials[best].trial, best_curves, sizes, project.run.objective.direction)
            verdict = hopeless(rule, rival, curves, epochs)
        if verdict is not None:
            # Its figures are known while the next epoch is trained.
            left_out += epochs - verdict.epoch - 2
        elif best < 0 or sign * (trial.score or 0) > sign * (trials[best].score or 0):
            best = position
    return left_out / (epochs * len(order)), best


def study(folder: Path, orders: int) -> pd.DataFrame:
    """One row a rule, for the search in a folder."""
    project = read_project(folder)
    trials = [trial for trial in project.trials if trial.score is not None]
    scores = np.array([trial.score for trial in trials], dtype=np.float64)
    if project.run.lower_is_better:
        scores = -scores
    tied = project.ties
    rows = []
    for name, rule in RULES.items():
        rng = np.random.default_rng(0)
        replays = [replay(project, rule, list(rng.permutation(len(trials)))) for _ in range(orders)]
        found = np.array([best for _, best in replays])
        rows.append(
            {
                "search": f"{folder.parent.name}/{folder.name}",
                "trials": len(trials),
                "rule": name,
                "left out": f"{np.mean([share for share, _ in replays]):.0%}",
                "best stopped": f"{np.mean(scores[found] < scores.max()):.1%}",
                "tied with it": f"{np.mean([tied[trials[best].trial].tied for best in found]):.0%}",
                "largest loss": f"{(scores.max() - scores[found]).max():.4f}",
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table of all searches."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="+", type=Path, help="search folders")
    parser.add_argument("--orders", type=int, default=300, help="random orders of each search")
    arguments = parser.parse_args()
    tables = [study(folder, arguments.orders) for folder in arguments.folders]
    print(pd.concat(tables).to_string(index=False))


if __name__ == "__main__":
    main()
