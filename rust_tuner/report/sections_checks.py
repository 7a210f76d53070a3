"""The section of the page on the checks: each verdict, what was found and what to do."""

from rust_tuner.report.check_records import STATUS_NAMES, searches_seen
from rust_tuner.report.page import PageTable, Section, decimal, text
from rust_tuner.report.study_records import StudyRecords


def checks_section(records: StudyRecords) -> Section:
    """The verdict of each check."""
    section = Section("checks", "Checks")
    found = records.checks
    if found is None:
        section.missing.append(
            "The checks have not been run, or cannot be read: rust-tuner check STUDY"
        )
        return section
    section.lead.append(
        f"Guards against leakage, and sanity checks, run at {found.date}: {found.told}."
    )
    if found.searches != searches_seen(records.projects):
        section.missing.append(
            "Searches have gone on since the checks were run: rust-tuner check STUDY"
        )
    rows = [
        [
            text(verdict.title),
            text(STATUS_NAMES[verdict.status]),
            text(verdict.reason),
            text(verdict.mend),
        ]
        for verdict in found.verdicts
    ]
    header = ("check", "verdict", "what was found", "what to do")
    section.tables.append(PageTable("Verdicts", header, rows))
    lines = [[text(v.title), text(finding)] for v in found.verdicts for finding in v.findings]
    if lines:
        section.tables.append(PageTable("Findings one by one", ("check", "finding"), lines))
    figures = [
        [text(v.title), text(name.replace("_", " ")), decimal(value)]
        for v in found.verdicts
        for name, value in v.figures.items()
    ]
    if figures:
        names = ("check", "figure", "value")
        section.tables.append(PageTable("Figures behind the verdicts", names, figures))
    return section
