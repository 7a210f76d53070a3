"""`cache list` and `cache clear`: what is shown, and when something is removed."""

from pathlib import Path

import pytest
from command import run
from typer.testing import CliRunner

from rust_tuner.cli.app import app
from rust_tuner.models.feature_cache import note_use
from rust_tuner.terminal.cache import size_text

RECIPE = "ab" * 16
ABOUT = {
    "backbone": "InceptionV3",
    "weights": "imagenet",
    "image_size": 299,
    "resize": "squash",
    "flips": "horizontal_and_vertical",
    "precision": "float32",
    "onednn": False,
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    base = tmp_path / "cache"
    shard = base / RECIPE / "11"
    shard.mkdir(parents=True)
    (shard / f"{'1' * 64}.f32").write_bytes(b"x" * 1234)
    monkeypatch.setenv("RUST_TUNER_CACHE", str(base))
    return base


def test_the_list_says_what_it_is_and_how_large(cache: Path) -> None:
    shown = run("cache", "list").stdout
    assert "of an earlier version" in shown
    note_use(cache / RECIPE, ABOUT)
    shown = " ".join(run("cache", "list").stdout.split())
    assert "InceptionV3 with imagenet, 299 px" in shown
    assert "horizontal and vertical flips, float32, without oneDNN" in shown
    assert f"1.2 kB in {cache}" in shown
    assert "is empty" in run("cache", "list", "--cache", cache / "none").stdout


def test_clearing_asks_and_nothing_is_removed_without_a_yes(cache: Path) -> None:
    assert "would clear 1.2 kB" in run("cache", "clear", "--dry-run").stderr
    assert "nothing to clear" in run("cache", "clear", "--older-than", "1", "--yes").stderr
    for answer in ("n\n", "\n", ""):
        result = CliRunner().invoke(app, ["cache", "clear"], input=answer)
        assert result.exit_code == 1
        assert "nothing was cleared" in result.stderr
    assert "give --yes" in result.stderr
    assert len(list(cache.rglob("*.f32"))) == 1


@pytest.mark.parametrize(("options", "answer"), [(["--yes"], ""), (["-y"], ""), ([], "y\n")])
def test_with_a_yes_it_is_cleared(cache: Path, options: list[str], answer: str) -> None:
    (cache / "notes.txt").write_text("mine")
    result = CliRunner().invoke(app, ["cache", "clear", *options], input=answer)
    assert result.exit_code == 0, result.output
    assert f"cleared 1.2 kB in {cache}" in result.stderr
    assert f"so kept: {cache / 'notes.txt'}" in result.stderr
    assert list(cache.iterdir()) == [cache / "notes.txt"]


def test_sizes_are_for_people() -> None:
    sizes = [0, 999, 1000, 999_949, 999_950, 96_200_000, 5 * 10**9, 10**16]
    assert [size_text(size) for size in sizes] == [
        *("0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "96.2 MB", "5.0 GB", "10000.0 TB")
    ]
