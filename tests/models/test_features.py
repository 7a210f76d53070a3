"""Features: equal to the uncached model, bitwise reproducible, and bounded in memory."""

import dataclasses
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from feature_images import (
    ALL_FLIPS,
    COUNT,
    NO_FLIPS,
    RANDOM,
    SIZE,
    Decoded,
    FloatArray,
    entries_of,
    entry_of,
    write_image,
)

from rust_tuner.data.images import load_image
from rust_tuner.errors import ImageError
from rust_tuner.models import features as features_module
from rust_tuner.models.architectures import TransferLearningModel, feature_extractor
from rust_tuner.models.backbones import build_backbone
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import FLIP_VARIANTS, extract_features, features_sha256
from rust_tuner.progress import Silent


@pytest.fixture(scope="module")
def backbone() -> keras.Model:
    return build_backbone(RANDOM, image_size=SIZE)


@pytest.fixture(scope="module")
def extractor(backbone: keras.Model) -> keras.Model:
    return feature_extractor(backbone)


@pytest.fixture
def real(extractor: keras.Model, monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """The real forward pass, built once for all tests."""
    monkeypatch.setattr(features_module, "build_backbone", lambda *args, **options: None)
    monkeypatch.setattr(features_module, "feature_extractor", lambda backbone: extractor)
    return extractor


def assert_close(actual: FloatArray, expected: FloatArray) -> None:
    """Within 1e-4 of the values, or of their typical size where they are next to zero."""
    typical = float(np.abs(expected).mean())
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * typical)


# ----------------------------------------------------------------------------------------- parity


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_features_are_the_pooled_maps_of_the_flipped_image(
    images: list[Path], backbone: keras.Model, tmp_path: Path
) -> None:
    found = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert found.values.shape == (COUNT, 4, NUM_FEATURES)
    assert found.values.dtype == np.float32
    assert (len(found), found.num_variants) == (COUNT, 4)
    pictures = np.stack([load_image(path, size=SIZE) for path in images])
    ways = [pictures, pictures[:, :, ::-1], pictures[:, ::-1], pictures[:, ::-1, ::-1]]
    for variant, way in enumerate(ways):
        maps = np.asarray(backbone(np.ascontiguousarray(way), training=False))
        assert_close(found.values[:, variant], maps.max(axis=(1, 2)))
    # The figures above would also be close if all features were alike.
    typical = np.abs(found.values).mean()
    assert np.abs(found.values[0, 0] - found.values[1, 0]).max() > 0.1 * typical
    for variant in (1, 2, 3):
        assert np.abs(found.values[0, 0] - found.values[0, variant]).max() > 0.1 * typical


@pytest.mark.slow
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize(
    ("variant", "flip"),
    [(1, np.fliplr), (2, np.flipud), (3, lambda pixels: pixels[::-1, ::-1])],
    ids=["left-right", "up-down", "both"],
)
def test_each_variant_is_the_feature_of_a_flipped_file(
    variant: int, flip: Callable[[Any], Any], images: list[Path], tmp_path: Path
) -> None:
    flipped = [write_image(tmp_path / f"{n}.png", n, flip=flip) for n in range(COUNT)]
    variants = extract_features(images, ALL_FLIPS, cache=tmp_path / "cache").values
    unflipped = extract_features(flipped, NO_FLIPS, cache=tmp_path / "cache").values
    assert_close(unflipped[:, 0], variants[:, variant])


@pytest.mark.slow
@pytest.mark.usefixtures("real")
def test_fewer_flips_are_the_first_of_all_flips(images: list[Path], tmp_path: Path) -> None:
    every = extract_features(images, ALL_FLIPS, cache=tmp_path).values
    for flips, count in (("none", 1), ("horizontal", 2)):
        recipe = dataclasses.replace(ALL_FLIPS, flips=flips)  # type: ignore[arg-type]
        assert FLIP_VARIANTS[flips] == FLIP_VARIANTS["horizontal_and_vertical"][:count]  # type: ignore[index]
        assert_close(extract_features(images, recipe, cache=tmp_path).values, every[:, :count])


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.usefixtures("real")
def test_a_head_on_cached_features_answers_as_the_whole_model(
    images: list[Path], tmp_path: Path
) -> None:
    whole = TransferLearningModel(dropout_rate=0.5, weights="random", image_size=SIZE)
    head = whole.get_layer("classifier_head")
    # Probabilities next to one half would hide a difference.
    head.set_weights([weight * 3 for weight in head.get_weights()])
    cached = extract_features(images, ALL_FLIPS, cache=tmp_path).values[:, 0]
    pictures = np.stack([load_image(path, size=SIZE) for path in images])
    uncached = np.asarray(whole(pictures, training=False))
    np.testing.assert_allclose(np.asarray(head(cached)), uncached, rtol=1e-4)
    assert np.ptp(uncached, axis=0).max() > 0.01


# ----------------------------------------------------------------------------------- interruption


class Stops(Silent):
    """A progress that ends the run after so many images."""

    def __init__(self, error: BaseException, after: int = 1) -> None:
        self.error = error
        self.left = after

    def task(self, name: str, total: int, *, done: int = 0) -> Any:
        return nullcontext(self)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        self.left -= 1
        if not self.left:
            raise self.error


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk full")], ids=repr)
def test_an_interrupted_extraction_goes_on_and_gives_the_same_bits(
    error: BaseException, images: list[Path], decoded: Decoded, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        extract_features(images, ALL_FLIPS, cache=tmp_path / "a", progress=Stops(error))
    assert len(entries_of(tmp_path / "a")) == 1
    decoded.take()
    resumed = extract_features(images, ALL_FLIPS, cache=tmp_path / "a")
    assert decoded.take() == [f"{number}.png" for number in range(1, COUNT)]
    uninterrupted = extract_features(images, ALL_FLIPS, cache=tmp_path / "b")
    assert len(decoded.take()) == COUNT
    assert np.array_equal(resumed.values, uninterrupted.values)
    assert resumed.sha256 == uninterrupted.sha256


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.usefixtures("real")
def test_the_bits_of_a_feature_do_not_depend_on_its_place_in_the_batch(
    images: list[Path], tmp_path: Path
) -> None:
    forwards = extract_features(images, ALL_FLIPS, cache=tmp_path / "a").values
    backwards = extract_features(images[::-1], ALL_FLIPS, cache=tmp_path / "b").values
    assert np.array_equal(forwards, backwards[::-1])
    alone = extract_features(images[5:6], ALL_FLIPS, cache=tmp_path / "c").values
    assert np.array_equal(forwards[5:6], alone)


@pytest.fixture(scope="module")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("many")
    return [write_image(folder / f"{number}.png", 100 + number) for number in range(33)]


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.usefixtures("real")
def test_the_bits_of_a_feature_do_not_depend_on_the_other_images_or_on_the_cache(
    many_images: list[Path], tmp_path: Path
) -> None:
    recipe = NO_FLIPS
    whole = extract_features(many_images, recipe, cache=tmp_path / "whole").values
    rng = np.random.default_rng(0)
    for count in (1, 7):
        rows = rng.permutation(len(many_images))[:count]
        some = extract_features([many_images[row] for row in rows], recipe, cache=tmp_path / "new")
        assert np.array_equal(some.values, whole[rows])
    # That cache holds up to eight by now, and another has lost seven.
    order = rng.permutation(len(many_images))
    rest = extract_features([many_images[row] for row in order], recipe, cache=tmp_path / "new")
    assert np.array_equal(rest.values, whole[order])
    for row in order[:7]:
        entry_of(tmp_path / "whole", many_images[row]).unlink()
    again = extract_features(many_images, recipe, cache=tmp_path / "whole")
    assert np.array_equal(again.values, whole)


# ------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("rows", [[2, 3, 17], None])
def test_a_file_that_is_not_there_is_named_with_its_row(
    rows: list[int] | None, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    place = " row 17" if rows else ""
    with pytest.raises(ImageError, match=rf"not_there\.png{place}: cannot be read"):
        extract_features(
            [*images[:2], tmp_path / "not_there.png"], ALL_FLIPS, cache=tmp_path, rows=rows
        )


def test_a_file_that_cannot_be_decoded_is_named_with_its_row(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(images[0].read_bytes()[:200])
    with pytest.raises(ImageError, match=r"broken\.png row 17"):
        extract_features([*images[:2], broken], ALL_FLIPS, cache=tmp_path, rows=[2, 3, 17])


# ----------------------------------------------------------------------------------------- memory


class Picture(np.ndarray):
    """An array that can be watched."""


@pytest.mark.slow
def test_decoded_images_that_wait_do_not_grow_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for number in range(120):
        paths.append(tmp_path / f"{number}.bin")
        paths[-1].write_text(str(number))
    lock = threading.Condition()
    alive, most = 0, 0

    def gone() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def decode(path: Path, *, size: int, **options: Any) -> FloatArray:
        nonlocal alive, most
        picture = np.full((size, size, 3), int(path.stem), dtype=np.float32).view(Picture)
        weakref.finalize(picture, gone)
        with lock:
            alive += 1
            most = max(most, alive)
            lock.notify_all()
        return picture

    class Slow:
        def predict_on_batch(self, batch: FloatArray) -> FloatArray:
            # The readers are ahead of it, however long they take; later they may overtake it.
            with lock:
                assert lock.wait_for(lambda: most >= 8, timeout=300)
            time.sleep(0.01)
            return np.repeat(batch[:, :1, 0, 0], NUM_FEATURES, axis=1)

    monkeypatch.setattr(features_module, "load_image", decode)
    monkeypatch.setattr(features_module, "build_backbone", lambda *args, **options: None)
    monkeypatch.setattr(features_module, "feature_extractor", lambda backbone: Slow())
    small = dataclasses.replace(ALL_FLIPS, image_size=4)
    found = extract_features(paths, small, cache=tmp_path / "cache")
    assert np.array_equal(found.values[:, 0, 0], np.arange(120))
    # Sixteen images ahead, one in each reader's hand, and the one being placed.
    assert 8 <= most <= 16 + 4


@pytest.mark.slow
def test_the_identity_of_features_is_known_without_them(
    images: list[Path], real: keras.Model, tmp_path: Path
) -> None:
    known = features_sha256(images, NO_FLIPS)
    assert extract_features(images, NO_FLIPS, cache=tmp_path).sha256 == known
    assert features_sha256(images[::-1], NO_FLIPS) != known
    assert features_sha256(images, ALL_FLIPS) != known
    with pytest.raises(ImageError, match=r"nowhere\.png row 7: cannot be read"):
        features_sha256([tmp_path / "nowhere.png"], NO_FLIPS, rows=[7])
