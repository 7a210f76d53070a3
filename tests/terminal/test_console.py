"""The console: whatever is printed is shown and not obeyed, in every encoding."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from narrowing import is_a
from report_studies import write_study
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rust_tuner.files import read_json
from rust_tuner.terminal.console import new_console
from rust_tuner.words import visible

HOSTILE = "\x1b[2J\x1b]0;title\x07 \u202egnp.exe \x9b31m \x00"


def printed(shown: str | Text | Table, **options: Any) -> str:
    console = new_console()
    console.file = io.StringIO()
    console.print(shown, **options)
    return is_a(io.StringIO, console.file).getvalue()


def test_control_characters_are_written_out() -> None:
    assert visible("a\tb\nc") == "a\tb\nc"
    assert visible("\x1b[31mred") == "\\x1b[31mred"
    assert visible("\u202e\ud800") == "\\u202e\\ud800"


@given(st.text())
def test_visible_text_can_be_encoded_and_has_no_control_characters(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in shown)


def test_neither_a_line_nor_a_cell_reaches_the_terminal_raw() -> None:
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE, style="red")
    for shown in (HOSTILE, Text(HOSTILE), table):
        text = printed(shown, markup=False, highlight=False)
        assert not set(text) & {"\x1b", "\x07", "\x9b", "\x00", "\u202e"}
        assert "x1b" in text


def test_the_consoles_own_styles_stay() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    plain = new_console()
    for item in (console, plain):
        item.file = io.StringIO()
        item._force_terminal, item._color_system = True, console._color_system
        item.print(Text("red", style="red"))
    assert is_a(io.StringIO, plain.file).getvalue() == is_a(io.StringIO, console.file).getvalue()
    assert "\x1b[31m" in is_a(io.StringIO, plain.file).getvalue()


@pytest.fixture(scope="module")
def hostile_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose trials have messages that no ASCII terminal can show, and worse."""
    import json

    folder = tmp_path_factory.mktemp("study") / "größer ±"
    write_study(folder)
    path = folder / "regime_1" / "trial_0003" / "trial.json"
    state = read_json(path) | {"status": "FAILED", "message": f"mu µ ± 脛骨 {HOSTILE[:-1]}"}
    path.write_text(json.dumps(state))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding",
    [
        "ascii",
        pytest.param("cp1252", marks=pytest.mark.slow),
        pytest.param("utf-8", marks=pytest.mark.slow),
        "latin-1:strict",
    ],
)
def test_status_is_shown_in_every_encoding(encoding: str, hostile_study: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rust_tuner", "status", str(hostile_study)],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert b"Traceback" not in done.stderr
    shown = done.stdout.decode(encoding.partition(":")[0])
    assert "11 of 12" in shown
    assert "\x1b" not in shown


def test_a_user_without_a_home_is_told_where_to_name_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rust_tuner.errors import StorageError
    from rust_tuner.files import cache_folder

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("RUST_TUNER_CACHE", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    with pytest.raises(StorageError, match="has no home folder; set RUST_TUNER_CACHE"):
        cache_folder(None)
    with pytest.raises(StorageError, match="~nobody-of-this-name"):
        cache_folder("~nobody-of-this-name/cache")
