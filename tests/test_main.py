"""The command's start: before its modules are there, Ctrl-C is no traceback."""

import subprocess
import sys


def start(script):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True)


def test_ctrl_c_during_the_imports_ends_quietly_with_130():
    done = start(
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rust_tuner.study':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from rust_tuner.__main__ import main\n"
        "main()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "rust_tuner", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.strip()
