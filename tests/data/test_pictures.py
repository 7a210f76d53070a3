"""Pictures: strip by strip the bits of the whole, and never more memory than is said."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_bytes import chunk, encode, header, noise, radiograph
from PIL import Image

from rust_tuner.data import bare_image, pictures
from rust_tuner.data.decoding_memory import Memory
from rust_tuner.data.images import load_image
from rust_tuner.data.picture import Picture
from rust_tuner.data.pictures import MAX_FILE_BYTES, open_picture
from rust_tuner.errors import ImageError


def save(folder: Path, image: Any, name: str = "x.png") -> Path:
    kind = "JPEG" if name.endswith("jpg") else "PNG"
    (folder / name).write_bytes(image if isinstance(image, bytes) else encode(image, kind))
    return folder / name


def whole(picture: Picture) -> Any:
    return np.concatenate(list(picture.strips()))


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "deep", "clear palette")


def image_of(mode: str) -> Any:
    colour = Image.fromarray(noise(90, 70, 4))
    if mode == "deep":
        return np.random.default_rng(0).integers(0, 65536, (90, 70), dtype=np.uint16)
    if mode == "clear palette":
        palette = colour.convert("RGB").convert("P")
        palette.info["transparency"] = bytes(range(256))
        return palette
    return colour.convert("RGB").convert(mode) if mode != "RGBA" else colour


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(17, 31), (70, 90), (70, 40), (35, 90), (60, 9), (200, 300)])
def test_strips_give_the_bits_of_the_whole_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, size: tuple[int, int]
) -> None:
    path = save(tmp_path, image_of(mode))
    with open_picture(path) as picture:
        (pixels,) = picture.strips()
        sha256 = picture.content_sha256()
    monkeypatch.setattr("rust_tuner.data.picture.STRIP_PIXELS", 70 * 7)
    with open_picture(path) as picture:
        assert len(list(picture.strips())) == 13
        np.testing.assert_array_equal(whole(picture), pixels)
        assert picture.content_sha256() == sha256
        resized = picture.resize(size, prepare=lambda strip: strip * 2 - 1)
        monkeypatch.setattr("rust_tuner.data.picture.PIXELS_RESIZED_AT_ONCE", 0)
        of_large = picture.resize(size, prepare=lambda strip: strip * 2 - 1)
    assert len(resized) == len(of_large) == pixels.shape[2]
    for channel, found in enumerate(resized):
        values = np.ascontiguousarray(pixels[:, :, channel] * 2 - 1)
        expected = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(of_large[channel], expected, atol=1e-6)


def test_a_picture_is_named_by_its_bytes_and_by_its_pixels(tmp_path: Path) -> None:
    pixels = noise(20, 30)
    one = save(tmp_path, pixels)
    other = tmp_path / "other.png"
    Image.fromarray(pixels).save(other, compress_level=1)
    with open_picture(one) as picture:
        assert picture.file_sha256 == hashlib.sha256(one.read_bytes()).hexdigest()
        sha256, file_sha256 = picture.content_sha256(), picture.file_sha256
        np.testing.assert_allclose(whole(picture)[:, :, 0], pixels / 255, atol=1e-6)
    with open_picture(other) as picture:
        assert (picture.content_sha256(), picture.file_sha256 != file_sha256) == (sha256, True)
    with open_picture(save(tmp_path, pixels[::-1].copy(), "third.png")) as picture:
        assert picture.content_sha256() != sha256


def test_a_thumbnail_averages_colours_and_what_it_shrinks(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, 8:, 0] = 204
    with open_picture(save(tmp_path, pixels)) as picture:
        small = picture.thumbnail(2)
    assert small.shape == (2, 2)
    # Bilinear, so that the halves mix a little at their border.
    np.testing.assert_allclose(small[:, 1], 0.8 / 3, atol=0.05)
    np.testing.assert_allclose(small[:, 0], 0.0, atol=0.05)
    assert small.mean() == pytest.approx(0.8 / 6, abs=1e-6)


def test_a_picture_above_the_limit_is_refused_before_it_is_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, noise(20, 20))
    monkeypatch.setattr(bare_image, "MAX_PIXELS", 399)
    with pytest.raises(
        ImageError, match="20 by 20 pixels, too large for a radiograph; expected at"
    ):
        load_image(path)
    monkeypatch.undo()
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header(9470, 9470, 8, 0) + chunk(b"IEND", b""))
    with pytest.raises(ImageError, match=r"9470 by 9470 pixels.*at most 89478485.*export it small"):
        load_image(path, row=5)


def test_a_limit_that_the_user_gave_pillow_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, noise(20, 20))
    for limit in (399, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ImageError, match=r"exceeds limit .*MAX_IMAGE_PIXELS"):
            load_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(path, size=8).shape == (8, 8, 3)


def test_what_is_no_regular_file_or_too_long_is_refused_without_reading(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(
        ImageError, match=r"pipe\.png row 4: cannot be read, it is not a regular file"
    ):
        load_image(tmp_path / "pipe.png", row=4)
    with (tmp_path / "long.png").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match=r"bytes, too large for a radiograph; expected at most"):
        load_image(tmp_path / "long.png")
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(str(tmp_path / "a\0b.png"))
    with pytest.raises(ImageError, match="no such file"):
        load_image(tmp_path / "gone.png")


def opens_in_time(path: Path) -> bool:
    """Whether there is room to open a picture, in a thread that the test does not wait for."""
    opened = threading.Event()

    def look() -> None:
        with open_picture(path):
            opened.set()

    threading.Thread(target=look, daemon=True).start()
    return opened.wait(300)


@pytest.mark.parametrize("capacity", [400, 800, 1000])
def test_pictures_that_are_open_at_once_stay_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capacity: int
) -> None:
    monkeypatch.setattr(pictures, "PIXELS_AT_ONCE", capacity)
    monkeypatch.setattr(pictures, "MEMORY", Memory(capacity))
    # The third is larger than the bound, and so is alone.
    paths = [save(tmp_path, noise(20, side), f"{side}.png") for side in (20, 10, 100)]
    lock, open_now = threading.Lock(), [0, 0]

    def look(path: Path) -> None:
        with open_picture(path) as picture:
            amount = picture.width * picture.height
            with lock:
                open_now[0] += amount
                open_now[1] += 1
                assert open_now[0] <= capacity or open_now[1] == 1
            time.sleep(0.002)
            with lock:
                open_now[0] -= amount
                open_now[1] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(look, paths * 8))
    # Two small ones have room beside each other.
    with open_picture(paths[1]):
        assert opens_in_time(paths[1])
    # The largest waits for all of the memory.
    assert opens_in_time(paths[-1])


def test_room_is_given_back_where_decoding_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PIXELS_AT_ONCE", 60 * 50)
    monkeypatch.setattr(pictures, "MEMORY", Memory(60 * 50))
    content = encode(radiograph(60, 50), "JPEG")
    with pytest.raises(ImageError):
        load_image(save(tmp_path, content[: len(content) // 2] + b"\xff\xd9", "x.jpg"))
    assert opens_in_time(save(tmp_path, content, "whole.jpg"))


def test_too_little_memory_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match="not enough memory for 20 by 20 pixels; free some"):
        load_image(save(tmp_path, noise(20, 20)))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_largest_pictures_in_three_threads_take_less_than_a_gigabyte(
    tmp_path: Path, kind: str
) -> None:
    side = 9400
    pixels = np.zeros((side, side, 4 if kind == "PNG" else 3), dtype=np.uint8)
    pixels[:, side // 3 : side // 2] = 200
    pixels[::50] = 90
    options = {} if kind == "PNG" else {"progressive": True}
    path = tmp_path / "x"
    path.write_bytes(encode(pixels, kind, **options))
    del pixels
    code = (
        "import sys; from rust_tuner.data.images import load_image\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(3) as pool: list(pool.map(load_image, sys.argv[1:] * 3))\n"
        "(peak,) = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(peak.split()[1])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    # In kB; Python and NumPy take 70,000 of it.
    assert int(ran.stdout) < 1_000_000
