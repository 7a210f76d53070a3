"""The live page in a real browser: it changes as a trial ends, quietly, at every width.

Skipped where there is no Chromium.
"""

from pathlib import Path

import pytest
from begun_studies import end_trial, write_begun_study
from browser import Page, find_browser
from waiting import wait_for

from rust_tuner.report.live import server as live
from rust_tuner.report.live.server import LiveServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed"),
]

NAME = "<b>study"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_begun_study(tmp_path / NAME, count=2)


def test_the_page_changes_as_a_trial_ends(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SECONDS_BETWEEN_LOOKS", 0.1)
    opened = LiveServer(study)
    with opened.running(), Page(tmp_path / "profile") as page:
        page.show(width=1280, height=800)
        page.visit(opened.url)
        assert "2 of 8" in page.evaluate("document.body.innerText")
        # The first event sets it, which comes after the page.
        wait_for(lambda: page.evaluate("document.title") == f"2/8 Regime I, {NAME}")
        end_trial(study, 2)
        wait_for(lambda: "3 of 8" in page.evaluate("document.body.innerText"))
        assert page.complaints == []
        assert all(url.startswith(opened.url) for url in page.requests)
        for width in (390, 768, 1920):
            for dark in (False, True):
                page.show(width=width, dark=dark)
                root = "document.documentElement"
                assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


def test_a_page_that_found_no_room_is_live_once_there_is_some(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 0)
    opened = LiveServer(study)
    # There is nothing for a moment while the page is loaded again.
    state = "(document.getElementById('connection')?.textContent ?? '')"
    with opened.running(), Page(tmp_path / "profile") as page:
        page.visit(opened.url)
        wait_for(lambda: page.evaluate(state).startswith("not connected"))
        monkeypatch.setattr(live, "MOST_STREAMS", 1)
        wait_for(lambda: page.evaluate(state) == "live")
