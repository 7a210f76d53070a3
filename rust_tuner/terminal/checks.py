"""What the terminal shows of a study's checks: each verdict, and a line for the status."""

from pathlib import Path

from rich.text import Text

from rust_tuner.errors import RustTunerError
from rust_tuner.records.checks import (
    CHECKS_FILE,
    STATUS_NAMES,
    CheckRecord,
    Verdict,
    read_checks,
    searches_seen,
)
from rust_tuner.records.project import REGIME_1, REGIME_2, read_project
from rust_tuner.records.run import RUN_FILE

_STYLES = {"passed": "green", "warning": "yellow", "failed": "bold red", "not_run": "yellow"}
_FINDINGS_SHOWN = 10


def verdict_lines(record: CheckRecord) -> list[Text]:
    """Each check with its verdict, its findings and what to do."""
    lines = []
    for verdict in record.verdicts:
        lines.append(_headline(verdict))
        lines.append(Text(f"  {verdict.reason}"))
        lines += [Text(f"  - {finding}") for finding in verdict.findings[:_FINDINGS_SHOWN]]
        more = len(verdict.findings) - _FINDINGS_SHOWN
        if more > 0:
            lines.append(Text(f"  - and {more} more, in {CHECKS_FILE}"))
        if verdict.mend:
            lines.append(Text(f"  To do: {verdict.mend}"))
    return lines


def check_status_lines(directory: Path) -> list[Text]:
    """The state of a study's checks, for `status`, with those that did not pass."""
    try:
        record = read_checks(directory / CHECKS_FILE)
    except FileNotFoundError:
        return [Text("checks: not run")]
    except RustTunerError as error:
        return [Text(f"checks: {error}", style="red")]
    lines = [Text(f"checks: {record.in_words} ({record.date})")]
    lines += [
        Text(f"  {verdict.title}: {verdict.reason}", style=_STYLES[verdict.status])
        for verdict in record.of("failed", "warning")
    ]
    if _are_behind(directory, record):
        lines.append(Text("  searches have continued since; run check again", style="yellow"))
    return lines


def _headline(verdict: Verdict) -> Text:
    style = _STYLES[verdict.status]
    return Text.assemble((STATUS_NAMES[verdict.status], style), (f"  {verdict.title}", "bold"))


def _are_behind(directory: Path, record: CheckRecord) -> bool:
    try:
        projects = {
            name: read_project(directory / name)
            for name in (REGIME_1, REGIME_2)
            if (directory / name / RUN_FILE).is_file()
        }
    except (RustTunerError, OSError):
        return False  # The lines of the search report what is wrong.
    return any(record.searches.get(name) != seen for name, seen in searches_seen(projects).items())
