"""The section of the page on checks: of the records themselves, and those of `rust-tuner check`."""

from collections import Counter

from rust_tuner.analysis.next_step import command
from rust_tuner.analysis.record_checks import FAILED, NOT_YET, PASSED, WARNING, record_checks
from rust_tuner.records.checks import STATUS_NAMES, searches_seen
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.page import PageTable, Section, decimal, text


def checks_section(records: StudyRecords) -> Section:
    """Every check with its verdict: those of the records, then those of `rust-tuner check`."""
    section = Section("checks", "Checks")
    checks = record_checks(records)
    words = {**STATUS_NAMES, NOT_YET: "not yet"}
    counts = Counter(words[check.status] for check in checks)
    total = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    section.lead.append(
        f"{len(checks)} checks of the records: {total}. They train nothing, and cannot rule out "
        "what the records do not show, such as the same radiograph under two patients."
    )
    rows = [[text(check.title), text(words[check.status]), text(check.reason)] for check in checks]
    header = ("check", "verdict", "reason")
    marked = (PASSED, FAILED, WARNING)
    section.tables.append(PageTable("Checks", header, rows, marked=marked))
    record = records.checks
    if record is None:
        section.missing.append(
            "The checks have not been run, or cannot be read: "
            f"{command('check', records.directory)}"
        )
        return section
    section.lead.append(
        f"Guards against leakage, and sanity checks, run at {record.date}: {record.in_words}."
    )
    if record.searches != searches_seen(records.projects):
        section.missing.append(
            "Searches have continued since the checks were run: "
            f"{command('check', records.directory)}"
        )
    rows = [
        [
            text(verdict.title),
            text(STATUS_NAMES[verdict.status]),
            text(verdict.reason),
            text(verdict.mend),
        ]
        for verdict in record.verdicts
    ]
    titles = ("check", "verdict", "reason", "what to do")
    section.tables.append(PageTable("Verdicts", titles, rows))
    lines = [[text(v.title), text(finding)] for v in record.verdicts for finding in v.findings]
    if lines:
        section.tables.append(PageTable("Findings one by one", ("check", "finding"), lines))
    figures = [
        [text(v.title), text(name.replace("_", " ")), decimal(value)]
        for v in record.verdicts
        for name, value in v.figures.items()
    ]
    if figures:
        names = ("check", "figure", "value")
        section.tables.append(PageTable("Figures behind the verdicts", names, figures))
    return section
