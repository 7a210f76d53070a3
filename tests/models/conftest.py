"""Images, and the extraction of their features by a quick network."""

from pathlib import Path

import pytest
from feature_images import COUNT, Decoded, Stand, write_image

from rust_tuner.models import features as features_module


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    return [write_image(folder / f"{number}.png", number) for number in range(COUNT)]


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
