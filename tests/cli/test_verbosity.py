"""Quiet commands print results and errors only; verbose ones also what happens inside."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import run

from rust_tuner.cli.consoles import err
from rust_tuner.cli.verbosity import choose


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    handlers = logging.root.handlers[:]
    yield
    choose(quiet=False, verbose=False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(logging.WARNING)


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [lambda command, option: [option, *command], lambda command, option: [*command, option]],
)
@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_prints_no_notes_wherever_it_is_written(
    tmp_path: Path, place: Callable[[list[str], str], list[str]], option: str
) -> None:
    command = ["phantoms", str(tmp_path / "some"), "--patients", "1"]
    result = run(*place(command, option))
    assert (result.stdout, result.stderr) == ("", "")
    assert (tmp_path / "some" / "manifest.csv").is_file()
    # The next command is as usual.
    assert "wrote " in run("phantoms", tmp_path / "others", "--patients", "1").stderr
    assert not err.quiet


def test_quiet_prints_results_and_errors(tmp_path: Path) -> None:
    result = run("status", tmp_path / "none", "--quiet", code=1)
    assert "There is no such folder" in result.stdout
    result = run("report", tmp_path, "--quiet", code=1)
    assert result.stderr.startswith(f"error: {tmp_path} is not a study folder")


def test_verbose_prints_tracebacks_and_tensorflows_lines(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from rust_tuner.cli.app import app

    result = CliRunner().invoke(app, ["report", str(tmp_path), "-v"])
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"
    assert logging.getLogger("rust_tuner").isEnabledFor(logging.DEBUG)


def test_quiet_and_verbose_exclude_each_other() -> None:
    for arguments in (["-q", "-v", "status", "x"], ["-q", "status", "x", "-v"]):
        assert "exclude each other" in run(*arguments, code=2).stderr


@pytest.mark.parametrize("command", [[], ["status"], ["regime1"], ["check"]])
def test_every_command_has_them_and_a_short_help(command: list[str]) -> None:
    shown = run(*command, "-h").stdout
    assert all(option in shown for option in ("-q, --quiet", "-v, --verbose", "--help"))
    assert shown == run(*command, "--help").stdout
