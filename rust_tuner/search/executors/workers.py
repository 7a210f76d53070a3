"""What a user asks for with `workers=`: how many, and on which engine."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from rust_tuner.errors import SearchError

_LOCAL = re.compile(r"(?:local:)?([1-9]\d*)")
_EXPECTED = "a number of processes of this machine, such as 2 or 'local:2'"


@dataclass(frozen=True)
class Workers:
    """Where trials run.

    Attributes:
        engine: what starts the workers.
        count: how many there are; None for as many as the engine has.
        address: of the engine, if it has one.
        options: of the engine, by name.
    """

    engine: Literal["local"] = "local"
    count: int | None = 1
    address: str | None = None
    options: dict[str, str] = field(default_factory=dict)

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
        found = None if isinstance(value, bool) else _LOCAL.fullmatch(str(value))
        if found is None:
            raise SearchError(f"workers={value!r}; expected {_EXPECTED}")
        return cls(count=int(found[1]))
