"""The HTML report: one self-contained file, with figures and tables beside it as files.

The content of a section belongs to `sections`, the summary and warnings to `analysis.verdict`; the
page itself is `templates/report.html`.
"""

import base64
import functools
import hashlib
from pathlib import Path

from markupsafe import Markup

from rust_tuner import __version__
from rust_tuner.analysis.answer import answer
from rust_tuner.analysis.reproduction import reproduction
from rust_tuner.analysis.verdict import summary, warnings_of
from rust_tuner.files import write_text
from rust_tuner.labels import CORTEX_LABELS, NUM_LABELS
from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.records.project import REGIME_1, REGIME_2
from rust_tuner.report.checklist.claim import write_claim
from rust_tuner.report.glossary import TERMS
from rust_tuner.report.page import Room, shareable
from rust_tuner.report.sections.baselines import baselines_section
from rust_tuner.report.sections.checks import checks_section
from rust_tuner.report.sections.data import data_section, provenance_section, split_section
from rust_tuner.report.sections.final import final_section
from rust_tuner.report.sections.overview import overview_section
from rust_tuner.report.sections.predicted import predicted_sections
from rust_tuner.report.sections.published import published_section
from rust_tuner.report.sections.regimes import regime_section
from rust_tuner.report.sections.repeats import nested_section, noise_section
from rust_tuner.report.templating import environment
from rust_tuner.report.writing import written

REPORT = "report"
INDEX = "index.html"

# A table with more rows shows the first ones, and folds away the whole.
_LONG_TABLE, _FIRST_ROWS = 40, 10
# Warnings beyond these, which come first for being the most serious, fold away.
_SHOWN_WARNINGS = 7

# Sorts a table by the column whose heading is clicked, says where a table continues to the right,
# explains a term at the first touch, and unfolds all for printing. The page is whole without it.
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
const mark = () => {
  for (const box of document.querySelectorAll(".scroll, figure.wide .paper"))
    box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 4);
};
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true);
document.addEventListener("scroll", mark, true);
mark();
const tip = document.getElementById("tip");
const hide = () => { tip.hidden = true; tip.term = null; };
for (const term of document.querySelectorAll("a.term")) {
  const meaning = term.title;
  term.removeAttribute("title");
  const show = () => { tip.textContent = meaning; tip.hidden = false; };
  term.addEventListener("pointerenter", event => { if (event.pointerType === "mouse") show(); });
  term.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") hide(); });
  term.addEventListener("focus", show);
  term.addEventListener("blur", hide);
  term.addEventListener("click", event => {
    if (event.pointerType === "touch" && tip.term !== term) {
      event.preventDefault();
      show();
      tip.term = term;
    }
  });
}
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
addEventListener("beforeprint", () => {
  for (const item of document.querySelectorAll("main details:not(.menu)")) item.open = true;
});
"""


def write_report(directory: str | Path) -> Path:
    """Write STUDY/report from the records of a study, finished or not.

    Equal records give equal files. The report names what is damaged or missing.

    Args:
        directory: the study's folder.

    Returns:
        The page, `report/index.html`. Beside it are `report/figures`, `report/tables` and
        `report/claim.md`, the reporting checklists filled in from the records.

    Raises:
        ResumeError: if the folder contains no part of a study.
        StorageError: if a file cannot be written.
        LockedError: if another process is writing the report.
    """
    records = read_study(directory)
    return written(records.directory / REPORT, functools.partial(_write, records))


def _write(records: StudyRecords, room: Room) -> Path:
    final = final_section(records, room)
    rust, cortices, appendix = predicted_sections(records, room)
    regimes = [
        regime_section(project, name, room, noise=records.noise)
        for name, project in ((REGIME_1, records.regime_1), (REGIME_2, records.regime_2))
    ]
    groups = {
        "What was predicted": [rust, cortices],
        "What was searched": [
            *regimes,
            final,
            baselines_section(records, room),
            noise_section(records, room),
            nested_section(records, room),
        ],
        "What it rests on": [
            data_section(records),
            split_section(records),
            checks_section(records),
        ],
        "Appendix": [appendix, published_section(records, room), provenance_section(records)],
    }
    warnings = warnings_of(records)
    start = [("answer", "Answer"), *([("warnings", "Warnings")] if warnings else [])]
    navigation = [
        ("Answer", [*start, ("summary", "Results")]),
        *(
            (title, [(section.anchor, section.title) for section in sections])
            for title, sections in groups.items()
        ),
    ]
    navigation[-1][1].extend([("reproduce", "Cite and reproduce"), ("glossary", "Glossary")])
    name = records.directory.resolve().name
    checklists = write_claim(records, room, name=name, version=__version__)
    page = environment().get_template("report.html")
    digest = hashlib.sha256(_SCRIPT.encode()).digest()
    text = page.render(
        name=name,
        version=__version__,
        num_labels=NUM_LABELS,
        num_cortex_labels=len(CORTEX_LABELS),
        answer=answer(records),
        summary=summary(records),
        overview=overview_section(records, room),
        warnings=warnings,
        groups=navigation,
        sections=[section for sections in groups.values() for section in sections],
        reproduction=reproduction(records),
        checklists=checklists,
        terms=TERMS,
        shown_warnings=_SHOWN_WARNINGS,
        long=_LONG_TABLE,
        first=_FIRST_ROWS,
        script=Markup(_SCRIPT),
        script_hash=base64.b64encode(digest).decode(),
    )
    index = room.folder / INDEX
    write_text(index, shareable(text, records))
    return index
