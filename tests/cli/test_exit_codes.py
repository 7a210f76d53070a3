"""Each exit code means what its table says."""

import subprocess
import sys
from pathlib import Path

import pytest
from command import run
from typer.testing import CliRunner

from rust_tuner import Study
from rust_tuner.cli.app import app
from rust_tuner.cli.exit_codes import MEANINGS, exit_code_rows
from rust_tuner.errors import TimeBudgetError
from rust_tuner.interrupts import Terminated
from rust_tuner.terminal import status


def test_the_help_has_the_whole_table() -> None:
    shown = " ".join(run("--help").stdout.split("Exit codes:")[1].split())
    for code, meaning in exit_code_rows():
        assert f"{code} {meaning}" in shown
    assert [int(code) for code in MEANINGS] == [0, 1, 2, 130, 143]


def test_done_is_0(tmp_path: Path) -> None:
    run("status", tmp_path, code=0)


def test_an_error_is_1(tmp_path: Path) -> None:
    assert "error: " in run("report", tmp_path, code=1).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_cannot_be_printed_is_1(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "rust_tuner", "--help"]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: the output cannot be written (No space left")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [["regime3"], ["status"], ["status", "a", "b"], ["regime1", "new", "--folds", "1"], ["--nix"]],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    run(*arguments, code=2)


def test_a_wrong_configuration_file_is_2(tmp_path: Path) -> None:
    (tmp_path / "rust-tuner.yaml").write_text("nix: 3\n")
    run("regime1", tmp_path, code=2)


@pytest.mark.parametrize(
    ("signal", "code", "said"),
    [(KeyboardInterrupt, 130, "interrupted"), (Terminated, 143, "ended by SIGTERM")],
)
def test_a_signal_has_the_code_of_the_shell(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    signal: type[KeyboardInterrupt] | type[Terminated],
    code: int,
    said: str,
) -> None:
    def strike(folder: Path) -> None:
        raise signal

    monkeypatch.setattr(status, "status_lines", strike)
    assert f"{said}; nothing finished is lost" in run("status", tmp_path, code=code).stderr


def test_a_spent_time_budget_is_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def spend(self: Study) -> None:
        raise TimeBudgetError("spent")

    (tmp_path / "manifest.csv").write_text("image\n")
    monkeypatch.setattr(Study, "prepare", spend)
    monkeypatch.setattr("rust_tuner.report.html.write_report", lambda study: study / "report")
    command = ["regime1", tmp_path / "study", "--manifest", tmp_path / "manifest.csv"]
    shown = run(*command, "--time-budget", "1s", code=0).stderr
    assert "the time budget of 1 s is spent; to resume, run again" in shown


def test_an_unexpected_error_is_1_for_the_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(folder: Path) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(status, "status_lines", fail)
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert (result.exit_code, type(result.exception)) == (1, ZeroDivisionError)
