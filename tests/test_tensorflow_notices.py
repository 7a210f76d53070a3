"""TensorFlow's notices reach nobody; its errors, its last words and all other output do."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rust_tuner.notice_filter import is_notice
from rust_tuner.tensorflow_notices import LEVEL_VARIABLE, without_notices

NOTICES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795684763.832400   19980 cudart_stub.cc:31] Could not find cuda drivers on your "
    "machine, GPU will not be used.",
    "I0000 00:00:1795684773.031627   20084 port.cc:153] oneDNN custom operations are on.",
    "W0000 00:00:1795684773.031627   20084 gpu_device.cc:2344] Cannot dlopen some GPU libraries.",
    "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
    "2026-01-31 12:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN operations are on.",
    "E0000 00:00:1795684770.575268   19980 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
    "CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
)
OTHERS = (
    "E0000 00:00:1795684770.575268   19980 cuda_platform.cc:52] failed call to cuInit: INTERNAL: "
    "CUDA error: Failed call to cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
    "F0000 00:00:1795684770.575268   19980 cpu_feature_guard.cc:86] compiled to use AVX",
    "2026-01-31 12:00:00.123456: E tensorflow/core/x.cc:1] Out of memory",
    "Warnung: Ähnliches",
    "I am no line of a log",
    "W",
    "",
)

# Stands for TensorFlow, which takes seconds to import.
STAND_IN = """
import contextlib, os, logging
def write(line):
    with contextlib.suppress(OSError):
        os.write(2, line)
write(b"I0000 00:00:1.0   1 cudart_stub.cc:31] Could not find cuda drivers.\\n")
write(b"E0000 00:00:1.0   1 x.cc:1] a real error\\n")
logging.getLogger("tensorflow").warning("5 out of 5 calls triggered tf.function retracing.")
logging.getLogger("tensorflow").warning("another warning")
if os.environ.get("STAND_IN") == "abort":
    write(b"F0000 00:00:1.0   1 x.cc:1] last words\\n")
    os.abort()
if os.environ.get("STAND_IN") == "fail":
    raise ImportError("a broken installation")
write(b"no line end")
"""
IMPORT = "import os, rust_tuner, tensorflow; os.write(2, b'\\nafter\\n'); print('imported')"
IN_A_CHILD = """
import multiprocessing, os, sys
import rust_tuner
import spawned
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(spawned.work))
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    folder = tmp_path / "tensorflow"
    folder.mkdir()
    (folder / "__init__.py").write_text(STAND_IN)
    (tmp_path / "spawned.py").write_text(
        "import rust_tuner\ndef work():\n    import tensorflow\n    return 'imported'\n"
    )
    return tmp_path


def imported(
    folder: Path, code: str = IMPORT, *, shell: str = "", **variables: str
) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script)]
    if shell:
        command = ["sh", "-c", f'exec "$0" "$@" {shell}', *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PYTHONPATH": path} | variables,
    )


@pytest.mark.parametrize("line", NOTICES)
def test_information_and_warnings_are_notices(line: str) -> None:
    assert is_notice(line.encode() + b"\n")


@pytest.mark.parametrize("line", OTHERS)
def test_errors_and_what_is_not_known_are_none(line: str) -> None:
    assert not is_notice(line.encode() + b"\n")


def test_an_import_shows_errors_and_warnings_of_others_but_no_notices(stand_in: Path) -> None:
    done = imported(stand_in)
    assert (done.returncode, done.stdout) == (0, "imported\n")
    assert done.stderr == (
        "E0000 00:00:1.0   1 x.cc:1] a real error\nanother warning\nno line end\nafter\n"
    )


def test_everything_is_shown_to_who_asks_for_it(stand_in: Path) -> None:
    shown = imported(stand_in, TF_CPP_MIN_LOG_LEVEL="0").stderr
    assert "Could not find cuda drivers" in shown
    assert "retracing" in shown


def test_what_an_import_says_before_it_fails_is_shown(stand_in: Path) -> None:
    failed = imported(stand_in, STAND_IN="fail")
    assert failed.returncode == 1
    assert "a real error" in failed.stderr
    assert failed.stderr.endswith("ImportError: a broken installation\n")
    aborted = imported(stand_in, STAND_IN="abort")
    assert aborted.returncode == -signal.SIGABRT
    assert "last words" in aborted.stderr
    assert "Could not find" not in failed.stderr + aborted.stderr


def test_a_closed_stream_is_no_reason_to_fail(stand_in: Path) -> None:
    done = imported(stand_in, "import rust_tuner, tensorflow; print('imported')", shell="2>&-")
    assert (done.returncode, done.stdout) == (0, "imported\n")


def test_child_processes_are_as_quiet(stand_in: Path) -> None:
    done = imported(stand_in, IN_A_CHILD)
    assert done.stdout == "imported\n"
    assert "a real error" in done.stderr
    assert "Could not find" not in done.stderr


@pytest.mark.slow
def test_a_child_that_keeps_the_stream_is_waited_for_no_longer_and_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    monkeypatch.setattr("rust_tuner.tensorflow_notices._LONGEST_WAIT", 0.01)
    with without_notices():
        child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    gc.collect()
    child.communicate(b"\n")
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]
