"""What a search optimises: named, with a known direction, and computed as the score says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
import sklearn.metrics
from search_problems import TinyHyperModel, arrays

from rust_tuner import (
    BayesianOptimizationOracle,
    CrossValidationTuner,
    GridSearchOracle,
    OptunaOracle,
    OutOfFoldScore,
    SuccessiveHalvingOracle,
)
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.records.trial_tables import results_table
from rust_tuner.search.objectives import as_objective
from rust_tuner.search.scikit_scores import scorer_function

RNG = np.random.default_rng(0)


def largest_error(y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> float:
    return float(np.abs(y_true - y_score).max())


@pytest.mark.parametrize(
    ("objective", "name", "direction"),
    [
        ("val_accuracy", "val_accuracy", "max"),
        ("val_loss", "val_loss", "min"),
        ("val_auroc", "val_auroc", "max"),
        ("val_auc_1", "val_auc_1", "max"),
        ("val_f1_score[2]", "val_f1_score[2]", "max"),
        ("val_mean_absolute_error", "val_mean_absolute_error", "min"),
        ("roc_auc_ovr", "val_roc_auc_ovr", "max"),
        ("neg_mean_absolute_error", "val_neg_mean_absolute_error", "max"),
        (largest_error, "val_largest_error", "max"),
        (keras_tuner.Objective("val_mine", "min"), "val_mine", "min"),
        (["val_accuracy"], "val_accuracy", "max"),
        (["val_accuracy", "val_loss"], "multi_objective", "min"),
    ],
)
def test_an_objective_has_a_name_and_a_direction(
    objective: str | list[str], name: str, direction: str
) -> None:
    made = as_objective(objective)
    assert (made.name, made.direction) == (name, direction)
    assert GridSearchOracle(objective).objective.name == name


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("val_mine", r"val_mine has no known direction; give keras_tuner.Objective\("),
        ("val_roc_auc_ovr", "or objective='roc_auc_ovr' for scikit-learn's scorer"),
        ("mine", "objective 'mine'; expected a validation metric, such as val_auroc"),
        (7, "objective=7; expected a metric"),
        (None, "objective=None"),
        ([], "objectives none"),
        (["val_loss", "val_loss"], "val_loss, val_loss; give different ones"),
        (lambda y, p: 0.0, "score of the name '<lambda>'; give it a name"),
    ],
)
def test_an_objective_that_cannot_be_understood_is_refused(
    objective: str | int | list[str] | None, message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        as_objective(objective)


@pytest.mark.parametrize(
    ("name", "y_true", "y_score", "expected"),
    [
        ("roc_auc", "binary", "binary", lambda y, p: sklearn.metrics.roc_auc_score(y, p)),
        ("roc_auc", "binary", "logit", lambda y, p: sklearn.metrics.roc_auc_score(y, p)),
        ("f1", "binary", "binary", lambda y, p: sklearn.metrics.f1_score(y, p > 0.5)),
        ("f1", "binary", "logit", lambda y, p: sklearn.metrics.f1_score(y, p > 0)),
        ("neg_log_loss", "classes", "many", lambda y, p: -sklearn.metrics.log_loss(y, p)),
        (
            "roc_auc_ovr",
            "one-hot",
            "many",
            lambda y, p: sklearn.metrics.roc_auc_score(y.argmax(1), p, multi_class="ovr"),
        ),
        ("accuracy", "classes", "many", lambda y, p: (y == p.argmax(1)).mean()),
        (
            "average_precision",
            "labels",
            "labels",
            lambda y, p: sklearn.metrics.average_precision_score(y, p),
        ),
        (
            "f1_macro",
            "labels",
            "labels",
            lambda y, p: sklearn.metrics.f1_score(y, p >= 0.5, average="macro"),
        ),
        ("r2", "numbers", "logit", lambda y, p: sklearn.metrics.r2_score(y, p)),
        ("neg_mean_absolute_error", "binary", "binary", lambda y, p: -np.abs(y - p).mean()),
    ],
)
def test_a_scorer_scores_outputs_as_scikit_learn_does(
    name: str,
    y_true: str,
    y_score: str,
    expected: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float],
) -> None:
    classes = RNG.integers(3, size=60)
    y = {
        "binary": RNG.integers(2, size=60),
        "classes": classes,
        "one-hot": np.eye(3)[classes],
        "labels": np.vstack([RNG.integers(2, size=(59, 3)), [1, 1, 1]]),
        "numbers": RNG.normal(size=60),
    }[y_true]
    p = {
        "binary": RNG.uniform(size=60),
        "logit": RNG.normal(size=60),
        "many": RNG.dirichlet(np.ones(3), size=60),
        "labels": RNG.uniform(size=(60, 3)),
    }[y_score]
    assert scorer_function(name)(y, p) == pytest.approx(expected(y, p))


class WithVectors(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        model.compile(
            self.make_optimizer(),
            "binary_crossentropy",
            metrics=[keras.metrics.F1Score(average=None, threshold=0.5), "accuracy"],
            run_eagerly=True,
        )
        return model


def search(
    folder: Path,
    objective: OutOfFoldScore | list[str] | str,
    *,
    hypermodel: WithVectors | None = None,
    max_trials: int = 3,
    y: npt.NDArray[np.float64] | None = None,
) -> CrossValidationTuner:
    x, labels, groups = arrays()
    oracle = GridSearchOracle(objective, max_trials=max_trials)
    tuner = CrossValidationTuner(
        hypermodel or TinyHyperModel(), oracle, cv=2, directory=folder, project_name="search"
    )
    tuner.search(x, labels if y is None else y, groups, epochs=2, batch_size=16, verbose=0)
    return tuner


@pytest.mark.slow
def test_a_function_is_computed_on_each_folds_predictions_and_averaged(tmp_path: Path) -> None:
    tuner = search(tmp_path, OutOfFoldScore(largest_error, direction="min"), max_trials=2)
    results = tuner.results()
    _, y, _ = arrays()
    folds = tuner._run.subject.folds
    for trial in results["trial"]:
        predictions = tuner.out_of_fold(trial)
        expected = np.mean([largest_error(y[rows], predictions[rows]) for _, rows in folds])
        assert results.set_index("trial").loc[trial, "score"] == pytest.approx(expected)
    best = results.set_index("rank").loc[1]
    assert best["score"] == results["score"].min()
    recorded = tuner.project.run.objective.to_json()
    assert recorded["name"] == "val_largest_error"

    def largest_error_(y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> float:
        return -1.0

    other = OutOfFoldScore(largest_error_, name="largest_error", direction="min")
    with pytest.raises(ResumeError, match="objective"):
        search(tmp_path, other, max_trials=2)


@pytest.mark.slow
def test_several_objectives_rank_by_the_mean_of_ranks(tmp_path: Path) -> None:
    tuner = search(tmp_path, ["val_auroc", "val_loss"], max_trials=4)
    results = tuner.results()
    by_auroc = results["val_auroc"].rank(ascending=False)
    by_loss = results["val_loss"].rank()
    np.testing.assert_allclose(results["score"], (by_auroc + by_loss) / 2)
    best = results.set_index("rank").loc[1, "trial"]
    assert tuner.oracle.get_best_trials()[0].trial_id == best
    again = search(tmp_path, ["val_auroc", "val_loss"], max_trials=4)
    assert again.results()["score"].tolist() == results["score"].tolist()
    assert results_table(again.project)["rank"].tolist() == results["rank"].tolist()


def test_oracles_that_learn_from_scores_refuse_several_objectives() -> None:
    """KerasTuner lets them learn from the sum, in which the metric with the largest values wins."""
    import optuna

    objectives = ["val_loss", "val_auroc"]
    for oracle in (
        lambda: BayesianOptimizationOracle(objectives, 8),
        lambda: OptunaOracle(optuna.samplers.TPESampler(), objectives, 8),
        lambda: SuccessiveHalvingOracle(objectives, 8),
    ):
        with pytest.raises(SearchError, match="several objectives have only ranks"):
            oracle()
    assert BayesianOptimizationOracle(["val_loss"], 8).objective.name == "val_loss"


@pytest.mark.slow
def test_a_vector_metric_is_kept_by_element(tmp_path: Path) -> None:
    tuner = search(tmp_path, "val_f1_score[1]", hypermodel=WithVectors(), max_trials=1)
    metrics = set(tuner.history()["metric"])
    assert {"f1_score[0]", "f1_score[1]", "accuracy", "auroc"} <= metrics
    row = tuner.results().iloc[0]
    assert row["score"] == row["val_f1_score[1]"]
    assert 0 <= row["score_low"] <= row["score"] <= row["score_high"] <= 1


def test_what_cannot_be_computed_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"val_f1_score is not among .* val_f1_score\[0\]"):
        search(tmp_path, keras_tuner.Objective("val_f1_score", "max"), hypermodel=WithVectors())
    with pytest.raises(SearchError, match=r"metric of its own named accuracy; .*'val_accuracy'"):
        search(tmp_path, "accuracy", hypermodel=WithVectors())

    def failing(y_true: npt.NDArray[Any], y_score: npt.NDArray[Any]) -> NoReturn:
        raise KeyError("mine")

    with pytest.raises(SearchError, match=r"val_failing cannot be computed on the 24 .* fold 0: "):
        search(tmp_path, failing)  # type: ignore[arg-type]
    y = np.zeros((48, 2))
    y[:2] = 1
    with pytest.raises(SearchError, match=r"val_roc_auc .*fold"):
        search(tmp_path, "roc_auc", y=y)
    assert not list(tmp_path.glob("**/fold_*"))


@pytest.mark.parametrize("num_labels", [2, 3])
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("average_precision", sklearn.metrics.average_precision_score),
        ("roc_auc", sklearn.metrics.roc_auc_score),
    ],
)
def test_two_labels_are_scored_as_labels_like_three(
    name: str, function: Callable[[npt.NDArray[Any], npt.NDArray[Any]], float], num_labels: int
) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, num_labels)) < 0.5).astype(np.float32)
    probabilities = rng.random((40, num_labels)).astype(np.float32)
    assert scorer_function(name)(labels, probabilities) == pytest.approx(
        function(labels.astype(int), probabilities.astype(np.float64)), abs=1e-12
    )
