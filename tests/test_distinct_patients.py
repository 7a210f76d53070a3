"""Patient ids that read alike stop a study, unless the user says that they are different people."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from rust_tuner import Radiographs, Study, load_manifest, load_onehot_manifest
from rust_tuner.cli.app import app
from rust_tuner.errors import ManifestError
from rust_tuner.files import read_json
from rust_tuner.labels import CORTEX_LABELS
from rust_tuner.protocol import Protocol
from rust_tuner.records.split import read_split
from rust_tuner.steps.checks.patients import check_patient_ids

READS_LIKE = (
    r"manifest\.csv row \d+: patient_id='p-1' \(also in rows? .*reads like 'P0001' of row 2"
)


@pytest.fixture
def manifest(tmp_path: Path, phantom_manifest: Path) -> Path:
    """The phantoms, one of whose patients has an id that reads like another one's."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    path = tmp_path / "radiographs" / phantom_manifest.name
    path.write_text(path.read_text().replace(",P0002,", ",p-1,"))
    return path


def test_a_manifest_is_refused_by_row_unless_they_are_different_people(manifest: Path) -> None:
    with pytest.raises(ManifestError, match=READS_LIKE):
        load_manifest(manifest)
    radiographs = load_manifest(manifest, distinct_patients=True)
    assert {"P0001", "p-1"} < set(radiographs.patient_ids)
    assert radiographs.subset([0, 1]).distinct_patients
    with pytest.raises(ManifestError, match=r"table row \d+: patient_id='p-1'"):
        Radiographs(radiographs.table)
    assert len(Radiographs(radiographs.table, distinct_patients=True)) == len(radiographs)


def test_a_label_table_is_refused_by_row_unless_they_are_different_people(tmp_path: Path) -> None:
    cortices = [label.replace("_", "_cortex_") for label in CORTEX_LABELS]
    table = pd.DataFrame(
        {
            "study_id": ["A", "A", "a"],
            "record_id": ["7", "8", "007"],
            "event_arm": "baseline",
            "view_antpr": 1,
            "view_later": 0,
        }
        | dict.fromkeys(cortices, 0)
    )
    table.to_csv(tmp_path / "labels.csv")
    (tmp_path / "names.csv").write_text("a.png\nb.png\nc.png\n")
    files = (tmp_path / "labels.csv", tmp_path / "names.csv", tmp_path)
    with pytest.raises(ManifestError, match=r"labels\.csv row 4: patient_id='a/007' reads like"):
        load_onehot_manifest(*files)
    assert len(load_onehot_manifest(*files, distinct_patients=True)) == 3


def test_a_study_records_that_they_are_different_people_and_knows_it_when_resumed(
    manifest: Path, tmp_path: Path, tiny_protocol: Protocol
) -> None:
    folder = tmp_path / "study"
    with pytest.raises(ManifestError, match=READS_LIKE):
        Study(folder, manifest, tiny_protocol).prepare()
    assert not (folder / "study.json").exists()
    prepared = Study(
        folder, manifest, tiny_protocol, distinct_patients=True, plain_ids=True
    ).prepare()
    assert read_json(folder / "study.json")["distinct_patients"] is True
    again = Study(folder).prepare()
    assert again.radiographs.rows == prepared.radiographs.rows
    radiographs = load_manifest(manifest, distinct_patients=True)
    verdict = check_patient_ids(radiographs, read_split(folder / "split.json", radiographs))
    assert verdict.status == "warning"
    assert "--distinct-patients" in verdict.reason


def test_the_command_line_takes_it_once(manifest: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "study")
    options = ["prepare", folder, "--manifest", str(manifest), "--folds", "3"]
    options += ["--weights", "random"]
    refused = CliRunner().invoke(app, options)
    assert refused.exit_code == 1
    taken = CliRunner().invoke(app, [*options, "--distinct-patients"])
    assert taken.exit_code == 0, taken.output
    assert CliRunner().invoke(app, ["prepare", folder]).exit_code == 0


@pytest.mark.parametrize(
    "command", ["prepare", "baselines", "regime1", "regime2", "nested", "study"]
)
def test_every_step_that_takes_a_manifest_takes_it(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "--distinct-patients" in shown.output
