"""Features by onnxruntime: those of Keras to the last digits, with bits of their own."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rust_tuner import Protocol, Study
from rust_tuner.errors import ExtraError, ProtocolError
from rust_tuner.models import feature_recipe
from rust_tuner.models import features as features_module
from rust_tuner.models.architectures import feature_extractor
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.models.features import FeatureRecipe, extract_features, features_sha256
from rust_tuner.models.onnx_extractor import OnnxExtractor

SIZE = 80
PHANTOMS = find_weights("phantoms")
KERAS = FeatureRecipe(PHANTOMS, SIZE, "squash", "horizontal")
ONNX = dataclasses.replace(KERAS, extractor="onnxruntime")

FloatArray = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(4)]
    for path in paths:
        pixels = rng.uniform(-1, 1, (90, 70)).cumsum(0).cumsum(1)
        pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return paths


@pytest.fixture(scope="module")
def installed() -> None:
    for package in ("onnxruntime", "onnx"):
        pytest.importorskip(package, reason="needs the extra onnx")


def pictures(count: int, size: int = SIZE) -> FloatArray:
    rng = np.random.default_rng(1)
    return rng.uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def assert_almost_equal(found: FloatArray, expected: Any) -> None:
    expected = np.asarray(expected)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.ptp(found, axis=0).max() > 0.01 * np.abs(found).max()


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.usefixtures("installed")
def test_features_of_inceptionv3_are_those_of_keras() -> None:
    backbone = build_backbone(find_weights("random"), image_size=75)
    expected = feature_extractor(backbone)(pictures(2, 75), training=False)
    found = OnnxExtractor(backbone)(pictures(2, 75))
    assert found.dtype == np.float32
    assert_almost_equal(found, expected)


@pytest.mark.usefixtures("installed")
def test_layers_of_every_known_kind_are_those_of_keras() -> None:
    layers = keras.layers
    inputs = keras.Input((13, 11, 3))
    first = layers.Conv2D(6, (3, 1), padding="same", activation="relu")(inputs)
    second = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(inputs)
    third = layers.AveragePooling2D(3, strides=2, padding="same")(first)
    fourth = layers.MaxPooling2D(2, strides=2, padding="same")(first)
    maps = layers.Concatenate()([second, third, fourth])
    maps = layers.BatchNormalization(scale=False, center=False)(maps)
    maps = layers.Conv2D(8, 2, dilation_rate=2, groups=4)(layers.ReLU()(maps))
    maps = layers.Activation("relu")(layers.BatchNormalization(epsilon=0.1)(maps))
    model = keras.Model(inputs, layers.MaxPooling2D(2)(maps))
    rng = np.random.default_rng(2)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    images = rng.uniform(-1, 1, (3, 13, 11, 3)).astype(np.float32)
    expected = np.asarray(model(images, training=False)).max(axis=(1, 2))
    assert_almost_equal(OnnxExtractor(model)(images), expected)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (keras.layers.ZeroPadding2D(1, name="odd"), "layer odd of net (ZeroPadding2D in float32)"),
        (keras.layers.Conv2D(2, 1, activation="gelu", name="odd"), "gelu of the layer odd"),
        (keras.layers.Conv2D(2, 1, dtype="mixed_bfloat16", name="odd"), "Conv2D in bfloat16"),
    ],
    ids=["kind", "activation", "precision"],
)
def test_a_layer_that_cannot_be_translated_is_named(layer: keras.Layer, named: str) -> None:
    inputs = keras.Input((4, 4, 3))
    with pytest.raises(ProtocolError, match="use extractor='keras'") as caught:
        OnnxExtractor(keras.Model(inputs, layer(inputs), name="net"))
    assert named in str(caught.value)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_features_are_cached_apart_and_their_bits_depend_on_the_image_alone(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone(PHANTOMS, image_size=SIZE)
    monkeypatch.setattr(features_module, "build_backbone", lambda *args, **options: backbone)
    keras_values = extract_features(images, KERAS, cache=tmp_path / "a").values
    found = extract_features(images, ONNX, cache=tmp_path / "a")
    assert_almost_equal(found.values.reshape(8, -1), keras_values.reshape(8, -1))
    assert len(list((tmp_path / "a").glob("*/about.json"))) == 2
    backwards = extract_features(images[::-1], ONNX, cache=tmp_path / "b").values
    assert np.array_equal(found.values, backwards[::-1])
    alone = extract_features(images[2:3], ONNX, cache=tmp_path / "c").values
    assert np.array_equal(found.values[2], alone[0])
    assert found.sha256 == features_sha256(images, ONNX) != features_sha256(images, KERAS)


@pytest.mark.slow
@pytest.mark.usefixtures("installed")
def test_features_of_another_version_are_not_read(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone(PHANTOMS, image_size=SIZE)
    monkeypatch.setattr(features_module, "build_backbone", lambda *args, **options: backbone)
    for version in ("1.98", "1.99"):
        monkeypatch.setattr(feature_recipe, "onnxruntime_version", lambda version=version: version)
        extract_features(images[:1], ONNX, cache=tmp_path)
        assert ONNX.engine == {"onnxruntime": version}
    assert len(list(tmp_path.glob("*/*/*.f32"))) == 2


def test_recipes_of_keras_are_those_of_earlier_versions() -> None:
    assert KERAS.engine == {}
    assert "extractor" not in KERAS.described
    recipe = FeatureRecipe(find_weights("random"), 75, "squash", "none")
    expected = "bbda8e295d583436ab11a1704d080dc5608cab2cf43cc12e13e116b70f1381d4"
    assert recipe.sha256 == expected


def test_a_study_without_the_packages_is_refused_before_anything_is_written(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    protocol = dataclasses.replace(tiny_protocol, extractor="onnxruntime")
    with pytest.raises(ExtraError, match=r"pip install onnxruntime.*rust-tuner\[onnx\]"):
        Study(tmp_path / "study", phantom_manifest, protocol).prepare()
    assert not (tmp_path / "study" / "study.json").exists()
    with pytest.raises(ExtraError, match=r"rust-tuner\[onnx\]"):
        extract_features([], ONNX, cache=tmp_path)


def test_onnxruntime_computes_in_float32_alone() -> None:
    with pytest.raises(ProtocolError, match="keras where the precision is bfloat16"):
        Protocol(extractor="onnxruntime", precision="bfloat16")
