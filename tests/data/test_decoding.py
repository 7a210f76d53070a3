"""Decoded images: what `load_image` gives, once, from a cache that cannot be stale or half."""

import errno
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from notes import Notes
from PIL import Image

from rust_tuner.data import pipeline
from rust_tuner.data.images import load_image
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ImageError

SIZE = 24


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
@pytest.mark.parametrize("cached", [False, True])
def test_the_images_are_what_load_image_gives(
    radiographs: Radiographs, tmp_path: Path, resize: Any, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    for _ in range(2):
        images = decode_images(radiographs, image_size=SIZE, resize=resize, cache=cache)
        expected = [load_image(path, size=SIZE, resize=resize) for path in radiographs.images]
        np.testing.assert_array_equal(images, np.stack(expected))
        assert images.dtype == np.float32
        assert len(images) == len(radiographs)
        with pytest.raises(ValueError, match="read-only"):
            images[0] = 0


def test_more_images_than_are_decoded_ahead_keep_their_order(
    radiographs: Radiographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decode_images(radiographs, image_size=SIZE)
    monkeypatch.setattr(pipeline, "IMAGES_AHEAD", 3)
    np.testing.assert_array_equal(decode_images(radiographs, image_size=SIZE), whole)


def test_no_radiographs_are_no_images(radiographs: Radiographs, tmp_path: Path) -> None:
    for cache in (None, tmp_path / "cache"):
        images = decode_images(radiographs.subset([]), image_size=SIZE, cache=cache)
        assert images.shape == (0, SIZE, SIZE, 3)


def test_cached_images_are_not_decoded_again(
    radiographs: Radiographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = decode_images(radiographs, image_size=SIZE, cache=tmp_path / "cache")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(pipeline, "load_image", refuse)
    second = decode_images(radiographs, image_size=SIZE, cache=tmp_path / "cache")
    np.testing.assert_array_equal(first, second)


def test_the_cache_knows_content_order_and_preprocessing(
    radiographs: Radiographs, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"

    def values(shown: Radiographs = radiographs, **changes: Any) -> Any:
        return decode_images(shown, **{"image_size": SIZE, "cache": cache, **changes})

    original = values()
    np.testing.assert_array_equal(
        values(resize="letterbox"), values(cache=None, resize="letterbox")
    )
    assert values(image_size=SIZE + 1).shape[1] == SIZE + 1
    reverse = np.arange(len(radiographs))[::-1]
    np.testing.assert_array_equal(values(radiographs.subset(reverse)), original[reverse])
    Image.new("L", (30, 30), 255).save(radiographs.images[4])
    np.testing.assert_array_equal(values()[4], np.ones((SIZE, SIZE, 3)))
    assert len(list(cache.glob("*.images"))) == 5


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty"])
def test_a_damaged_cache_entry_is_made_anew(
    radiographs: Radiographs, tmp_path: Path, damage: str
) -> None:
    cache = tmp_path / "cache"
    original = np.array(decode_images(radiographs, image_size=SIZE, cache=cache))
    (entry,) = cache.glob("*.images")
    content = bytearray(entry.read_bytes())
    content[5] ^= 1
    entry.write_bytes({"truncated": content[:-1], "flipped bit": content, "empty": b""}[damage])  # type: ignore[arg-type]
    again = decode_images(radiographs, image_size=SIZE, cache=cache)
    np.testing.assert_array_equal(again, original)
    assert list(cache.glob("*.images")) == [entry]


def test_what_a_killed_process_left_aside_is_removed_by_the_next_that_writes(
    radiographs: Radiographs, tmp_path: Path
) -> None:
    leftover = tmp_path / "cache" / ".123-abcdef01.part"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half of the images")
    os.utime(leftover, (0, 0))
    decode_images(radiographs, image_size=SIZE, cache=leftover.parent)
    assert not leftover.exists()
    # One that only reads asks for no lock, so another may be writing beside it.
    leftover.write_bytes(b"half of other images")
    os.utime(leftover, (0, 0))
    decode_images(radiographs, image_size=SIZE, cache=leftover.parent)
    assert leftover.exists()


def test_two_at_once_decode_each_image_once(
    radiographs: Radiographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []
    barrier = threading.Barrier(2)

    def load(path: Path, **options: Any) -> Any:
        decoded.append(path)
        return load_image(path, **options)

    monkeypatch.setattr(pipeline, "load_image", load)

    def decode(number: int) -> Any:
        barrier.wait()
        return decode_images(radiographs, image_size=SIZE, cache=tmp_path / "cache")

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(decode, range(2))
    np.testing.assert_array_equal(first, second)
    assert sorted(decoded) == sorted(radiographs.images)


def test_images_that_cannot_be_read_back_stay_in_memory_and_that_is_said(
    radiographs: Radiographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = decode_images(radiographs, image_size=SIZE)
    monkeypatch.setattr(pipeline, "read_entry", lambda path, shape: None)
    said = Notes()
    found = decode_images(radiographs, image_size=SIZE, cache=tmp_path / "cache", progress=said)
    np.testing.assert_array_equal(found, whole)
    (line,) = said.said
    assert re.search(r"cannot be read back; check the disk.*choose another cache folder", line)


@pytest.mark.parametrize("obstacle", ["file for the cache", "folder for the entry", "no room"])
def test_a_cache_that_cannot_be_written_leaves_the_images_in_memory(
    radiographs: Radiographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    cache = tmp_path / "cache"
    whole = decode_images(radiographs, image_size=SIZE, cache=cache)
    (entry,) = cache.glob("*.images")
    entry.unlink()
    if obstacle == "file for the cache":
        cure = f"Remove or rename {cache}, which is a file, not a folder"
        (cache / ".lock").unlink()
        cache.rmdir()
        cache.write_bytes(b"")
    elif obstacle == "folder for the entry":
        cure = f"Remove or rename the folder {entry}"
        (entry / "inside").mkdir(parents=True)
    else:
        cure = "(No space left on device). Free disk space or fix the permissions"

        def full(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
    said = Notes()
    found = decode_images(radiographs, image_size=SIZE, cache=cache, progress=said)
    np.testing.assert_array_equal(found, whole)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0
    (line,) = said.said
    assert cure in line


@pytest.mark.parametrize("cached", [False, True])
def test_a_damaged_file_is_an_image_error_with_file_and_row(
    radiographs: Radiographs, tmp_path: Path, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    damaged = radiographs.images[7]
    damaged.write_bytes(damaged.read_bytes()[:-30])
    with pytest.raises(ImageError, match=re.escape(str(damaged)) + " row 9: damaged or truncated"):
        decode_images(radiographs, image_size=SIZE, cache=cache)
    damaged.unlink()
    with pytest.raises(ImageError, match=re.escape(str(damaged)) + " row 9: .*check the path"):
        decode_images(radiographs, image_size=SIZE, cache=cache)
    assert cache is None or [path.name for path in cache.iterdir()] == [".lock"]


def test_decoding_does_not_start_tensorflow() -> None:
    code = "import sys, rust_tuner.data.pipeline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
