"""Backbones: that weights load whole or are refused, and what a random one is."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras.src.legacy.saving import legacy_h5_format

from rust_tuner.errors import WeightsError
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.models.description import BACKBONE, DEMONSTRATION_BACKBONE, NUM_FEATURES
from rust_tuner.models.weights import WEIGHTS_VARIABLE, BackboneWeights

# NumPy 2 asks for a keyword that Keras's variables do not know; Keras saves through it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIZE = 75

Arrays = list[npt.NDArray[np.float32]]

FORMS = (
    "legacy weights",
    pytest.param("legacy model", marks=pytest.mark.slow),
    pytest.param("weights", marks=pytest.mark.slow),
    pytest.param("model", marks=pytest.mark.slow),
)


def weights_of(model: keras.Model) -> Arrays:
    return [np.asarray(weight) for weight in model.get_weights()]


def kernels_of(model: keras.Model) -> Arrays:
    return [
        np.asarray(layer.kernel) for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]


def are_equal(first: Arrays, second: Arrays) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def write_legacy_weights(model: keras.Model, path: Path) -> None:
    """Weights alone in the HDF5 form of Keras 2, in which Keras publishes ImageNet's."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.fixture(scope="module")
def random_backbone() -> keras.Model:
    return build_backbone(find_weights("random"), image_size=SIZE)


@pytest.fixture(scope="module")
def known() -> keras.Model:
    """An InceptionV3 in which every weight, the moving statistics too, is its own."""
    model = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.random(w.shape, dtype=np.float32) for w in model.get_weights()])
    return model


class Files(dict[str, Path]):
    """The same weights in every form; a file of 90 MB is written when it is first asked for."""

    def __init__(self, model: keras.Model, folder: Path) -> None:
        self._model, self._folder = model, folder

    def __missing__(self, form: str) -> Path:
        name, write = {
            "legacy weights": ("weights_only.h5", self._write_legacy_weights),
            # As RadImageNet's file was made.
            "legacy model": ("whole_model.h5", self._model.save),
            "weights": ("x.weights.h5", self._model.save_weights),
            "model": ("x.keras", self._model.save),
        }[form]
        self[form] = self._folder / name
        write(self[form])
        return self[form]

    def _write_legacy_weights(self, path: Path) -> None:
        write_legacy_weights(self._model, path)


@pytest.fixture(scope="module")
def files(known: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder = tmp_path_factory.mktemp("weights")
    yield Files(known, folder)
    shutil.rmtree(folder)


@pytest.fixture
def kept_backbone(
    random_backbone: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> Iterator[keras.Model]:
    """Saves the two seconds of a new InceptionV3, whose initial weights do not matter here."""
    monkeypatch.setattr(keras.applications, "InceptionV3", lambda **options: random_backbone)
    before = [weight.copy() for weight in weights_of(random_backbone)]
    yield random_backbone
    random_backbone.set_weights(before)
    random_backbone.trainable = False


# ---------------------------------------------------------------------------------------- random


@pytest.mark.slow
def test_random_weights_are_the_same_twice_and_not_those_that_keras_drew(
    random_backbone: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: Arrays = []
    build = keras.applications.InceptionV3

    def watched(**options: Any) -> keras.Model:
        model = build(**options)
        drawn.extend(kernel.copy() for kernel in kernels_of(model))
        return model

    monkeypatch.setattr(keras.applications, "InceptionV3", watched)
    keras.utils.set_random_seed(99)
    again = build_backbone(find_weights("random"), image_size=SIZE)
    assert are_equal(weights_of(again), weights_of(random_backbone))
    assert len(drawn) == 94
    assert not any(map(np.array_equal, drawn, kernels_of(again)))


@pytest.mark.slow
def test_random_weights_are_those_that_their_hash_stands_for(random_backbone: keras.Model) -> None:
    # Other draws need another version in the description that is hashed: caches go by it.
    expected = "ffd835c2cbe6549d10ac8c8d06f823012cc0071e073f59737961a0eee5e85c89"
    assert find_weights("random").sha256 == expected
    kernels = kernels_of(random_backbone)
    assert kernels[0].ravel()[:3] == pytest.approx([-0.283542, 0.384047, -0.364658], rel=1e-5)
    assert kernels[-1].ravel()[-3:] == pytest.approx([0.0174212, 0.04157, 0.0513513], rel=1e-5)
    total = sum(np.abs(kernel).sum(dtype=np.float64) for kernel in kernels)
    assert total == pytest.approx(722345.794, rel=1e-6)


@pytest.mark.slow
def test_random_features_tell_images_apart(random_backbone: keras.Model) -> None:
    images = np.random.default_rng(2).uniform(-1, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    features = np.asarray(random_backbone(images)).max(axis=(1, 2))
    assert features.shape == (3, 2048)
    assert np.isfinite(features).all()
    spread = np.abs(features[0] - features[1]).max() / np.abs(features).max()
    assert spread > 0.01
    assert 0.01 < features.std() < 10


# ---------------------------------------------------------------------------------------- loading


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_gives_the_same_weights(
    form: str, files: Files, known: keras.Model, kept_backbone: keras.Model
) -> None:
    loaded = build_backbone(find_weights(files[form]), image_size=SIZE)
    assert are_equal(weights_of(loaded), weights_of(known))


@pytest.mark.slow
def test_a_suffix_of_hdf5_is_one_of_h5(
    files: Files, known: keras.Model, kept_backbone: keras.Model
) -> None:
    path = files["legacy weights"].with_suffix(".hdf5")
    os.link(files["legacy weights"], path)
    loaded = build_backbone(find_weights(path), image_size=SIZE)
    assert are_equal(weights_of(loaded), weights_of(known))


@pytest.mark.slow
def test_a_backbone_trains_only_where_it_is_asked_to(kept_backbone: keras.Model) -> None:
    frozen = build_backbone(find_weights("random"), image_size=SIZE)
    assert frozen.trainable_weights == []
    trained = build_backbone(find_weights("random"), image_size=SIZE, trainable=True)
    assert len(trained.trainable_weights) == 2 * 94


@pytest.mark.slow
def test_a_file_that_was_replaced_since_it_was_hashed_is_refused(
    files: Files, kept_backbone: keras.Model
) -> None:
    replaced = dataclasses.replace(find_weights(files["legacy weights"]), sha256="0" * 64)
    with pytest.raises(WeightsError, match="changed while it was in use"):
        build_backbone(replaced, image_size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_file_is_refused_by_name(
    form: str, files: Files, tmp_path: Path, kept_backbone: keras.Model
) -> None:
    path = tmp_path / files[form].name
    shutil.copy(files[form], path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(WeightsError, match=rf"{path.name} does not hold the weights of Incep"):
        build_backbone(find_weights(path), image_size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"no weights at all" * 100], ids=["empty", "text"])
@pytest.mark.parametrize("name", ["x.h5", "x.weights.h5", "x.keras"])
def test_a_file_that_is_no_weights_is_refused_by_name(
    name: str, content: bytes, tmp_path: Path, kept_backbone: keras.Model
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} does not hold the weights of InceptionV3"):
        build_backbone(find_weights(tmp_path / name), image_size=SIZE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping nested container at:UserWarning")
@pytest.mark.parametrize("name", ["legacy.h5", "model.h5", "x.weights.h5", "x.keras"])
def test_another_architecture_is_refused_by_name(
    name: str, tmp_path: Path, kept_backbone: keras.Model
) -> None:
    inputs = keras.Input((SIZE, SIZE, 3))
    hidden = keras.layers.Conv2D(32, 3, use_bias=False)(inputs)
    other = keras.Model(inputs, keras.layers.BatchNormalization(scale=False)(hidden))
    path = tmp_path / name
    if name == "legacy.h5":
        write_legacy_weights(other, path)
    elif name == "x.weights.h5":
        other.save_weights(path)
    else:
        other.save(path)
    with pytest.raises(WeightsError, match=rf"{name} does not hold the weights of InceptionV3"):
        build_backbone(find_weights(path), image_size=SIZE)


@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused(
    files: Files, tmp_path: Path, kept_backbone: keras.Model
) -> None:
    path = tmp_path / "x.h5"
    shutil.copy(files["legacy weights"], path)
    with h5py.File(path, "r+") as file:
        datasets: list[h5py.Dataset] = []
        file.visititems(
            lambda name, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None
        )
        datasets[40][...] = np.nan
    with pytest.raises(WeightsError, match=r"x\.h5 holds weights that are not finite"):
        build_backbone(find_weights(path), image_size=SIZE)


@pytest.mark.parametrize(("skipped", "told"), [(94, "94 of"), (1, "1 of")])
def test_a_file_that_leaves_layers_as_they_were_is_refused(
    skipped: int,
    told: str,
    tmp_path: Path,
    kept_backbone: keras.Model,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "x.h5").write_bytes(b"anything")
    layers = [layer for layer in kept_backbone.layers if isinstance(layer, keras.layers.Conv2D)]

    def load(path: Path) -> None:
        for layer in layers[skipped:]:
            layer.kernel.assign(np.asarray(layer.kernel) + 1)

    monkeypatch.setattr(kept_backbone, "load_weights", load)
    with pytest.raises(WeightsError, match=rf"{told} InceptionV3's 94 convolutions unchanged"):
        build_backbone(BackboneWeights("x.h5", tmp_path / "x.h5", ""), image_size=SIZE)


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get(WEIGHTS_VARIABLE),
    reason=f"needs pretrained weights; set {WEIGHTS_VARIABLE} to a file of InceptionV3 without top",
)
def test_real_weights_load_and_their_features_tell_images_apart() -> None:
    weights = find_weights("imagenet")
    named = Path(os.environ[WEIGHTS_VARIABLE])
    assert weights.path == named
    assert weights.sha256 == hashlib.sha256(named.read_bytes()).hexdigest()
    backbone = build_backbone(weights, image_size=SIZE)
    variances = [
        np.asarray(layer.moving_variance)
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert all((variance != 1).any() for variance in variances)
    images = np.random.default_rng(2).uniform(-1, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    features = np.asarray(backbone(images)).max(axis=(1, 2))
    assert np.isfinite(features).all()
    assert not np.allclose(features[0], features[1], rtol=0.01)


def test_the_demonstrations_network_is_built_with_the_weights_that_its_record_describes() -> None:
    weights = find_weights("phantoms")
    assert weights.path is not None
    origin = json.loads(weights.path.with_name("phantoms.json").read_text())
    assert origin["sha256"] == weights.sha256
    assert origin["script"] == "experiments/demonstration_backbone.py"
    assert origin["cortex_auroc"] >= 0.7
    backbone = build_backbone(weights, image_size=SIZE)
    assert backbone.output_shape[-1] == NUM_FEATURES
    assert not backbone.trainable_weights
    with h5py.File(weights.path) as file:
        stored = []
        file.visititems(lambda _, item: stored.append(item) if hasattr(item, "shape") else None)
        saved = sorted(np.asarray(item, dtype=np.float64).sum() for item in stored)
    built = sorted(np.asarray(item, dtype=np.float64).sum() for item in weights_of(backbone))
    np.testing.assert_allclose(built, saved, rtol=1e-6)


def test_features_of_the_demonstrations_network_are_kept_apart_from_inceptionv3s() -> None:
    kinds = [find_weights(name) for name in ("phantoms", "random")]
    assert [kind.backbone for kind in kinds] == [DEMONSTRATION_BACKBONE, BACKBONE]
