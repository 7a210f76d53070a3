"""A study that was killed, damaged, moved or is in use heals, or says what is wrong."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from lock_holders import other_holder
from notes import contents

from rust_tuner import Study
from rust_tuner.data.manifest import load_manifest
from rust_tuner.errors import LockedError, ManifestError, ResumeError, RustTunerError, SplitError
from rust_tuner.files import read_json
from rust_tuner.protocol import Protocol

FILES = {
    "study.json",
    "split.json",
    "pixels.json",
    *(f"private/{name}" for name in ("key.json", "patients.csv", "images.csv")),
}


@pytest.mark.parametrize("side", ["development", "holdout"])
def test_a_patient_moved_between_the_sides_of_the_split_is_noticed(
    prepared: Path, side: str
) -> None:
    path = prepared / "split.json"
    split = read_json(path)
    other = "holdout" if side == "development" else "development"
    split[other].append(split[side].pop())
    path.write_text(json.dumps(split))
    with pytest.raises(SplitError, match=r"split\.json"):
        Study(prepared).prepare()


def test_a_missing_split_of_a_prepared_study_is_made_again_and_is_the_same(prepared: Path) -> None:
    # The images have been moved, which the table of names follows.
    Study(prepared).prepare()
    before = contents(prepared)
    (prepared / "split.json").unlink()
    Study(prepared).prepare()
    assert contents(prepared) == before


def test_a_bad_image_is_found_before_anything_is_written_and_mending_it_helps(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    bad = load_manifest(radiographs).images[4]
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    study = Study(tmp_path / "study", radiographs, tiny_protocol)
    with pytest.raises(ManifestError, match=rf"row 6: .*{re.escape(bad.name)}.*truncated"):
        study.prepare()
    assert contents(tmp_path / "study") == {}
    bad.write_bytes(whole)
    study.prepare()
    assert set(contents(tmp_path / "study")) == FILES


def test_a_study_that_cannot_be_split_is_not_prepared(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    too_small = dataclasses.replace(tiny_protocol, holdout_fraction=0.01)
    study = Study(tmp_path / "study", radiographs, too_small)
    for _ in range(2):
        with pytest.raises(SplitError, match="leaves the hold-out set empty"):
            study.prepare()
        assert contents(tmp_path / "study") == {}


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", ["before study.json", "before split.json"])
def test_a_kill_while_preparing_heals(
    tmp_path: Path,
    radiographs: Path,
    tiny_protocol: Protocol,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: str,
) -> None:
    def die(*arguments: object) -> NoReturn:
        raise KeyboardInterrupt

    places = {
        "before study.json": "records.study.write_record",
        "before split.json": "steps.prepare.load_or_make_split",
    }
    with monkeypatch.context() as patched:
        patched.setattr(f"rust_tuner.{places[killed_at]}", die)
        with pytest.raises(KeyboardInterrupt):
            Study(tmp_path / "killed", radiographs, tiny_protocol).prepare()
    # The key is there before anything that depends on it.
    left = {"private/key.json"}
    if killed_at == "before study.json":
        left |= {"split.json", "pixels.json", "private/patients.csv", "private/images.csv"}
    begun = contents(tmp_path / "killed")
    assert set(begun) == left
    Study(tmp_path / "killed", radiographs, tiny_protocol).prepare()
    healed = contents(tmp_path / "killed")
    assert {name: healed[name] for name in left} == begun
    shutil.copytree(tmp_path / "killed" / "private", tmp_path / "unkilled" / "private")
    Study(tmp_path / "unkilled", radiographs, tiny_protocol).prepare()
    assert healed == contents(tmp_path / "unkilled")


def test_a_study_killed_between_its_files_is_not_taken_up_with_another_seed(
    prepared: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    (prepared / "study.json").unlink()
    other = dataclasses.replace(tiny_protocol, seed=1)
    with pytest.raises(SplitError, match="made with seed 0, but seed 1 was requested"):
        Study(prepared, radiographs, other).prepare()
    assert not (prepared / "study.json").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"format": 1, "man', "study.json is not valid JSON"),
        ("[]", "study.json is not a JSON object"),
        ('{"format": 2}', "study.json has a format that this version does not know"),
        ('{"format": 1}', r"study.json is damaged \(manifest: field required, and"),
    ],
)
def test_a_damaged_study_file_is_named(prepared: Path, text: str, told: str) -> None:
    (prepared / "study.json").write_text(text)
    with pytest.raises(RustTunerError, match=told):
        Study(prepared)


def test_a_study_of_a_newer_protocol_is_named(prepared: Path) -> None:
    path = prepared / "study.json"
    written = read_json(path)
    written["protocol"]["pooling"] = "mean"
    path.write_text(json.dumps(written))
    with pytest.raises(ResumeError, match=r"study\.json: its protocol .*unknown .*'pooling'"):
        Study(prepared)


def test_another_process_in_the_study_is_named(prepared: Path) -> None:
    with (
        other_holder(prepared, "Regime I") as holder,
        pytest.raises(LockedError, match=f"in use by process {holder.pid} .*Regime I"),
    ):
        Study(prepared).prepare()
    Study(prepared).prepare()


def test_a_study_moves_with_its_manifest(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol
) -> None:
    Study(tmp_path / "old" / "study", radiographs, tiny_protocol).prepare()
    (tmp_path / "new").mkdir()
    shutil.move(radiographs.parent, tmp_path / "new")
    shutil.move(tmp_path / "old", tmp_path / "new")
    development = Study(tmp_path / "new" / "old" / "study").prepare()
    assert all(image.is_relative_to(tmp_path / "new") for image in development.radiographs.images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["with spaces", "[brackets] {} (*?)", "größer 脛骨 é", "-dash"])
def test_any_folder_name_will_do(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol, name: str
) -> None:
    Study(tmp_path / name, radiographs, tiny_protocol).prepare()
    assert set(contents(tmp_path / name)) == FILES
    Study(tmp_path / name).prepare()
