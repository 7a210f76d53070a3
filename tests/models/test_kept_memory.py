"""Freed memory stays with the process inside the block, and leaves it afterwards."""

import ctypes
import platform
import resource
from pathlib import Path

import pytest

from rust_tuner.models.kept_memory import freed_memory_kept

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.libc_ver()[0] != "glibc",
    reason="the C library is not glibc",
)
# Above the largest size that glibc takes from memory that it keeps.
SIZE = 64 << 20
PAGE = resource.getpagesize()


def faults_of_a_block() -> int:
    """The pages that the system has to find for a new block, which is freed again."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = library.malloc(ctypes.c_size_t(SIZE))
    ctypes.memset(block, 1, SIZE)
    library.free(ctypes.c_void_p(block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def test_a_block_is_used_again_inside_and_taken_anew_outside() -> None:
    pages = SIZE // PAGE
    assert faults_of_a_block() >= pages / 512
    with freed_memory_kept():
        faults_of_a_block()
        assert faults_of_a_block() < pages / 512
    assert faults_of_a_block() >= pages / 512


def test_memory_is_returned_at_the_end_of_the_outermost_block_and_after_an_error() -> None:
    before = memory()
    with pytest.raises(RuntimeError, match="ends"), freed_memory_kept():
        with freed_memory_kept():
            faults_of_a_block()
        # The inner block's end returns nothing.
        assert memory() - before > SIZE / 2
        raise RuntimeError("training ends")
    assert memory() - before < SIZE / 2
