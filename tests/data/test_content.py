"""What is made from an image is kept under the hash of what was read, and of nothing else."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rust_tuner import Protocol, Study, load_manifest
from rust_tuner.data.content import hash_images
from rust_tuner.data.images import load_image
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.reading import AS_STORED, Reading
from rust_tuner.errors import ImageError
from rust_tuner.files import sha256_of_file

CHANGED = r"row 5: changed while it was in use"


def save(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 60)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def manifest(tmp_path: Path, phantom_manifest: Path) -> Path:
    """Of images that a test may change."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    return tmp_path / "radiographs" / phantom_manifest.name


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "one.png"
    save(path, 0)
    return path


def test_the_key_is_that_of_the_content_and_the_reading(image: Path) -> None:
    (plain,), (held,) = hash_images([image], [5])
    (boxed,), _ = hash_images([image], [5], [Reading(box=(0, 0, 20, 20))])
    assert plain == held.sha256 != boxed
    assert held.key(plain) == AS_STORED.key(plain) == plain


def test_another_content_than_was_hashed_is_refused(image: Path) -> None:
    _, (held,) = hash_images([image], [5])
    assert load_image(image, size=30, row=5, reading=held).shape == (30, 30, 3)
    save(image, 1)
    with pytest.raises(ImageError, match=CHANGED):
        load_image(image, size=30, row=5, reading=held)
    with pytest.raises(ImageError, match=CHANGED):
        hash_images([image], [5], [held])


def replaced_after_hashing(monkeypatch: pytest.MonkeyPatch, module: Any, image: Path) -> None:
    """As an export does that writes an image again while a study reads the others."""

    def hashed(*arguments: Any) -> Any:
        found = hash_images(*arguments)
        save(image, 1)
        return found

    monkeypatch.setattr(module, "hash_images", hashed)


def test_an_image_that_is_replaced_before_it_is_decoded_leaves_no_entry(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rust_tuner.data import pipeline

    loaded = load_manifest(manifest)
    replaced_after_hashing(monkeypatch, pipeline, loaded.images[3])
    with pytest.raises(ImageError, match=CHANGED):
        decode_images(loaded, image_size=30, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.images"))


def test_features_of_a_replaced_image_are_not_kept_under_its_predecessor(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stand_ins import backbone_stand_in

    from rust_tuner.models import features
    from rust_tuner.models.backbones import find_weights

    loaded = load_manifest(manifest)
    monkeypatch.setattr("rust_tuner.models.features.build_backbone", backbone_stand_in)
    replaced_after_hashing(monkeypatch, features, loaded.images[3])
    recipe = features.FeatureRecipe(find_weights("random"), 75, "squash", "none")
    with pytest.raises(ImageError, match=CHANGED):
        features.extract_features(loaded.images, recipe, rows=loaded.rows, cache=tmp_path / "cache")
    digest = sha256_of_file(loaded.images[3])
    assert not list((tmp_path / "cache").rglob(f"{digest}*"))


def test_a_study_reads_only_what_it_has_checked(
    tmp_path: Path, manifest: Path, tiny_protocol: Protocol
) -> None:
    """Also images that are read without a cache, long after the check, as the sealed ones are."""
    found = Study(tmp_path / "study", manifest, tiny_protocol).prepare().radiographs
    assert all(reading.sha256 for reading in found.readings)
    save(found.images[3], 1)
    with pytest.raises(ImageError, match=rf"row {found.rows[3]}: changed"):
        decode_images(found, image_size=30)
    part = found.subset([0, 1])
    assert [one.sha256 for one in part.readings] == [one.sha256 for one in found.readings[:2]]
