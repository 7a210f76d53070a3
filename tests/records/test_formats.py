"""A stored study of format 1 opens, and the rule by which a later format would open it."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rust_tuner import Study
from rust_tuner.analysis.tables import study_tables
from rust_tuner.errors import RecordError
from rust_tuner.files import read_json, sha256_of_json
from rust_tuner.records.best import BEST_FILE, BestHyperparameters
from rust_tuner.records.checks import ChecksRecord
from rust_tuner.records.folder import read_study
from rust_tuner.records.folds import FoldHead
from rust_tuner.records.formats import FORMATS, in_todays_format
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.model import Record, parse_record, read_record, write_record
from rust_tuner.records.model_card import ModelCard
from rust_tuner.records.nested import NestedManifest, NestedSummary, OuterFile
from rust_tuner.records.noise import NoiseManifest
from rust_tuner.records.run import RunManifest
from rust_tuner.records.split import SplitRecord
from rust_tuner.records.study_record import StudyRecord
from rust_tuner.records.trials import TrialState
from rust_tuner.terminal.status import status_lines

# Written by version 0.1.0: all steps on 28 phantoms, without the model's own file.
STORED = Path(__file__).parent / "study_of_format_1.zip"
KINDS: dict[str, type[Record]] = {
    "study.json": StudyRecord,
    "split.json": SplitRecord,
    BEST_FILE: BestHyperparameters,
    "checks.json": ChecksRecord,
    "search.json": RunManifest,
    "trial.json": TrialState,
    "fold_0.json": FoldHead,
    "fold_1.json": FoldHead,
    "nested.json": NestedManifest,
    "outer.json": OuterFile,
    "summary.json": NestedSummary,
    "noise.json": NoiseManifest,
    "model.json": ModelCard,
    "holdout.json": Holdout,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "study"
    with zipfile.ZipFile(STORED) as archive:
        archive.extractall(folder)
    return folder


def state_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def test_every_kind_of_state_file_is_stored(stored: Path) -> None:
    assert {path.name for path in state_files(stored)} == set(KINDS)
    assert STORED.stat().st_size < 100_000


def test_a_record_is_written_as_it_was_read_byte_by_byte(stored: Path, tmp_path: Path) -> None:
    for path in state_files(stored):
        record = read_record(path, KINDS[path.name])
        write_record(tmp_path / "again.json", record)
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes(), path
        assert sha256_of_json(record.to_json()) == sha256_of_json(read_json(path))


def test_a_record_names_every_part_of_its_file(stored: Path) -> None:
    def unnamed(value: Any, where: str) -> Iterator[str]:
        if isinstance(value, Record):
            yield from (f"{where}.{name}" for name in value.model_extra or {})
            for name in type(value).model_fields:
                yield from unnamed(getattr(value, name), f"{where}.{name}")
        elif isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                yield from unnamed(part, where)

    found = {
        name
        for path in state_files(stored)
        for name in unnamed(read_record(path, KINDS[path.name]), path.name)
    }
    metrics = read_json(stored / "final" / "holdout.json")["metrics"]
    # What KerasTuner writes for itself, and what differs with the subject of a search.
    known = ("trial.json.", "search.json.subject.", "search.json.space.", "noise.json.subject.")
    assert {name for name in found if not name.startswith(known)} <= {
        *(f"holdout.json.metrics.{name}" for name in metrics),
        "study.json.batch_sizes",
    }


def test_a_stored_study_is_read_whole_and_told(stored: Path) -> None:
    records = read_study(stored)
    assert records.problems == ()
    assert set(records.projects) == {
        *("baselines/lenet1998", "regime_1", "regime_2", "final/cross_validation")
    }
    assert records.study is not None
    assert records.study.patients == 12
    assert records.nested is not None
    assert records.nested.summary is not None
    assert records.noise is not None
    assert records.holdout is not None
    assert records.checks is not None
    written = io.StringIO()
    console = Console(file=written, width=200)
    for line in status_lines(stored):
        console.print(line)
    shown = written.getvalue()
    assert "prepared: 28 radiographs of 12 patients" in shown
    assert "regime_2: 2 of 2 trials done, 0 failed" in shown
    assert "hold-out set: looked at once" in shown
    tables = study_tables(stored)
    assert {"baselines", "regime_1", "regime_2", "nested", "noise", "final"} <= set(tables)
    assert len(tables["regime_2"]) == 2


def test_a_stored_study_is_begun_again_with_its_own_choices(stored: Path) -> None:
    study = Study(stored)
    assert study.count_radiographs() == 28
    assert study.protocol_of("regime_1").trials == 2
    assert study.protocol_of("nested").outer_folds == 2
    assert [look.state for look in study.looks] == ["finished"]


@pytest.mark.slow
def test_a_stored_study_has_a_report(stored: Path) -> None:
    page = Study(stored).report().read_text()
    assert "damaged" not in page
    assert "cannot be read" not in page


# A study of that time has no key and no record of its pixels.
@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"key.json", "pixels.json"}))
def test_a_file_of_a_later_format_is_refused_with_what_to_do(name: str, stored: Path) -> None:
    path = next(stored.rglob(name))
    content = read_json(path)
    key = "version" if name == "split.json" else "format"
    content[key] += 1
    with pytest.raises(
        RecordError, match=r"format that this version does not know.*install that ver"
    ):
        parse_record(content, KINDS[name], path=path)


@pytest.mark.parametrize("written", [None, True, 0, -1, 1.0, "1", [], 10**99])
def test_what_is_no_format_is_refused(written: str | float | None) -> None:
    with pytest.raises(RecordError, match="a format that this version does not know"):
        in_todays_format({"format": written}, "noise.json", path=Path("noise.json"), mend="x")


@pytest.mark.parametrize("name", ["split.json", "pixels.json"])
def test_the_number_of_some_files_is_called_version(name: str) -> None:
    own = {"version": FORMATS[name], "format": 9}
    assert in_todays_format(own, name, path=Path(name), mend="x") is own
    with pytest.raises(RecordError, match="belongs to a later version"):
        in_todays_format({"version": FORMATS[name] + 1}, name, path=Path(name), mend="x")


def upgraded(content: dict[str, Any], upgrades: dict[tuple[str, int], Any]) -> dict[str, Any]:
    return in_todays_format(
        content,
        "noise.json",
        path=Path("noise.json"),
        mend="restore it",
        formats={"noise.json": 3},
        upgrades=upgrades,
    )


def test_an_older_file_takes_every_step_to_todays_format() -> None:
    upgrades = {
        ("noise.json", 1): lambda content: {"format": 1, "regime": content["search"]},
        ("noise.json", 2): lambda content: content | {"repeats": 2 * content["number"]},
        ("other.json", 1): pytest.fail,
    }
    old = {"format": 2, "number": 4}
    assert upgraded(old, upgrades) == {"format": 3, "number": 4, "repeats": 8}
    assert old == {"format": 2, "number": 4}
    with pytest.raises(RecordError, match=r"format 1 and cannot be upgraded.*number.*restore it"):
        upgraded({"format": 1, "search": "regime_1"}, upgrades)
    newest = {"format": 3, "repeats": 1}
    assert upgraded(newest, upgrades) is newest


def test_every_file_with_a_format_is_in_the_table() -> None:
    for kind in KINDS.values():
        has_number = not {"format", "version"}.isdisjoint(kind.model_fields)
        assert has_number == (kind.file_name in FORMATS)
    assert json.loads(json.dumps(FORMATS)) == FORMATS
