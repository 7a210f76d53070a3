"""The live page in a real browser: it changes as a trial ends, quietly, at every width.

Skipped where there is no Chromium.
"""

from pathlib import Path

import pytest
from browser import Page, find_browser
from report_searches import write_json, write_regime_1, write_trial
from report_studies import study_record
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
    write_json(tmp_path / NAME / "study.json", study_record())
    write_regime_1(tmp_path / NAME / "regime_1", count=2, num_trials=8)
    return tmp_path / NAME


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
        values = {"batch_size": 16, "dropout_rate": 0.0}
        metrics = ("auroc", "cortex_auroc", "loss")
        write_trial(study / "regime_1", 2, values, num_folds=3, epochs=5, metrics=metrics)
        wait_for(lambda: "3 of 8" in page.evaluate("document.body.innerText"))
        assert page.complaints == []
        assert all(url.startswith(opened.url) for url in page.requests)
        for width in (390, 768, 1920):
            for dark in (False, True):
                page.show(width=width, dark=dark)
                root = "document.documentElement"
                assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
