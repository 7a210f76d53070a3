"""The tutorial: it runs from top to bottom in small, and what is committed was made by it."""

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rust_tuner.records.project import read_project

NOTEBOOK = Path(__file__).parent.parent / "experiments" / "tutorial.ipynb"
LESS = {
    # The bundled network, which is small.
    "weights": "phantoms",
    "image_size": 75,
    "epochs": 2,
    "trials": 2,
    "final_folds": 3,
    "final_epochs": 2,
}
MOST_BYTES = 1_000_000
# Where a machine's own places begin; addresses of pages are none of them.
PLACES = re.compile(r"(?<![\w./:-])/(?:[\w.~-]+/)+[\w.-]+|[A-Z]:\\")


@pytest.fixture(scope="module")
def book() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def code_cells(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def texts(cell: Any) -> Iterator[str]:
    """What a cell shows: each stream as a whole, since it comes in pieces, and the rest."""
    streams: dict[str, Any] = {}
    for output in cell.outputs:
        if "text" in output:
            streams[output.name] = streams.get(output.name, "") + output.text
    yield from streams.values()
    for output in cell.outputs:
        data = output.get("data", {})
        yield from (text for kind, text in data.items() if kind.startswith("text/"))


def pictures(book: Any) -> list[bytes]:
    return [
        base64.b64decode(output.data["image/png"])
        for cell in code_cells(book)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def test_the_committed_notebook_was_run_from_top_to_bottom_without_a_complaint(book: Any) -> None:
    nbformat.validate(book)
    cells = code_cells(book)
    assert len(cells) > 10
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_the_committed_outputs_name_no_place_of_a_machine(book: Any) -> None:
    shown = [text for cell in code_cells(book) for text in texts(cell)]
    assert len(shown) > 15
    assert [found for text in shown for found in PLACES.findall(text)] == []


def test_the_committed_notebook_is_small_and_has_its_figures(book: Any) -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    sizes = [struct.unpack(">II", picture[16:24]) for picture in pictures(book)]
    assert len(sizes) == 4
    assert all(width > 400 and height > 300 for width, height in sizes)


def test_the_committed_outputs_are_of_pretrained_weights_at_the_notebooks_own_size(
    book: Any,
) -> None:
    cells = {cell.id: cell for cell in code_cells(book)}
    assert "69 radiographs of" not in "".join(texts(cells["load"]))
    assert "8 trials of Regime I" in "".join(texts(cells["study"]))


@pytest.mark.slow
def test_the_notebook_runs_in_small_and_again_computing_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, book: Any
) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("TUTORIAL_PATIENTS", "12")
    monkeypatch.setenv("TUTORIAL_LESS", json.dumps(LESS))
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path / "cache"))
    place = {"metadata": {"path": str(tmp_path)}}
    study = tmp_path / "tutorial" / "study"
    runs = []
    for _ in range(2):
        # A busy machine starts a kernel, and passes its messages on, in more than the few seconds
        # that are usual.
        waits: dict[str, Any] = {"timeout": 1800, "startup_timeout": 600, "iopub_timeout": 600}
        NotebookClient(book, resources=place, raise_on_iopub_timeout=True, **waits).execute()
        shown = [list(texts(cell)) for cell in code_cells(book)]
        runs.append((shown, {path: path.read_bytes() for path in study.rglob("trial_*/*")}))
    assert runs[0] == runs[1]
    for regime, count in (("regime_1", 2), ("regime_2", 9)):
        trials = read_project(study / regime).trials
        assert [trial.status for trial in trials] == ["COMPLETED"] * count
    assert (study / "report" / "index.html").stat().st_size > 10_000
    assert (tmp_path / "tutorial" / "best.yaml").is_file()
    assert not (tmp_path / "tutorial" / "never").exists()
