"""Cached features: found by content, computed once, and shared by runs."""

import dataclasses
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_images import (
    ALL_FLIPS,
    COUNT,
    RANDOM,
    SIZE,
    Decoded,
    FloatArray,
    entries_of,
    entry_of,
    write_image,
)

from rust_tuner.models import features as features_module
from rust_tuner.models.description import NUM_FEATURES
from rust_tuner.models.features import extract_features
from rust_tuner.progress import Silent


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a network was built")

    def arm() -> None:
        monkeypatch.setattr(features_module, "build_backbone", refuse)
        monkeypatch.setattr(features_module, "feature_extractor", refuse)

    return arm


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
