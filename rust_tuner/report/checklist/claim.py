"""`report/claim.md`: reporting checklists, filled in where a study's records have the facts.

The items are in `items`, the facts in `facts`. What the records do not contain stays a visible
blank, and no item is ever said to be met.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rust_tuner.files import write_text
from rust_tuner.records.folder import StudyRecords
from rust_tuner.report.checklist.facts import facts_of
from rust_tuner.report.checklist.items import CLAIM, CLAIM_ITEMS, TRIPOD, TRIPOD_ITEMS, Item
from rust_tuner.report.checklist.registry import one_line
from rust_tuner.report.page import Room, shareable
from rust_tuner.report.templating import environment

FILE = "claim.md"


@dataclass(frozen=True)
class FilledItem:
    """An item with its facts from the records."""

    number: str
    asks: str
    facts: list[str]
    left: str


@dataclass(frozen=True)
class ItemSection:
    """A section of a checklist."""

    title: str
    items: list[FilledItem]


@dataclass(frozen=True)
class Checklist:
    """A checklist, filled in from the records."""

    title: str
    sections: list[ItemSection]

    @property
    def total(self) -> int:
        """The number of items."""
        return len(self._items)

    @property
    def filled(self) -> int:
        """The number of items with a fact from the records."""
        return sum(bool(item.facts) for item in self._items)

    @property
    def blank(self) -> int:
        """The number of items with a blank for the authors."""
        return sum(bool(item.left) for item in self._items)

    @property
    def _items(self) -> list[FilledItem]:
        return [item for section in self.sections for item in section.items]


def write_claim(records: StudyRecords, room: Room, *, name: str, version: str) -> str:
    """Write `claim.md` into a report's folder; returns its path as the page names it."""
    claim, tripod = checklists(records)
    page = environment().get_template("claim.md")
    text = page.render(name=one_line(name), version=version, claim=claim, tripod=tripod)
    write_text(room.folder / FILE, shareable(text, records))
    return FILE


def checklists(records: StudyRecords) -> tuple[Checklist, Checklist]:
    """CLAIM 2024 and TRIPOD+AI, filled in from the records."""
    facts = facts_of(records)
    return _filled(CLAIM, CLAIM_ITEMS, facts), _filled(TRIPOD, TRIPOD_ITEMS, facts)


def _filled(
    title: str, sections: Mapping[str, tuple[Item, ...]], facts: Mapping[str, list[str]]
) -> Checklist:
    filled_sections = []
    for heading, items in sections.items():
        filled = []
        for item in items:
            lines = [line for name in item.facts for line in facts.get(name, [])]
            # An item without facts is left to the authors as a whole.
            left = item.left or ("" if lines else "not in the records yet")
            filled.append(FilledItem(item.number, item.asks, lines, left))
        filled_sections.append(ItemSection(heading, filled))
    return Checklist(title, filled_sections)
