"""The page's section on a search: what each figure marks is by what it shows, or says so."""

from pathlib import Path

import pandas as pd
import pytest
from narrowing import not_none
from report_searches import write_regime_1

from rust_tuner.figures.style import Drawing
from rust_tuner.records.project import read_project
from rust_tuner.report.page import Picture, Room
from rust_tuner.report.sections.regimes import regime_section


@pytest.mark.slow
def test_a_figure_of_another_metric_than_the_objective_marks_no_ties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, tuple[pd.DataFrame, str]] = {}
    picture = Room.picture

    def keep(
        self: Room, name: str, figure: Drawing, data: pd.DataFrame, *, caption: str, alt: str
    ) -> Picture:
        shown[name] = data, caption
        return picture(self, name, figure, data, caption=caption, alt=alt)

    monkeypatch.setattr(Room, "picture", keep)
    project = read_project(write_regime_1(tmp_path / "regime_1", count=4))
    section = regime_section(project, "regime_1", Room(tmp_path / "report"))
    assert section.missing == []
    cortices, caption = shown["regime_1"]
    assert cortices["tied_with_best"].isna().all()
    assert "tests for ties by its AUROC, 18 labels" in caption
    labels, _ = shown["regime_1_labels"]
    tied = labels[labels["tied_with_best"].fillna(False).astype(bool)]
    assert not_none(project.best).trial in set(tied["trial"])
