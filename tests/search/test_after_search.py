"""After a search: tables, the best trial, models on all rows, and models of the folds."""

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pytest
from narrowing import not_none
from search_problems import TinyHyperModel, arrays, make_tuner
from sklearn import model_selection as sk
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.metrics import macro_auroc
from rust_tuner.models.fold_batches import FoldPlace
from rust_tuner.models.seeding import seeded_weights
from rust_tuner.records.kept_models import MODELS_FOLDER


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    """A finished search, whose data are known; not to be written to."""
    tuner = make_tuner(tmp_path_factory.mktemp("after"), "grid", 3, cv=3, keep_models="best")
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=2, batch_size=16, verbose=0)
    return tuner


def test_the_best_trial_is_that_of_the_results(searched: CrossValidationTuner) -> None:
    best = searched.results().set_index("rank").loc[1]
    assert searched.best_trial == best["trial"]
    assert searched.best_score == best["score"]
    assert searched.best_epoch == best["epoch"]
    values = searched.best_hyperparameters.values
    assert (values["units"], values["dropout"]) == (best["units"], best["dropout"])
    with pytest.raises(ResumeError, match=r"no completed trial '0009'; .* 0000, 0001, 0002"):
        searched.refit("0009")


@pytest.mark.slow
def test_cv_results_have_scikit_learns_keys_and_the_scores_of_each_fold(
    searched: CrossValidationTuner,
) -> None:
    found = searched.cv_results(return_train_score=True)
    results, history = searched.results(), searched.history()
    np.testing.assert_allclose(found["mean_test_auroc"], results["score"], rtol=1e-15)
    np.testing.assert_allclose(found["std_test_score"], results["score_std"] * np.sqrt(2 / 3))
    assert found["rank_test_score"].tolist() == results["rank"].tolist()
    assert found["params"][1] == {"units": 2, "dropout": 0.25}
    assert found["param_units"].tolist() == results["units"].tolist()
    for split, side in (("validation", "test"), ("training", "train")):
        row = history.query(
            f"trial == '0001' and fold == 2 and split == '{split}' and metric == 'loss'"
        )
        value = row.set_index("epoch")["value"][results["epoch"][1]]
        assert found[f"split2_{side}_loss"][1] == value
    reference = sk.GridSearchCV(
        LogisticRegression(max_iter=5_000), {"C": [1.0]}, cv=3, return_train_score=True
    )
    reference.fit(*load_iris(return_X_y=True))
    # Our exact AUROC is of the validation rows alone; the model's own metrics have both sides.
    expected = {
        name.replace("train_score", "train_loss")
        for name in reference.cv_results_
        if "score_time" not in name
    }
    assert expected - set(found) == {"param_C"}
    # The best of a loss is the lowest.
    assert (
        found["mean_test_loss"][found["rank_test_loss"].argmin()] == found["mean_test_loss"].min()
    )


@pytest.mark.slow
def test_a_refitted_model_is_that_of_a_loop_on_all_rows(searched: CrossValidationTuner) -> None:
    x, y, _ = arrays()
    results = searched.results()
    # A loop draws other masks of dropout.
    row = results[results["dropout"] == 0].iloc[0]
    model = searched.refit(row["trial"])
    values = searched.oracle.get_trial(row["trial"]).hyperparameters
    place = FoldPlace(searched.seed, int(row["trial"]), 3)
    with seeded_weights(place):
        expected = TinyHyperModel().build(values.copy())
    epochs = int(row["epoch"]) + 1
    for epoch in range(epochs):
        order = place.generator(epoch, "order").permutation(len(x))
        expected.fit(x[order], y[order], batch_size=16, shuffle=False, verbose=0)
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert int(model.optimizer.iterations.numpy()) == 3 * epochs


@pytest.mark.slow
def test_the_best_model_is_the_best_trial_refitted(searched: CrossValidationTuner) -> None:
    model = searched.refit()
    assert int(model.optimizer.iterations.numpy()) == 3 * (searched.best_epoch + 1)
    again = searched.get_best_models()[0]
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_fold_models_give_the_out_of_fold_predictions_kept_or_not(
    searched: CrossValidationTuner,
) -> None:
    x, y, _ = arrays()
    folds = searched._run.subject.folds
    for trial in searched.results()["trial"]:
        models = searched.fold_models(trial)
        predictions = searched.out_of_fold(trial)
        for model, (_, rows) in zip(models, folds, strict=True):
            np.testing.assert_allclose(
                model.predict(x[rows], verbose=0), predictions[rows], atol=1e-6
            )
    kept = [path.parent.name for path in searched.project_folder.glob(f"trial_*/{MODELS_FOLDER}")]
    assert kept == [f"trial_{searched.best_trial}"]
    models = searched.fold_models()
    mean = np.mean([model.predict(x, verbose=0) for model in models], axis=0)
    together = searched.ensemble()
    np.testing.assert_allclose(together.predict(x, verbose=0), mean, atol=1e-6)
    assert macro_auroc(y, mean) > 0.5


@pytest.mark.slow
def test_kept_models_are_read_without_a_search_and_others_need_one(
    searched: CrossValidationTuner,
) -> None:
    reopened = make_tuner(searched.project_folder.parent, "grid", 3, cv=3)
    x, _, _ = arrays()
    for one, other in zip(reopened.fold_models(), searched.fold_models(), strict=True):
        answers = one.predict(x, verbose=0), other.predict(x, verbose=0)
        np.testing.assert_allclose(*answers, atol=1e-6)
    with pytest.raises(SearchError, match="call search first"):
        reopened.refit()
    with pytest.raises(SearchError, match="keep_models='all'; expected 'best' or None"):
        make_tuner(searched.project_folder.parent, "grid", 3, keep_models="all")


def test_the_summary_names_spread_and_values(
    searched: CrossValidationTuner, capsys: pytest.CaptureFixture[str]
) -> None:
    searched.results_summary(2)
    shown = capsys.readouterr().out
    assert f"#1 trial {searched.best_trial}: {searched.best_score:.4f} ± " in shown
    assert "Objective: val_auroc (max); mean ± standard deviation over 3 folds" in shown
    assert shown.count("  units: ") == 2


@pytest.mark.slow
def test_a_fold_that_stops_early_is_stopped_in_the_refit_as_well(tmp_path: Path) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, score_epoch="last")
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=0, mode="max", min_delta=9.0)
    tuner.search(x, y, groups, epochs=4, batch_size=16, callbacks=[stopping], verbose=0)
    trained = [fold.epochs_trained for fold in tuner.project.trials[0].folds]
    assert trained == [2, 2]
    model = tuner.refit()
    assert int(model.optimizer.iterations.numpy()) == 3 * 2
    for fold, (_, rows) in zip(tuner.fold_models(), tuner._run.subject.folds, strict=True):
        np.testing.assert_allclose(
            fold.predict(x[rows], verbose=0), tuner.out_of_fold()[rows], atol=1e-6
        )


@pytest.mark.slow
def test_what_is_prepared_in_each_fold_is_prepared_for_all_rows_in_the_refit(
    tmp_path: Path,
) -> None:
    x, y, groups = arrays()
    x = 5 * x + 3
    tuner = make_tuner(tmp_path, "grid", 1)
    tuner.search(x, y, groups, epochs=2, batch_size=16, preprocess=StandardScaler(), verbose=0)
    model = tuner.refit()
    scaled = StandardScaler().fit_transform(x)
    np.testing.assert_allclose(not_none(tuner.prepare)(x), scaled, atol=1e-5)
    assert model.predict(not_none(tuner.prepare)(x), verbose=0).shape == (48, 2)
    for fold, (training, rows) in zip(tuner.fold_models(), tuner._run.subject.folds, strict=True):
        prepared = StandardScaler().fit(x[training]).transform(x[rows])
        np.testing.assert_allclose(
            fold.predict(prepared, verbose=0), tuner.out_of_fold()[rows], atol=1e-5
        )


class Logistic(keras_tuner.HyperModel):  # type: ignore[misc]
    """Softmax regression with scikit-learn's penalty, for training to convergence."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        strength = hp.Choice("C", [0.01, 0.1, 1.0, 100.0])
        # scikit-learn adds the squares to the sum over the rows, Keras to their mean.
        penalty = keras.regularizers.L2(1 / (2 * strength * 100))
        layer = keras.layers.Dense(3, activation="softmax", kernel_regularizer=penalty)
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile(keras.optimizers.Adam(0.3), "sparse_categorical_crossentropy")
        return model


@pytest.mark.slow
def test_ranks_are_those_of_grid_search_cv_where_the_model_is_the_same(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    cv = sk.StratifiedKFold(3, shuffle=True, random_state=0)
    oracle = GridSearchOracle("neg_log_loss")
    tuner = CrossValidationTuner(Logistic(), oracle, cv=cv, directory=tmp_path, score_epoch="last")
    tuner.search(x, y, epochs=40, batch_size=50, verbose=0)
    found = tuner.cv_results()
    reference = sk.GridSearchCV(
        LogisticRegression(max_iter=10_000),
        {"C": [0.01, 0.1, 1.0, 100.0]},
        cv=cv,
        scoring="neg_log_loss",
    ).fit(x, y)
    assert [params["C"] for params in found["params"]] == [0.01, 0.1, 1.0, 100.0]
    expected = reference.cv_results_
    assert found["rank_test_score"].tolist() == expected["rank_test_score"].tolist()
    np.testing.assert_allclose(found["mean_test_score"], expected["mean_test_score"], atol=0.02)


@pytest.mark.slow
def test_counts_of_right_answers_rank_from_the_highest(tmp_path: Path) -> None:
    class Counting(keras_tuner.HyperModel):  # type: ignore[misc]
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            output = keras.layers.Dense(1, activation="sigmoid")
            model = keras.Sequential([keras.Input((4,)), output])
            metrics = [keras.metrics.TruePositives(), keras.metrics.FalseNegatives()]
            rate = hp.Choice("rate", [0.001, 0.5])
            model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=metrics)
            return model

    x, y = load_iris(return_X_y=True)
    oracle = GridSearchOracle(keras_tuner.Objective("val_loss", "min"))
    tuner = CrossValidationTuner(Counting(), oracle, cv=2, directory=tmp_path)
    tuner.search(x, (y == 1).astype(float)[:, None], epochs=5, verbose=0)
    found = tuner.cv_results()
    found_right, missed = found["mean_test_true_positives"], found["mean_test_false_negatives"]
    assert found_right[0] != found_right[1]
    assert found["rank_test_true_positives"].argmin() == found_right.argmax()
    assert found["rank_test_false_negatives"].argmin() == missed.argmin()
