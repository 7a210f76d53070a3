"""Tables of a search's trials: one with a row per trial, one with a row per value of a metric.

The column of each hyperparameter has its name, prefixed with `hp_` if the name is taken.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from rust_tuner.records.project import Project

SPLITS = ("training", "validation")

# The other columns in tables of trials, folds or curves.
_COLUMNS = {
    "trial",
    "status",
    "score",
    "score_std",
    "score_low",
    "score_high",
    "tied_with_best",
    "p_against_best",
    "epoch",
    "folds_trained",
    "steps_per_epoch",
    "one_step",
    "seconds",
    "message",
    "rank",
    "best_so_far",
    "fold",
    "split",
    "metric",
    "value",
    "model",
}
_OF_METRICS = ("val_", "view_only_")


def results_table(project: Project) -> pd.DataFrame:
    """One row per trial, in the order of their ids; the columns that matter most are the first.

    Columns: `rank` (1 is the best completed trial, the first of equals; empty for others), `trial`,
    `score` (the objective at the chosen epoch, averaged over folds), `score_std` (standard
    deviation over folds), `tied_with_best` (whether the trial is statistically tied with the best
    one, at 5 % for all trials together; empty if that is not known), a column for each
    hyperparameter, those that the search varies first (with `hp_` before its name where another
    column has that name, see `hyperparameter_columns`), `epoch` (from 0), `status`, `score_low` and
    `score_high` (the 95 % interval of the score over folds, `TrialRecord.interval`),
    `p_against_best` (of the corrected resampled t-test against the best one, not corrected for
    multiple trials), each validation metric and its `_std`, the view-only baseline of each where it
    is known (`view_only_...`), `folds_trained` (`together`, or `one after another` and why; empty
    where that is not known), `steps_per_epoch` (of the longest fold), `one_step` (whether a batch
    held all rows that a fold trains on, so that an epoch was one step), `seconds`, `message`.
    """
    baseline = project.run.view_only_baseline or {}
    rows = []
    compared = project.ties
    columns_of = hyperparameter_columns(project)
    for trial in project.trials:
        tie = compared.get(trial.trial)
        interval = trial.interval(project.objective.removeprefix("val_"))
        row: dict[str, object] = {
            "trial": trial.trial,
            "score": trial.score,
            "score_std": trial.spread(project.objective.removeprefix("val_")),
            "tied_with_best": None if tie is None else tie.tied,
            "epoch": trial.epoch,
            "status": trial.status,
            "score_low": interval.low,
            "score_high": interval.high,
            "p_against_best": None if tie is None else tie.p_value,
        }
        row |= {columns_of[name]: value for name, value in trial.values.items()}
        for name, value in trial.metrics.items():
            row |= {name: value, f"{name}_std": trial.spread(name.removeprefix("val_"))}
        row |= {f"view_only_{name.removeprefix('val_')}": v for name, v in baseline.items()}
        row["folds_trained"] = trial.folds[0].folds_trained if trial.folds else None
        row["steps_per_epoch"] = trial.steps_per_epoch
        row["one_step"] = trial.one_step
        row["seconds"] = sum(fold.seconds for fold in trial.folds)
        row["message"] = trial.message
        rows.append(row)
    names = ["trial", "score", "score_std", "tied_with_best", "epoch", "status"]
    columns = [*names, "score_low", "score_high", "p_against_best"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    types = {"tied_with_best": "boolean", "p_against_best": "float64", "one_step": "boolean"}
    table = table.astype({name: kind for name, kind in types.items() if name in table})
    lower_is_better = project.run.lower_is_better
    score = table["score"].astype("float64")
    table["rank"] = score.rank(method="first", ascending=lower_is_better).astype("Int64")
    for name, column in columns_of.items():
        if (kind := _kind_with_gaps([trial.values.get(name) for trial in project.trials])) is None:
            continue
        table = table.astype({column: kind})
    varied_first = sorted(columns_of, key=lambda name: name in fixed_values(project))
    values = [columns_of[name] for name in varied_first if columns_of[name] in table]
    first = ["rank", "trial", "score", "score_std", "tied_with_best", *values]
    rest = [name for name in table if name not in (*first, "message")]
    return table[[*first, *rest, *(["message"] if rows else [])]]


def _kind_with_gaps(values: Sequence[object]) -> str | None:
    """The type that lets whole numbers stay whole in a column where some trials have none."""
    kinds = {type(value) for value in values if value is not None}
    if None not in values or len(kinds) != 1:
        return None
    return {int: "Int64", bool: "boolean"}.get(kinds.pop())


def fixed_values(project: Project) -> dict[str, object]:
    """The hyperparameters that a search holds fixed, by name."""
    return {
        parameter.config.name: parameter.config.value
        for parameter in project.run.whole_space.values()
        if parameter.class_name == "Fixed"
    }


def hyperparameter_columns(project: Project, taken: Iterable[str] = ()) -> dict[str, str]:
    """The column of each hyperparameter of a search in tables of trials.

    It has the hyperparameter's name, prefixed with `hp_` if another column has that name: the
    values of a hyperparameter `trial` are in `hp_trial`.

    Args:
        project: the search.
        taken: further columns of the table.
    """
    names = [parameter.config.name for parameter in project.run.whole_space.values()]
    names += [name for trial in project.trials for name in trial.values]
    columns: dict[str, str] = {}
    for name in dict.fromkeys(names):
        column = name
        while (
            column in _COLUMNS
            or column in taken
            or column.startswith(_OF_METRICS)
            or (column != name and column in names)
        ):
            column = f"hp_{column}"
        columns[name] = column
    return columns


def history_table(project: Project) -> pd.DataFrame:
    """Every value of every metric: `trial, fold, epoch, split, metric, value`.

    `split` is `training` or `validation`, `metric` has no `val_`, folds and epochs count from 0.
    """
    rows = [
        (trial.trial, fold.fold, epoch, split, metric, value)
        for trial in project.trials
        for fold in trial.folds
        for split, curves in zip(SPLITS, (fold.training, fold.validation), strict=True)
        for metric, curve in curves.items()
        for epoch, value in enumerate(curve)
    ]
    return pd.DataFrame(rows, columns=["trial", "fold", "epoch", "split", "metric", "value"])
