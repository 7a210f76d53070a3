"""Starts the `rust-tuner` command, also as `python -m rust_tuner`.

Ctrl-C and SIGTERM end the process at once while the command's modules are imported: nothing has
been begun, and an import that an exception breaks off may be taken for a failure of its own. What
Ctrl-C means afterwards is left to `interrupts`.
"""

# Nothing else is imported before the signals are answered.
try:
    import os
    import signal
    from types import FrameType
except KeyboardInterrupt:
    raise SystemExit(130) from None

_INTERRUPTED = 130
_TERMINATED = 143
_NOTE = b"interrupted before anything was begun\n"


def _stop(signum: int, frame: FrameType | None) -> None:
    """End the process with the exit code that a shell has for the signal."""
    if signum == signal.SIGINT:
        os.write(2, _NOTE)
        os._exit(_INTERRUPTED)
    os._exit(_TERMINATED)


# A process that was started to ignore a signal goes on ignoring it.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _stop)
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _stop)


def main() -> None:
    """Run the command."""
    from rust_tuner.cli.app import main as run
    from rust_tuner.interrupts import until_work_begins

    until_work_begins(_stop)
    # The system ends the process sooner than Python would, and as quietly.
    _put_back(signal.SIGTERM, signal.SIG_DFL)
    try:
        run()
    finally:
        _put_back(signal.SIGINT, signal.default_int_handler)


def _put_back(signum: signal.Signals, handler: "signal._HANDLER") -> None:
    if signal.getsignal(signum) is _stop:
        signal.signal(signum, handler)


if __name__ == "__main__":
    main()
