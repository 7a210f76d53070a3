"""Starts the `rust-tuner` command, also as `python -m rust_tuner`."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command; Ctrl-C while its modules are still imported ends without a traceback."""
    try:
        from rust_tuner.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
