"""What a study writes outside its folder `private` does not say whose radiographs it is about."""

import json
import os
import shutil
import stat
from pathlib import Path

import pandas as pd
import pytest
from notes import Notes
from planted import FOLDERS, MANIFEST, planted_below, planted_in, write_export
from stand_ins import backbone_stand_in
from typer.testing import CliRunner

from rust_tuner import Protocol, Study, split_holdout
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.pseudonyms import Pseudonyms
from rust_tuner.data.row_record import radiographs_sha256, row_digests
from rust_tuner.errors import ManifestError, ResumeError
from rust_tuner.files import read_json
from rust_tuner.records.folder import read_study
from rust_tuner.records.private import (
    IMAGES_FILE,
    KEY_FILE,
    PATIENTS_FILE,
    PRIVATE,
    make_key,
    named_within_study,
    record_manifest,
)
from rust_tuner.report.html import write_report


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, phantom_manifest: Path, tiny_protocol: Protocol
) -> Path:
    """A folder with an export, and a prepared study of it below the names; not written to."""
    root = tmp_path_factory.mktemp("original")
    manifest = write_export(root, phantom_manifest)
    Study(manifest.parent / "study", manifest, tiny_protocol).prepare()
    return root


@pytest.fixture
def begun(original: Path, tmp_path: Path) -> Path:
    """A copy of the prepared study."""
    folder = shutil.copytree(original, tmp_path / "copy").joinpath(*FOLDERS)
    return folder / "study"


@pytest.fixture
def export(begun: Path) -> Path:
    """The manifest of that study, with names, dates and ids in all places."""
    return begun.parent / MANIFEST


def unkeyed(manifest: Path) -> list[str]:
    """Hashes that whoever guesses an id could compute without the key."""
    radiographs = load_manifest(manifest)
    return [radiographs_sha256(radiographs), *row_digests(radiographs)]


def test_a_prepared_study_names_nobody(begun: Path, export: Path) -> None:
    found = planted_below(begun, apart_from=begun / PRIVATE, words=unkeyed(export))
    assert found == {}
    split = read_json(begun / "split.json")
    assert all(name.startswith("p-") for name in [*split["development"], *split["holdout"]])


def test_the_search_for_names_finds_them_where_a_writer_does_not_rename(
    export: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pseudonyms, "written", lambda names, table: table)
    folder = export.parent / "another"
    Study(folder, export, tiny_protocol).prepare()
    words = unkeyed(export)
    found = planted_below(folder, apart_from=folder / PRIVATE, words=words)
    assert "MRN48213" in found["split.json"]
    assert words[0] in found["study.json"]


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_only_the_owner_may_read_what_links_hashes_to_patients(begun: Path) -> None:
    private = begun / PRIVATE
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    names = {KEY_FILE, PATIENTS_FILE, IMAGES_FILE}
    assert {path.name for path in private.iterdir()} == names
    for name in names:
        assert stat.S_IMODE((private / name).stat().st_mode) == 0o600, name


def test_the_private_tables_lead_back_to_patients_and_images(begun: Path, export: Path) -> None:
    patients = pd.read_csv(begun / PRIVATE / PATIENTS_FILE, dtype=str)
    own = load_manifest(export)
    assert set(patients["patient_id"]) == set(own.patient_ids)
    assert patients["written_patient"].is_unique
    images = pd.read_csv(begun / PRIVATE / IMAGES_FILE, dtype=str)
    # The study was copied since.
    assert [Path(name).name for name in images["image"]] == [path.name for path in own.images]
    written = images["written_image"].str.extract(r"^image-(\d+)-[0-9a-f]{12}$")[0]
    assert written.tolist() == [str(row) for row in own.rows]


def test_split_and_folds_do_not_depend_on_the_key(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    sides = []
    for number in range(2):
        folder = tmp_path / str(number)
        study = Study(folder, phantom_manifest, tiny_protocol, plain_ids=number == 0)
        development = study.prepare()
        names = dict(
            zip(
                development.radiographs.written_patients,
                development.radiographs.patient_ids,
                strict=True,
            )
        )
        split = read_json(folder / "split.json")
        sides.append({names[name] for name in split["development"]})
    assert sides[0] == sides[1]
    assert not (tmp_path / "0" / PRIVATE).exists()


def test_a_study_of_an_earlier_version_goes_on_with_its_plain_ids(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    folder = tmp_path / "study"
    Study(folder, phantom_manifest, tiny_protocol, plain_ids=True).prepare()
    record = read_json(folder / "study.json")
    del record["patient_ids"]
    (folder / "study.json").write_text(json.dumps(record))
    before = (folder / "split.json").read_bytes()
    opened = Study(folder, cache=tmp_path)
    ids = set(opened.prepare().radiographs.written_patients)
    assert ids <= set(load_manifest(phantom_manifest).patient_ids)
    assert (folder / "split.json").read_bytes() == before
    assert not (folder / PRIVATE).exists()
    # Also where study.json was lost, and the split with plain ids is left.
    (folder / "study.json").unlink()
    Study(folder, phantom_manifest, tiny_protocol).prepare()
    assert read_json(folder / "study.json")["patient_ids"] == "plain"
    assert (folder / "split.json").read_bytes() == before


def test_without_its_key_a_study_can_be_read_and_says_what_is_missing(begun: Path) -> None:
    shutil.rmtree(begun / PRIVATE)
    assert read_study(begun).problems == ()
    assert write_report(begun).is_file()
    with pytest.raises(ResumeError, match=r"private/key.json is missing.*copy the folder private"):
        Study(begun).prepare()


def test_the_key_of_another_study_is_refused(begun: Path, tmp_path: Path) -> None:
    other = make_key(tmp_path, "manifest.csv")
    assert other.key != make_key(tmp_path, "manifest.csv").key
    record_manifest(begun, other, "manifest.csv")
    with pytest.raises(ResumeError, match="is the key of another study"):
        Study(begun).prepare()


def test_a_key_that_an_interrupted_preparation_left_is_used(
    begun: Path, export: Path, tiny_protocol: Protocol
) -> None:
    key, split = read_json(begun / PRIVATE / KEY_FILE), (begun / "split.json").read_bytes()
    (begun / "study.json").unlink()
    Study(begun, export, tiny_protocol).prepare()
    assert read_json(begun / PRIVATE / KEY_FILE) == key
    assert (begun / "split.json").read_bytes() == split


def test_plain_ids_are_refused_where_hashes_were_written(begun: Path) -> None:
    with pytest.raises(ResumeError, match="leave out --plain-ids"):
        Study(begun, plain_ids=True)


def test_a_moved_manifest_is_recorded_with_the_key_only(begun: Path, export: Path) -> None:
    moved = export.with_name("Oberhuber.csv")
    export.rename(moved)
    Study(begun, moved).prepare()
    assert read_json(begun / PRIVATE / KEY_FILE)["manifest"] == "../Oberhuber.csv"
    assert planted_below(begun, apart_from=begun / PRIVATE) == {}
    Study(begun).prepare()


def test_a_failed_step_leaves_no_values_of_the_manifest_behind(
    export: Path, tiny_protocol: Protocol
) -> None:
    table = pd.read_csv(export, dtype=str, keep_default_na=False)
    first = export.parent / table["image"][0]
    first.write_bytes(b"no image")
    folder = export.parent / "another"
    with pytest.raises(ManifestError, match="row 2"):
        Study(folder, export, tiny_protocol).prepare()
    assert planted_below(folder, apart_from=folder / PRIVATE) == {}
    note = read_json(folder / ".lock-note")["ended"]["message"]
    assert note == "the manifest has 1 fault: row 2 (image)"


def test_notes_and_errors_name_nobody(begun: Path, export: Path, tiny_protocol: Protocol) -> None:
    notes = Notes()
    Study(export.parent / "another", export, tiny_protocol, progress=notes).prepare()
    shown = "\n".join(notes.said).replace(str(export.parent), "")
    assert "keyed hashes" in shown
    assert "numbered within their patient" in shown
    assert planted_in(shown.encode()) == set()
    table = pd.read_csv(export, dtype=str, keep_default_na=False)
    table.loc[3, "medial"] = {"1": "2"}.get(table["medial"][3], "1")
    table.to_csv(export, index=False)
    with pytest.raises(ResumeError, match="row 5") as caught:
        Study(begun).prepare()
    assert planted_in(str(caught.value).replace(str(export.parent), "").encode()) == set()


def test_what_is_written_within_a_study_has_its_names_wherever_the_radiographs_come_from(
    begun: Path, export: Path
) -> None:
    own, _ = split_holdout(load_manifest(export))
    named = named_within_study(own, begun / "regime_1" / "trial_0000")
    assert set(named.radiographs.written_patients) <= set(
        pd.read_csv(begun / PRIVATE / PATIENTS_FILE, dtype=str)["written_patient"]
    )
    assert (named.radiographs.patient_ids == own.radiographs.patient_ids).all()
    assert named.radiographs.sealed_patients == own.radiographs.sealed_patients
    assert named_within_study(own, begun.parent) is own
    prepared = Study(begun).prepare()
    assert named_within_study(prepared, begun) is prepared


@pytest.mark.slow
def test_a_whole_study_names_nobody(
    export: Path, tiny_protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rust_tuner.cli.app import app
    from rust_tuner.tensorboard.logs import TensorBoardLogs, write_logs

    monkeypatch.setattr("rust_tuner.models.backbones.build_backbone", backbone_stand_in)
    protocol = tiny_protocol.with_choices(
        trials=1, learning_rates=(1e-2,), num_folds=2, final_folds=2, epochs=1, final_epochs=1
    )
    folder, cache = export.parent / "whole", tmp_path / "cache"
    study = Study(folder, export, protocol, cache=cache, progress=TensorBoardLogs(folder, Notes()))
    study.regime_1()
    study.regime_2()
    study.nested()
    study.final()
    study.check(permutations=1)
    study.report()
    write_logs(folder)
    outside = tmp_path / "shared"
    outside.mkdir()
    runner = CliRunner()
    commands = [
        ["predict", str(folder), str(export.parent / "images"), "--csv", str(outside / "new.csv")],
        ["export", str(folder), str(outside / "best.yaml")],
    ]
    for command in commands:
        result = runner.invoke(app, command)
        assert result.exit_code == 0, result.output
    words = [*unkeyed(export), str(tmp_path)]
    assert planted_below(folder, apart_from=folder / PRIVATE, words=words) == {}
    assert planted_below(outside, apart_from=folder, words=words) == {}
    kinds = {path.suffix for path in folder.rglob("*")}
    assert {".keras", ".npz", ".png", ".svg", ".html", ".csv", ".json", ".md"} <= kinds
    assert any("tfevents" in path.name for path in folder.rglob("*"))
    # The owner still sees the pictures of the worst errors, and finds every prediction again.
    images = pd.read_csv(folder / PRIVATE / IMAGES_FILE, dtype=str)
    predictions = pd.read_csv(folder / "final" / "predictions.csv", dtype=str)
    assert set(predictions["image"]) <= set(images["written_image"])
    assert set(predictions["patient_id"]) <= set(images["written_patient"])
    new = pd.read_csv(outside / "new.csv", dtype=str)["image"]
    kept = pd.read_csv(folder / PRIVATE / "predicted.csv", dtype=str)
    assert set(new) == set(kept["written_image"])
    assert FOLDERS[0] in kept["image"][0]
    # A file that a table program has saved is set aside, and the predictions are not lost.
    changed = "Bild;Größe\n".encode("cp1252")
    (folder / PRIVATE / "predicted.csv").write_bytes(changed)
    result = runner.invoke(app, commands[0])
    assert result.exit_code == 0, result.output
    assert (folder / PRIVATE / "predicted.csv.1").read_bytes() == changed
    again = pd.read_csv(folder / PRIVATE / "predicted.csv", dtype=str)
    assert set(again["written_image"]) == set(new)
