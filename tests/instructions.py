"""A mark for tests that a process whose oneDNN is limited cannot run."""

import os

import pytest

# It asks the processor what it computes, not oneDNN, and ends the process where the two disagree.
needs_all_instructions = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow aborts at a product in bfloat16 that ONEDNN_MAX_CPU_ISA forbids oneDNN",
)
