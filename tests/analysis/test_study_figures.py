"""The figures of a study: what was recorded stands, the rest is computed, and each stands once."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judged_searches import phantom_rows, skilled, write_judged_search
from narrowing import not_none
from report_predictions import holdout_record, make_predictions
from report_searches import write_json
from report_studies import write_study

from rust_tuner.analysis.assessment import as_predictions, figures_table
from rust_tuner.analysis.main_figures import MainFigures, figures_text
from rust_tuner.analysis.study_figures import (
    FOLDS,
    OVER,
    development_cutoff,
    find_figure,
    foreign_predictions,
    holdout_figures,
    out_of_fold_figures,
    recorded_cutoff,
    recorded_figures,
    union_of,
)
from rust_tuner.files import read_json
from rust_tuner.metrics import choose_union_cutoff
from rust_tuner.records.folder import StudyRecords, read_study
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.rows import out_of_fold_predictions


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> StudyRecords:
    return read_study(write_study(tmp_path_factory.mktemp("study") / "study"))


def with_figures(records: StudyRecords, *rows: Any, **changes: Any) -> StudyRecords:
    holdout = not_none(records.holdout).with_changes(figures=[dict(row) for row in rows], **changes)
    return dataclasses.replace(records, holdout=holdout)


def test_a_record_of_an_earlier_version_gets_the_figures_that_it_did_not_know(
    records: StudyRecords,
) -> None:
    exact = {"figure": "exact", "of": "cortices", "average": "macro", "value": 0.4}
    exact |= {"low": 0.3, "high": 0.5, "counted": "visible", "defined": 4, "total": 4}
    analytic = {"figure": "icc_analytic", "of": "visits", "average": "", "value": 0.4}
    found = holdout_figures(with_figures(records, exact, analytic))
    assert list(found["figure"].unique()[:4]) == [
        *("accuracy", "balanced_accuracy", "macro_f1", "kappa")
    ]
    row = find_figure(found, "accuracy", "cortices")
    assert (not_none(row)["value"], not_none(row)["low"], not_none(row)["high"]) == (0.4, 0.3, 0.5)
    assert not {"exact", "icc_analytic"} & set(found["figure"])
    assert not found.duplicated(["figure", "of", "average", "counted"]).any()
    computed = figures_table(as_predictions(not_none(records.predictions)))
    assert len(found) == len(computed)
    expected = find_figure(computed, "macro_f1", "medial")
    assert (
        not_none(find_figure(found, "macro_f1", "medial"))["value"] == not_none(expected)["value"]
    )


def test_a_record_alone_has_the_values_that_it_tells() -> None:
    found = recorded_figures(Holdout.of(holdout_record()))
    row = find_figure(found, "auroc", "labels")
    assert (not_none(row)["value"], np.isnan(not_none(row)["low"])) == (0.81, True)
    assert not_none(find_figure(found, "recall", "cortices"))["value"] == 0.4
    assert find_figure(found, "accuracy", "cortices") is None
    assert recorded_figures(None).empty


def test_predictions_that_the_record_is_not_of_give_no_figure(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    make_predictions(seed=9).to_csv(study / "final" / "predictions.csv", index=False)
    other = read_study(study)
    assert "does not match final/holdout.json (AUROC, 18 labels " in foreign_predictions(other)
    found = holdout_figures(other)
    assert (
        not_none(find_figure(found, "auroc", "labels"))["value"]
        == not_none(other.holdout).metrics.auroc
    )
    assert find_figure(found, "kappa", "cortices") is None
    make_predictions(rows=40).to_csv(study / "final" / "predictions.csv", index=False)
    assert "40 radiographs, not 60" in foreign_predictions(read_study(study))
    assert foreign_predictions(read_study(write_study(tmp_path / "whole"))) == ""


def test_scores_of_a_cross_validation_have_their_interval_over_folds(
    tmp_path: Path, records: StudyRecords
) -> None:
    radiographs = phantom_rows(patients=30)
    project = write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    found = out_of_fold_figures(project, union_of(records))
    for metric, of in (("auroc", "labels"), ("cortex_auroc", "cortices")):
        row = find_figure(found, "auroc", of)
        best = not_none(project.best).interval(metric)
        assert (not_none(row)["value"], not_none(row)["low"], not_none(row)["high"]) == (
            best.value,
            best.low,
            best.high,
        )
        assert not_none(row)[OVER] == FOLDS
    assert (found[OVER] == FOLDS).sum() == 2


def test_equal_folds_are_given_as_the_reason_for_no_interval(
    tmp_path: Path, records: StudyRecords
) -> None:
    radiographs = phantom_rows(patients=30)
    project = write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    best = not_none(project.best)
    curve = [0.5] * len(next(iter(best.folds[0].validation.values())))
    equal = dataclasses.replace(
        best,
        metrics=best.metrics | {"val_cortex_auroc": 0.5},
        folds=tuple(
            fold.with_changes(validation=dict(fold.validation) | {"cortex_auroc": curve})
            for fold in best.folds
        ),
    )
    project = dataclasses.replace(project, trials=(equal,))
    found = out_of_fold_figures(project, union_of(records))
    row = not_none(find_figure(found, "auroc", "cortices"))
    assert row["reason"] == "all folds have the same score"
    text = figures_text(MainFigures(None, None, row, float("nan")))
    assert "**0.500** (no interval: all folds have the same score; chance: 0.500)" in text


def test_the_cut_off_is_chosen_on_development_data_and_recorded(
    tmp_path: Path, records: StudyRecords
) -> None:
    radiographs = phantom_rows(patients=40)
    project = write_judged_search(tmp_path / "search", radiographs, skilled(radiographs, skill=0.5))
    chosen = development_cutoff(project, threshold=9.0)
    totals = out_of_fold_predictions(project).totals
    own = choose_union_cutoff(totals, threshold=9.0, of="those")
    assert chosen.chosen
    assert (chosen.value, chosen.youden) == (own.value, own.youden)
    record = Holdout.of(holdout_record(union_threshold=9.0, union_cutoff=chosen.to_json()))
    assert recorded_cutoff(record) == chosen
    known = dataclasses.replace(records, holdout=record)
    assert union_of(known) == chosen
    nothing = development_cutoff(None, threshold=12.0)
    assert (nothing.value, nothing.chosen) == (12.0, False)
    assert "there is no cross-validation of the tuned model" in nothing.how
    earlier = recorded_cutoff(Holdout.of(holdout_record(union_threshold=12.0)))
    assert (earlier.value, earlier.threshold, earlier.chosen) == (12.0, 12.0, False)


def test_union_figures_take_the_recorded_cut_off(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    path = study / "final" / "holdout.json"
    cutoff = {"value": 10.0, "threshold": 13.0, "chosen": True, "how": "chosen", "youden": 0.5}
    cutoff |= {"visits": 30, "united": 9}
    write_json(path, read_json(path) | {"union_threshold": 13.0, "union_cutoff": cutoff})
    records = read_study(study)
    found = find_figure(holdout_figures(records), "sensitivity", "visits")
    totals = as_predictions(not_none(records.predictions)).totals
    united = totals.reference >= 13
    assert not_none(found)["value"] == (totals.predicted[united] >= 10).mean()
