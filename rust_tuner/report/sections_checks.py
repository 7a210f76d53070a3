"""The section of the page on checks: what the records themselves confirm or refute."""

from collections import Counter

from rust_tuner.report.page import PageTable, Section, text
from rust_tuner.report.record_checks import FAILED, PASSED, WARNING, record_checks
from rust_tuner.report.study_records import StudyRecords


def checks_section(records: StudyRecords) -> Section:
    """Every check of the records with its verdict."""
    section = Section("checks", "Checks")
    checks = record_checks(records)
    counts = Counter(check.verdict for check in checks)
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    section.lead.append(
        f"{len(checks)} checks of the records: {told}. They train nothing; what they cannot see, "
        "such as a radiograph that is there under two patients, they do not exclude."
    )
    rows = [[text(check.question), text(check.verdict), text(check.found)] for check in checks]
    header = ("check", "verdict", "found")
    marked = (PASSED, FAILED, WARNING)
    section.tables.append(PageTable("Checks", header, rows, marked=marked))
    return section
