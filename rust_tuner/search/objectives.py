"""What a search optimises: a metric of the model, a score of its predictions, or several of these.

A score is a function of targets and predictions, computed on the validation rows of each fold and
epoch like any other metric, and averaged over the folds.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
import numpy.typing as npt

from rust_tuner.errors import SearchError
from rust_tuner.metrics.ranges import metric_range
from rust_tuner.models.code_identity import own_code
from rust_tuner.models.fold_batches import IntArray, Metrics
from rust_tuner.models.runtime import start_backend
from rust_tuner.records.run import MULTI_OBJECTIVE
from rust_tuner.search.scikit_scores import is_scorer, scorer_function, scorer_names
from rust_tuner.search.subjects import Subject

ScoreFunction = Callable[[Any, Any], float]

_OURS = ("auroc", "exact_auroc", "cortex_auroc", "exact_cortex_auroc")
_DIRECTIONS = ("max", "min")
# Elements of a vector metric, and the numbers that Keras gives to unnamed metrics.
_SUFFIX = re.compile(r"(\[[\d,]+\]|_\d+)$")


class OutOfFoldScore(keras_tuner.Objective):  # type: ignore[misc]
    """A score of the predictions for the validation rows, as the objective of a search.

    Its name in results and histories is `val_` and the name of the score. A search is resumed only
    with the same name and the same code.

    Examples:
        >>> from rust_tuner import OutOfFoldScore
        >>> OutOfFoldScore("neg_mean_absolute_error").name
        'val_neg_mean_absolute_error'
        >>> def worst_error(y_true, y_score):
        ...     return abs(y_true - y_score).max()
        >>> objective = OutOfFoldScore(worst_error, direction="min")
        >>> objective.name, objective.direction
        ('val_worst_error', 'min')
    """

    def __init__(
        self, score: str | ScoreFunction, *, name: str | None = None, direction: str = "max"
    ) -> None:
        """Choose a score.

        Args:
            score: the name of a scikit-learn scorer, such as `roc_auc_ovr`; what scikit-learn's
                `make_scorer` returns; or a function `(y_true, y_score) -> float` of the targets
                and the model's output for the same rows, columns of one value as (n,).
            name: of the score; that of the scorer or function where None.
            direction: `max` or `min`, what is best. A scikit-learn scorer is always maximised.

        Raises:
            SearchError: for a scorer that scikit-learn does not have, a function without a name, or
                another direction.
        """
        if direction not in _DIRECTIONS:
            raise SearchError(f"direction={direction!r}; expected max or min")
        if isinstance(score, str) and score not in scorer_names():
            raise SearchError(
                f"scikit-learn has no scorer {score!r}; "
                "sklearn.metrics.get_scorer_names() lists them"
            )
        if not isinstance(score, str) and not callable(score):
            raise SearchError(
                f"score={score!r}; expected the name of a scikit-learn scorer or a function "
                "(y_true, y_score) -> float"
            )
        is_of_sklearn = isinstance(score, str) or is_scorer(score)
        if is_of_sklearn and direction == "min":
            raise SearchError(
                f"score={score!r}: scikit-learn's scorers are maximised, losses among them as "
                "negative numbers, such as neg_mean_squared_error; leave direction out"
            )
        named = name or (score if isinstance(score, str) else getattr(score, "__name__", ""))
        if not named or not re.fullmatch(r"[A-Za-z_][\w-]*", named):
            raise SearchError(
                f"a score of the name {named!r}; give it a name of letters, digits and "
                "underscores: OutOfFoldScore(function, name=...)"
            )
        super().__init__(f"val_{named}", direction)
        self._score = score
        self._function: ScoreFunction
        self._function = (
            scorer_function(score) if is_of_sklearn or isinstance(score, str) else score
        )

    @property
    def metric(self) -> str:
        """The name without `val_`."""
        return str(self.name).removeprefix("val_")

    def identity(self) -> dict[str, Any]:
        """What the run manifest records: the scorer's name, or hashes of the function's code."""
        if isinstance(self._score, str):
            return {"scorer": self._score}
        function = getattr(self._score, "_score_func", self._score)
        return {"code": own_code(function), "function": _qualified(function)}

    def value(self, y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> float:
        """The score of predictions (n, ...) for targets (n, ...)."""
        return float(self._function(_squeezed(y_true), _squeezed(y_score)))


class RankedObjectives(keras_tuner.Objective):  # type: ignore[misc]
    """Several objectives: trials are ranked by each, and compared by the mean of their ranks.

    Attributes:
        objectives: them.
    """

    def __init__(self, objectives: Sequence[keras_tuner.Objective]) -> None:
        """Rank trials by these objectives."""
        super().__init__(MULTI_OBJECTIVE, "min")
        self.objectives = tuple(objectives)

    def value_of(self, metrics: Mapping[str, float]) -> float:
        """What KerasTuner's own tools compare: the sum, with the signs that make low best."""
        signs = {"min": 1, "max": -1}
        return sum(signs[part.direction] * metrics[part.name] for part in self.objectives)


def as_objective(objective: Any) -> keras_tuner.Objective:
    """What an oracle was given as its objective.

    Args:
        objective: `val_` and a metric of the model or `auroc`; an `Objective`; the name of a
            scikit-learn scorer; a function `(y_true, y_score) -> float`, which is maximised; or a
            list of these.

    Raises:
        SearchError: where its direction is not known, or it is none of these.
    """
    if isinstance(objective, list | tuple):
        parts = [as_objective(part) for part in objective]
        if len({part.name for part in parts}) < len(parts) or not parts:
            names = ", ".join(str(part.name) for part in parts) or "none"
            raise SearchError(f"objectives {names}; give different ones, at least one")
        return parts[0] if len(parts) == 1 else RankedObjectives(parts)
    if type(objective).__name__ == "MultiObjective":
        # What KerasTuner makes of a list.
        return as_objective(list(objective.objectives))
    if isinstance(objective, keras_tuner.Objective):
        return objective
    if not isinstance(objective, str):
        if callable(objective):
            return OutOfFoldScore(objective)
        raise SearchError(
            f"objective={objective!r}; expected a metric such as val_accuracy, a "
            "keras_tuner.Objective, a scikit-learn scorer or a function (y_true, y_score) -> float"
        )
    if objective.startswith("val_"):
        return keras_tuner.Objective(objective, _direction_of(objective))
    if objective in scorer_names():
        return OutOfFoldScore(objective)
    raise SearchError(
        f"objective {objective!r}; expected a validation metric, such as val_auroc or val_loss, or "
        "the name of a scikit-learn scorer, such as roc_auc_ovr"
    )


def objectives_of(objective: keras_tuner.Objective) -> list[keras_tuner.Objective]:
    """The objectives of a list, or the only one."""
    if isinstance(objective, RankedObjectives):
        return list(objective.objectives)
    return [objective]


def require_validation(objective: keras_tuner.Objective) -> None:
    """Refuse an objective that is computed on training rows.

    Raises:
        SearchError: naming it.
    """
    for part in objectives_of(objective):
        if not str(part.name).startswith("val_"):
            raise SearchError(
                f"objective {part.name!r}; expected a validation metric, such as val_auroc or "
                "val_loss"
            )


def recorded_objective(objective: keras_tuner.Objective) -> dict[str, Any]:
    """What a run manifest records of an objective."""
    recorded: dict[str, Any] = {"name": objective.name, "direction": objective.direction}
    if isinstance(objective, OutOfFoldScore):
        recorded |= objective.identity()
    if isinstance(objective, RankedObjectives):
        parts = [recorded_objective(part) for part in objective.objectives]
        recorded |= {"rule": "mean_rank", "objectives": parts}
    return recorded


def score_metrics(objective: keras_tuner.Objective) -> tuple[str, ...]:
    """The names of the scores that are computed from predictions, without `val_`."""
    parts = objectives_of(objective)
    return tuple(part.metric for part in parts if isinstance(part, OutOfFoldScore))


def with_scores(subject: Subject, objective: keras_tuner.Objective) -> Subject:
    """The subject whose metrics include the scores that a search optimises."""
    scores = [part for part in objectives_of(objective) if isinstance(part, OutOfFoldScore)]
    if not scores:
        return subject
    targets = subject.data.targets
    if not isinstance(targets, np.ndarray):
        raise SearchError(
            f"objective {scores[0].name} needs y, and one output of the model; give a metric of "
            "the model instead"
        )
    metrics = _scored(subject.data.metrics, targets, scores)
    return dataclasses.replace(subject, data=dataclasses.replace(subject.data, metrics=metrics))


def require_computable(
    subject: Subject,
    objective: keras_tuner.Objective,
    *,
    own_metrics: Sequence[str],
    output_shape: tuple[int, ...] | None,
) -> None:
    """Compute each score once in each fold, on predictions drawn at random.

    Args:
        subject: from `with_scores`.
        objective: of the search.
        own_metrics: names of the metrics that the model was compiled with.
        output_shape: of the prediction for a row; None where it is not known.

    Raises:
        SearchError: naming the fold where a score fails, or a metric of the same name.
    """
    for score in objectives_of(objective):
        if not isinstance(score, OutOfFoldScore):
            continue
        if score.metric in own_metrics:
            raise SearchError(
                f"the model has a metric of its own named {score.metric}; for that metric, give "
                f"objective='{score.name}', or give the score another name: OutOfFoldScore(..., "
                "name=...)"
            )
        for fold, (_, rows) in enumerate(subject.folds if output_shape is not None else ()):
            _try(score, subject.data.targets[rows], output_shape or (), where=f"fold {fold}")


def _try(
    score: OutOfFoldScore, targets: npt.NDArray[Any], shape: tuple[int, ...], *, where: str
) -> None:
    answers = np.random.default_rng(0).uniform(size=(len(targets), *shape))
    if shape and shape[-1] > 1:
        answers /= answers.sum(axis=-1, keepdims=True)
    try:
        value = score.value(targets, answers.astype(np.float32))
    except Exception as error:
        raise SearchError(
            f"objective {score.name} cannot be computed on the {len(targets)} validation rows of "
            f"{where}: {type(error).__name__}: {error}"
        ) from error
    if not np.isfinite(value):
        raise SearchError(
            f"objective {score.name} is {value} on the {len(targets)} validation rows of {where}, "
            "where predictions are drawn at random; give folds with all classes, such as a "
            "stratified splitter, or another objective"
        )


def _scored(
    metrics: Metrics, targets: npt.NDArray[Any], scores: Sequence[OutOfFoldScore]
) -> Metrics:
    def scored(
        answers: Sequence[npt.NDArray[Any]], rows: Sequence[IntArray], where: Sequence[str]
    ) -> list[dict[str, float]]:
        figures_of_outputs = [dict(figures) for figures in metrics(answers, rows, where)]
        for figures, answer, of_fold in zip(figures_of_outputs, answers, rows, strict=True):
            for score in scores:
                if score.metric in figures:
                    raise SearchError(
                        f"{score.metric} is computed for every search; give the score another "
                        "name: OutOfFoldScore(..., name=...)"
                    )
                figures[score.metric] = score.value(targets[of_fold], answer)
        return figures_of_outputs

    return scored


def _direction_of(name: str) -> str:
    metric = name.removeprefix("val_")
    if metric in _OURS:
        return "max"
    # KerasTuner makes the metric to see what it is, which is TensorFlow's first operation in a
    # script that makes its oracle first.
    start_backend()
    for candidate in (name, _SUFFIX.sub("", name)):
        try:
            direction = str(keras_tuner.Oracle(objective=candidate).objective.direction)
        except ValueError:
            continue
        # KerasTuner minimises whatever of Keras it does not know, such as the F1 score.
        is_best_high = (metric_range(name) or (0, 0))[1] == 1 or metric.startswith("true_")
        return "max" if is_best_high else direction
    hint = (
        f", or objective={metric!r} for scikit-learn's scorer" if metric in scorer_names() else ""
    )
    raise SearchError(
        f"{name} has no known direction; give keras_tuner.Objective({name!r}, "
        f'"max") or keras_tuner.Objective({name!r}, "min"){hint}'
    )


def _squeezed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _qualified(function: Any) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"
