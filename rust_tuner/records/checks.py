"""`checks.json` of a study: a verdict for each check, and the searches that were checked.

It owns the format of the file; the checks belong to `steps.checks`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

from rust_tuner.records.model import Count, Figures, Record, read_record, write_record
from rust_tuner.records.project import Project

CHECKS_FILE = "checks.json"
# The folder of the trainings of the checks.
CHECKS = "checks"

Status = Literal["passed", "warning", "failed", "not_run"]
STATUSES: tuple[Status, ...] = get_args(Status)
STATUS_NAMES = {
    "passed": "passed",
    "warning": "warning",
    "failed": "failed",
    "not_run": "without a verdict",
}


@dataclass(frozen=True)
class Verdict:
    """The result of a check.

    Attributes:
        check: its name in records, such as `near_duplicates`.
        title: its name for readers.
        status: `passed`; `warning`, to be looked at; `failed`, if figures cannot be trusted
            before this is corrected; or `not_run`.
        reason: the result in words, or why there is no verdict.
        mend: what to do; empty if nothing is to be done.
        findings: the individual findings, the most serious first, a line each.
        figures: numbers behind the verdict, by name; None if undefined.
    """

    check: str
    title: str
    status: Status
    reason: str
    mend: str = ""
    findings: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchSeen:
    """A search when it was checked: its best trial, and how many trials were completed."""

    best: str | None
    completed: int


@dataclass(frozen=True)
class CheckRecord:
    """The results of the last run of a study's checks.

    Attributes:
        date: when they were run, ISO 8601.
        searches: by project, its best trial and how many trials were completed at that time.
        verdicts: one per check, in their order.
    """

    date: str
    searches: Mapping[str, SearchSeen]
    verdicts: tuple[Verdict, ...]

    def of(self, *statuses: Status) -> tuple[Verdict, ...]:
        """The verdicts with any of these statuses."""
        return tuple(verdict for verdict in self.verdicts if verdict.status in statuses)

    @property
    def in_words(self) -> str:
        """How many checks have each status, in words."""
        counts = {status: len(self.of(status)) for status in STATUSES}
        return ", ".join(
            f"{number} {STATUS_NAMES[status]}" for status, number in counts.items() if number
        )


def searches_seen(projects: Mapping[str, Project]) -> dict[str, SearchSeen]:
    """Best trial and completed trials of each search, to notice later whether it has changed."""
    return {
        name: SearchSeen(
            None if project.best is None else project.best.trial,
            sum(trial.score is not None for trial in project.trials),
        )
        for name, project in projects.items()
    }


class VerdictRecord(Record):
    """A verdict in the file; see `Verdict`."""

    check: str
    title: str
    status: Status
    reason: str
    mend: str
    findings: list[str]
    figures: Figures


class SearchSeenRecord(Record):
    """A search in the file; see `SearchSeen`."""

    best: str | None
    completed: Count


class ChecksRecord(Record):
    """`checks.json`: a verdict for each check, and the searches that were checked."""

    file_name: ClassVar[str] = CHECKS_FILE

    format: Literal[1]
    date: str
    searches: dict[str, SearchSeenRecord]
    verdicts: list[VerdictRecord]


def write_checks(directory: Path, record: CheckRecord) -> None:
    """Write `checks.json`, atomically."""
    write_record(directory / CHECKS_FILE, ChecksRecord.of({"format": 1, **asdict(record)}))


def read_checks(path: Path) -> CheckRecord:
    """Read `checks.json`.

    Raises:
        FileNotFoundError: if no check was run.
        RecordError: if the file is damaged or of another format.
    """
    content = read_record(path, ChecksRecord, mend="run the checks again")
    verdicts = tuple(
        Verdict(v.check, v.title, v.status, v.reason, v.mend, tuple(v.findings), v.figures)
        for v in content.verdicts
    )
    searches = {name: SearchSeen(s.best, s.completed) for name, s in content.searches.items()}
    return CheckRecord(content.date, searches, verdicts)
