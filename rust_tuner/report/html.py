"""The HTML report: one self-contained file, with figures and tables beside it as files.

What stands in a section belongs to `sections`, what a study is worth to `verdict`; the page itself
is `templates/report.html`.
"""

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from rust_tuner import __version__
from rust_tuner.files import write_text
from rust_tuner.labels import CORTEX_LABELS, NUM_LABELS
from rust_tuner.report.page import Room
from rust_tuner.report.reproduction import reproduction
from rust_tuner.report.sections import (
    baselines_section,
    data_section,
    provenance_section,
    regime_section,
    split_section,
)
from rust_tuner.report.sections_checks import checks_section
from rust_tuner.report.sections_final import final_section
from rust_tuner.report.sections_repeats import nested_section, noise_section
from rust_tuner.report.study_records import read_study
from rust_tuner.report.verdict import summary, warnings_of
from rust_tuner.search.records import REGIME_1, REGIME_2

REPORT = "report"
INDEX = "index.html"

# Sorts a table by the column whose heading is pressed; the page reads as well without it.
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = Array.from(body.rows);
    rows.sort((one, two) => {
      const a = one.cells[column], b = two.cells[column];
      if (!a.textContent.trim() || !b.textContent.trim())
        return !a.textContent.trim() - !b.textContent.trim();
      const order = a.dataset.value !== undefined && b.dataset.value !== undefined
        ? Number(a.dataset.value) - Number(b.dataset.value)
        : a.textContent.localeCompare(b.textContent);
      return up ? order : -order;
    });
    body.append(...rows);
  });
}
"""


def write_report(directory: str | Path) -> Path:
    """Write STUDY/report from what a study's folder holds, finished or not.

    Equal records give equal files. What is damaged or missing is named in the report.

    Args:
        directory: the study's folder.

    Returns:
        The page, `report/index.html`; `report/figures` and `report/tables` are beside it.

    Raises:
        ResumeError: where the folder holds nothing of a study.
        StorageError: where a file cannot be written.
    """
    records = read_study(directory)
    room = Room(records.directory / REPORT)
    sections = [
        data_section(records),
        split_section(records),
        checks_section(records),
        baselines_section(records, room),
        regime_section(records.regime_1, REGIME_1, room),
        regime_section(records.regime_2, REGIME_2, room),
        noise_section(records, room),
        nested_section(records, room),
        final_section(records, room),
        provenance_section(records),
    ]
    page = _environment().get_template("report.html")
    digest = hashlib.sha256(_SCRIPT.encode()).digest()
    text = page.render(
        name=records.directory.resolve().name,
        version=__version__,
        num_labels=NUM_LABELS,
        num_cortex_labels=len(CORTEX_LABELS),
        summary=summary(records),
        warnings=warnings_of(records),
        sections=sections,
        reproduction=reproduction(records),
        script=Markup(_SCRIPT),
        script_hash=base64.b64encode(digest).decode(),
    )
    index = room.folder / INDEX
    write_text(index, text)
    return index


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("rust_tuner.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
