"""Cross-validation: each row is answered by a fold that never saw it, and epochs are averaged."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrowing import is_a
from search_problems import arrays
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from rust_tuner.data.folds import Folds
from rust_tuner.errors import SearchError, TrialError
from rust_tuner.figures.published_study import read_published
from rust_tuner.search.cross_validation import array_metrics, cross_validate
from rust_tuner.search.mean_curves import CrossValidation, calculate_mean_metrics, chosen_epoch

EPOCHS = 2
ASSIGNMENT = np.arange(48) % 2
FOLDS = Folds(assignment=ASSIGNMENT, num_folds=2, seed=0)


def build_model() -> keras.Model:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.2), keras.layers.Dense(2, activation="sigmoid")]
    )
    model.compile(keras.optimizers.Adam(0.1), "binary_crossentropy", run_eagerly=True)
    return model


def run(
    folds: Any = FOLDS, *, y: npt.NDArray[np.float32] | None = None, **changes: Any
) -> CrossValidation:
    x, targets, _ = arrays()
    settings = {"epochs": EPOCHS, "batch_size": 16, "seed": 0} | changes
    return cross_validate(build_model, x, targets if y is None else y, folds, **settings)


@pytest.fixture(scope="module")
def outcome() -> CrossValidation:
    return run()


def assert_same(one: CrossValidation, other: CrossValidation) -> None:
    assert one.mean == other.mean
    for record, twin in zip(one.folds, other.folds, strict=True):
        assert (record.fold, record.training) == (twin.fold, twin.training)
        assert record.validation == twin.validation
        assert (
            is_a(np.ndarray, record.predictions).tobytes()
            == is_a(np.ndarray, twin.predictions).tobytes()
        )
        np.testing.assert_array_equal(record.validation_indices, twin.validation_indices)


def test_curves_and_predictions_have_a_value_an_epoch(outcome: CrossValidation) -> None:
    assert [record.fold for record in outcome.folds] == [0, 1]
    for record, (_, validation) in zip(outcome.folds, FOLDS, strict=True):
        assert is_a(np.ndarray, record.predictions).shape == (EPOCHS, len(validation), 2)
        assert is_a(np.ndarray, record.predictions).dtype == np.float32
        np.testing.assert_array_equal(record.validation_indices, validation)
        assert set(record.validation) == {"auroc", "loss"}
        assert set(record.training) == {"loss"}
        for curve in (*record.training.values(), *record.validation.values()):
            assert len(curve) == EPOCHS
        assert record.steps_per_epoch == 2
        assert record.seconds > 0
    assert {name: len(curve) for name, curve in outcome.mean.items()} == {
        "auroc": EPOCHS,
        "loss": EPOCHS,
    }


def test_the_auroc_of_each_fold_and_epoch_is_that_of_scikit_learn(outcome: CrossValidation) -> None:
    _, y, _ = arrays()
    for record in outcome.folds:
        for epoch in range(EPOCHS):
            expected = roc_auc_score(
                y[record.validation_indices], is_a(np.ndarray, record.predictions)[epoch]
            )
            assert record.validation["auroc"][epoch] == pytest.approx(expected, rel=1e-12)


def test_the_loss_of_each_fold_and_epoch_is_that_of_keras(outcome: CrossValidation) -> None:
    _, y, _ = arrays()
    for record in outcome.folds:
        for epoch in range(EPOCHS):
            losses = keras.losses.binary_crossentropy(
                y[record.validation_indices], is_a(np.ndarray, record.predictions)[epoch]
            )
            expected = float(np.mean(np.asarray(losses)))
            assert record.validation["loss"][epoch] == pytest.approx(expected, rel=1e-5)


def test_the_mean_is_that_of_the_folds(outcome: CrossValidation) -> None:
    for name, curve in outcome.mean.items():
        per_fold = np.array([record.validation[name] for record in outcome.folds])
        np.testing.assert_allclose(curve, per_fold.mean(axis=0), rtol=1e-15)


def test_out_of_fold_predictions_take_each_row_once_from_its_own_fold(
    outcome: CrossValidation,
) -> None:
    for epoch in range(EPOCHS):
        table = outcome.out_of_fold(epoch, 48)
        assert table.shape == (48, 2)
        assert table.dtype == np.float32
        for record in outcome.folds:
            np.testing.assert_array_equal(
                table[ASSIGNMENT == record.fold], is_a(np.ndarray, record.predictions)[epoch]
            )


@pytest.mark.slow
def test_a_rows_prediction_does_not_depend_on_its_own_target(outcome: CrossValidation) -> None:
    _, y, _ = arrays()
    other = y.copy()
    other[ASSIGNMENT == 1] = 1 - other[ASSIGNMENT == 1]
    changed = run(y=other)
    for fold, record in enumerate(changed.folds):
        same = np.array_equal(
            is_a(np.ndarray, record.predictions), is_a(np.ndarray, outcome.folds[fold].predictions)
        )
        assert same == (fold == 1)


def test_rows_that_no_fold_validates_have_no_prediction() -> None:
    pairs = [(np.arange(20, 48), np.arange(10)), (np.arange(10), np.arange(10, 20))]
    table = run(pairs, epochs=1).out_of_fold(0, 48)
    assert np.isfinite(table[:20]).all()
    assert np.isnan(table[20:]).all()


@pytest.mark.slow
def test_the_same_folds_and_seed_give_the_same_bits_however_the_folds_are_given(
    outcome: CrossValidation,
) -> None:
    np.random.seed(99)
    assert_same(
        run([(list(training), list(validation)) for training, validation in FOLDS]), outcome
    )


@pytest.mark.slow
def test_another_seed_gives_other_numbers(outcome: CrossValidation) -> None:
    other = run(seed=1, epochs=1)
    assert not np.array_equal(
        is_a(np.ndarray, other.folds[0].predictions)[0],
        is_a(np.ndarray, outcome.folds[0].predictions)[0],
    )


def test_folds_of_a_group_splitter_keep_groups_apart() -> None:
    x, y, groups = arrays()
    pairs = list(GroupKFold(2).split(x, y, groups))
    outcome = run(GroupKFold(2).split(x, y, groups), epochs=1)
    for record, (training, validation) in zip(outcome.folds, pairs, strict=True):
        np.testing.assert_array_equal(record.validation_indices, validation)
        assert not set(groups[record.validation_indices]) & set(groups[training])
    assert np.isfinite(outcome.out_of_fold(0, 48)).all()


def test_targets_of_one_dimension_have_an_auroc_too() -> None:
    _, y, _ = arrays()
    rows = np.arange(40, 10, -1)
    answers = np.random.default_rng(0).uniform(size=(30, 1)).astype(np.float32)
    expected = roc_auc_score(y[rows, 0], answers[:, 0])
    assert array_metrics(y[:, 0])([answers], [rows], [""])[0] == {
        "auroc": pytest.approx(expected, rel=1e-12)
    }


@pytest.mark.parametrize(
    ("targets", "num_answers"),
    [(np.linspace(0, 1, 48), 1), (np.arange(48) % 3, 3), (np.zeros((48, 2, 2)), 4)],
)
def test_targets_that_are_no_labels_have_no_auroc(
    targets: npt.NDArray[np.float64] | npt.NDArray[np.int64], num_answers: int
) -> None:
    assert array_metrics(targets)([np.zeros((48, num_answers))], [np.arange(48)], [""])[0] == {}


def test_answers_that_are_not_one_a_label_have_no_auroc() -> None:
    _, y, _ = arrays()
    assert array_metrics(y)([np.zeros((48, 3))], [np.arange(48)], [""])[0] == {}


def test_data_that_do_not_fit_together_are_refused() -> None:
    _, y, _ = arrays()
    with pytest.raises(SearchError, match="x has 48 rows and y has 47"):
        run(y=y[1:])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "0 folds; cross-validation needs at least 2"),
        ([([0, 1], [2])], "1 folds; cross-validation needs at least 2"),
        (
            [([0, 1], [2]), ([0, 2], [2, 3])],
            "fold 1 has 2 training and 2 validation rows; .* on both",
        ),
        (
            [([], [2]), ([0, 2], [1])],
            "fold 0 has 0 training and 1 validation rows; one side is empty",
        ),
        ([([0, 1], [2]), ([0, 48], [1])], "fold 1 has rows 0 to 48, but the data have 48"),
        ([([0, -1], [2]), ([0, 2], [1])], "fold 0 has rows -1 to 2, but the data have 48"),
        (3, "folds=3; expected Folds, or pairs of training and validation rows"),
        ("ab", "folds='ab'; expected Folds"),
        (GroupKFold(3), r"folds=GroupKFold\(.*; expected Folds"),
        ([(1, 2), (3, 4)], r"fold 0: rows of type int64 and shape \(\); expected integers"),
        ([([0.5], [2]), ([0], [1])], "fold 0: rows of type float64"),
        ([3, 4], "fold 0 is not a pair of training and validation rows"),
    ],
)
def test_folds_that_cannot_be_trained_and_scored_apart_are_refused_by_number(
    pairs: Any, message: str
) -> None:
    with pytest.raises(SearchError, match=f"^{message}"):
        run(pairs)


def test_sides_may_be_booleans_of_all_rows() -> None:
    masks = [(ASSIGNMENT != fold, ASSIGNMENT == fold) for fold in range(2)]
    one, other = run(masks), run()
    np.testing.assert_array_equal(one.out_of_fold(0, 48), other.out_of_fold(0, 48))


def test_a_model_that_is_not_compiled_is_refused() -> None:
    x, y, _ = arrays()
    bare = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="sigmoid")])
    with pytest.raises(SearchError, match="build_model returned a model that is not compiled"):
        cross_validate(lambda: bare, x, y, FOLDS, epochs=1)


@pytest.mark.slow
def test_lists_are_taken_as_arrays(outcome: CrossValidation) -> None:
    x, y, _ = arrays()
    assert_same(
        cross_validate(build_model, x.tolist(), y.tolist(), FOLDS, epochs=2), run(batch_size=32)
    )


def test_a_fold_that_diverges_is_named() -> None:
    _, y, _ = arrays()
    with pytest.raises(TrialError, match=r"^trial 0000, fold 0, epoch 0, training: loss is nan$"):
        run(y=y * np.float32("nan"))


# Averages of curves.


@given(
    st.integers(1, 5).flatmap(
        lambda epochs: st.lists(
            st.fixed_dictionaries(
                {
                    name: st.lists(st.floats(0, 1), min_size=epochs, max_size=epochs)
                    for name in ("auroc", "loss")
                }
            ),
            min_size=1,
            max_size=4,
        )
    )
)
def test_mean_metrics_are_the_group_means_of_the_tidy_table(histories: Any) -> None:
    means = calculate_mean_metrics(histories)
    tidy = pd.DataFrame(
        [
            (fold, name, epoch, value)
            for fold, history in enumerate(histories)
            for name, curve in history.items()
            for epoch, value in enumerate(curve)
        ],
        columns=["fold", "metric", "epoch", "value"],
    )
    expected = tidy.groupby(["metric", "epoch"])["value"].mean().unstack()
    assert set(means) == {"auroc", "loss"}
    for name, curve in means.items():
        assert all(type(value) is float for value in curve)
        np.testing.assert_allclose(curve, expected.loc[name], rtol=1e-12, atol=1e-15)


def test_each_epoch_is_averaged_by_itself_and_the_histories_are_left_as_they_were() -> None:
    histories = [{"auroc": [0.5, 0.9]}, {"auroc": [0.7, 0.1]}]
    assert calculate_mean_metrics(histories) == {"auroc": [pytest.approx(0.6), pytest.approx(0.5)]}
    assert histories == [{"auroc": [0.5, 0.9]}, {"auroc": [0.7, 0.1]}]


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ([], "no histories to average; give one per fold"),
        (
            [{"auroc": [0.5]}, {"loss": [0.5]}],
            r"history 1 has the metrics \['loss'\], but history 0 has \['auroc'\]",
        ),
        (
            [{"auroc": [0.5]}, {"auroc": [0.5]}, {"auroc": [0.5, 0.6]}],
            "history 2 has 2 epochs of auroc, but history 0 has 1",
        ),
    ],
)
def test_histories_that_do_not_fit_together_are_refused(
    histories: list[dict[str, list[float]]], message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        calculate_mean_metrics(histories)


def test_the_best_of_the_mean_curve_gives_the_published_averages() -> None:
    table = read_published("initial_evaluation")
    best = {}
    for model, rows in table[table["split"] == "validation"].groupby("model"):
        curves = rows.pivot(index="fold", columns="epoch", values="auroc")
        assert curves.shape == (10, 50)
        (mean,) = calculate_mean_metrics(
            [{"auroc": list(curve)} for curve in curves.to_numpy()]
        ).values()
        best[model] = round(mean[chosen_epoch(mean, "best_mean")], 3)
    assert best == {
        "lenet1998": 0.608,
        "inceptionv3_end2end": 0.692,
        "inceptionv3_radimagenet": 0.706,
        "inceptionv3_imagenet": 0.784,
    }


@pytest.mark.parametrize(
    ("rule", "direction", "epoch"),
    [
        ("best_mean", "max", 1),
        ("best_mean", "min", 3),
        ("last", "max", 4),
        ("last", "min", 4),
        (0, "max", 0),
        (2, "min", 2),
        (np.int64(2), "max", 2),
    ],
)
def test_the_rule_names_the_epoch_and_the_first_of_equals_is_best(
    rule: str | int, direction: str, epoch: int
) -> None:
    assert chosen_epoch([0.5, 0.8, 0.8, 0.4, 0.4], rule, direction) == epoch


@pytest.mark.parametrize("rule", [5, -1, "first", "3", True, 1.0, None])
def test_a_rule_that_names_no_epoch_is_refused(rule: Any) -> None:
    with pytest.raises(
        SearchError,
        match=rf"score_epoch={rule!r} with 5 epochs; expected best_mean, last, or an epoch in 0-4",
    ):
        chosen_epoch([0.5, 0.8, 0.8, 0.4, 0.4], rule)
