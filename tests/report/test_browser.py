"""The page in a real browser: quiet, self-contained, sortable, readable in every way it is shown.

Skipped where there is no Chromium.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, find_browser
from report_searches import write_json
from report_studies import study_record, write_study

from rust_tuner.report.html import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed"),
]

# Two folders: a name cannot hold a slash.
NAME = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_study(tmp_path_factory.mktemp("browser") / NAME)
    write_json(study / "study.json", study_record(manifest=f"{NAME}.csv"))
    return write_report(study)


@pytest.fixture(scope="module")
def page(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("profile") / "profile") as opened:
        opened.show(width=1400)
        opened.open(index)
        yield opened


def test_nothing_complains_and_nothing_but_the_page_is_asked_for(page: Page, index: Path) -> None:
    assert page.evaluate("document.readyState") == "complete"
    asked = [url for url in page.requests if not url.startswith("data:")]
    assert asked == [index.resolve().as_uri()]
    assert page.complaints == []


def test_a_study_named_as_a_script_shows_as_text(page: Page) -> None:
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


def column(page: Page, caption: str, name: str, *, presses: int = 0) -> list[str]:
    cells: list[str] = page.evaluate(COLUMN % (caption, name, presses))
    return cells


@pytest.mark.parametrize("name", ["rank", "batch size", "dropout rate", "AUROC, 18 labels"])
def test_numbers_are_sorted_as_numbers_both_ways(page: Page, name: str) -> None:
    caption = "Trials, the best first"
    rising = [float(cell) for cell in column(page, caption, name, presses=1)]
    assert len(rising) == 12
    assert rising == sorted(rising)
    falling = [float(cell) for cell in column(page, caption, name, presses=1)]
    assert falling == sorted(rising, reverse=True)


def test_words_are_sorted_as_words_and_what_is_empty_stays_last(page: Page) -> None:
    labels = column(page, "Labels of the hold-out set", "label", presses=1)
    assert labels == sorted(labels, key=str.lower)
    for _ in range(2):
        values = column(page, "The noise floor", "difference", presses=1)
        assert values[-2:] == ["", ""]
        assert all(values[:-2])


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_seen_and_nothing_is_wider_than_the_window(
    page: Page, index: Path, width: int, dark: bool
) -> None:
    page.show(width=width, dark=dark)
    page.open(index)
    page.evaluate("document.querySelectorAll('details.beside').forEach(d => { d.open = true; })")
    sizes = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => {"
        " const b = s.getBoundingClientRect(); return [b.width, b.height]; })"
    )
    assert len(sizes) == 42
    assert min(min(size) for size in sizes) > 100
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth && innerWidth === {width}")
    colours = page.evaluate(
        "['backgroundColor', 'color'].map(n => getComputedStyle(document.body)[n])"
    )
    background, text = (sum(map(int, c[4:-1].split(","))) for c in colours)
    assert (background < text) is dark
    # Figures are as dark as the page, and their text as light.
    paper = page.evaluate("getComputedStyle(document.querySelector('.paper')).backgroundColor")
    ink = page.evaluate("getComputedStyle(document.querySelector('.paper svg')).fill")
    paper, ink = (sum(map(int, c[4:-1].split(","))) for c in (paper, ink))
    assert (paper < ink) is dark
    sheets = page.evaluate(
        "[...new Set([...document.querySelectorAll('.paper svg [id$=patch_1] path')]"
        ".map(p => getComputedStyle(p).fill))]"
    )
    assert len(sheets) == 1
    assert (sheets[0] != "rgb(255, 255, 255)") is dark


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_whole_answer_is_on_the_first_screen(
    page: Page, index: Path, width: int, height: int
) -> None:
    page.show(width=width, height=height)
    page.open(index)
    for part in (".sentence", ".rely", ".values", ".command"):
        bottom = page.evaluate(f"document.querySelector('{part}').getBoundingClientRect().bottom")
        assert 0 < bottom <= height, part


def test_a_term_explains_itself_to_mouse_keyboard_and_touch(page: Page, index: Path) -> None:
    page.show(width=1280)
    page.open(index)
    tip = "[document.getElementById('tip')].map(t => t.hidden ? '' : t.innerText)[0]"
    term = "document.querySelector('.sentence a.term')"
    assert page.evaluate(tip) == ""
    x, y = page.evaluate(
        f"(() => {{ const b = {term}.getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert "four cortices" in page.evaluate(tip)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=790)
    assert page.evaluate(tip) == ""
    page.evaluate(f"{term}.focus()")
    assert "four cortices" in page.evaluate(tip)
    page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert page.evaluate(tip) == ""
    page.evaluate(f"{term}.blur()")
    touched = "new PointerEvent('click', {pointerType: 'touch', cancelable: true, bubbles: true})"
    assert page.evaluate(f"{term}.dispatchEvent({touched})") is False
    assert "four cortices" in page.evaluate(tip)
    assert page.evaluate(f"{term}.dispatchEvent({touched})") is True


def test_a_table_that_goes_on_says_so(page: Page, index: Path) -> None:
    page.show(width=390, height=844)
    page.open(index)
    boxes = page.evaluate(
        """[...document.querySelectorAll(".scroll")].map(box =>
          [box.scrollWidth > box.clientWidth + 4, box.classList.contains("more")])"""
    )
    assert [True, True] in boxes
    assert all(is_cut == is_marked for is_cut, is_marked in boxes)


def test_on_paper_nothing_is_hidden_in_a_scrolled_box(page: Page, index: Path) -> None:
    page.show(width=800, media="print")
    page.open(index)
    hidden = page.evaluate(
        "[...document.querySelectorAll('.scroll')]"
        ".filter(box => box.scrollHeight > box.clientHeight + 2).length"
    )
    assert hidden == 0
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_no_table_is_cut_at_its_lower_edge(page: Page, index: Path) -> None:
    page.show(width=1400)
    page.open(index)
    boxes = page.evaluate(
        """[...document.querySelectorAll(".scroll")].map(box =>
          [box.querySelectorAll("tbody tr").length, box.scrollHeight - box.clientHeight])"""
    )
    assert max(rows for rows, _ in boxes) > 10
    for rows, hidden in boxes:
        assert hidden <= 2, rows
