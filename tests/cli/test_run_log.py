"""The log of a study: whole lines of several processes, bounded, and never a reason to fail."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import run

from rust_tuner.cli import run_log
from rust_tuner.cli.consoles import err
from rust_tuner.cli.logged_progress import LoggedProgress
from rust_tuner.cli.run_log import RunLog, keeping_log
from rust_tuner.data.private_words import forget_private_words
from rust_tuner.files import write_json
from rust_tuner.last_run import RUN_LOGGER, note_begin, note_end
from rust_tuner.progress import Silent

TINY = ("--folds", "3", "--weights", "random", "--image-size", "75")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ [a-z0-9]+: .+")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    forget_private_words()
    yield
    assert logging.getLogger(RUN_LOGGER).handlers == []
    err.quiet = False


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "Anna Smith" / "study"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text("{}")
    return folder


def lines_of(study: Path) -> list[str]:
    lines = (study / "log" / "rust_tuner.log").read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    return [line.split(": ", 1)[1] for line in lines]


@pytest.mark.parametrize("option", [[], ["--quiet"]])
def test_a_command_that_fails_is_logged_with_its_options_versions_and_error(
    study: Path, option: list[str]
) -> None:
    run("export", study, study.parent / "best.json", *option, code=1)
    started, error, ended = lines_of(study)
    assert started.startswith(
        f"started: {' '.join(['rust-tuner export STUDY', *option])}; rust_tuner "
    )
    assert "Python 3." in started and "keras-tuner 1." in started
    assert error.startswith("error: ResumeError: STUDY has no search with a completed trial")
    assert "raised in rust_tuner.cli.app:" in error
    assert re.fullmatch(r"ended: exit code 1, after \d+ s", ended)
    assert "Smith" not in (study / "log" / "rust_tuner.log").read_text()


def test_steps_notes_warnings_and_trials_are_logged(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *about: shown.append(about[1]))
    project = study / "regime_1"
    for trial, status, score in (("0000", "COMPLETED", 0.81234), ("0001", "RUNNING", None)):
        (project / f"trial_{trial}").mkdir(parents=True)
        state: dict[str, Any] = {
            "trial_id": trial,
            "status": status,
            "hyperparameters": {"values": {"batch_size": 8}},
            "metrics": {"metrics": {}},
            "score": score,
            "best_step": 0,
            "message": None,
        }
        write_json(project / f"trial_{trial}" / "trial.json", state)
    with keeping_log(study, "regime1", "rust-tuner regime1 STUDY"):
        note_begin(study, "Regime I")
        note_begin(project, "searching hyperparameters")
        progress = LoggedProgress(Silent(), study)
        progress.say(f"note: logs -> {study}/tensorboard")
        for trial in ("0000", "0000", "0001", "0009"):
            progress.recorded(project, trial)
        progress.recorded(project)
        # As the module calls it, also where pytest turns warnings into errors.
        warnings.showwarning("half of /data/Smith/x was read", UserWarning, __file__, 1)
        note_end(project, "finished")
        note_end(study, "out of time")
    assert lines_of(study)[1:-1] == [
        "begins: Regime I",
        "begins: searching hyperparameters (regime_1)",
        "note: logs -> STUDY/tensorboard",
        "trial 0000 of regime_1: COMPLETED, score 0.8123",
        "warning: UserWarning: half of <path> was read",
        "finished: searching hyperparameters (regime_1)",
        "out of time: Regime I",
    ]
    assert lines_of(study)[-1].startswith("ended: done, after ")
    assert shown == [UserWarning]


def test_an_unexpected_error_is_logged_and_raised(study: Path) -> None:
    with pytest.raises(ZeroDivisionError), keeping_log(study, "check", "rust-tuner check STUDY"):
        _ = 1 / 0
    assert lines_of(study)[1].startswith("error: ZeroDivisionError; raised in ")
    assert lines_of(study)[2].startswith("ended: an unexpected error")


def test_nothing_is_written_until_the_folder_is_a_study(tmp_path: Path) -> None:
    with keeping_log(tmp_path, "prepare", "rust-tuner prepare STUDY") as log:
        log.write("first")
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "study.json").write_text("{}")
        log.write("second")
    texts = lines_of(tmp_path)
    assert texts[0].startswith("started: ")
    assert texts[1:3] == ["first", "second"]
    other = tmp_path / "other"
    run("regime1", other, code=1)
    run("export", tmp_path, other, "--help")
    assert not other.exists()


def test_nothing_private_of_a_study_is_in_its_log(tmp_path: Path, phantom_manifest: Path) -> None:
    archive = tmp_path / "Anna Maria Smith" / "1961-05-17"
    shutil.copytree(phantom_manifest.parent, archive)
    rows = (archive / phantom_manifest.name).read_text().splitlines()
    cells = [row.split(",") for row in rows]
    at, image = (cells[0].index(name) for name in ("patient_id", "image"))
    for row in cells[1:]:
        row[at] = f"MRN-Smith-{row[at]}"
        (archive / row[image]).rename(archive / f"Smith_{row[image].replace('/', '_')}")
        row[image] = f"Smith_{row[image].replace('/', '_')}"
    manifest = archive / "Smith.csv"
    manifest.write_text("\n".join(map(",".join, cells)))
    command = ["prepare", archive / "study", "--manifest", manifest, *TINY]
    run(*command)
    (archive / cells[1][image]).write_bytes(b"no image")
    run(*command, code=1)
    manifest.write_text("image\n")
    run(*command, code=1)
    manifest.unlink()
    run("prepare", archive / "study", code=1)
    log = (archive / "study" / "log" / "rust_tuner.log").read_text()
    assert [log.count(word) for word in ("started:", "error:", "ended:")] == [4, 3, 4]
    for private in ("Smith", "MRN", "Anna", "1961", str(tmp_path)):
        assert private not in log, private


def test_commands_that_only_read_leave_no_log(study: Path) -> None:
    run("status", study)
    run("config", study)
    assert not (study / "log").exists()


@pytest.mark.parametrize("kind", ["file", "fifo", "folder"])
def test_a_log_that_cannot_be_written_never_ends_the_work(study: Path, kind: str) -> None:
    if kind == "file":
        (study / "log").write_text("of the user")
    else:
        (study / "log").mkdir()
        name = study / "log" / "rust_tuner.log"
        os.mkfifo(name) if kind == "fifo" else name.mkdir()
    log = RunLog(study, "check")
    log.write("a line")
    assert kind != "file" or (study / "log").read_text() == "of the user"


def test_a_study_that_is_removed_is_not_made_again(study: Path) -> None:
    log = RunLog(study, "check")
    (study / "study.json").unlink()
    study.rmdir()
    log.write("a line")
    assert not study.exists()


def test_the_log_is_bounded_and_its_newest_lines_are_kept(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "LARGEST_LOG", 1000)
    log = RunLog(study, "check")
    for number in range(200):
        log.write(f"line {number:03}")
    files = sorted((study / "log").iterdir())
    assert [path.name for path in files] == [
        "rust_tuner.log",
        *(f"rust_tuner.log.{number}" for number in (1, 2, 3)),
    ]
    assert all(path.stat().st_size <= 1100 for path in files)
    texts = [line for path in reversed(files) for line in path.read_text().splitlines()]
    numbers = [int(text[-3:]) for text in texts]
    # In order, without a gap, to the last one.
    assert numbers == list(range(numbers[0], 200))


WRITER = """
import sys
from pathlib import Path
from rust_tuner.cli import run_log
run_log.LARGEST_LOG = int(sys.argv[3])
log = run_log.RunLog(Path(sys.argv[1]), "check")
for number in range(300):
    log.write(f"{sys.argv[2]} {number} " + "x" * 200)
"""


def test_lines_of_several_processes_stay_whole_and_none_is_lost(study: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(study), name, "80000"])
        for name in "abc"
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    files = list((study / "log").iterdir())
    # It was full, and became an older one, while all three were writing.
    assert study / "log" / "rust_tuner.log.2" in files
    texts = [line for path in files for line in path.read_text().splitlines()]
    assert all(re.fullmatch(rf"{LINE.pattern[:-2]}[abc] \d+ x{{200}}", text) for text in texts)
    assert len(texts) == len(set(texts)) == 900


def test_what_is_logged_is_utf_8_on_one_line(study: Path) -> None:
    RunLog(study, "check").note("ä\nß \ud800")
    text = (study / "log" / "rust_tuner.log").read_bytes().decode()
    assert text.count("\n") == 1
    assert "ä ß" in text


def test_status_names_the_log_after_an_error(study: Path) -> None:
    note_begin(study, "Regime I")
    note_end(study, "failed", "no space left")
    assert "no space left\n" in run("status", study).stdout
    RunLog(study, "regime1").write("a line")
    assert "no space left; see log/rust_tuner.log\n" in run("status", study).stdout
    note_begin(study, "Regime I")
    note_end(study, "finished")
    assert "log/" not in run("status", study).stdout


def test_a_damaged_trial_is_no_reason_to_fail(study: Path) -> None:
    (study / "trial_0000").mkdir()
    progress = LoggedProgress(Silent(), study)
    for content in ("{", "[]", json.dumps({"status": "COMPLETED"}), json.dumps({"score": 1})):
        (study / "trial_0000" / "trial.json").write_text(content)
        progress.recorded(study, "0000")
