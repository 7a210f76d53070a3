"""What stopping hopeless trials saves and costs, replayed on searches that stopped none.

    python experiments/hopeless_trials.py STUDY/regime_1 [MORE ...] [--orders 300]
    python experiments/hopeless_trials.py --simulate [--orders 120]

The trials of a finished search are put into many random orders. In each, the rule of
`stop_hopeless=` decides from the recorded curves which trials it would have stopped. The table
says which part of the epochs is left out, how often the best trial is stopped, how often the best
of those that are left is tied with it, and how much lower its score is. Run the searches with
`--no-stop-hopeless`. Takes seconds.

`--simulate` does the same on searches of 30 trials that are drawn: the curve of a fold is its
trial's quality, an effect of trial and fold, noise, and a rise whose time constant differs between
trials. Where `slow is good`, the trials that rise late are the better ones in the end, which is the
worst case for a rule of this kind. Where curves fall, the trials overfit from an early epoch on,
each to another degree, and the search is scored at the best epoch or at the last one. Takes three
minutes.
"""

import argparse
import itertools
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
            rival = Rival(
                trials[best].trial,
                best_curves,
                sizes,
                project.run.objective.direction,
                score=float(trials[best].score or 0),
                score_epoch=project.run.score_epoch or "best_mean",
            )
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


def simulate(
    num_folds: int,
    *,
    quality: float,
    slow_is_good: float,
    falls: float,
    score_epoch: str,
    searches: int,
) -> dict[str, object]:
    """One row: searches of 30 trials and 20 epochs with one rule, in the order in which they are.

    Args:
        num_folds: of each trial.
        quality: standard deviation of the trials' quality; that of a fold's effect is 1.
        slow_is_good: how much better the slowest trial is than the fastest one.
        falls: how much the trial that overfits most has lost at the last epoch.
        score_epoch: `best_mean` or `last`.
        searches: how many are drawn.
    """
    rng = np.random.default_rng(0)
    trials, epochs, depth = 30, 20, 4.0
    sizes = (100 * (num_folds - 1) / num_folds, 100 / num_folds)
    left_out, lost, losses = 0, 0, []
    for _ in range(searches):
        slowness = rng.uniform(size=(trials, 1, 1))
        level = quality * rng.normal(size=(trials, 1, 1)) + slow_is_good * slowness
        folds = rng.normal(size=(trials, num_folds, 1))
        noise = 0.5 * rng.normal(size=(trials, num_folds, epochs))
        overfitting = falls * rng.uniform(size=(trials, 1, 1)) * np.linspace(0, 1, epochs)
        rise = depth * np.exp(-np.arange(epochs) / 20**slowness)
        curves = level + folds + noise - rise - overfitting
        means = curves.mean(axis=1)
        scores = means[:, -1] if score_epoch == "last" else means.max(axis=1)
        best = 0
        for trial in range(1, trials):
            rival = Rival(str(best), curves[best].tolist(), sizes, "max", scores[best], score_epoch)
            verdict = hopeless(StopRule(), rival, curves[trial].tolist(), epochs)
            if verdict is not None:
                left_out += epochs - verdict.epoch - 2
            elif scores[trial] > scores[best]:
                best = trial
        lost += scores[best] < scores.max()
        losses.append((scores.max() - scores[best]) / scores.std())
    return {
        "folds": num_folds,
        "quality": quality,
        "slow is good": slow_is_good,
        "falls": falls,
        "score": score_epoch,
        "left out": f"{left_out / (searches * trials * epochs):.0%}",
        "best stopped": f"{lost / searches:.1%}",
        "largest loss (SD of the scores)": f"{max(losses):.2f}",
    }


def main() -> None:
    """Print the table of all searches."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="search folders")
    parser.add_argument("--simulate", action="store_true", help="draw searches instead")
    parser.add_argument("--orders", type=int, default=300, help="random orders of each search")
    arguments = parser.parse_args()
    if arguments.simulate:
        grid = itertools.product(
            (2, 3, 6, 10), (0.0, 1.0, 3.0), (0.0, 2.0, 4.0), (0.0, 4.0), ("best_mean", "last")
        )
        rows = [
            simulate(
                folds,
                quality=quality,
                slow_is_good=slow,
                falls=falls,
                score_epoch=score_epoch,
                searches=arguments.orders,
            )
            for folds, quality, slow, falls, score_epoch in grid
        ]
        print(pd.DataFrame(rows).to_string(index=False))
        return
    tables = [study(folder, arguments.orders) for folder in arguments.folders]
    print(pd.concat(tables).to_string(index=False))


if __name__ == "__main__":
    main()
