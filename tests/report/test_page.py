"""Parts of the page: cells that sort by their numbers, steps that fail in their place."""

import pandas as pd
import pytest

from rust_tuner.report.page import (
    Room,
    Section,
    as_text,
    attempt,
    decimal,
    ends,
    inline_svg,
    short,
    text,
    whole,
    yes_or_no,
)


def test_a_prefix_goes_to_every_id_and_reference_of_a_drawing():
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
def test_a_cell_shows_its_text_and_is_sorted_by_its_number(cell, expected):
    assert cell == expected


def test_recorded_values_read_as_text():
    found = {"cores": 2, "devices": ["CPU", "GPU"], "memory": None}
    assert as_text(found) == "cores: 2; devices: CPU, GPU; memory: not recorded"


def test_a_step_that_records_do_not_allow_is_said_and_a_fault_of_the_program_is_not_hidden():
    section = Section("a", "A")

    def damaged():
        raise KeyError("folds")

    def broken():
        raise ZeroDivisionError

    attempt(section, "The curves", damaged)
    assert section.missing == ["The curves could not be made: 'folds'"]
    with pytest.raises(ZeroDivisionError):
        attempt(section, "The curves", broken)


def test_a_table_goes_where_the_page_says(tmp_path):
    path = Room(tmp_path).table("trials", pd.DataFrame({"trial": ["0000"]}))
    assert path == "tables/trials.csv"
    assert (tmp_path / path).read_text() == "trial\n0000\n"
