"""Records name a file of weights without its folder, and the next step finds it all the same."""

import json
from pathlib import Path

import pytest
from narrowing import as_json

from rust_tuner import Protocol, Study
from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json
from rust_tuner.models.weights import find_local_weights
from rust_tuner.records.model import Record, Weights
from rust_tuner.records.private import PRIVATE
from rust_tuner.records.study import StudyFile
from rust_tuner.records.weights_path import found_weights
from rust_tuner.search.runs import with_begun_weights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("rust_tuner.steps.prepare.check_architecture", lambda weights: None)
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    path = tmp_path / "Zacharias" / "net.h5"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    return path


def prepared(
    folder: Path, manifest: Path, protocol: Protocol, weights: Path, *, plain_ids: bool = False
) -> Path:
    protocol = protocol.with_choices(weights=str(weights))
    Study(folder, manifest, protocol, plain_ids=plain_ids).prepare()
    return folder


def test_the_folder_of_weights_is_private(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, weights: Path
) -> None:
    folder = prepared(tmp_path / "study", phantom_manifest, tiny_protocol, weights)
    record = read_json(folder / "study.json")
    assert record["protocol"]["weights"] == record["weights"]["asked"] == "net.h5"
    others = [path for path in folder.rglob("*") if path.is_file() and PRIVATE not in path.parts]
    assert [path for path in others if b"Zacharias" in path.read_bytes()] == []
    assert Study(folder).protocol.weights == str(weights)
    assert Study(folder, choices={"weights": str(weights)}).protocol.weights == str(weights)


def test_moved_weights_are_accepted_and_found_again(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, weights: Path
) -> None:
    folder = prepared(tmp_path / "study", phantom_manifest, tiny_protocol, weights)
    moved = weights.rename(tmp_path / "moved.h5")
    assert Study(folder, choices={"weights": str(moved)}).protocol.weights == str(moved)
    StudyFile(folder).keep_weights_path(find_local_weights(moved))
    assert Study(folder).protocol.weights == str(moved)
    other = tmp_path / "other.h5"
    other.write_bytes(b"others")
    with pytest.raises(ResumeError, match=r"weights: was .*moved\.h5, is .*other\.h5"):
        Study(folder, choices={"weights": str(other)})


@pytest.mark.parametrize("where", ["variable", "study"])
def test_weights_whose_path_is_gone_are_looked_for_by_their_content(
    tmp_path: Path,
    phantom_manifest: Path,
    tiny_protocol: Protocol,
    weights: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = prepared(tmp_path / "study", phantom_manifest, tiny_protocol, weights)
    weights.unlink()
    assert Study(folder).protocol.weights == str(weights)
    again = tmp_path / "again.h5" if where == "variable" else folder / "net.h5"
    again.write_bytes(b"others")
    monkeypatch.setenv("RUST_TUNER_WEIGHTS", str(again) if where == "variable" else "")
    assert Study(folder).protocol.weights == str(weights)
    again.write_bytes(b"weights")
    assert Study(folder).protocol.weights == str(again)


def test_without_its_private_folder_a_study_is_still_read(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, weights: Path
) -> None:
    folder = prepared(tmp_path / "study", phantom_manifest, tiny_protocol, weights)
    (folder / PRIVATE / "key.json").unlink()
    assert StudyFile(folder).protocol.weights == "net.h5"
    used = StudyFile(folder).record.weights
    assert used is not None and found_weights(folder, used) == "net.h5"


@pytest.mark.parametrize("plain", [True, False])
def test_a_study_that_has_the_path_in_its_records_keeps_it(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, weights: Path, plain: bool
) -> None:
    """With plain ids, and of an earlier version."""
    folder = prepared(tmp_path / "study", phantom_manifest, tiny_protocol, weights, plain_ids=plain)
    record = read_json(folder / "study.json")
    if plain:
        assert record["protocol"]["weights"] == str(weights)
    else:
        record["protocol"]["weights"] = record["weights"]["asked"] = str(weights)
        (folder / "study.json").write_text(json.dumps(record))
        (folder / PRIVATE / "key.json").write_text(
            json.dumps(
                {
                    name: value
                    for name, value in read_json(folder / PRIVATE / "key.json").items()
                    if name != "weights"
                }
            )
        )
    assert Study(folder).protocol.weights == str(weights)
    # A search has the name only, or as an earlier version began it the path.
    file, used = StudyFile(folder), find_local_weights(weights)
    assert used is not None
    file.keep_weights_path(used)
    for asked in ("net.h5", str(weights)):
        file.record_weights(Weights.of(used.to_json() | {"asked": asked}), asked)
        assert Study(folder).protocol.weights == str(weights)
    assert (str(weights) in (folder / "study.json").read_text()) == plain


class Manifest(Record):
    """Of a search, as far as its weights go."""


def test_a_search_that_recorded_the_path_is_resumed_under_its_key(tmp_path: Path) -> None:
    path = tmp_path / "search.json"

    def content(asked: str, sha256: str = "ab") -> dict[str, object]:
        weights = {"asked": asked, "file": "net.h5", "sha256": sha256}
        return {"subject": {"weights": weights}, "protocol": {"weights": asked, "seed": 0}}

    new = Manifest.of(content("net.h5"))
    assert with_begun_weights(path, new) is new
    path.write_text(json.dumps(content("/home/Zacharias/net.h5")))
    assert with_begun_weights(path, new).to_json() == content("/home/Zacharias/net.h5")
    for other in (content("/x/net.h5", "cd"), content("imagenet")):
        path.write_text(json.dumps(other))
        assert with_begun_weights(path, new) is new
    nested = Manifest.of({"weights": content("net.h5")["subject"]["weights"]})  # type: ignore[index]
    path.write_text(json.dumps({"weights": {"asked": "/x/net.h5", "file": "n", "sha256": "ab"}}))
    assert as_json(with_begun_weights(path, nested).to_json())["weights"]["asked"] == "/x/net.h5"
