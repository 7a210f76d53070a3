"""Where the commands print: results on standard output, notes and errors on standard error."""

from rust_tuner.terminal.console import new_console

out = new_console()
# Notes and progress, which `--quiet` turns off.
err = new_console(stderr=True)
errors = new_console(stderr=True)
