"""Which file of weights is found, what its hash is, and what a record says of it."""

import hashlib
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.src.applications import inception_v3

from rust_tuner.errors import WeightsError
from rust_tuner.models.backbones import find_weights
from rust_tuner.models.weights import WEIGHTS_VARIABLE

# ----------------------------------------------------------------------------------------- hashes


def test_the_hash_is_that_of_the_file_whatever_its_name(tmp_path: Path) -> None:
    first, copy, other = (tmp_path / name for name in ("a.h5", "b.keras", "c.h5"))
    first.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    other.write_bytes(b"weightS")
    digests = [find_weights(path).sha256 for path in (first, copy, other)]
    assert digests[0] == digests[1] == hashlib.sha256(b"weights").hexdigest()
    assert digests[2] == hashlib.sha256(b"weightS").hexdigest()
    assert find_weights("random").sha256 not in digests


def test_a_record_says_what_was_asked_and_what_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stand_in.h5"
    path.write_bytes(b"weights")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(path))
    digest = hashlib.sha256(b"weights").hexdigest()
    assert find_weights("imagenet").to_json() == {
        "asked": "imagenet",
        "file": "stand_in.h5",
        "sha256": digest,
    }
    assert find_weights(path).to_json()["asked"] == "stand_in.h5"
    random = find_weights("random")
    assert random.to_json() == {"asked": "random", "file": None, "sha256": random.sha256}


# ------------------------------------------------------------------------------- where they are


def test_the_variable_serves_imagenet_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "stand_in.h5"
    path.write_bytes(b"weights")
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(path))
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: pytest.fail("download"))
    assert find_weights("imagenet").path == path


@pytest.mark.parametrize("name", ["not_there.h5", "."])
def test_a_variable_that_names_no_file_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path / name))
    with pytest.raises(WeightsError, match=r"RUST_TUNER_WEIGHTS=.* is not a file; correct it"):
        find_weights("imagenet")


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_variable_imagenet_is_what_keras_downloads(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "downloaded.h5"
    path.write_bytes(b"weights")
    asked: dict[str, Any] = {}

    def get_file(name: str, origin: str, **options: Any) -> str:
        asked.update(options, origin=origin)
        return str(path)

    if value is None:
        monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(WEIGHTS_VARIABLE, value)
    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert find_weights("imagenet").path == path
    assert asked["origin"] == inception_v3.WEIGHTS_PATH_NO_TOP
    assert asked["file_hash"] == "bcbd6486424b2319ff4ef7d526e38f63"


def test_a_failed_download_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> str:
        raise Exception("URL fetch failure on https://example.org: None -- Name not known")

    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(WeightsError, match=r"URL fetch failure") as caught:
        find_weights("imagenet")
    assert "--weights random" in str(caught.value)
    assert WEIGHTS_VARIABLE in str(caught.value)


def test_an_interrupt_of_the_download_is_no_failed_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.delenv(WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(keras.utils, "get_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        find_weights("imagenet")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights file .*not_there\.h5 does not exist"):
        find_weights(tmp_path / "not_there.h5")


def test_another_suffix_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"expected 'imagenet', 'random', 'phantoms' or a path"):
        find_weights(tmp_path / "x.pkl")
