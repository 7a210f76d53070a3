"""A study that is judged against the view alone."""

from pathlib import Path

import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose Regime I has skill and whose Regime II knows only the view."""
    folder = tmp_path_factory.mktemp("judged")
    radiographs = phantom_rows(patients=50)
    write_judged_search(folder / "regime_1", radiographs, skilled(radiographs))
    write_judged_search(folder / "regime_2", radiographs, of_the_view(radiographs))
    return folder
