"""The trials of a search as scikit-learn's `cv_results_`: an array for each key."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.metrics.ranges import metric_range
from rust_tuner.records.project import Project
from rust_tuner.records.trials import TrialRecord

# Parts of names of metrics that say what is best, where their range does not.
_HITS = re.compile(r"true_(positives|negatives)")
_ERROR = re.compile(r"(loss|poisson|rmse|err|error|errors)(_\d+)?$|brier$|deviance|perplexity")
_SCORE = re.compile(r"score|acc|auc|auroc|precision|recall|similarity|correlation|kappa|dice|iou")


def cv_results(project: Project, *, return_train_score: bool = False) -> dict[str, Any]:
    """The results under the keys of scikit-learn's `GridSearchCV.cv_results_`.

    Args:
        project: the search.
        return_train_score: whether to add the same of the training rows.

    Returns:
        `params` (a list of dicts), `param_NAME` (masked where a trial has no such hyperparameter),
        `split0_test_METRIC` and so on for each fold, `mean_test_METRIC`, `std_test_METRIC` (divided
        by the number of folds, as scikit-learn does) and `rank_test_METRIC`, at the trial's epoch;
        the same named `score` for the objective; `mean_fit_time` and `std_fit_time` in seconds a
        fold. A metric that is no objective has a rank only if its name says what is best, such as
        `my_score` or `my_error`. NaN for trials that are not completed. Metrics keep their sign: a
        loss is best where it is lowest, and ranks say so.
    """
    trials = project.trials
    results: dict[str, Any] = _times(trials) | _parameters(trials)
    results["params"] = [dict(trial.values) for trial in trials]
    parts = {part.name.removeprefix("val_"): part.direction for part in project.run.objective.parts}
    folds = [fold for trial in trials for fold in trial.folds]
    names = dict.fromkeys(name for fold in folds for name in fold.validation)
    for metric in names:
        scores = _scores(project, metric, "validation")
        direction = parts.get(metric, best_of(metric))
        results |= _columns(scores, "test", metric)
        if direction is not None:
            results[f"rank_test_{metric}"] = _ranks(scores.mean(axis=1), lower=direction == "min")
        if return_train_score and any(metric in fold.training for fold in folds):
            results |= _columns(_scores(project, metric, "training"), "train", metric)
    if len(parts) == 1:
        (metric,) = parts
        for name in [name for name in results if name.endswith(f"_{metric}")]:
            head = name.removesuffix(metric)
            if head.removesuffix("_").endswith(("_test", "_train")):
                results[f"{head}score"] = results[name]
    else:
        means = np.array([np.nan if t.score is None else t.score for t in trials])
        results["rank_test_score"] = _ranks(means, lower=True)
    return results


def _times(trials: tuple[TrialRecord, ...]) -> dict[str, Any]:
    seconds = [[fold.seconds for fold in trial.folds] or [np.nan] for trial in trials]
    return {
        "mean_fit_time": np.array([np.mean(times) for times in seconds]),
        "std_fit_time": np.array([np.std(times) for times in seconds]),
    }


def _parameters(trials: tuple[TrialRecord, ...]) -> dict[str, Any]:
    names = dict.fromkeys(name for trial in trials for name in trial.values)
    columns: dict[str, Any] = {}
    for name in names:
        values = np.empty(len(trials), dtype=object)
        values[:] = [trial.values.get(name) for trial in trials]
        missing = [name not in trial.values for trial in trials]
        columns[f"param_{name}"] = np.ma.MaskedArray(values, mask=missing)
    return columns


def _scores(project: Project, metric: str, split: str) -> npt.NDArray[np.float64]:
    """(trials, folds) the metric at each trial's epoch."""
    scores = np.full((len(project.trials), project.run.subject.num_folds), np.nan)
    for position, trial in enumerate(project.trials):
        for fold in trial.folds if trial.epoch is not None else ():
            curve = (fold.validation if split == "validation" else fold.training).get(metric)
            if curve is not None and trial.epoch is not None:
                scores[position, fold.fold] = curve[trial.epoch]
    return scores


def _columns(scores: npt.NDArray[np.float64], side: str, metric: str) -> dict[str, Any]:
    columns = {f"split{fold}_{side}_{metric}": scores[:, fold] for fold in range(scores.shape[1])}
    columns[f"mean_{side}_{metric}"] = scores.mean(axis=1)
    columns[f"std_{side}_{metric}"] = scores.std(axis=1)
    return columns


def _ranks(means: npt.NDArray[np.float64], *, lower: bool) -> npt.NDArray[np.int32]:
    """1 is the best, equals share the lowest rank, and what has no score comes last."""
    ranked = pd.Series(means).rank(method="min", ascending=lower, na_option="bottom")
    return ranked.to_numpy().astype(np.int32)


def best_of(metric: str) -> str | None:
    """What is best of a metric that is not an objective; None where its name does not say.

    Examples:
        >>> best_of("auroc"), best_of("poisson"), best_of("mine")
        ('max', 'min', None)
    """
    bounds = metric_range(metric)
    if _HITS.search(metric) or (bounds is not None and bounds[1] <= 0):
        return "max"
    if _ERROR.search(metric) or (bounds is not None and bounds[1] > 1):
        return "min"
    return None if bounds is None and _SCORE.search(metric) is None else "max"
