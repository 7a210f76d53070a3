"""What `checks.json` of a study holds: a verdict for each check, and which searches they saw.

It owns the file's form; what is checked belongs to `checks`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from rust_tuner.files import write_json
from rust_tuner.records.project import Project
from rust_tuner.records.schema import ChecksForm, read_record

CHECKS_FILE = "checks.json"
# The folder of what the checks train.
CHECKS = "checks"

Status = Literal["passed", "warning", "failed", "not_run"]
STATUSES: tuple[Status, ...] = get_args(Status)
STATUS_NAMES = {
    "passed": "passed",
    "warning": "warning",
    "failed": "failed",
    "not_run": "could not be run",
}

_FORMAT = 1


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        check: its name in records, such as `near_duplicates`.
        title: its name for readers.
        status: `passed`; `warning`, to be looked at; `failed`, a figure cannot be trusted before
            it is mended; `not_run`, with the reason.
        reason: what was found, or why it could not be run.
        mend: what to do; empty where nothing is to be done.
        findings: what was found one by one, the gravest first, a line each.
        figures: numbers behind the verdict, by name; None where undefined.
    """

    check: str
    title: str
    status: Status
    reason: str
    mend: str = ""
    findings: tuple[str, ...] = ()
    figures: Mapping[str, float | None] = field(default_factory=dict)


_VERDICT_FIELDS = tuple(item.name for item in fields(Verdict))


@dataclass(frozen=True)
class CheckRecord:
    """The checks of a study as they were run last.

    Attributes:
        date: when they were run, ISO 8601.
        searches: by project, its best trial and how many were completed when they were run.
        verdicts: one a check, in their order.
    """

    date: str
    searches: Mapping[str, Mapping[str, Any]]
    verdicts: tuple[Verdict, ...]

    def of(self, *statuses: Status) -> tuple[Verdict, ...]:
        """The verdicts of some statuses."""
        return tuple(verdict for verdict in self.verdicts if verdict.status in statuses)

    @property
    def told(self) -> str:
        """How many checks have which verdict, in words."""
        counts = {status: len(self.of(status)) for status in STATUSES}
        return ", ".join(
            f"{number} {STATUS_NAMES[status]}" for status, number in counts.items() if number
        )


def searches_seen(projects: Mapping[str, Project]) -> dict[str, dict[str, Any]]:
    """What tells whether searches have gone on since: best trial and completed trials of each."""
    return {
        name: {
            "best": None if project.best is None else project.best.trial,
            "completed": sum(trial.score is not None for trial in project.trials),
        }
        for name, project in projects.items()
    }


def write_checks(directory: Path, record: CheckRecord) -> None:
    """Write `checks.json`, atomically."""
    write_json(directory / CHECKS_FILE, {"format": _FORMAT, **asdict(record)})


def read_checks(path: Path) -> CheckRecord:
    """Read `checks.json`.

    Raises:
        FileNotFoundError: where no check was run.
        RecordError: where the file is damaged or of another format.
    """
    content = read_record(path, ChecksForm, mend="run the checks again")
    verdicts = (
        Verdict(**{name: item[name] for name in _VERDICT_FIELDS} | {"findings": tuple(findings)})
        for item in content["verdicts"]
        for findings in (item["findings"],)
    )
    return CheckRecord(content["date"], content["searches"], tuple(verdicts))
