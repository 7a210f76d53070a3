"""Freed memory stays with the process inside the block, and leaves it afterwards.

Each test is a process of its own: what others have freed before would be used again.
"""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.libc_ver()[0] != "glibc",
    reason="the C library is not glibc",
)
MEASURES = """
import contextlib, ctypes, resource
from pathlib import Path
from rust_tuner.models.kept_memory import freed_memory_kept

# Above the largest size that glibc takes from memory that it keeps.
SIZE = 64 << 20
PAGE = resource.getpagesize()
# The system finds at least one huge page in the time of 512 of these.
FEW = SIZE // PAGE / 512
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p

def faults_of_a_block():
    "The pages that the system has to find for a new block, which is freed again."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(ctypes.c_size_t(SIZE))
    ctypes.memset(block, 1, SIZE)
    library.free(ctypes.c_void_p(block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
"""


def run(code: str) -> None:
    ended = subprocess.run([sys.executable, "-c", MEASURES + code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_a_block_is_used_again_inside_and_taken_anew_outside() -> None:
    run("""
assert faults_of_a_block() >= FEW
with freed_memory_kept():
    faults_of_a_block()
    assert faults_of_a_block() < FEW
assert faults_of_a_block() >= FEW
""")


def test_memory_is_returned_at_the_end_of_the_outermost_block_and_after_an_error() -> None:
    run("""
before = memory()
with contextlib.suppress(RuntimeError), freed_memory_kept():
    with freed_memory_kept():
        faults_of_a_block()
    # The inner block's end returns nothing.
    assert memory() - before > SIZE / 2, memory() - before
    raise RuntimeError("training ends")
assert memory() - before < SIZE / 2, memory() - before
""")
