"""Folds from every form of `cv`: scikit-learn's own, random ones kept, leaks counted."""

import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from search_problems import arrays, make_tuner
from sklearn import model_selection as sk
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.preprocessing import StandardScaler

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import SearchError
from rust_tuner.records.random_folds import FOLDS_FILE
from rust_tuner.search import splitters
from rust_tuner.search.splitters import split_rows
from rust_tuner.seeds import generator, seed_word

ROWS = 60
CLASSES = np.random.default_rng(0).integers(3, size=ROWS)
GROUPS = np.arange(ROWS) // 4


def of_sklearn(
    cv: sk.BaseCrossValidator, y: npt.NDArray[np.int64] = CLASSES
) -> list[list[list[int]]]:
    with warnings.catch_warnings():
        # Of groups that it ignores.
        warnings.simplefilter("ignore")
        return as_lists(cv.split(np.zeros((ROWS, 1)), y, GROUPS))


def as_lists(pairs: Iterable[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> list[list[list[int]]]:
    return [[side.tolist() for side in pair] for pair in pairs]


@pytest.mark.parametrize(
    "cv",
    [
        sk.KFold(3),
        sk.KFold(3, shuffle=True, random_state=0),
        sk.StratifiedKFold(3),
        sk.StratifiedKFold(3, shuffle=True, random_state=1),
        sk.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
        sk.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
        sk.ShuffleSplit(4, test_size=0.2, random_state=0),
        sk.StratifiedShuffleSplit(4, test_size=0.2, random_state=0),
        sk.GroupKFold(3),
        sk.StratifiedGroupKFold(3),
        sk.LeaveOneGroupOut(),
        sk.LeavePGroupsOut(2),
        sk.GroupShuffleSplit(3, random_state=0),
        sk.TimeSeriesSplit(4),
        sk.LeaveOneOut(),
        sk.PredefinedSplit(np.arange(ROWS) % 5 - 1),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_the_folds_of_a_splitter_are_scikit_learns_own(cv: sk.BaseCrossValidator) -> None:
    split = split_rows(cv, CLASSES, GROUPS, seed=0)
    assert as_lists(split.pairs) == of_sklearn(cv)
    assert split.random_key is None
    assert split.stratified is None


@pytest.mark.parametrize("cv", [sk.StratifiedKFold(3), sk.StratifiedGroupKFold(3)])
@pytest.mark.parametrize("form", ["one-hot", "column", "text", "float"])
def test_a_splitter_stratifies_classes_in_every_form_that_a_loss_takes(
    cv: sk.BaseCrossValidator, form: str
) -> None:
    y = {
        "one-hot": np.eye(3)[CLASSES],
        "column": CLASSES[:, None],
        "text": np.array(["a", "b", "c"])[CLASSES],
        "float": CLASSES.astype(np.float32),
    }[form]
    assert as_lists(split_rows(cv, y, GROUPS, seed=0).pairs) == of_sklearn(cv)


def test_a_stratified_splitter_takes_bins_of_numbers_and_combinations_of_labels() -> None:
    y = load_diabetes().target
    cv = sk.StratifiedKFold(5, shuffle=True, random_state=0)
    split = split_rows(cv, y, None, seed=0)
    means = [y[validation].mean() for _, validation in split.pairs]
    assert np.ptp(means) < 5
    assert "StratifiedKFold stratifies the targets by 10 bins" in split.notes[0]
    labels = (np.random.default_rng(0).uniform(size=(ROWS, 3)) < [0.5, 0.2, 0.1]).astype(int)
    split = split_rows(sk.StratifiedKFold(3), labels, None, seed=0)
    counts = np.array([labels[validation].sum(axis=0) for _, validation in split.pairs])
    assert (np.ptp(counts, axis=0) <= 2).all()
    assert "combinations of labels" in split.notes[0]


@pytest.mark.parametrize("form", ["classes", "one-hot", "text"])
def test_a_number_of_folds_is_stratified_by_classes(form: str) -> None:
    y = {
        "classes": CLASSES,
        "one-hot": np.eye(3)[CLASSES],
        "text": np.array(["a", "b", "c"], dtype=object)[CLASSES],
    }[form]
    split = split_rows(5, y, None, seed=0)
    counts = np.array([np.bincount(CLASSES[rows], minlength=3) for _, rows in split.pairs])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert split.stratified == "classes"
    assert as_lists(split.pairs) == as_lists(split_rows(5, y, None, seed=0).pairs)
    assert as_lists(split.pairs) != as_lists(split_rows(5, y, None, seed=1).pairs)


def test_a_number_of_folds_is_stratified_by_labels_and_by_classes_of_groups() -> None:
    labels = (np.random.default_rng(0).uniform(size=(ROWS, 2)) < [0.5, 0.1]).astype(int)
    split = split_rows(3, labels, None, seed=0)
    assert split.stratified == "labels"
    counts = np.array([labels[rows].sum(axis=0) for _, rows in split.pairs])
    assert (np.ptp(counts, axis=0) <= 1).all()
    of_groups = split_rows(3, (GROUPS % 5 == 0).astype(int), GROUPS, seed=0)
    assert of_groups.stratified == "classes"
    assert [int((GROUPS[rows] % 5 == 0).sum()) for _, rows in of_groups.pairs] == [4, 4, 4]
    for training, validation in of_groups.pairs:
        assert not set(GROUPS[training]) & set(GROUPS[validation])


def test_numbers_are_not_stratified() -> None:
    y = load_diabetes().target
    split = split_rows(5, y, None, seed=3)
    splitter = sk.KFold(5, shuffle=True, random_state=seed_word(3, "folds"))
    assert as_lists(split.pairs) == as_lists(splitter.split(y))
    assert split.stratified is None


def test_rare_classes_are_divided_without_a_warning() -> None:
    y = np.array([0] * 28 + [1, 1])
    assert split_rows(5, y, None, seed=0).stratified == "classes"
    rarest = split_rows(5, np.arange(8).astype(str), None, seed=0)
    assert [len(rows) for _, rows in rarest.pairs] == [2, 2, 2, 1, 1]
    assert rarest.stratified is None


def test_groups_that_a_splitter_ignores_are_counted() -> None:
    notes = split_rows(sk.KFold(3), CLASSES, GROUPS, seed=0).notes
    assert len(notes) == 0
    notes = split_rows(sk.KFold(4), CLASSES, np.arange(ROWS) // 6, seed=0).notes
    assert [note.partition("(")[0] for note in notes] == [
        "WARNING: KFold puts 2 of 10 groups on both sides of a fold "
    ]


def test_pairs_of_rows_may_be_numbers_or_booleans_and_nothing_else() -> None:
    mask = np.arange(6) < 4
    split = split_rows([(mask, ~mask), ([4, 5], [0])], np.arange(6), None, seed=0)
    assert as_lists(split.pairs) == [[[0, 1, 2, 3], [4, 5]], [[4, 5], [0]]]
    for cv, message in (
        ([([0.5, 1], [2]), ([2], [0])], "fold 0: rows of type float64"),
        ([(mask[:5], [5])], r"fold 0: rows of type bool and shape \(5,\)"),
        ([[0, 1, 2], [3]], "fold 0 is not a pair"),
        ("five", "cv='five'; expected a number"),
    ):
        with pytest.raises(SearchError, match=message):
            split_rows(cv, np.arange(6), None, seed=0)


class Reseeding:
    """A splitter of one's own that divides at random, and has no attribute for it."""

    def get_n_splits(self, x: object = None, y: object = None, groups: object = None) -> int:
        return 2

    def split(
        self, x: npt.NDArray[Any], y: object = None, groups: object = None
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        order = np.random.default_rng().permutation(len(x))
        half = len(order) // 2
        yield order[:half], order[half:]
        yield order[half:], order[:half]


@pytest.mark.parametrize(
    "make",
    [
        lambda: sk.KFold(3, shuffle=True),
        lambda: sk.ShuffleSplit(3),
        lambda: sk.RepeatedStratifiedKFold(n_splits=3, n_repeats=2),
        lambda: sk.StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(0)),
        Reseeding,
    ],
    ids=["KFold", "ShuffleSplit", "RepeatedStratifiedKFold", "a state", "own"],
)
def test_a_splitter_without_a_seed_is_known(make: type[Reseeding]) -> None:
    assert split_rows(make(), CLASSES, None, seed=0).random_key is not None


def test_an_own_splitter_that_repeats_itself_is_not_random() -> None:
    class Halves(Reseeding):
        def split(
            self, x: npt.NDArray[Any], y: object = None, groups: object = None
        ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
            rows = np.arange(len(x))
            yield rows[::2], rows[1::2]
            yield rows[1::2], rows[::2]

    assert split_rows(Halves(), CLASSES, None, seed=0).random_key is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda: sk.KFold(2, shuffle=True), pytest.param(Reseeding, marks=pytest.mark.slow)]
)
def test_a_search_with_a_splitter_without_a_seed_is_resumed_on_the_same_folds(
    tmp_path: Path, make: type[Reseeding]
) -> None:
    x, y, _ = arrays()
    scores = {}
    for name, steps in (("whole", (2,)), ("resumed", (1, 2))):
        for max_trials in steps:
            tuner = make_tuner(tmp_path / name, "grid", max_trials, cv=make())
            if name == "resumed" and max_trials == 1:
                # The folds that the other search drew.
                shutil.copy(tmp_path / "whole" / "search" / FOLDS_FILE, tuner.project_folder)
            tuner.search(x, y, epochs=1, batch_size=16)
        scores[name] = tuner.results()["score"].tolist()
    assert len(scores["whole"]) == 2
    assert scores["resumed"] == scores["whole"]


@pytest.mark.slow
def test_a_search_that_an_earlier_version_began_keeps_its_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y, _ = arrays()
    with monkeypatch.context() as patch:
        patch.setattr(splitters, "classes_of", lambda targets, num_folds: None)
        patch.setattr(splitters, "labels_of", lambda targets: None)
        make_tuner(tmp_path, "grid", 1).search(x, y, epochs=1, batch_size=16)
    before = (tmp_path / "search" / "trial_0000" / "fold_0.json").read_bytes()
    tuner = make_tuner(tmp_path, "grid", 2)
    tuner.search(x, y, epochs=1, batch_size=16)
    assert (tmp_path / "search" / "trial_0000" / "fold_0.json").read_bytes() == before
    assert "stratified" not in tuner.project.run.subject.to_json()
    anew = make_tuner(tmp_path / "anew", "grid", 1)
    anew.search(x, y, epochs=1, batch_size=16)
    assert anew.project.run.subject.stratified == "labels"


# Scores against a Keras loop that is written by hand.


class Linear(keras_tuner.HyperModel):  # type: ignore[misc]
    """Linear or softmax regression; eager, since tracing would cost more than training."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.shape = num_features, num_classes

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        rate = hp.Choice("rate", [0.01, 0.1])
        num_features, num_classes = self.shape
        layers = [keras.layers.Dense(num_classes or 1), keras.layers.Dropout(0.0)]
        layers += [keras.layers.Softmax()] if num_classes else []
        model = keras.Sequential([keras.Input((num_features,)), *layers])
        loss, metric = (
            ("sparse_categorical_crossentropy", "accuracy") if num_classes else ("mse", "mae")
        )
        model.compile(keras.optimizers.SGD(rate), loss, metrics=[metric], run_eagerly=True)
        return model


def text_set() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sentences of scikit-learn's descriptions of its data sets, and the set of each."""
    sets = [load_iris, load_wine, load_breast_cancer]
    texts = [
        (line.strip(), number)
        for number, load in enumerate(sets)
        for line in load().DESCR.splitlines()
        if len(line.split()) > 4
    ]
    words = HashingVectorizer(n_features=64, alternate_sign=False)
    return words.transform([text for text, _ in texts]).toarray(), np.array([n for _, n in texts])


def problem_of(name: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any], int]:
    """Inputs, targets and the number of classes; 0 of a regression."""
    if name == "text":
        return *text_set(), 3
    load = {"digits": load_digits, "iris": load_iris, "diabetes": load_diabetes}[name]
    x, y = load(return_X_y=True)
    x, y = StandardScaler().fit_transform(x)[:150], y[:150]
    return (
        x,
        ((y - y.mean()) / y.std() if name == "diabetes" else y),
        {"digits": 10, "iris": 3}.get(name, 0),
    )


def by_hand(
    hypermodel: Linear,
    x: npt.NDArray[np.float32],
    y: npt.NDArray[Any],
    folds: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    *,
    rate: float,
    seed: int,
    trial: int | str,
    epochs: int,
    batch_size: int,
    metric: str,
) -> npt.NDArray[np.float64]:
    """Fold-averaged curves of a metric, by Keras alone."""
    curves = []
    for fold, (training, validation) in enumerate(folds):
        keras.utils.set_random_seed(seed_word(seed, trial, fold, "weights"))
        hp = keras_tuner.HyperParameters()
        hp.Fixed("rate", rate)
        model = hypermodel.build(hp)
        curve = []
        for epoch in range(epochs):
            order = generator(seed, trial, fold, epoch, "order").permutation(len(training))
            rows = training[order]
            model.fit(x[rows], y[rows], batch_size=batch_size, shuffle=False, verbose=0)
            logs = model.evaluate(x[validation], y[validation], return_dict=True, verbose=0)
            curve.append(logs[metric])
        curves.append(curve)
    result: npt.NDArray[np.float64] = np.mean(curves, axis=0)
    return result


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "cv", "objective"),
    [
        pytest.param(
            "iris",
            sk.StratifiedKFold(3, shuffle=True, random_state=0),
            "val_accuracy",
            marks=pytest.mark.numerical,
        ),
        ("digits", sk.GroupKFold(3), "val_accuracy"),
        ("text", sk.RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0), "val_loss"),
        ("diabetes", sk.LeaveOneGroupOut(), "val_loss"),
        ("diabetes", sk.TimeSeriesSplit(3), "val_mae"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_scores_are_those_of_a_loop_by_hand(
    tmp_path: Path, name: str, cv: sk.BaseCrossValidator, objective: str
) -> None:
    x, y, num_classes = problem_of(name)
    x = x.astype(np.float32)
    groups = np.arange(len(x)) * 4 // len(x) if "Group" in type(cv).__name__ else None
    hypermodel = Linear(x.shape[1], num_classes)
    direction = "max" if objective == "val_accuracy" else "min"
    oracle = GridSearchOracle(keras_tuner.Objective(objective, direction))
    tuner = CrossValidationTuner(hypermodel, oracle, cv=cv, seed=7, directory=tmp_path)
    # One epoch of few batches shows the split; the slow ones train on.
    epochs = 1 if name == "iris" else 2
    tuner.search(x, y, groups, epochs=epochs, batch_size=64)
    results = tuner.results()
    assert len(results) == 2
    for trial, row in results.iterrows():
        curve = by_hand(
            hypermodel,
            x,
            y,
            list(cv.split(x, y, groups)),
            rate=row["rate"],
            seed=7,
            trial=trial,  # type: ignore[arg-type]
            epochs=epochs,
            batch_size=64,
            metric=objective.removeprefix("val_"),
        )
        best = curve.max() if direction == "max" else curve.min()
        assert row["score"] == pytest.approx(best, abs=1e-6)
