"""The facts that a study's records have for reporting checklists, each a sentence or two.

A fact is left out if the record that it comes from is missing or damaged.
"""

from rust_tuner.records.folder import DAMAGED, StudyRecords

# Each module adds its facts, in the order of the checklist.
from rust_tuner.report.checklist import data_facts, model_facts, result_facts  # noqa: F401
from rust_tuner.report.checklist.registry import FACTS, one_line


def facts_of(records: StudyRecords) -> dict[str, list[str]]:
    """The facts in the records, by the names that the items use; a list of lines each."""
    facts: dict[str, list[str]] = {}
    for name, tell in FACTS.items():
        try:
            lines = [one_line(line) for line in tell(records) if line]
        except DAMAGED:
            # A damaged part leaves blanks; the page reports the damage.
            continue
        if lines:
            facts[name] = lines
    return facts
