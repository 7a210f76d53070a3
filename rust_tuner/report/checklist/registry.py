"""The facts by their names, and what several of them read in a study's records."""

import html
import re
from collections.abc import Callable

from rust_tuner.models.weights import UNTRAINED
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.model import Json
from rust_tuner.records.project import Project
from rust_tuner.records.split import SplitRecord
from rust_tuner.records.study_record import StudyRecord

_MARKS = re.compile(r"[\\`*\[\]|]")
Fact = Callable[[StudyRecords], list[str]]
# By the names that the items use.
FACTS: dict[str, Fact] = {}


def fact(tell: Fact) -> Fact:
    """Make a function the fact of its name."""
    FACTS[tell.__name__.removeprefix("_")] = tell
    return tell


def one_line(text: object) -> str:
    """A text without line breaks, escaped for Markdown and HTML."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return _MARKS.sub(r"\\\g<0>", escaped)


def study_of(records: StudyRecords) -> StudyRecord:
    """The record of the study; LookupError if there is none."""
    if records.study is None:
        raise LookupError("study.json")
    return records.study


def split_of(records: StudyRecords) -> SplitRecord:
    """The record of the split; LookupError if there is none."""
    if records.split is None:
        raise LookupError("split.json")
    return records.split


def choices_of(records: StudyRecords) -> Json:
    """The protocol's values as recorded; LookupError if there are none."""
    return study_of(records).protocol


def backbone_weights(records: StudyRecords) -> str:
    """The weights that were used, or else requested; untrained ones if several were."""
    asked = {
        weights.asked
        for project in records.projects.values()
        if (weights := project.run.subject.weights) is not None
    }
    asked = asked or {str(choices_of(records).get("weights"))}
    return min(asked, key=lambda weights: (weights not in UNTRAINED, weights))


def search_of(records: StudyRecords) -> Project | None:
    """The search that the final model's values come from, or the last one that was started."""
    return records.regime_2 or records.regime_1
