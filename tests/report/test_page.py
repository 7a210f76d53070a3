"""Parts of the page: cells that sort by their numbers, steps that fail in their place."""

from pathlib import Path
from typing import NoReturn

import pandas as pd
import pytest

from rust_tuner.analysis.columns import Column
from rust_tuner.report.page import (
    PageTable,
    Room,
    Section,
    as_text,
    attempt,
    cortices_first,
    decimal,
    ends,
    inline_svg,
    short,
    text,
    whole,
    yes_or_no,
)


def test_a_prefix_goes_to_every_id_and_reference_of_a_drawing() -> None:
    drawing = (
        '<?xml version="1.0"?><!DOCTYPE svg><svg width="1pt" height="2pt" viewBox="0 0 1 2">'
        '<metadata>x</metadata><g id="a"><use xlink:href="#a" clip-path="url(#b)"/></g></svg>'
    )
    assert inline_svg(drawing, prefix="p") == (
        '<svg viewBox="0 0 1 2"><g id="p-a">'
        '<use xlink:href="#p-a" clip-path="url(#p-b)"/></g></svg>'
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (text("a"), ("a", None)),
        (text(None), ("", None)),
        (whole(3, plus=1), ("4", 3.0)),
        (whole(float("nan")), ("", None)),
        (decimal(0.12345), ("0.123", 0.12345)),
        (decimal(None), ("", None)),
        (yes_or_no(False), ("no", None)),
        (yes_or_no(None), ("", None)),
        (ends(0.25, 0.75, digits=2), ("0.25 to 0.75", 0.25)),
        (ends(0.25, float("nan")), ("", None)),
        (short(1e-7), ("1e-7", 1e-7)),
        (short("adam"), ("adam", None)),
    ],
)
def test_a_cell_shows_its_text_and_is_sorted_by_its_number(
    cell: tuple[str, float | None], expected: tuple[str, float | None]
) -> None:
    assert cell == expected


def test_recorded_values_read_as_text() -> None:
    found = {"cores": 2, "devices": ["CPU", "GPU"], "memory": None}
    assert as_text(found) == "cores: 2; devices: CPU, GPU; memory: not recorded"


def test_a_step_that_records_do_not_allow_is_said_and_a_fault_of_the_program_is_not_hidden() -> (
    None
):
    section = Section("a", "A")

    def damaged() -> NoReturn:
        raise KeyError("folds")

    def broken() -> NoReturn:
        raise ZeroDivisionError

    attempt(section, "The curves", damaged)
    assert section.missing == ["The curves could not be made: 'folds'"]
    with pytest.raises(ZeroDivisionError):
        attempt(section, "The curves", broken)


def test_columns_without_text_are_not_shown_and_others_keep_their_order() -> None:
    rows = [[text("a"), text(None), decimal(1.0)], [text(None), text(None), decimal(2.0)]]
    shown = PageTable("t", ("one", "two", "three"), rows, {"CSV": "t.csv"}).shown
    assert shown.header == ["one", "three"]
    assert [len(row) for row in shown.rows] == [2, 2]
    assert shown.files == {"CSV": "t.csv"}
    facts = PageTable("t", (), rows)
    assert facts.shown is facts


def test_visible_cortices_come_before_the_18_labels() -> None:
    names = ["trial", "val_auroc", "val_cortex_auroc", "epoch", "auroc", "cortex_auroc"]
    ordered = cortices_first([Column(name, name) for name in names])
    assert [column.name for column in ordered] == [
        *("trial", "val_cortex_auroc", "val_auroc", "epoch", "cortex_auroc", "auroc")
    ]


def test_colours_of_a_drawing_become_the_pages() -> None:
    svg = (
        '<svg width="1" height="1"><path style="fill: #ffffff; stroke: #000000"/>'
        '<path style="fill: #fefefe; stroke: #123456"/></svg>'
    )
    html = inline_svg(svg, prefix="a")
    assert 'style="fill: var(--sheet); stroke: var(--ink)"' in html
    assert 'style="fill: #fefefe; stroke: #123456"' in html


def test_a_table_goes_where_the_page_says(tmp_path: Path) -> None:
    path = Room(tmp_path).table("trials", pd.DataFrame({"trial": ["0000"]}))
    assert path == "tables/trials.csv"
    assert (tmp_path / path).read_text() == "trial\n0000\n"
