"""Frozen features: equal to the uncached model, cached by content, resumable, bounded in memory."""

import dataclasses
import errno
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.errors import ImageError, StorageError
from rust_tuner.files import atomic_write
from rust_tuner.models import features as features_module
from rust_tuner.models.architectures import TransferLearningModel, feature_extractor
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import (
    FLIP_VARIANTS,
    FeatureRecipe,
    extract_features,
    features_sha256,
)
from rust_tuner.progress import Silent

SIZE = 75
COUNT = 10

FloatArray = npt.NDArray[np.float32]

RANDOM = find_weights("random")
ALL_FLIPS = FeatureRecipe(RANDOM, SIZE, "squash", "horizontal_and_vertical")
NO_FLIPS = FeatureRecipe(RANDOM, SIZE, "squash", "none")


def write_image(path: Path, seed: int, *, flip: Callable[[Any], Any] = lambda x: x) -> Path:
    """A smooth picture without any symmetry."""
    pixels = np.random.default_rng(seed).uniform(-1, 1, (80, 60)).cumsum(0).cumsum(1)
    pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
    Image.fromarray(flip(pixels.astype(np.uint8))).save(path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    return [write_image(folder / f"{number}.png", number) for number in range(COUNT)]


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


class Stand:
    """A quick forward pass: a hash of each image in the place of its features."""

    def predict_on_batch(self, batch: FloatArray) -> FloatArray:
        answers = np.empty((len(batch), NUM_FEATURES), dtype=np.float32)
        for row, picture in enumerate(batch):
            digest = hashlib.sha256(np.ascontiguousarray(picture).data).digest()
            answers[row] = np.resize(np.frombuffer(digest, np.uint8), NUM_FEATURES)
        return answers


class Decoded:
    """Counts the images that are decoded, by the real decoder."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path, **options: Any) -> FloatArray:
        self.names.append(path.name)
        return load_image(path, **options)

    def take(self) -> list[str]:
        names, self.names = sorted(self.names), []
        return names


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    counter = Decoded()
    monkeypatch.setattr(features_module, "load_image", counter)
    return counter


@pytest.fixture
def quick(decoded: Decoded, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """The cache with a stand-in for the network; gives the images that reach it."""
    monkeypatch.setattr(features_module, "build_backbone", lambda *args, **options: None)
    monkeypatch.setattr(features_module, "feature_extractor", lambda backbone: Stand())
    return decoded


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a network was built")

    def arm() -> None:
        monkeypatch.setattr(features_module, "build_backbone", refuse)
        monkeypatch.setattr(features_module, "feature_extractor", refuse)

    return arm


def entries_of(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.f32"))


def entry_of(cache: Path, image: Path) -> Path:
    (entry,) = cache.rglob(f"{hashlib.sha256(image.read_bytes()).hexdigest()}.f32")
    return entry


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


# ------------------------------------------------------------------------------------------ cache


def test_a_second_call_reads_from_the_cache_without_a_network(
    images: list[Path], quick: Decoded, no_network: Callable[[], None], tmp_path: Path
) -> None:
    first = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert len(quick.take()) == COUNT
    no_network()
    second = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert np.array_equal(first.values, second.values)
    assert first.sha256 == second.sha256
    assert quick.take() == []


def test_a_subset_in_another_order_is_read_from_the_cache(
    images: list[Path], quick: Decoded, no_network: Callable[[], None], tmp_path: Path
) -> None:
    every = extract_features(images, ALL_FLIPS, cache=tmp_path)
    no_network()
    some = extract_features([images[7], images[2]], ALL_FLIPS, cache=tmp_path)
    assert np.array_equal(some.values, every.values[[7, 2]])
    assert some.sha256 != every.sha256


def test_only_new_images_are_computed(images: list[Path], quick: Decoded, tmp_path: Path) -> None:
    extract_features(images[:6], ALL_FLIPS, cache=tmp_path)
    quick.take()
    extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert quick.take() == [f"{number}.png" for number in range(6, COUNT)]


def test_no_images_have_no_features(quick: Decoded, tmp_path: Path) -> None:
    assert extract_features([], ALL_FLIPS, cache=tmp_path).values.shape == (0, 4, NUM_FEATURES)


def test_the_same_content_twice_is_computed_once(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    shutil.copy(images[3], copy)
    found = extract_features([images[3], copy, images[4]], ALL_FLIPS, cache=tmp_path / "cache")
    assert quick.take() == ["3.png", "4.png"]
    assert np.array_equal(found.values[0], found.values[1])
    assert not np.array_equal(found.values[0], found.values[2])
    assert len(entries_of(tmp_path / "cache")) == 2


def test_another_name_of_known_content_is_read_from_the_cache(
    images: list[Path], quick: Decoded, no_network: Callable[[], None], tmp_path: Path
) -> None:
    first = extract_features(images[:1], ALL_FLIPS, cache=tmp_path)
    copy = tmp_path / "copy.png"
    shutil.copy(images[0], copy)
    no_network()
    assert extract_features([copy], ALL_FLIPS, cache=tmp_path).sha256 == first.sha256


def test_new_content_under_a_known_name_is_computed(quick: Decoded, tmp_path: Path) -> None:
    path = write_image(tmp_path / "x.png", 1)
    first = extract_features([path], ALL_FLIPS, cache=tmp_path)
    write_image(path, 2)
    second = extract_features([path], ALL_FLIPS, cache=tmp_path)
    assert quick.take() == ["x.png", "x.png"]
    assert not np.array_equal(first.values, second.values)
    assert first.sha256 != second.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"weights": dataclasses.replace(RANDOM, sha256="0" * 64)},
        {"resize": "letterbox"},
        {"flips": "horizontal"},
        {"image_size": 76},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_recipe_never_reads_the_same_entries(
    change: dict[str, Any], images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    first = extract_features(images[:3], ALL_FLIPS, cache=tmp_path)
    quick.take()
    second = extract_features(images[:3], dataclasses.replace(ALL_FLIPS, **change), cache=tmp_path)
    assert len(quick.take()) == 3
    assert first.sha256 != second.sha256
    assert len(entries_of(tmp_path)) == 6


def test_the_name_of_weights_is_no_part_of_their_identity() -> None:
    renamed = dataclasses.replace(RANDOM, asked="imagenet", path=Path("/elsewhere.h5"))
    assert dataclasses.replace(ALL_FLIPS, weights=renamed).sha256 == ALL_FLIPS.sha256


# ----------------------------------------------------------------------------------------- damage


def flip_a_byte(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[len(content) // 2] ^= 1
    entry.write_bytes(content)


def flip_a_byte_of_the_hash(entry: Path) -> None:
    content = bytearray(entry.read_bytes())
    content[0] ^= 1
    entry.write_bytes(content)


def truncate(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:-4])


def empty(entry: Path) -> None:
    entry.write_bytes(b"")


def another_shape(entry: Path) -> None:
    content = np.zeros(NUM_FEATURES, dtype="<f4").tobytes()
    entry.write_bytes(hashlib.sha256(content).digest() + content)


@pytest.mark.parametrize(
    "damage", [flip_a_byte, flip_a_byte_of_the_hash, truncate, empty, another_shape, Path.unlink]
)
def test_a_damaged_entry_is_computed_again_and_no_other(
    damage: Callable[[Path], None], images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path)
    content = entry_of(tmp_path, images[4]).read_bytes()
    damage(entry_of(tmp_path, images[4]))
    quick.take()
    mended = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert quick.take() == ["4.png"]
    assert np.array_equal(mended.values, whole.values)
    assert entry_of(tmp_path, images[4]).read_bytes() == content


class Said(Silent):
    """A progress that keeps what it is given to say."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_a_cache_that_cannot_be_read_back_is_said_so_and_costs_no_feature(
    images: list[Path], quick: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    monkeypatch.setattr(features_module, "atomic_write", lambda path: nullcontext(io.BytesIO()))
    said = Said()
    found = extract_features(images, ALL_FLIPS, cache=tmp_path / "cache", progress=said)
    assert np.array_equal(found.values, whole.values)
    (line,) = said.lines
    assert re.search(r"written entry cannot be read back; check the disk.* cache", line)


def fifo(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry)


def folder_instead(entry: Path) -> None:
    entry.unlink()
    (entry / "inside").mkdir(parents=True)


def file_instead_of_its_folder(entry: Path) -> None:
    shutil.rmtree(entry.parent)
    entry.parent.write_bytes(b"")


def file_instead_of_the_cache(entry: Path) -> None:
    cache = entry.parents[2]
    shutil.rmtree(cache)
    cache.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "cure"),
    [
        (folder_instead, r"cannot be written \(Is a directory\)\. Remove or rename the folder "),
        (file_instead_of_its_folder, "Remove or rename .*, which is a file, not a folder"),
        (file_instead_of_the_cache, "Remove or rename .*, which is a file, not a folder"),
    ],
)
def test_what_stands_in_the_cache_s_way_is_named_once_and_the_features_are_computed(
    damage: Callable[[Path], None], cure: str, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    whole = extract_features(images, ALL_FLIPS, cache=cache)
    damage(entry_of(cache, images[4]))
    for _ in range(2):
        said, _ = Said(), quick.take()
        found = extract_features(images, ALL_FLIPS, cache=cache, progress=said)
        assert np.array_equal(found.values, whole.values)
        assert "4.png" in quick.take()
        (line,) = said.lines
        assert re.search(cure, line)
        assert "choose another cache folder (--cache, cache=... or RUST_TUNER_CACHE)" in line


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_an_entry_s_place_is_not_waited_for(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path)
    fifo(entry_of(tmp_path, images[4]))
    mended = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert np.array_equal(mended.values, whole.values)
    assert entry_of(tmp_path, images[4]).is_file()


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_cache_that_cannot_be_written_costs_no_feature(
    reason: int,
    images: list[Path],
    quick: Decoded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    real_open = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(reason, os.strerror(reason))
        return real_open(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    said = Said()
    found = extract_features(images, ALL_FLIPS, cache=tmp_path / "cache", progress=said)
    assert np.array_equal(found.values, whole.values)
    (line,) = said.lines
    assert (
        f"({os.strerror(reason)}). Free disk space or fix the permissions, or choose another"
        in line
    )


def test_a_disk_that_has_room_again_keeps_what_is_computed_from_then_on(
    images: list[Path], quick: Decoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def sometimes(path: Path) -> AbstractContextManager[Any]:
        calls.append(path)
        if len(calls) <= 4:
            raise StorageError(f"{path} cannot be written (No space left on device)")
        return atomic_write(path)

    monkeypatch.setattr(features_module, "atomic_write", sometimes)
    extract_features(images, ALL_FLIPS, cache=tmp_path)
    quick.take()
    extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert quick.take() == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize("below", [0, 1, 2], ids=["cache", "recipe", "entries"])
def test_a_cache_that_is_deleted_while_it_is_used_costs_no_feature(
    below: int, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    whole = extract_features(images, ALL_FLIPS, cache=tmp_path / "whole")
    cache = tmp_path / "cache"

    class Deletes(Said):
        def advance(self, steps: int = 1, *, note: str | None = None) -> None:
            for folder in list(cache.glob("/".join("*" * below))) if below else [cache]:
                if folder.is_dir():
                    shutil.rmtree(folder)

    found = extract_features(images, ALL_FLIPS, cache=cache, progress=Deletes())
    assert np.array_equal(found.values, whole.values)
    again = extract_features(images, ALL_FLIPS, cache=cache)
    assert np.array_equal(again.values, whole.values)


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


def test_what_a_killed_extraction_left_aside_is_removed_by_the_next(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    extract_features(images[:1], ALL_FLIPS, cache=tmp_path)
    leftover = entry_of(tmp_path, images[0]).parent / ".123-abcdef01.part"
    leftover.write_bytes(b"half of a feature")
    os.utime(leftover, (0, 0))
    extract_features(images[:2], ALL_FLIPS, cache=tmp_path)
    assert not leftover.exists()


@pytest.mark.usefixtures("quick")
def test_a_complete_cache_is_read_without_a_lock(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = extract_features(images, ALL_FLIPS, cache=tmp_path)
    assert found.values.ctypes.data % 64 == 0

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("asked for a lock")

    monkeypatch.setattr(features_module, "take_turns", refuse)
    assert np.array_equal(extract_features(images, ALL_FLIPS, cache=tmp_path).values, found.values)


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


@pytest.mark.usefixtures("quick")
def test_features_of_other_kernels_are_not_read(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for enabled in (True, False, None):
        monkeypatch.setattr(features_module, "onednn_enabled", lambda enabled=enabled: enabled)
        found.append(extract_features(images[:2], ALL_FLIPS, cache=tmp_path))
    assert len(entries_of(tmp_path)) == 6
    # What a study is identified by does not depend on the machine.
    assert len({features.sha256 for features in found}) == 1


def test_progress_counts_what_the_cache_has_as_done(
    images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    text: list[Any] = []

    class Noted(Silent):
        def task(self, name: str, total: int, *, done: int = 0) -> Any:
            text.append((name, total, done))
            return nullcontext(self)

        def advance(self, steps: int = 1, *, note: str | None = None) -> None:
            text.append(steps)

    extract_features(images[:1], ALL_FLIPS, cache=tmp_path)
    extract_features(images, ALL_FLIPS, cache=tmp_path, progress=Noted())
    assert text == [("features", 10, 1), *[1] * 9]


# ------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("rows", [[2, 3, 17], None])
def test_a_file_that_is_not_there_is_named_with_its_row(
    rows: list[int] | None, images: list[Path], quick: Decoded, tmp_path: Path
) -> None:
    place = "row 17: " if rows else ""
    with pytest.raises(ImageError, match=rf"^{place}.*not_there\.png cannot be read"):
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


# ------------------------------------------------------------------------------ others at the work


@pytest.mark.usefixtures("quick")
def test_two_at_once_compute_each_image_once(
    images: list[Path], decoded: Decoded, tmp_path: Path
) -> None:
    barrier = threading.Barrier(2)

    def extract(number: int) -> FloatArray:
        barrier.wait()
        return extract_features(images, ALL_FLIPS, cache=tmp_path).values

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(extract, range(2))
    assert np.array_equal(first, second)
    assert len(decoded.take()) == COUNT


@pytest.mark.slow
def test_two_processes_at_once_succeed_with_the_same_features(
    images: list[Path], tmp_path: Path
) -> None:
    script = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "from rust_tuner.models.backbones import find_weights\n"
        "from rust_tuner.models.features import FeatureRecipe, extract_features\n"
        f"recipe = FeatureRecipe(find_weights('random'), {SIZE}, 'squash', 'horizontal')\n"
        "images = [Path(name) for name in sys.argv[2:]]\n"
        "found = extract_features(images, recipe, cache=Path(sys.argv[1]))\n"
        "print(hashlib.sha256(found.values.data).hexdigest(), found.sha256)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), *map(str, images)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [run.communicate(timeout=900)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert answers[0] == answers[1]
    assert len(answers[0].split()) == 2
    assert len(entries_of(tmp_path)) == COUNT


# ----------------------------------------------------------------------------------------- memory


class Picture(np.ndarray):
    """An array that can be watched."""


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
    with pytest.raises(ImageError, match=r"row 7: .*nowhere\.png cannot be read"):
        features_sha256([tmp_path / "nowhere.png"], NO_FLIPS, rows=[7])
