"""Phantoms written as DICOM give the features of their PNGs, whatever the form of the file."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

pytest.importorskip("pydicom")
from dicom_files import dataset, table, tables, write
from pydicom.uid import JPEG2000Lossless, RLELossless

from rust_tuner.data.images import load_image

SIZE = 96
KINDS = ("window", "LUT", "nothing")
FORMS = list(
    itertools.product(
        ("MONOCHROME1", "MONOCHROME2"), (10, 12, 16), KINDS, (None, RLELossless, JPEG2000Lossless)
    )
)


@pytest.fixture(scope="module")
def pngs(phantom_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three phantoms as 16-bit PNG that fill the range, as percentiles show them."""
    folder = tmp_path_factory.mktemp("pngs")
    paths = []
    for source in sorted((phantom_manifest.parent / "images").iterdir())[:3]:
        with Image.open(source) as image:
            pixels = np.asarray(image).astype(float)
        high, wide = (2 * (side // 2) for side in pixels.shape)
        pixels = pixels[:high, :wide].reshape(high // 2, 2, wide // 2, 2).mean(axis=(1, 3))
        low, high = np.percentile(pixels, (0.5, 99.5))
        deep = np.rint(np.clip((pixels - low) / (high - low), 0, 1) * 65535).astype(np.uint16)
        paths.append(folder / source.name)
        Image.fromarray(deep).save(paths[-1])
    return paths


def as_dicom(folder: Path, png: Path, photometric: str, bits: int, kind: str, syntax: Any) -> Path:
    """The same radiograph; values fill 7/8 of the range if an element says so."""
    with Image.open(png) as image:
        shown = np.asarray(image) / 65535
    if photometric == "MONOCHROME1":
        shown = 1 - shown
    white = (1 << bits) - 1
    first, span = (0, white) if kind == "nothing" else (white // 16, 7 * (white // 8))
    elements: dict[str, Any] = {"PhotometricInterpretation": photometric}
    if kind == "window":
        elements |= {"WindowCenter": first + (span + 1) / 2, "WindowWidth": span + 1}
    elif kind == "LUT":
        entries = np.rint(np.linspace(0, 65535, span + 1)).astype(np.uint16)
        elements["VOILUTSequence"] = tables(table(entries, first=first, bits=16))
    stored = np.rint(first + shown * span).astype(np.uint16)
    file = dataset(stored, bits=bits, **elements)
    if syntax is not None:
        file.compress(syntax, generate_instance_uid=False)
    return write(folder, file, f"{png.stem}_{photometric}_{bits}_{kind}_{syntax}.dcm")


def tiny_features(path: Path) -> npt.NDArray[np.float64]:
    """The mean activations of random 8 by 8 filters."""
    filters = np.random.default_rng(0).normal(size=(64, 32))
    pixels = load_image(path, size=SIZE)[:, :, 0]
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (8, 8))[::4, ::4].reshape(-1, 64)
    mean: npt.NDArray[np.float64] = np.maximum(patches @ filters, 0).mean(axis=0)
    return mean


def difference(of: npt.NDArray[Any], reference: npt.NDArray[Any]) -> float:
    return float(np.linalg.norm(of - reference) / np.linalg.norm(reference))


@pytest.mark.slow
@pytest.mark.parametrize(("photometric", "bits", "kind", "syntax"), FORMS)
def test_a_phantom_as_dicom_has_the_features_of_its_png(
    tmp_path: Path, pngs: list[Path], photometric: str, bits: int, kind: str, syntax: Any
) -> None:
    path = as_dicom(tmp_path, pngs[0], photometric, bits, kind, syntax)
    assert difference(tiny_features(path), tiny_features(pngs[0])) < 1e-2


def test_the_tiny_features_tell_phantoms_and_inverted_pictures_apart(
    tmp_path: Path, pngs: list[Path]
) -> None:
    first, second = tiny_features(pngs[0]), tiny_features(pngs[1])
    assert difference(second, first) > 5e-2
    with Image.open(pngs[0]) as image:
        Image.fromarray(65535 - np.asarray(image)).save(tmp_path / "x.png")
    assert difference(tiny_features(tmp_path / "x.png"), first) > 5e-2


@pytest.mark.slow
def test_phantoms_as_dicom_have_the_backbones_features_of_their_pngs(
    tmp_path: Path, pngs: list[Path]
) -> None:
    from rust_tuner.models.backbones import find_weights
    from rust_tuner.models.features import FeatureRecipe, extract_features

    name = "imagenet" if os.environ.get("RUST_TUNER_WEIGHTS") else "random"
    recipe = FeatureRecipe(find_weights(name), 128, "squash", "none")
    files = [as_dicom(tmp_path, pngs[index % 3], *form) for index, form in enumerate(FORMS)]
    reference = extract_features(pngs, recipe, cache=tmp_path / "cache").values
    features = extract_features(files, recipe, cache=tmp_path / "cache").values
    for index, (file, feature) in enumerate(zip(files, features, strict=True)):
        assert difference(feature, reference[index % 3]) < 1e-2, file.name
