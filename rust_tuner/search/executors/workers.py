"""What a user asks for with `workers=`: how many, on which engine, and with which options."""

import dataclasses
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rust_tuner.errors import SearchError
from rust_tuner.search.executors.ray_options import Resources
from rust_tuner.search.executors.slurm_options import SlurmOptions, options_of_texts

# What stands between the name of an engine and its options.
_COUNT = re.compile(r":([1-9]\d*)")
_RAY_ADDRESS = re.compile(r"://[^/?#\s]+")
_TEXT = re.compile(r"(?P<engine>[a-z]+)(?P<where>:[^?]*)?(?:\?(?P<options>.*))?")

_EXPECTED = (
    "a number of processes of this machine, such as 2 or 'local:2', or 'ray', 'ray:8', "
    "'ray://host:10001' or 'ray:8?cpus=2&gpus=1', or a number of jobs of SLURM, such as 'slurm:8'"
)


@dataclass(frozen=True)
class Workers:
    """Where trials run.

    Attributes:
        engine: what starts the workers: `local`, `ray` or `slurm`.
        count: how many there are at most; None for as many as the engine has.
        address: of the engine, if it has one.
        options: of the engine, by name.
    """

    engine: str = "local"
    count: int | None = 1
    address: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an engine, a count or an option that there is not."""
        count = self.count
        is_count = isinstance(count, int) and not isinstance(count, bool) and count > 0
        # Only a cluster of Ray knows by itself how many it has room for.
        if self.engine not in _ENGINES or not (
            is_count or (count is None and self.engine == "ray")
        ):
            engines = " or ".join(_ENGINES)
            raise SearchError(f"{self!r}; expected the engine {engines}, and a count from 1")
        if self.engine == "slurm":
            SlurmOptions.of(self.options)
        elif self.engine == "ray":
            Resources.of(self.options)

    @property
    def is_this_process(self) -> bool:
        """Whether trials run one after another in the process that searches."""
        return self.engine == "local" and self.count == 1

    @classmethod
    def of(cls, value: Any) -> "Workers":
        """Read what a user gave; None is this process alone.

        Raises:
            SearchError: for anything that is not understood.
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        text = str(value)
        if text.isdecimal():
            text = f"local:{text}"
        match = None if isinstance(value, bool) else _TEXT.fullmatch(text)
        read = match and _ENGINES.get(match["engine"])
        try:
            if not match or not read:
                raise ValueError("no such engine")
            return read(match["where"] or "", _options(match["options"]))
        except ValueError as error:
            raise SearchError(f"workers={value!r}; expected {_EXPECTED}") from error


def asked_workers(workers: str | None, slurm: Sequence[str]) -> Workers:
    """What the user asked for.

    Args:
        workers: the value of `--workers`.
        slurm: the values of `--slurm`, each `key=value`.

    Raises:
        SearchError: for a value that is not understood, or `--slurm` with another engine.
    """
    asked = Workers.of(workers)
    if not slurm:
        return asked
    if asked.engine != "slurm":
        raise SearchError("--slurm without --workers slurm:N; give both, such as slurm:8")
    return dataclasses.replace(asked, options={**asked.options, **options_of_texts(slurm)})


def _options(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    if not text:
        raise ValueError("no options")
    return dict(urllib.parse.parse_qsl(text, strict_parsing=True))


def _local(where: str, options: Mapping[str, str]) -> Workers:
    count = _COUNT.fullmatch(where)
    if count is None or options:
        raise ValueError(where)
    return Workers("local", int(count[1]))


def _ray(where: str, options: Mapping[str, str]) -> Workers:
    if _RAY_ADDRESS.fullmatch(where):
        return Workers("ray", None, f"ray{where}", options)
    count = _COUNT.fullmatch(where)
    if where and count is None:
        raise ValueError(where)
    return Workers("ray", int(count[1]) if count else None, None, options)


def _slurm(where: str, options: Mapping[str, str]) -> Workers:
    count = _COUNT.fullmatch(where)
    if count is None:
        raise ValueError(where)
    return Workers("slurm", int(count[1]), None, options)


# Each reads what follows the engine's name, and its options.
_ENGINES: Mapping[str, Callable[[str, Mapping[str, str]], Workers]] = {
    "local": _local,
    "ray": _ray,
    "slurm": _slurm,
}
