"""What came out as one table and figure: values of the records, intervals of folds and patients."""

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json, not_none
from report_searches import write_baselines, write_json
from report_studies import study_record, write_study

from rust_tuner.analysis.assessment import as_predictions, figures_table
from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.figures.style import new_axes
from rust_tuner.figures.summary import draw_summary
from rust_tuner.metrics.fold_interval import fold_interval
from rust_tuner.records.folder import StudyRecords, read_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecords:
    return read_study(write_study(tmp_path_factory.mktemp("studies") / "study"))


def row_of(scores: pd.DataFrame, start: str, metric: str) -> dict[Hashable, Any]:
    (row,) = scores[scores["part"].str.startswith(start) & (scores["metric"] == metric)].to_dict(
        "records"
    )
    return row


def test_every_part_has_both_figures_in_order(study: StudyRecords) -> None:
    scores = summary_scores(study)
    assert list(dict.fromkeys(scores["part"])) == [
        "best of 2 first models, 4 folds",
        "Regime I: best of 12 trials, 3 folds",
        "Regime II: best of 6 trials, 3 folds",
        "tuned model, cross-validated, 4 folds",
        "nested cross-validation, 3 outer folds",
        "tuned model, hold-out set of 15 patients",
    ]
    kinds = ["selection score"] * 4 + ["estimate"] * 2
    assert list(scores["kind"])[::2] == list(scores["kind"])[1::2] == kinds
    assert list(scores["metric"]) == ["auroc", "cortex_auroc"] * 6


def test_a_search_has_its_best_trials_score_with_the_interval_of_its_folds(
    study: StudyRecords,
) -> None:
    row = row_of(summary_scores(study), "Regime I:", "auroc")
    best = not_none(study.regime_1).best
    folds = [
        fold.validation["auroc"][not_none(not_none(best).epoch)] for fold in not_none(best).folds
    ]
    expected = fold_interval(folds)
    assert row["value"] == pytest.approx(not_none(best).metrics["val_auroc"])
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["view_only"] == 0.7


def test_nested_cross_validation_has_its_estimate_and_not_its_selection_score(
    study: StudyRecords,
) -> None:
    row = row_of(summary_scores(study), "nested", "auroc")
    found = not_none(study.nested).summary
    assert row["value"] == pytest.approx(as_json(found)["estimate"]["auroc"]["mean"])
    assert row["value"] != pytest.approx(as_json(found)["selection_score"]["auroc"]["mean"])
    assert row["low"] == pytest.approx(as_json(found)["estimate"]["auroc"]["low"])
    assert row["view_only"] == pytest.approx(as_json(found)["view_only_baseline"]["auroc"]["mean"])


def test_the_hold_out_set_has_the_recorded_figure_with_an_interval_over_patients(
    study: StudyRecords,
) -> None:
    row = row_of(summary_scores(study), "tuned model, hold-out", "cortex_auroc")
    recorded = not_none(study.holdout).metrics.cortex_auroc
    assert (row["value"], row["view_only"]) == (recorded, 0.5)
    figures = figures_table(as_predictions(not_none(study.predictions)))
    table = figures[(figures["figure"] == "auroc") & (figures["of"] == "cortices")]
    (expected,) = table[table["average"] == "macro"].to_dict("records")
    assert (row["low"], row["high"]) == (expected["low"], expected["high"])
    assert 0.5 < row["low"] < row["high"] < 1


def test_intervals_that_were_recorded_with_the_one_look_are_taken(study: StudyRecords) -> None:
    value = not_none(study.holdout).metrics.auroc
    kept = {"figure": "auroc", "of": "labels", "average": "macro", "value": value}
    kept |= {"low": 0.7, "high": 0.95}
    other = kept | {"average": "micro", "low": 0.1}
    recorded = dataclasses.replace(
        study, holdout=not_none(study.holdout).with_changes(figures=[other, kept])
    )
    row = row_of(summary_scores(recorded), "tuned model, hold-out", "auroc")
    assert (row["low"], row["high"]) == (0.7, 0.95)


def test_a_recorded_interval_that_does_not_hold_its_figure_is_computed_anew(
    study: StudyRecords,
) -> None:
    value = not_none(study.holdout).metrics.auroc
    kept = {"figure": "auroc", "of": "labels", "average": "macro", "value": value}
    kept |= {"low": value + 0.01, "high": 0.99}  # type: ignore[operator]
    recorded = dataclasses.replace(
        study, holdout=not_none(study.holdout).with_changes(figures=[kept])
    )
    row = row_of(summary_scores(recorded), "tuned model, hold-out", "auroc")
    assert row["low"] < value < row["high"]
    alone = dataclasses.replace(recorded, predictions=None)
    row = row_of(summary_scores(alone), "tuned model, hold-out", "auroc")
    assert row["value"] == value
    assert np.isnan(row["low"])


def test_without_predictions_the_hold_out_set_has_no_interval(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    (study / "final" / "predictions.csv").unlink()
    row = row_of(summary_scores(read_study(study)), "tuned model, hold-out", "auroc")
    assert row["value"] == not_none(read_study(study).holdout).metrics.auroc
    assert np.isnan(row["low"])


def test_a_figure_that_is_undefined_is_not_drawn(study: StudyRecords) -> None:
    scores = summary_scores(study)
    last = (scores["kind"] == "estimate") & (scores["metric"] == "cortex_auroc")
    scores.loc[last, ["value", "low", "high", "view_only"]] = np.nan
    counts = []
    for metric in ("auroc", "cortex_auroc"):
        axes = new_axes(height=3)
        draw_summary(scores, axes=axes, metric=metric)
        counts.append(len(axes.texts))
    # One text for each part, and one for the title.
    assert counts[0] - counts[1] == 2


def test_what_has_no_score_has_no_row(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    assert summary_scores(read_study(tmp_path)).empty
    write_baselines(tmp_path / "baselines", ("lenet1998",))
    assert len(summary_scores(read_study(tmp_path))) == 2


def test_each_part_stands_at_its_value_beside_its_own_baseline(study: StudyRecords) -> None:
    scores = summary_scores(study)
    for metric in ("auroc", "cortex_auroc"):
        axes = new_axes(height=3)
        draw_summary(scores, axes=axes, metric=metric)
        own = scores[scores["metric"] == metric]
        points = [line for line in axes.get_lines() if line.get_marker() in "osD"]  # type: ignore[operator]
        np.testing.assert_allclose(
            [np.asarray(line.get_xdata())[0] for line in points], own["value"]
        )
        ends = [line for line in axes.get_lines() if line.get_marker() == "|"]
        np.testing.assert_allclose(
            [np.asarray(line.get_xdata()) for line in ends], own[["low", "high"]]
        )
        views = [line for line in axes.get_lines() if line.get_marker() == "None"]
        np.testing.assert_allclose(
            [np.asarray(line.get_xdata())[0] for line in views], own["view_only"]
        )
        named = [f"{row.part}: {row.value:.3f}" for row in own.itertuples()]
        assert [text.get_text() for text in axes.texts if ": " in text.get_text()] == named
