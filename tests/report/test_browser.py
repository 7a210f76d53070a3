"""The page in a real browser: quiet, self-contained, sortable, readable in every way it is shown.

Skipped where there is no Chromium.
"""

import pytest
from browser import Page, find_browser
from report_studies import study_record, write_json, write_study

from rust_tuner.report.html import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed"),
]

# Two folders: a name cannot hold a slash.
NAME = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("browser") / NAME)
    write_json(study / "study.json", study_record(manifest=f"{NAME}.csv"))
    return write_report(study)


@pytest.fixture(scope="module")
def page(index, tmp_path_factory):
    with Page(tmp_path_factory.mktemp("profile") / "profile") as opened:
        opened.show(width=1400)
        opened.open(index)
        yield opened


def test_nothing_complains_and_nothing_but_the_page_is_asked_for(page, index):
    assert page.evaluate("document.readyState") == "complete"
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert asked == [index.resolve().as_uri()]
    assert page.complaints == []


def test_a_study_named_as_a_script_shows_as_text(page):
    assert page.dialogs == []
    assert NAME in page.evaluate("document.body.innerText")
    assert page.evaluate("document.querySelectorAll('script').length") == 1


# Of a table by its caption's start: what a column holds, as numbers where they are.
COLUMN = """
(() => {
  const table = [...document.querySelectorAll("main table")]
    .find(item => item.caption && item.caption.textContent.startsWith(%r));
  const head = [...table.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith(%r));
  for (let press = 0; press < %d; press++)
    table.tHead.rows[0].cells[head].querySelector("button").click();
  return [...table.tBodies[0].rows].map(row => row.cells[head].textContent);
})()
"""


def column(page, caption, name, *, presses=0):
    return page.evaluate(COLUMN % (caption, name, presses))


@pytest.mark.parametrize("name", ["rank", "batch size", "dropout rate", "AUROC, 18 labels"])
def test_numbers_are_sorted_as_numbers_both_ways(page, name):
    caption = "Trials, the best first"
    rising = [float(cell) for cell in column(page, caption, name, presses=1)]
    assert len(rising) == 12
    assert rising == sorted(rising)
    falling = [float(cell) for cell in column(page, caption, name, presses=1)]
    assert falling == sorted(rising, reverse=True)


def test_words_are_sorted_as_words_and_what_is_empty_stays_last(page):
    labels = column(page, "Labels of the hold-out set", "label", presses=1)
    assert labels == sorted(labels)
    for _ in range(2):
        values = column(page, "The noise floor", "difference", presses=1)
        assert values[-2:] == ["", ""]
        assert all(values[:-2])


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_seen_and_nothing_is_wider_than_the_window(page, index, width, dark):
    page.show(width=width, dark=dark)
    page.open(index)
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => {"
        " const b = s.getBoundingClientRect(); return [b.width, b.height]; })"
    )
    assert len(sizes) == 31
    assert min(min(size) for size in sizes) > 100
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth && innerWidth === {width}")
    colours = page.evaluate(
        "['backgroundColor', 'color'].map(n => getComputedStyle(document.body)[n])"
    )
    background, text = (sum(map(int, c[4:-1].split(","))) for c in colours)
    assert (background < text) is dark
    # Figures are drawn for white paper.
    paper = page.evaluate("getComputedStyle(document.querySelector('.paper')).backgroundColor")
    assert paper == "rgb(255, 255, 255)"


def test_on_paper_nothing_is_hidden_in_a_scrolled_box(page, index):
    page.show(width=800, media="print")
    page.open(index)
    hidden = page.evaluate(
        "[...document.querySelectorAll('.scroll')]"
        ".filter(box => box.scrollHeight > box.clientHeight + 2).length"
    )
    assert hidden == 0
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_a_table_is_shown_whole_unless_it_is_long(page, index):
    page.show(width=1400)
    page.open(index)
    boxes = page.evaluate(
        """[...document.querySelectorAll(".scroll")].map(box =>
          [box.querySelectorAll("tbody tr").length, box.scrollHeight - box.clientHeight])"""
    )
    assert max(rows for rows, _ in boxes) > 40
    assert sum(17 < rows <= 40 for rows, _ in boxes) > 0
    for rows, hidden in boxes:
        assert (hidden > 0) == (rows > 40), rows
