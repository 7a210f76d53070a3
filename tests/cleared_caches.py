"""Counts how often TensorFlow's caches are cleared."""

import contextlib
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def clearings() -> Iterator[list[object]]:
    """An item for each time; afterwards compiled functions are optimised again."""
    from tensorflow.python import pywrap_tfe

    clear = pywrap_tfe.TFE_ContextClearCaches
    counted: list[object] = []

    def clear_and_count(handle: object) -> None:
        counted.append(handle)
        clear(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pywrap_tfe, "TFE_ContextClearCaches", clear_and_count)
        yield counted
