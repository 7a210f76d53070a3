"""Entry point of the `rust-tuner` command, also run as `python -m rust_tuner`.

While the command's modules are imported, Ctrl-C and SIGTERM end the process at once: no work has
started yet, and an exception inside an import may be mistaken for a broken module. Later signals
are handled by `interrupts`.
"""

# Import nothing else before the signal handlers are installed.
try:
    import gc
    import os
    import signal
    from types import FrameType
except KeyboardInterrupt:
    raise SystemExit(130) from None

_INTERRUPTED = 130
_TERMINATED = 143
_NOTE = b"interrupted before any work started\n"
# What imports make stays, so that looking through it again and again costs seconds for nothing.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def _stop(signum: int, frame: FrameType | None) -> None:
    """End the process with the exit code that a shell uses for the signal."""
    if signum == signal.SIGINT:
        os.write(2, _NOTE)
        os._exit(_INTERRUPTED)
    os._exit(_TERMINATED)


# A process that was started with a signal ignored keeps ignoring it.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _stop)
if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, _stop)


def main() -> None:
    """Run the command."""
    from rust_tuner.cli.app import main as run
    from rust_tuner.interrupts import until_work_begins

    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    until_work_begins(_stop, afterwards=_leave)
    # The default action ends the process sooner than Python would, also without output.
    _put_back(signal.SIGTERM, signal.SIG_DFL)
    try:
        run()
    finally:
        # Nothing is left to do but to leave, where an exception would end in a traceback.
        _put_back(signal.SIGINT, _leave)
        # Python's last searches for garbage take a second or two where TensorFlow is imported.
        gc.freeze()


def _leave(signum: int, frame: FrameType | None) -> None:
    """End the process when its work is done, or while Python is shutting down."""
    os._exit(_INTERRUPTED)


def _put_back(signum: signal.Signals, handler: "signal._HANDLER") -> None:
    if signal.getsignal(signum) is _stop:
        signal.signal(signum, handler)


if __name__ == "__main__":
    main()
