"""Similar pictures: altered copies are found, and legs that only look alike are not."""

import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.near_duplicates import CHANGES, as_image, grey, together
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import (
    SIMILARITY_THRESHOLD,
    Fingerprints,
    fingerprint,
    similar_pairs,
)
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ManifestError

ORIGINAL = 4


@pytest.fixture(scope="module")
def radiographs(phantom_manifest):
    return load_manifest(phantom_manifest)


@pytest.fixture(scope="module")
def prints(radiographs):
    return fingerprint(radiographs)


def with_copy(radiographs, prints, path):
    """The set and one more radiograph, of a patient of its own."""
    table = radiographs.table.iloc[[0]].assign(image=str(path), patient_id="another")
    return together(prints, fingerprint(Radiographs(table)))


def test_no_two_phantoms_are_the_same_picture(prints):
    assert len(prints) == 28
    assert similar_pairs(prints) == ()


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_copy_is_found_and_nothing_else(tmp_path, radiographs, prints, change):
    alter, quality, flip = CHANGES[change]
    path = tmp_path / "copy.jpg"
    as_image(alter(grey(radiographs.images[ORIGINAL]))).save(path, quality=quality)
    (pair,) = similar_pairs(with_copy(radiographs, prints, path))
    assert (pair.first, pair.second) == (ORIGINAL, len(prints))
    assert pair.flip == flip
    assert not pair.equal
    assert SIMILARITY_THRESHOLD <= pair.similarity <= 1 + 1e-6


def test_a_copy_with_the_same_pixels_is_equal_whatever_its_format(tmp_path, radiographs, prints):
    image = Image.open(radiographs.images[ORIGINAL])
    path = tmp_path / "copy.png"
    image.save(path, compress_level=9)
    assert path.read_bytes() != radiographs.images[ORIGINAL].read_bytes()
    (pair,) = similar_pairs(with_copy(radiographs, prints, path))
    assert (pair.first, pair.second, pair.equal) == (ORIGINAL, len(prints), True)
    assert pair.similarity == 1


def test_pictures_without_detail_are_like_no_other(tmp_path, radiographs, prints):
    paths = []
    for number, value in enumerate((10, 200)):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((90, 60), value, dtype=np.uint8)).save(paths[-1])
    blank = with_copy(radiographs, with_copy(radiographs, prints, paths[0]), paths[1])
    assert similar_pairs(blank) == ()


def test_pairs_do_not_depend_on_the_order_of_the_set(tmp_path, radiographs, prints):
    path = tmp_path / "copy.jpg"
    as_image(grey(radiographs.images[ORIGINAL])[:, ::-1]).save(path, quality=75)
    whole = with_copy(radiographs, prints, path)
    backwards = Fingerprints(
        whole.thumbnails[::-1], whole.content_sha256[::-1], whole.file_sha256[::-1]
    )
    (pair,) = similar_pairs(whole)
    (other,) = similar_pairs(backwards)
    last = len(whole) - 1
    assert (other.first, other.second) == (last - pair.second, last - pair.first)
    assert other.similarity == pytest.approx(pair.similarity, abs=0.01)


def test_a_file_that_cannot_be_decoded_is_named_with_its_row(tmp_path, radiographs):
    broken = tmp_path / "broken.png"
    broken.write_bytes(radiographs.images[0].read_bytes()[:200])
    table = pd.concat(
        [radiographs.table.iloc[:1], radiographs.table.iloc[1:2].assign(image=str(broken))]
    )
    with pytest.raises(ManifestError, match=r"row 3: image=.*broken\.png: damaged"):
        fingerprint(Radiographs(table))


def test_one_picture_and_none_have_no_pairs(prints):
    for count in (0, 1):
        few = Fingerprints(
            prints.thumbnails[:count], prints.content_sha256[:count], prints.file_sha256[:count]
        )
        assert similar_pairs(few) == ()


@pytest.mark.slow
def test_hundreds_of_legs_that_look_alike_raise_no_alarm_and_take_seconds(tmp_path):
    manifest = write_phantoms(tmp_path, patients=300, seed=11)
    prints = fingerprint(load_manifest(manifest))
    assert len(prints) > 700
    start = time.monotonic()
    assert similar_pairs(prints) == ()
    assert time.monotonic() - start < 30
