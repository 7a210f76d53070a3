"""Subjects: folds keep patients apart, figures are those of the reference, and all is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from narrowing import is_a
from search_problems import TinyHyperModel, arrays
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut

from rust_tuner import CrossValidationTuner, GridSearchOracle, Protocol, load_manifest
from rust_tuner.data.folds import Folds, make_folds
from rust_tuner.data.images import load_image
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import MetricError, SearchError
from rust_tuner.labels import NUM_LABELS, NUM_VIEWS
from rust_tuner.metrics import macro_auroc, view_only_baseline
from rust_tuner.models.features import FeatureRecipe, FrozenFeatures
from rust_tuner.models.fold_training import RunningPredictions
from rust_tuner.models.hypermodels import (
    ImageHyperModel,
    SearchSpace,
    TransferLearningHyperModel,
)
from rust_tuner.progress import Progress, Silent
from rust_tuner.search import subjects
from rust_tuner.search.array_subject import arrays_subject
from rust_tuner.search.subjects import (
    binary_crossentropy,
    images_subject,
    radiographs_subject,
    view_subject,
)

X, Y, GROUPS = arrays()


Extractions = list[tuple[tuple[Path, ...], FeatureRecipe, str | Path | None, tuple[int, ...]]]


def of_arrays(
    cv: list[tuple[list[int], list[int]]] | Folds | float | None,
    *,
    x: npt.NDArray[np.float64] = X,
    y: npt.NDArray[np.float32] = Y,
    groups: npt.NDArray[np.int64] | list[Any] | None = GROUPS,
    seed: int = 0,
) -> subjects.Subject:
    return arrays_subject(TinyHyperModel(), x, y, groups, cv, seed=seed)


def keras_crossentropy(
    targets: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    answers: npt.NDArray[np.float32] | npt.NDArray[np.float64],
) -> float:
    return float(np.mean(np.asarray(keras.losses.binary_crossentropy(targets, answers))))


def test_the_cross_entropy_is_that_of_keras() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, size=(50, 18)).astype(np.float32)
    answers = rng.uniform(size=(50, 18)).astype(np.float32)
    expected = keras_crossentropy(targets, answers)
    assert binary_crossentropy(targets, answers) == pytest.approx(expected, rel=1e-5)
    # Certainty, right and wrong, has to be clipped; in float32 Keras clips it less sharply.
    answers[0], answers[1] = targets[0], 1 - targets[1]
    expected = keras_crossentropy(targets.astype(np.float64), answers.astype(np.float64))
    assert binary_crossentropy(targets, answers) == pytest.approx(expected, rel=1e-9)


def test_labels_of_minus_one_do_not_count_in_the_cross_entropy() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, size=(20, 6)).astype(np.float32)
    answers = rng.uniform(0.1, 0.9, size=(20, 6)).astype(np.float32)
    hidden = rng.uniform(size=(20, 6)) < 0.5
    hidden[:, 0] = False
    masked = np.where(hidden, np.float32(-1), targets)
    rows = [
        float(np.asarray(keras.losses.binary_crossentropy(targets[n, seen], answers[n, seen])))
        for n, seen in enumerate(~hidden)
    ]
    assert binary_crossentropy(masked, answers) == pytest.approx(np.mean(rows), rel=1e-5)
    other = np.where(hidden, 1 - answers, answers)
    assert binary_crossentropy(masked, other) == binary_crossentropy(masked, answers)


def assert_each_row_is_validated_once(
    folds: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], ...], num_rows: int
) -> None:
    validated = np.concatenate([validation for _, validation in folds])
    assert sorted(validated) == list(range(num_rows))
    for training, validation in folds:
        assert sorted([*training, *validation]) == list(range(num_rows))


@pytest.mark.parametrize("targets", ["labels", "one label", "numbers"])
@pytest.mark.parametrize("names", [GROUPS, np.array([f"p{n}" for n in GROUPS])], ids=["int", "str"])
def test_folds_made_from_a_number_keep_groups_together_for_any_targets(
    targets: str, names: npt.NDArray[Any]
) -> None:
    y = {"labels": Y, "one label": Y[:, 0], "numbers": X[:, :1]}[targets]
    folds = of_arrays(5, y=y, groups=names).folds
    assert len(folds) == 5
    assert_each_row_is_validated_once(folds, 48)
    for training, validation in folds:
        assert not set(names[training]) & set(names[validation])


def test_groups_are_divided_by_the_seed_and_stratified_where_there_are_labels() -> None:
    # One group in four has the label; a fold of six groups takes its share of 1.5 of them.
    y = np.zeros((48, 2), dtype=np.float32)
    y[:, 0] = GROUPS % 4 == 0
    y[:, 1] = 1 - y[:, 0]
    stratified = of_arrays(3, y=y)
    assert [y[validation, 0].sum() for _, validation in stratified.folds] == [4, 4, 4]
    again, other = of_arrays(3, y=y), of_arrays(3, y=y, seed=1)
    assert again.identity == stratified.identity
    assert other.identity["folds"] != stratified.identity["folds"]
    plain, anew = of_arrays(3, y=X[:, :1]), of_arrays(3, y=X[:, :1], seed=1)
    assert [len(validation) for _, validation in plain.folds] == [16, 16, 16]
    assert plain.identity["folds"] == of_arrays(3, y=X[:, :1]).identity["folds"]
    assert plain.identity["folds"] != anew.identity["folds"]


def test_more_folds_than_groups_and_faulty_groups_are_refused() -> None:
    for y in (Y, X[:, :1]):
        with pytest.raises(SearchError, match=r"5 folds for 4 group\(s\); .* at most 4 folds"):
            of_arrays(5, y=y, groups=np.arange(48) // 12)
    with pytest.raises(SearchError, match=r"groups is missing .* in row 3"):
        of_arrays(2, groups=[None if row == 3 else f"p{row // 4}" for row in range(48)])
    with pytest.raises(SearchError, match="x has 48, y has 48, groups has 47 rows"):
        of_arrays(2, groups=list(GROUPS[1:]))


def test_without_groups_rows_are_shuffled_by_the_seed() -> None:
    folds = of_arrays(4, groups=None).folds
    assert_each_row_is_validated_once(folds, 48)
    assert any((np.diff(validation) != 1).any() for _, validation in folds)
    same, other = of_arrays(4, groups=None), of_arrays(4, groups=None, seed=1)
    for pair, twin in zip(folds, same.folds, strict=True):
        np.testing.assert_array_equal(pair[1], twin[1])
    assert other.identity["folds"] != same.identity["folds"]


def test_a_splitter_is_given_the_groups() -> None:
    groups = np.arange(48) // 12
    folds = of_arrays(LeaveOneGroupOut(), groups=groups).folds
    assert [set(groups[validation]) for _, validation in folds] == [{0}, {1}, {2}, {3}]


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "1 folds; cross-validation needs at least 2"),
        (0, "0 folds; cross-validation needs at least 2"),
        (25, "the folds cannot be made: .*25"),
        (None, "cv=None; expected a number of folds, Folds or a scikit-learn splitter"),
        (2.0, r"cv=2\.0; expected a number of folds"),
        ([([0], [1])], "1 folds; cross-validation needs at least 2"),
        (
            [([0, 1], [2]), ([0, 4], [4, 6])],
            "fold 1 has 2 training and 2 validation rows; .* on both",
        ),
        ([([0], [2]), ([4], [])], "fold 1 has 1 training and 0 validation rows; one side is empty"),
        ([([0], [2]), ([4], [48])], "fold 1 has rows 4 to 48, but the data have 48"),
        ([([0], [2]), ([4], [5])], "fold 1: group 2 is on both sides; .* keeps groups together"),
    ],
)
def test_folds_that_cannot_score_are_refused_by_number(
    cv: list[tuple[list[int], list[int]]] | float | None, message: str
) -> None:
    with pytest.raises(SearchError, match=f"^{message}"):
        of_arrays(cv)


def test_folds_of_other_data_are_refused() -> None:
    folds = Folds(assignment=np.arange(47) % 2, num_folds=2, seed=0)
    with pytest.raises(
        SearchError, match="cannot be made: 48 rows, but the folds were made for 47"
    ):
        of_arrays(folds)


def test_the_identity_of_arrays_follows_every_value_type_and_fold() -> None:
    other_x, other_y = X.copy(), Y.copy()
    other_x[7, 3] += 1e-6
    other_y[7, 1] = 1 - other_y[7, 1]
    identity = of_arrays(GroupKFold(2)).identity
    assert of_arrays(GroupKFold(2), x=X.copy(order="F")).identity == identity
    assert of_arrays(GroupKFold(2), x=other_x).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), x=X.astype(np.float64)).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), x=X.reshape(48, 2, 2)).identity["inputs"] != identity["inputs"]
    assert of_arrays(GroupKFold(2), y=other_y).identity["targets"] != identity["targets"]
    assert of_arrays(GroupKFold(3)).identity["folds"] != identity["folds"]
    assert of_arrays(GroupKFold(3)).identity["num_folds"] == 3


# Radiographs.


@pytest.fixture(scope="module")
def development() -> Development:
    return Development(Radiographs(phantom_table(patients=40, seed=0)))


@pytest.fixture(autouse=True)
def features(
    monkeypatch: pytest.MonkeyPatch,
) -> Extractions:
    """Features without images: what was asked for, instead of the backbone's answer."""
    asked = []

    def extract(
        radiographs: Radiographs,
        recipe: FeatureRecipe,
        *,
        cache: str | Path | None,
        progress: Progress | None,
    ) -> FrozenFeatures:
        asked.append((radiographs.images, recipe, cache, radiographs.rows))
        values = np.random.default_rng(0).normal(size=(len(radiographs), 4, 8))
        return FrozenFeatures(values.astype(np.float32), "ab" * 32)

    monkeypatch.setattr(subjects, "features_of", extract)
    return asked


def of_radiographs(
    development: Development,
    cv: int | Folds | list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = 3,
    *,
    seed: int = 0,
    **changes: Any,
) -> subjects.Subject:
    protocol = Protocol.study(weights="random", image_size=75, **changes)
    hypermodel = TransferLearningHyperModel.from_protocol(protocol, SearchSpace(16, 0.25))
    return radiographs_subject(hypermodel, development, cv, seed=seed, progress=Silent())


def test_folds_made_from_a_number_are_those_of_make_folds(development: Development) -> None:
    folds = make_folds(development, 3, 7)
    for given in (3, folds):
        subject = of_radiographs(development, given, seed=7)
        for pair, expected in zip(subject.folds, folds, strict=True):
            np.testing.assert_array_equal(pair[0], expected[0])
            np.testing.assert_array_equal(pair[1], expected[1])
        assert subject.identity["num_folds"] == 3


@pytest.mark.parametrize("as_pairs", [False, True])
def test_a_patient_on_both_sides_of_a_given_fold_is_refused_by_name(
    as_pairs: bool,
    features: Extractions,
) -> None:
    table = phantom_table(patients=12, seed=1).sort_values("patient_id", ignore_index=True)
    development = Development(Radiographs(table))
    patients = development.radiographs.patient_ids
    cut = 1 + int(np.flatnonzero((patients[1:] == patients[:-1])[5:])[0]) + 5
    fold = (np.arange(len(patients)) >= cut).astype(int)
    splitter = Folds(assignment=fold, num_folds=2, seed=0)
    with pytest.raises(
        SearchError, match=f"^fold 0: patient {patients[cut]} is on both sides; use make_folds"
    ):
        of_radiographs(development, list(splitter) if as_pairs else splitter)
    assert features == []


def test_a_group_splitter_is_given_the_patients(development: Development) -> None:
    patients = development.radiographs.patient_ids
    for training, validation in of_radiographs(development, GroupKFold(4)).folds:
        assert not set(patients[training]) & set(patients[validation])


def test_the_view_only_figures_are_the_means_of_the_baseline_over_the_folds() -> None:
    # With views at random the two sides of a fold do not agree on which view has more of a label.
    table = phantom_table(patients=40, seed=0)
    table["view"] = np.random.default_rng(0).permutation(table["view"])
    development = Development(Radiographs(table))
    radiographs = development.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    baselines = [
        view_only_baseline(labels[training], labels[validation], visible[validation])
        for training, validation in make_folds(development, 3, 0)
    ]
    assert of_radiographs(development).view_only == {
        "val_auroc": pytest.approx(np.mean([b.auroc for b in baselines]), rel=1e-12),
        "val_cortex_auroc": pytest.approx(np.mean([b.cortex_auroc for b in baselines]), rel=1e-12),
    }


@pytest.mark.parametrize("masked_loss", [False, True])
def test_the_masked_loss_puts_minus_one_exactly_where_a_cortex_is_not_visible(
    masked_loss: bool, development: Development
) -> None:
    radiographs = development.radiographs
    targets = of_radiographs(development, masked_loss=masked_loss).data.targets
    assert targets.dtype == np.float32
    hidden = np.zeros(targets.shape, dtype=bool)
    hidden[:, NUM_VIEWS:] = ~radiographs.visible
    assert 0 < hidden.sum() < hidden.size
    np.testing.assert_array_equal(targets == -1, hidden & masked_loss)
    kept = ~hidden if masked_loss else np.ones_like(hidden)
    np.testing.assert_array_equal(targets[kept], radiographs.labels[kept])


def test_the_metrics_of_a_row_set_are_those_of_its_labels_and_its_visible_cortices(
    development: Development,
) -> None:
    radiographs = development.radiographs
    subject = of_radiographs(development, masked_loss=True)
    rows = subject.folds[1][1][::-1]
    answers = np.random.default_rng(3).uniform(size=(len(rows), NUM_LABELS)).astype(np.float32)
    labels, visible = radiographs.labels[rows], radiographs.visible[rows]
    assert subject.data.metrics([answers], [rows], ["here"])[0] == {
        "loss": binary_crossentropy(subject.data.targets[rows], answers),
        "auroc": macro_auroc(labels, answers),
        "cortex_auroc": macro_auroc(labels[:, NUM_VIEWS:], answers[:, NUM_VIEWS:], visible),
    }


def test_a_fold_with_nothing_to_score_is_named_before_any_long_work(
    features: Extractions,
) -> None:
    table = phantom_table(patients=8, seed=0)
    rows = np.flatnonzero(table["view"] == "ap")[:4]
    table = table.iloc[rows].reset_index(drop=True)
    table["patient_id"] = [f"p{n}" for n in range(4)]
    table[["medial", "lateral", "anterior", "posterior"]] = [1, 1, None, None]
    folds = Folds(assignment=np.array([0, 0, 1, 1]), num_folds=2, seed=0)
    with pytest.raises(MetricError, match=r"^fold 0: AUROC is undefined for all 18 labels"):
        of_radiographs(Development(Radiographs(table)), folds)
    assert features == []


def test_the_identity_names_data_folds_weights_and_preprocessing(
    development: Development,
    features: Extractions,
) -> None:
    subject = of_radiographs(development)
    identity = subject.identity
    ((images, recipe, cache, rows),) = features
    assert (images, rows) == (development.radiographs.images, development.radiographs.rows)
    assert cache is None
    assert identity["inputs"] == "ab" * 32
    assert identity["weights"] == recipe.weights.to_json()
    assert (identity["image_size"], identity["resize"]) == (75, "squash")
    assert identity["flips"] == "horizontal_and_vertical"
    assert identity["preprocessing"] == "minus_one_to_one"
    assert identity["masked_loss"] is False
    assert of_radiographs(development).identity == identity
    changed = {
        "folds": of_radiographs(development, seed=1),
        "targets": of_radiographs(development, masked_loss=True),
        "flips": of_radiographs(development, flips="none"),
        "resize": of_radiographs(development, resize="letterbox"),
    }
    for name, other in changed.items():
        assert other.identity[name] != identity[name]


def test_a_head_is_compiled_with_the_metric_that_it_is_given(development: Development) -> None:
    subject = of_radiographs(development)
    hp = keras_tuner.HyperParameters()
    model = subject.build(hp, None)
    assert model.output_shape == (None, NUM_LABELS)
    assert model.optimizer is not None
    assert hp.values["batch_size"] == 16
    assert subject.keeps_running


# Nothing of the radiographs but their views.


@pytest.mark.parametrize("masked_loss", [False, True])
def test_the_view_alone_has_all_of_the_radiographs_but_its_input(
    masked_loss: bool,
    development: Development,
    features: Extractions,
) -> None:
    whole = of_radiographs(development, masked_loss=masked_loss)
    protocol = Protocol.study(weights="random", masked_loss=masked_loss)
    hypermodel = TransferLearningHyperModel.from_protocol(protocol, SearchSpace(16, 0.25))
    asked = len(features)
    subject = view_subject(hypermodel, development, 3, seed=0)
    assert len(features) == asked
    views = development.radiographs.labels[:, :NUM_VIEWS]
    np.testing.assert_array_equal(is_a(FrozenFeatures, subject.data.inputs).values, views[:, None])
    np.testing.assert_array_equal(subject.data.targets, whole.data.targets)
    for name in ("targets", "rows", "folds", "num_folds", "units", "masked_loss"):
        assert subject.identity[name] == whole.identity[name]
    assert subject.identity["inputs"] != whole.identity["inputs"]
    assert subject.view_only == whole.view_only
    model = subject.build(keras_tuner.HyperParameters(), None)
    assert model.input_shape == (None, NUM_VIEWS)
    assert model.output_shape == (None, NUM_LABELS)


# Radiographs as images.


@pytest.fixture(scope="module")
def pictures(phantom_manifest: Path) -> Development:
    return Development(load_manifest(phantom_manifest))


@pytest.fixture(scope="module")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def of_images(pictures: Development, image_cache: Path) -> Callable[..., subjects.Subject]:
    def make(
        cv: int = 3,
        *,
        seed: int = 0,
        development: Development = pictures,
        kind: str = "lenet1998",
        **changes: Any,
    ) -> subjects.Subject:
        protocol = Protocol.study(image_size=75, **changes)
        hypermodel = ImageHyperModel.from_protocol(protocol, kind)  # type: ignore[arg-type]
        return images_subject(
            hypermodel, development, cv, seed=seed, cache=image_cache, progress=Silent()
        )

    return make


def test_images_come_decoded_in_the_order_of_the_radiographs(
    of_images: Callable[..., subjects.Subject], pictures: Development
) -> None:
    inputs = of_images(resize="letterbox").data.inputs
    assert is_a(np.ndarray, inputs).shape == (len(pictures.radiographs), 75, 75, 3)
    for row in (0, 5, -1):
        path = pictures.radiographs.images[row]
        np.testing.assert_array_equal(
            is_a(np.ndarray, inputs)[row], load_image(path, size=75, resize="letterbox")
        )


def test_images_are_decoded_once_into_a_file_that_is_mapped(
    of_images: Callable[..., subjects.Subject], image_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = of_images().data.inputs
    kept = list((image_cache / "images").iterdir())
    again = of_images(seed=1).data.inputs
    assert list((image_cache / "images").iterdir()) == kept
    owner = again
    while not isinstance(owner, np.memmap):
        owner = is_a(np.ndarray, owner).base  # type: ignore[assignment]
    assert not is_a(np.ndarray, again).flags.writeable
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("masked_loss", [False, True])
def test_images_have_the_folds_targets_figures_and_baseline_of_the_features(
    of_images: Callable[..., subjects.Subject], pictures: Development, masked_loss: bool
) -> None:
    ours = of_images(masked_loss=masked_loss)
    theirs = of_radiographs(pictures, masked_loss=masked_loss)
    for name in ("folds", "targets", "num_folds", "masked_loss", "image_size", "preprocessing"):
        assert ours.identity[name] == theirs.identity[name]
    assert ours.view_only == theirs.view_only
    np.testing.assert_array_equal(ours.data.targets, theirs.data.targets)
    rows = ours.folds[1][1]
    answers = np.random.default_rng(3).uniform(size=(len(rows), NUM_LABELS)).astype(np.float32)
    asked = ([answers], [rows], ["here"])
    assert ours.data.metrics(*asked) == theirs.data.metrics(*asked)
    assert set(ours.data.metrics(*asked)[0]) == {"loss", "auroc", "cortex_auroc"}


def test_the_identity_of_images_follows_content_model_and_preprocessing(
    of_images: Callable[..., subjects.Subject], pictures: Development, tmp_path: Path
) -> None:
    identity = of_images().identity
    assert of_images().identity == identity
    assert identity["model"] == "lenet1998"
    assert (identity["weights"]["asked"], identity["weights"]["file"]) == ("random", None)
    assert len(identity["weights"]["sha256"]) == 64
    assert identity["num_replicas"] == 1
    table = pictures.radiographs.table.copy()
    table["image"] = table["image"].to_numpy()[::-1]
    changed = {
        "inputs": of_images(development=Development(Radiographs(table))),
        "folds": of_images(seed=1),
        "targets": of_images(masked_loss=True),
        "resize": of_images(resize="letterbox"),
        "flips": of_images(flips="none"),
        "precision": of_images(precision="bfloat16"),
        "model": of_images(kind="inceptionv3_end2end"),
    }
    for name, other in changed.items():
        assert other.identity[name] != identity[name], name
    assert changed["resize"].identity["inputs"] != identity["inputs"]
    assert changed["flips"].identity["inputs"] == identity["inputs"]


@pytest.mark.slow
def test_an_image_model_is_compiled_with_the_metric_that_it_is_given(
    of_images: Callable[..., subjects.Subject],
) -> None:
    subject = of_images()
    running = RunningPredictions((4, NUM_LABELS))
    hp = keras_tuner.HyperParameters()
    model = subject.build(hp, running)
    model.train_on_batch(is_a(np.ndarray, subject.data.inputs)[:4], subject.data.targets[:4])
    assert float(running.result()) == 4
    assert hp.values["batch_size"] == 128
    assert subject.keeps_running


def test_several_devices_keep_no_training_predictions(
    of_images: Callable[..., subjects.Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageHyperModel, "num_replicas", 2)
    subject = of_images()
    assert not subject.keeps_running
    assert subject.identity["num_replicas"] == 2


def test_a_fold_of_images_with_nothing_to_score_is_named_before_any_is_decoded(
    tmp_path: Path,
) -> None:
    table = phantom_table(patients=8, seed=0)
    rows = np.flatnonzero(table["view"] == "ap")[:4]
    table = table.iloc[rows].reset_index(drop=True)
    table["patient_id"] = [f"p{n}" for n in range(4)]
    table[["medial", "lateral", "anterior", "posterior"]] = [1, 1, None, None]
    folds = Folds(assignment=np.array([0, 0, 1, 1]), num_folds=2, seed=0)
    development = Development(Radiographs(table))
    with pytest.raises(MetricError, match=r"^fold 0: AUROC is undefined for all 18 labels"):
        images_subject(
            ImageHyperModel("lenet1998", image_size=75),
            development,
            folds,
            seed=0,
            cache=tmp_path,
            progress=Silent(),
        )
    assert list(tmp_path.iterdir()) == []


def test_radiographs_need_a_hypermodel_that_says_how_it_takes_them(
    tmp_path: Path, pictures: Development
) -> None:
    oracle = GridSearchOracle(keras_tuner.Objective("val_auroc", "max"))
    tuner = CrossValidationTuner(TinyHyperModel(), oracle, cv=2, directory=tmp_path)
    with pytest.raises(SearchError, match="TinyHyperModel has no frozen backbone and no recipe"):
        tuner.search(pictures)
