"""The command's start: before its modules are there, a signal is no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from narrowing import not_none

import rust_tuner

# Stands still where the command's modules would be imported, and says that it has come so far.
STANDING_STILL = (
    "import sys\n"
    "class Waiting:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name == 'rust_tuner.{module}':\n"
    "            print('here', flush=True)\n"
    "            import time\n"
    "            time.sleep(600)\n"
    "sys.meta_path.insert(0, Waiting())\n"
    "from rust_tuner.__main__ import main\n"
    "main()\n"
)
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def answered() -> None:
    """As a terminal starts a command; a shell's background has Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    "module",
    [
        "cli",
        pytest.param("cli.app", marks=pytest.mark.slow),
        pytest.param("interrupts", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [(signal.SIGINT, 130, "interrupted before any work started\n"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_during_the_imports_ends_in_one_line_at_most(
    module: str, sent: signal.Signals, code: int, told: str
) -> None:
    script = STANDING_STILL.format(module=module)
    process = subprocess.Popen([sys.executable, "-c", script], preexec_fn=answered, **PIPES)
    assert not_none(process.stdout).readline() == "here\n"
    process.send_signal(sent)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (code, "", told)


@pytest.mark.slow
def test_a_command_that_was_started_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    script = STANDING_STILL.format(module="cli").replace("sleep(600)", "sleep(1)")
    ignoring = f"import signal; signal.signal(2, signal.SIG_IGN)\n{script}"
    process = subprocess.Popen([sys.executable, "-c", ignoring, "--version"], **PIPES)
    assert not_none(process.stdout).readline() == "here\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert out.strip()


def test_the_signals_are_answered_before_anything_else_is_imported() -> None:
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(rust_tuner.__file__).parents[1])!r})\n"
        "import rust_tuner.__main__, signal\n"
        "print(sorted(name for name in sys.modules if name.startswith('rust_tuner')))\n"
        "print('typing' in sys.modules, signal.getsignal(signal.SIGINT).__name__)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", script]
    done = subprocess.run(command, preexec_fn=answered, **PIPES)
    before = "['rust_tuner', 'rust_tuner.__main__', 'rust_tuner.onednn']"
    assert done.stdout == f"{before}\nFalse _stop\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
def test_whenever_a_signal_comes_there_is_no_traceback(sent: signal.Signals, delay: float) -> None:
    script = "import rust_tuner; print('here', flush=True)\n"
    script += "from rust_tuner.__main__ import main; main()"
    command = [sys.executable, "-c", script, "phantoms", os.devnull]
    process = subprocess.Popen(command, preexec_fn=answered, **PIPES)
    assert not_none(process.stdout).readline() == "here\n"
    time.sleep(delay)
    process.send_signal(sent)
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    # The system ends the process once work has begun, or while Python shuts down, which a shell
    # reports as 130 or 143 as well; it may also have ended by itself.
    assert process.returncode in (128 + sent, -sent, 1)


def test_after_work_ctrl_c_ends_without_a_word() -> None:
    script = (
        "import rust_tuner.__main__ as command, os, signal\n"
        "from rust_tuner.interrupts import remembering_interrupts, until_work_begins\n"
        "until_work_begins(command._stop, afterwards=command._leave)\n"
        "for _ in range(2):\n"
        "    with remembering_interrupts():\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        except KeyboardInterrupt:\n"
        "            print('raised')\n"
        "    print(signal.getsignal(signal.SIGINT).__name__, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], preexec_fn=answered, **PIPES)
    assert done.stdout.split() == ["raised", "_leave"] * 2
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.slow
def test_ctrl_c_while_python_shuts_down_is_no_traceback() -> None:
    script = (
        "import atexit, time\n"
        "atexit.register(lambda: (print('here', flush=True), time.sleep(600)))\n"
        "from rust_tuner.__main__ import main; main()"
    )
    command = [sys.executable, "-c", script, "phantoms", os.devnull]
    process = subprocess.Popen(command, preexec_fn=answered, **PIPES)
    assert not_none(process.stdout).readline() == "here\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    assert process.returncode == 130


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["status"], 2)])
def test_a_command_leaves_without_a_last_search_for_garbage(
    arguments: list[str], code: int
) -> None:
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "from rust_tuner.__main__ import main\n"
        "main()\n"
    )
    left = subprocess.run([sys.executable, "-c", script, *arguments], check=False, **PIPES)
    assert (left.returncode, left.stdout.splitlines()[-1]) == (code, "True")


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "rust_tuner", "--version"], **PIPES)
    assert done.returncode == 0
    assert done.stdout.strip()
