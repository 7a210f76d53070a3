"""A mark for tests that a process whose oneDNN is limited cannot run."""

import os

import pytest

# TensorFlow asks the processor, not oneDNN, whether there are products in bfloat16.
needs_all_instructions = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow aborts at a product in bfloat16 that ONEDNN_MAX_CPU_ISA forbids oneDNN",
)
