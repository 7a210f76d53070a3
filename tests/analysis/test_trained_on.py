"""Trials that were trained in different ways, and where that is said."""

from pathlib import Path

from report_searches import signed, write_json, write_regime_1

from rust_tuner.analysis.trained_on import trained_note
from rust_tuner.files import read_json
from rust_tuner.records.project import read_project
from rust_tuner.terminal.searches import best_trials_table
from rust_tuner.terminal.status import status_lines

TWO_THREADS = {"threads": 2, "onednn": True, "processor": "EPYC", "machine": "aaaa"}


def search(folder: Path, *ways: dict[str, object] | None) -> Path:
    """A search of trials that were each trained in a way."""
    project = write_regime_1(folder / "regime_1", count=len(ways), num_folds=2)
    for number, way in enumerate(ways):
        for path in (project / f"trial_{number:04d}").glob("fold_*.json"):
            head = {key: value for key, value in read_json(path).items() if key != "sha256"}
            write_json(path, signed(head | ({} if way is None else {"trained_on": way})))
    return project


def test_trials_that_are_trained_alike_need_no_note(tmp_path: Path) -> None:
    assert trained_note(read_project(search(tmp_path, TWO_THREADS, TWO_THREADS))) is None


def test_records_of_earlier_versions_say_nothing_about_it(tmp_path: Path) -> None:
    assert trained_note(read_project(search(tmp_path, None, None, TWO_THREADS))) is None


def test_what_differs_is_counted_and_said_everywhere(tmp_path: Path) -> None:
    one = TWO_THREADS | {"threads": 1}
    folder = search(tmp_path, TWO_THREADS, one, one)
    note = (
        "Trials were trained in different ways (2 on 1 thread, oneDNN, EPYC; 1 on 2 threads, "
        "oneDNN, EPYC), so their scores are comparable within 1e-3, not bitwise."
    )
    project = read_project(folder)
    assert trained_note(project) == note
    assert note in str(best_trials_table(project).caption)
    assert f"  {note}" in [line.plain for line in status_lines(folder)]


def test_machines_are_counted_and_not_named(tmp_path: Path) -> None:
    other = TWO_THREADS | {"machine": "bbbb"}
    note = trained_note(read_project(search(tmp_path, TWO_THREADS, other)))
    assert note is not None and "on 2 machines (2 on 2 threads, oneDNN, EPYC)" in note
    assert "aaaa" not in note
