"""Copies standard input to standard error, without the lines that TensorFlow writes as it starts.

It runs as a process of its own, `python -S notice_filter.py`, so that the last words of a
TensorFlow that aborts still reach the terminal. It therefore imports nothing of the package.
"""

import sys

# Lines without a level, and errors that only say that there is no GPU or no faster kernel.
_NOTICES = (
    b"All log messages before absl::InitializeLog() is called are written to STDERR",
    b"To enable the following instructions:",
    b"failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
    b"CUDA_ERROR_NO_DEVICE",
    b" only on platforms with AVX-512. Falling back to the default Eigen-based implementation",
    # Until TensorFlow 2.19, on every start.
    b"factory for plugin cuDNN when one has already been registered",
    b"factory for plugin cuFFT when one has already been registered",
    b"factory for plugin cuBLAS when one has already been registered",
)
# A line begins with its level and date, `I0000 00:00:1795684763.8 19980 cudart_stub.cc:31]`, or,
# once the log is open, with date and level, `2026-01-31 12:00:00.123456: I tensorflow/...`.
_LEVELS = (b"I", b"W")
_DATE_LENGTH = len("2026-01-31 12:00:00.123456")


def is_notice(line: bytes) -> bool:
    """Whether a line is information or a warning of TensorFlow's; anything unknown is not."""
    level, number, space = line[:1], line[1:5], line[5:6]
    if level in _LEVELS and number.isdigit() and space == b" ":
        return True
    separator, after = line[_DATE_LENGTH : _DATE_LENGTH + 2], line[_DATE_LENGTH + 2 :]
    if line[:4].isdigit() and separator == b": " and after[:1] in _LEVELS and after[1:2] == b" ":
        return True
    return any(notice in line for notice in _NOTICES)


def main() -> None:
    """Copy until the input ends."""
    for line in sys.stdin.buffer:
        if not is_notice(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    main()
