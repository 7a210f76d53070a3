"""What the feature cache holds is listed truly, and nothing but its own files is ever removed."""

import datetime
import os
from pathlib import Path

import pytest
from lock_holders import other_holder

from rust_tuner.last_run import note_begin, note_end
from rust_tuner.models.feature_cache import CacheItem, clear_items, note_use, read_cache

RECIPE, OTHER = "ab" * 16, "cd" * 16
ABOUT = {"backbone": "InceptionV3", "weights": "imagenet", "image_size": 299}


def entry(base: Path, recipe: str, digit: str, size: int = 100) -> Path:
    path = base / recipe / (digit * 2) / f"{digit * 64}.f32"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def aged(path: Path, days: float) -> None:
    then = datetime.datetime.now().timestamp() - days * 86400
    os.utime(path, (then, then))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    base = tmp_path / "cache"
    entry(base, RECIPE, "1")
    entry(base, RECIPE, "2")
    aged(entry(base, OTHER, "3", size=7), 100)
    images = base / "images"
    images.mkdir()
    (images / f"{'e' * 32}.images").write_bytes(b"y" * 50)
    aged(images / f"{'e' * 32}.images", 10)
    return base


def files(base: Path) -> set[str]:
    return {str(path.relative_to(base)) for path in base.rglob("*") if not path.is_dir()}


def by_name(items: tuple[CacheItem, ...]) -> dict[str, CacheItem]:
    return {item.path.name: item for item in items}


def test_rows_sizes_and_dates_are_those_of_the_files(cache: Path) -> None:
    before = files(cache)
    contents = read_cache(cache)
    assert [(item.kind, item.rows, item.size) for item in contents.items] == [
        ("features", 2, 200),
        ("images", None, 50),
        ("features", 1, 7),
    ]
    assert contents.size == 257
    assert contents.unknown == ()
    assert [item.is_older_than(50) for item in contents.items] == [False, False, True]
    assert files(cache) == before


def test_a_use_is_noted_with_the_name_of_the_study_alone(cache: Path, tmp_path: Path) -> None:
    folder = cache / OTHER
    for name in ("first", "second", "first"):
        study = tmp_path / "Anna Smith" / name
        study.mkdir(parents=True, exist_ok=True)
        note_begin(study, "Regime I")
        note_begin(study / "regime_1", "searching")
        note_use(folder, ABOUT)
        note_end(study / "regime_1", "finished")
        note_end(study, "finished")
    note_use(folder, ABOUT)
    item = by_name(read_cache(cache).items)[OTHER]
    assert item.studies == ("first", "second")
    assert dict(item.about) == ABOUT
    assert not item.is_older_than(1)
    assert "Smith" not in (folder / "about.json").read_text()
    # A folder that does not exist, since nothing could be stored, is not made.
    note_use(cache / ("ef" * 16), ABOUT)
    assert not (cache / ("ef" * 16)).exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"used": 3, "studies": 4}', '{"used": "2020-01-01"}']
)
def test_a_damaged_description_is_ignored(cache: Path, content: str) -> None:
    (cache / RECIPE / "about.json").write_text(content)
    item = by_name(read_cache(cache).items)[RECIPE]
    assert (item.rows, item.studies) == (2, ())
    note_use(cache / RECIPE, ABOUT)
    assert dict(by_name(read_cache(cache).items)[RECIPE].about) == ABOUT


def test_clearing_removes_all_of_it_and_nothing_else(cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    entry(outside, RECIPE, "1")
    strange = [
        cache / "notes.txt",
        cache / "photos" / "a.png",
        cache / RECIPE / "11" / "mine.f32",
        cache / "images" / "mine.images",
        cache / ("9" * 32) / "thesis.docx",
    ]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (cache / OTHER / "44").symlink_to(outside / RECIPE / "11")
    contents = read_cache(cache)
    named = {str(path.relative_to(cache)) for path in contents.unknown}
    assert named == {
        "notes.txt",
        "photos",
        f"{RECIPE}/11/mine.f32",
        "images/mine.images",
        "9" * 32,
        f"{OTHER}/44",
    }
    cleared = list(clear_items(contents.items))
    assert sum(item.freed for item in cleared) == 257
    assert [item.kept is None for item in cleared] == [False, True, False]
    left = {name for name in files(cache) if not Path(name).name.startswith(".lock")}
    assert left == {str(path.relative_to(cache)) for path in strange}
    assert (cache / OTHER / "44").is_symlink()
    assert len(files(outside)) == 1


def test_a_recipe_that_is_cleared_leaves_no_folder(cache: Path) -> None:
    note_use(cache / RECIPE, ABOUT)
    (cache / RECIPE / "11" / ".4711-0123abcd.part").write_text("left by a kill")
    aged(cache / RECIPE / "11" / ".4711-0123abcd.part", 1)
    assert all(item.kept is None for item in clear_items(read_cache(cache).items))
    assert not (cache / RECIPE).exists()
    assert not (cache / OTHER).exists()
    assert read_cache(cache).items == ()


def test_a_write_that_is_under_way_is_left(cache: Path) -> None:
    part = cache / RECIPE / "11" / ".4711-0123abcd.part"
    part.write_text("being written")
    list(clear_items(read_cache(cache).items))
    assert part.exists()


def test_what_a_running_process_holds_is_kept(cache: Path) -> None:
    with other_holder(cache / RECIPE):
        items = by_name(read_cache(cache).items)
        assert [items[name].is_held for name in (RECIPE, OTHER)] == [True, False]
        cleared = {item.item.path.name: item for item in clear_items(items.values())}
    assert "is in use by" in (cleared[RECIPE].kept or "")
    assert cleared[RECIPE].freed == 0
    assert len(list((cache / RECIPE).rglob("*.f32"))) == 2
    assert cleared[OTHER].kept is None


def test_a_missing_cache_is_empty(tmp_path: Path) -> None:
    assert read_cache(tmp_path / "none").items == ()
    assert not (tmp_path / "none").exists()
