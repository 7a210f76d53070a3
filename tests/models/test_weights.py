"""Weights are found and their shapes checked without TensorFlow."""

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from rust_tuner.errors import WeightsError
from rust_tuner.models.weights import (
    NUM_CONVOLUTIONS,
    NUM_KERNEL_WEIGHTS,
    BackboneWeights,
    check_architecture,
    describe_file,
    find_local_weights,
)


def write(path: Path, shapes: Sequence[tuple[int, ...]]) -> BackboneWeights:
    with h5py.File(path, "w") as file:
        for number, shape in enumerate(shapes):
            # No chunk is written, so that the file is small.
            file.create_dataset(f"layer_{number}/vars/0", shape=shape, chunks=True)
    return describe_file(str(path), path)


def right() -> list[tuple[int, int, int, int]]:
    """As many kernels with as many weights as InceptionV3 has."""
    rest = NUM_KERNEL_WEIGHTS - (NUM_CONVOLUTIONS - 1)
    return [(1, 1, 1, 1)] * (NUM_CONVOLUTIONS - 1) + [(1, 1, 1, rest)]


def test_a_file_with_the_kernels_of_inceptionv3_is_taken(tmp_path: Path) -> None:
    check_architecture(write(tmp_path / "a.h5", [*right(), (32,)]))
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
        archive.write(tmp_path / "a.h5", "model.weights.h5")
    check_architecture(describe_file("b", tmp_path / "b.keras"))
    random = find_local_weights("random")
    assert random is not None
    check_architecture(random)


def test_a_file_that_keras_reads_under_another_name_only_is_refused_with_that_name(
    tmp_path: Path,
) -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    model.save_weights(tmp_path / "mine.weights.h5")
    (tmp_path / "mine.weights.h5").rename(tmp_path / "mine.h5")
    with pytest.raises(WeightsError, match=r"Keras 3.*rename it to mine\.weights\.h5"):
        check_architecture(describe_file("mine", tmp_path / "mine.h5"))
    (tmp_path / "mine.h5").rename(tmp_path / "mine.weights.h5")
    with pytest.raises(WeightsError, match="convolution"):
        check_architecture(describe_file("mine", tmp_path / "mine.weights.h5"))


def test_the_kernels_of_an_optimizer_are_not_counted(tmp_path: Path) -> None:
    weights = write(tmp_path / "a.h5", right())
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.create_dataset("optimizer_weights/m", shape=(3, 3, 3, 32))
    check_architecture(weights)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([], "0 convolutions with 0 weights, expected 94 with 21,751,136"),
        ([(7, 7, 3, 64)], "1 convolutions with 9,408 weights"),
        (right()[:-1], "93 convolutions"),
        ([*right(), (2048, 1000)], "with its top; use the file without it"),
    ],
)
def test_another_model_is_refused_with_what_it_holds(
    tmp_path: Path, shapes: Sequence[tuple[int, ...]], told: str
) -> None:
    with pytest.raises(WeightsError, match=told):
        check_architecture(write(tmp_path / "a.h5", shapes))


@pytest.mark.parametrize("name", ["a.h5", "a.keras"])
@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_model_file_is_a_weights_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold the weights of InceptionV3 without"):
        check_architecture(describe_file(name, tmp_path / name))


def test_a_zip_without_weights_is_a_weights_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(WeightsError, match="does not hold the weights"):
        check_architecture(describe_file("a", tmp_path / "a.keras"))


def test_a_folder_in_the_files_place_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(WeightsError, match="is not a regular file"):
        find_local_weights(tmp_path / "a.h5")
    with pytest.raises(WeightsError, match="does not exist"):
        find_local_weights(tmp_path / "b.h5")


def test_imagenets_weights_are_taken_from_kerass_folder_only_where_they_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert find_local_weights("imagenet") is None
    path = tmp_path / "models" / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.parent.mkdir()
    path.write_bytes(bytes(8))
    assert find_local_weights("imagenet") is None
    monkeypatch.setattr(
        "rust_tuner.models.weights.IMAGENET_MD5", "7dea362b3fac8e00956a4952a3d4f474"
    )
    found = find_local_weights("imagenet")
    assert found is not None
    assert (found.asked, found.path) == ("imagenet", path)


def test_nothing_starts_tensorflow() -> None:
    code = (
        "import sys, rust_tuner.models.weights\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_the_numbers_are_those_of_kerass_model() -> None:
    import keras

    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    kernels = [layer.kernel for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(kernels) == NUM_CONVOLUTIONS
    assert sum(int(np.prod(kernel.shape)) for kernel in kernels) == NUM_KERNEL_WEIGHTS
