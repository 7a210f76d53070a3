"""Where a study that several tests share lies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rust_tuner import Protocol, Study


@dataclass(frozen=True)
class StudyFolder:
    """A study, the manifest beside it, and the feature cache that it used."""

    directory: Path
    manifest: Path
    cache: Path

    def open(self, protocol: Protocol | None = None, **options: Any) -> Study:
        return Study(self.directory, protocol=protocol, cache=self.cache, **options)
