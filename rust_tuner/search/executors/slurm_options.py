"""What a user may ask SLURM for with `--slurm key=value`, checked before any work.

Each option is one of `sbatch`, by the same name; SLURM itself checks what a cluster has.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rust_tuner.errors import SearchError

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")
_COUNT = re.compile(r"[1-9]\d*")
_MEMORY = re.compile(r"[1-9]\d*[KMGT]?B?", re.IGNORECASE)
_GPUS = re.compile(r"(?:[\w.-]+:)?[1-9]\d*")
_WORD = re.compile(r"\S+")
# What a value may be, and how a message names it.
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "count": (_COUNT, "an integer from 1"),
    "time": (_TIME, "minutes, or a time such as 4:00:00 or 1-12:00:00"),
    "memory": (_MEMORY, "a size such as 8G or 800M"),
    "gpus": (_GPUS, "a number such as 1, or a type and a number such as a100:1"),
    "word": (_WORD, "a name without spaces"),
    "line": (re.compile(r"[^\x00-\x1f\x7f]+"), "one line of text"),
    "lines": (re.compile(r"[^\x00-\x09\x0b-\x1f\x7f]+"), "a command of the shell"),
}
# Passed to sbatch as they are.
_PASSED = {
    "account": "word",
    "constraint": "line",
    "cpus_per_task": "count",
    "exclude": "word",
    "gpus": "gpus",
    "gres": "word",
    "licenses": "word",
    "mem": "memory",
    "mem_per_cpu": "memory",
    "nodelist": "word",
    "partition": "word",
    "qos": "word",
    "reservation": "word",
}
_OWN = {"setup": "lines", "time": "time", "trials_per_job": "count"}
OPTIONS = tuple(sorted(_PASSED | _OWN))


@dataclass(frozen=True)
class SlurmOptions:
    """What each job asks SLURM for.

    Attributes:
        passed: options of `sbatch`, by name.
        minutes: the longest time of a job; None for that of the partition.
        setup: lines of shell that run before Python.
        trials_per_job: trials that one job trains at most, one after another.
    """

    passed: Mapping[str, str] = field(default_factory=dict)
    minutes: int | None = None
    setup: tuple[str, ...] = ()
    trials_per_job: int = 1

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "SlurmOptions":
        """Check options, such as `{"partition": "gpu", "time": "4:00:00"}`.

        Args:
            options: by name; the hyphens of `sbatch` and underscores are the same.

        Raises:
            SearchError: for an option that is not known, or a value that is not of its form.
        """
        values = {str(name).replace("-", "_"): str(value) for name, value in options.items()}
        unknown = sorted(set(values) - set(OPTIONS))
        if unknown:
            raise SearchError(
                f"{', '.join(unknown)}: not an option of SLURM's workers; expected "
                f"{', '.join(OPTIONS)}"
            )
        if len(values) < len(options):
            raise SearchError(f"options {', '.join(map(str, options))}; give each of them once")
        for name, value in values.items():
            pattern, expected = _FORMS[(_PASSED | _OWN)[name]]
            if not pattern.fullmatch(value):
                raise SearchError(f"SLURM's option {name}={value!r}; expected {expected}")
        return cls(
            passed={name: values[name] for name in sorted(values) if name in _PASSED},
            minutes=_minutes(values["time"]) if "time" in values else None,
            setup=tuple(values.get("setup", "").splitlines()),
            trials_per_job=int(values.get("trials_per_job", 1)),
        )


def options_of_texts(texts: Iterable[str]) -> dict[str, str]:
    """Options from texts `key=value`, as the command line gives them; `setup` may be repeated.

    Raises:
        SearchError: for a text of another form, and an option that is given twice.
    """
    options: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise SearchError(
                f"--slurm {text}: expected key=value, such as partition=gpu; the keys are "
                f"{', '.join(OPTIONS)}"
            )
        if name in options and name != "setup":
            raise SearchError(f"--slurm {name} is given twice; give it once")
        options[name] = f"{options[name]}\n{value}" if name in options else value.strip()
    SlurmOptions.of(options)
    return options


def _minutes(text: str) -> int:
    """A time in SLURM's forms, in minutes, rounded up.

    They are `minutes`, `minutes:seconds`, `hours:minutes:seconds`, and with days `days-hours`,
    `days-hours:minutes` and `days-hours:minutes:seconds`.
    """
    match = _TIME.fullmatch(text)
    assert match is not None
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        hours += 24 * int(match["days"])
    elif len(parts) == 3:
        hours, minutes, seconds = parts
    else:
        hours, minutes, seconds = 0, *[*parts, 0][:2]
    total = math.ceil(60 * hours + minutes + seconds / 60)
    if total == 0:
        raise SearchError(f"SLURM's option time={text!r}; expected at least a minute")
    return total
