"""What workers print: kept in a file of bounded size, and not on the terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rust_tuner.search.executors.worker_log import (
    LOGS,
    MOST_BYTES,
    WorkerLog,
    print_to,
    printed_to,
    remove_empty,
)


def test_both_descriptors_go_to_the_file_and_come_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / LOGS / "trial_0000.log"
    with printed_to(path):
        os.write(1, b"output\n")
        os.write(2, b"errors\n")
    os.write(1, b"afterwards\n")
    assert path.read_text() == "output\nerrors\n"
    assert capfd.readouterr().out == "afterwards\n"


def test_a_worker_that_prints_nothing_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / LOGS / "trial_0000.log"
    with printed_to(path):
        pass
    assert not path.exists()
    remove_empty(tmp_path)
    assert not path.parent.exists()


def test_of_a_long_log_the_last_lines_are_kept(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "long.log")
    lines = [f"line {number}\n".encode() for number in range(MOST_BYTES // 8)]
    os.write(log.number, b"".join(lines))
    log.limit()
    os.write(log.number, b"the end\n")
    log.close()
    kept = (tmp_path / "long.log").read_bytes().splitlines(keepends=True)
    assert kept[0] == b"[the beginning was cut off]\n"
    assert kept[-1] == b"the end\n"
    assert kept[1:-1] == lines[-len(kept) + 2 :]
    assert (tmp_path / "long.log").stat().st_size < MOST_BYTES


def test_a_long_log_that_someone_removed_is_no_reason_to_fail(tmp_path: Path) -> None:
    log = WorkerLog(tmp_path / "long.log")
    os.write(log.number, b"a line\n" * MOST_BYTES)
    (tmp_path / "long.log").unlink()
    log.limit()
    log.close()


def test_a_folder_that_cannot_be_written_to_is_no_reason_to_fail(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / LOGS).write_text("a file")
    with printed_to(tmp_path / LOGS / "trial_0000.log") as log:
        print("seen")
    assert log is None
    assert capfd.readouterr().out == "seen\n"


def test_a_process_prints_to_a_file_from_its_start(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from rust_tuner.search.executors.worker_log import print_to; "
        "print_to(pathlib.Path(sys.argv[1])); print('one'); print('two', file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "start.log")], capture_output=True, check=True
    )
    assert (run.stdout, run.stderr) == (b"", b"")
    assert sorted((tmp_path / "start.log").read_text().split()) == ["one", "two"]
    assert callable(print_to)
