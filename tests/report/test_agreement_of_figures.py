"""Page, terminal, drawings, files and checklists hold against each other, over random studies.

A figure has one value and one interval. Each place that tells one is read as it is told, and what
is told twice has to agree to its last digit.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judged_searches import phantom_rows, skilled, write_judged_search
from markupsafe import Markup
from narrowing import not_none
from report_predictions import holdout_record_of, make_predictions, plain
from report_searches import write_json
from report_studies import study_record, write_split
from told_figures import (
    Told,
    tell_answer,
    tell_checklists,
    tell_files,
    tell_page,
    tell_summary,
    tell_terminal,
)

from rust_tuner.analysis.assessment import as_predictions, figures_table, overall_figures
from rust_tuner.analysis.study_figures import development_cutoff, find_figure, holdout_figures
from rust_tuner.figures.style import Drawing
from rust_tuner.labels import CORTICES, LABELS
from rust_tuner.metrics.uncertainty import Interval
from rust_tuner.records.folder import read_study
from rust_tuner.report.page import Picture, Room
from rust_tuner.report.sections.final import final_section
from rust_tuner.report.sections.predicted import predicted_sections
from rust_tuner.report.sections.regimes import regime_section

RANGES = {"kappa": (-1, 1), "icc": (-1, 1), "mae": (0, 12), "bias": (-12, 12)}
FREE = ("lower_limit", "upper_limit")
# What is not drawn: figures whose numbers stand in their tables alone.
UNDRAWN = {
    "holdout": (
        *("draw_roc", "draw_precision_recall", "draw_confusion", "draw_trajectories"),
        "draw_gallery",
    ),
    "baselines": ("draw_curves",),
    "regimes": (
        *("draw_regime_1", "draw_slices", "draw_search_progress", "draw_fold_boxes"),
        "draw_curve_grid",
    ),
}


def undrawn(*arguments: object, **options: object) -> None:
    """In place of a drawing."""


def random_study(folder: Path, seed: int) -> Path:
    """A study whose records follow from random predictions."""
    rng = np.random.default_rng(seed)
    write_json(folder / "study.json", study_record())
    write_split(folder / "split.json")
    radiographs = phantom_rows(patients=int(rng.integers(12, 40)), seed=seed)
    for place, skill in (("regime_1", 0.6), ("final/cross_validation", rng.choice([0, 0.4, 1.5]))):
        answers = skilled(radiographs, skill=skill, seed=seed)
        project = write_judged_search(folder / place, radiographs, answers)
    table = make_predictions(int(rng.integers(4, 60)) * 4, seed)
    hidden = rng.choice([0, 0.3, 0.8])
    for cortex in CORTICES:
        table[cortex] = table[cortex].mask(rng.random(len(table)) < hidden)
    names = [f"probability_{label}" for label in LABELS[2:]]
    table[names] = np.clip(table[names] * rng.choice([0.3, 1.0]), 0, 1)
    union = development_cutoff(project, threshold=13.0)
    figures = figures_table(
        as_predictions(table), union_threshold=union.threshold, union_cutoff=union.value
    )
    rows = overall_figures(figures).to_dict("records")
    record = holdout_record_of(table, union_threshold=13.0, union_cutoff=union.to_json())
    record["figures"] = [{name: plain(value) for name, value in row.items()} for row in rows]
    if rng.random() < 0.3:
        # A record of an earlier version, which had no such list.
        del record["figures"], record["union_cutoff"]
    write_json(folder / "final" / "holdout.json", record)
    table.to_csv(folder / "final" / "predictions.csv", index=False)
    return folder


@pytest.fixture
def told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "Callable[[Path], tuple[Told, dict[str, pd.DataFrame]]]":
    """Everything that a study tells of its figures, without rendering any."""

    def read(folder: Path) -> tuple[Told, dict[str, pd.DataFrame]]:
        files, pictures = {}, {}

        def keep_table(self: Room, name: str, table: pd.DataFrame) -> str:
            files[name] = table
            return name

        def keep_picture(
            self: Room, name: str, figure: Drawing, data: pd.DataFrame, *, caption: str, alt: str
        ) -> Picture:
            titles = [axes.get_title(loc="left") for axes in figure.axes]
            pictures[name] = (data, "\n".join([caption, alt, *titles]))
            return Picture(name, caption, alt, Markup(""))

        for module, names in UNDRAWN.items():
            for name in names:
                monkeypatch.setattr(f"rust_tuner.report.sections.{module}.{name}", undrawn)
        monkeypatch.setattr(Room, "table", keep_table)
        monkeypatch.setattr(Room, "picture", keep_picture)
        records = read_study(folder)
        room = Room(tmp_path)
        final = final_section(records, room)
        parts = predicted_sections(records, room)
        search = regime_section(records.regime_1, "regime_1", room)
        progress = Told()
        tell_files(progress, files, pictures)
        tell_page(
            progress, [*final.tables, *(table for part in parts for table in part.tables)], search
        )
        tell_answer(progress, records)
        tell_terminal(progress, records)
        tell_checklists(progress, records)
        tell_summary(progress, records)
        return progress, files

    return read


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 24))]
)
def test_what_is_told_twice_is_told_alike(
    seed: int, tmp_path: Path, told_of: Callable[[Path], tuple[Told, dict[str, pd.DataFrame]]]
) -> None:
    text, files = told_of(random_study(tmp_path / "study", seed))
    assert text.disagreements() == []
    several = [key for key, places in text.values.items() if len({p for p, _ in places}) > 2]
    assert len(several) > 20
    for scope in ("holdout", "out_of_fold"):
        for row in files[f"{scope}_figures"].to_dict("records"):
            if pd.isna(row["low"]):
                assert pd.isna(row["high"])
                assert pd.isna(row["value"]) or row["reason"]
                continue
            assert row["low"] <= row["value"] <= row["high"], row
            lowest, highest = RANGES.get(row["figure"], (0, 1))
            if row["figure"] not in FREE:
                assert lowest <= row["low"] <= row["high"] <= highest, row


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_a_planted_disagreement_is_found(
    seed: int,
    tmp_path: Path,
    told_of: Callable[[Path], tuple[Told, dict[str, pd.DataFrame]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without what is planted these studies have none: they are among those above. The files of the
    # first have another interval, and those of the second, of fewer patients, have none.
    folder = random_study(tmp_path / "study", seed)
    interval = np.isfinite(overall_icc(folder)["low"])
    assert interval == (seed == 0)
    # The drawing takes the interval that treats visits as independent again.
    icc = analytic_icc(folder)

    def of_independent_visits(
        figures: pd.DataFrame, name: str, *of: Any, **options: Any
    ) -> dict[str, Any]:
        row = find_figure(figures, name, *of, **options)
        ends = {"value": icc.value, "low": icc.low, "high": icc.high}
        return row | ends if name == "icc" else row  # type: ignore[operator,return-value]

    monkeypatch.setattr("rust_tuner.report.sections.holdout.find_figure", of_independent_visits)
    text, _ = told_of(folder)
    assert {key[1] for key, *_ in text.disagreements()} >= {"icc"}


def analytic_icc(folder: Path) -> Interval:
    from rust_tuner.analysis.totals import visit_table
    from rust_tuner.metrics import total_agreement

    visits = visit_table(not_none(read_study(folder).predictions))
    return total_agreement(visits["true_total"], visits["predicted_total"]).icc


def overall_icc(folder: Path) -> dict[str, Any]:
    return not_none(find_figure(holdout_figures(read_study(folder)), "icc", "visits"))
