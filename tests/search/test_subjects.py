"""Radiographs as a subject: patients are kept apart, figures are the reference's, all is named."""

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt
import pytest
from narrowing import is_a
from radiograph_subjects import Extractions, of_radiographs, without_a_backbone
from sklearn.model_selection import GroupKFold

from rust_tuner import Protocol
from rust_tuner.data.folds import Folds, make_folds
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import MetricError, SearchError
from rust_tuner.labels import NUM_LABELS, NUM_VIEWS
from rust_tuner.metrics import macro_auroc, view_only_baseline
from rust_tuner.models.features import FrozenFeatures
from rust_tuner.models.hypermodels import SearchSpace, TransferLearningHyperModel
from rust_tuner.search.subjects import binary_crossentropy, view_subject


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


@pytest.fixture(scope="module")
def development() -> Development:
    return Development(Radiographs(phantom_table(patients=40, seed=0)))


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> Extractions:
    """Features without images: what was asked for, instead of the backbone's answer."""
    return without_a_backbone(monkeypatch)


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
    as_pairs: bool, features: Extractions
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


def test_a_fold_with_nothing_to_score_is_named_before_any_long_work(features: Extractions) -> None:
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
    development: Development, features: Extractions
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


@pytest.mark.parametrize("masked_loss", [False, True])
def test_the_view_alone_has_all_of_the_radiographs_but_its_input(
    masked_loss: bool, development: Development, features: Extractions
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
