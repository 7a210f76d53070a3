"""Tables: every value is the records', and the published layouts are the published ones."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from narrowing import not_none
from report_predictions import holdout_record
from report_searches import (
    change_json,
    curve_value,
    write_baselines,
    write_project,
    write_regime_1,
    write_regime_2,
)
from report_studies import write_study

from rust_tuner.analysis.tables import (
    best_epoch_scores,
    curves_table,
    final_table,
    fold_scores,
    published_regime_1,
    ranked_curves,
    searched_values,
    study_tables,
    trials_table,
    write_published_curves,
    write_published_regime_1,
    write_published_regime_2,
    write_table,
)
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.files import write_json
from rust_tuner.records.folder import read_study
from rust_tuner.records.holdout import Holdout
from rust_tuner.records.project import read_project
from rust_tuner.records.trial_tables import results_table


def fail(folder: Path, number: int) -> None:
    failed = {"status": "FAILED", "score": None, "best_step": None, "message": "TrialError: no"}
    change_json(folder / f"trial_{number:04d}" / "trial.json", **failed)


def mean_curve(
    metric: str, trial: int, *, num_folds: int = 3, epochs: int = 5
) -> npt.NDArray[np.float64]:
    values = [[curve_value(metric, trial, f, e) for e in range(epochs)] for f in range(num_folds)]
    result: npt.NDArray[np.float64] = np.mean(values, axis=0)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_regime_1(tmp_path / "regime_1")


def test_ranks_are_those_of_the_scores_and_a_failed_trial_has_none(folder: Path) -> None:
    fail(folder, 3)
    table = trials_table(read_project(folder)).set_index("trial")
    scores = table["score"].dropna()
    assert len(scores) == 11
    expected = {name: place + 1 for place, name in enumerate(scores.sort_values().index[::-1])}
    assert table["rank"].dropna().to_dict() == expected
    assert pd.isna(table.loc["0003", "rank"])  # type: ignore[arg-type]
    assert table["rank"].idxmin() == not_none(read_project(folder).best).trial


def test_the_best_so_far_never_falls_and_begins_with_the_first_score(folder: Path) -> None:
    # The best trial comes last, and the first one failed.
    fail(folder, 0)
    change_json(folder / "trial_0011" / "trial.json", score=0.99)
    table = trials_table(read_project(folder))
    running = table["best_so_far"]
    assert np.isnan(running[0])
    assert running[1] == table["score"][1]
    assert list(running[1:]) == [table["score"][: n + 1].max() for n in range(1, 12)]
    assert running[11] == 0.99


def test_equal_scores_rank_in_the_order_of_trials(folder: Path) -> None:
    for number in range(12):
        change_json(folder / f"trial_{number:04d}" / "trial.json", score=0.5)
    project = read_project(folder)
    assert list(trials_table(project)["rank"]) == list(range(1, 13))
    assert not_none(project.best).trial == "0000"


def test_where_less_is_better_the_lowest_score_is_first(folder: Path) -> None:
    change_json(folder / "search.json", objective={"name": "val_loss", "direction": "min"})
    table = trials_table(read_project(folder))
    assert table.loc[table["rank"] == 1, "score"].item() == table["score"].min()
    assert table["best_so_far"].is_monotonic_decreasing


def test_the_table_keeps_every_column_of_the_results(folder: Path) -> None:
    project = read_project(folder)
    results = results_table(project)
    pd.testing.assert_frame_equal(trials_table(project)[list(results)], results)


def test_a_search_without_trials_has_a_table_without_rows(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1", count=0))
    assert trials_table(project).empty
    assert fold_scores(project, "auroc").empty
    assert ranked_curves(project).empty


def test_only_what_varies_is_searched(folder: Path, tmp_path: Path) -> None:
    assert searched_values(read_project(folder)) == ["batch_size", "dropout_rate"]
    second = write_regime_2(tmp_path / "regime_2")
    assert searched_values(read_project(second)) == ["learning_rate", "epsilon"]


def test_fold_scores_are_the_values_at_the_trials_epoch_best_trial_first(folder: Path) -> None:
    fail(folder, 1)
    table = fold_scores(read_project(folder), "cortex_auroc")
    assert len(table) == 11 * 3
    assert table["rank"].is_monotonic_increasing
    assert "0001" not in set(table["trial"])
    for row in table.to_dict("records"):
        expected = curve_value("cortex_auroc", int(row["trial"]), row["fold"], 2)
        assert row["value"] == pytest.approx(expected)
        assert row["batch_size"] == 16 + 31 * int(row["trial"])


def test_a_metric_that_is_not_recorded_is_named(folder: Path) -> None:
    with pytest.raises(SearchError, match="0000 has no recall; its metrics are auroc, cortex_aur"):
        fold_scores(read_project(folder), "recall")


def test_curves_are_laid_out_as_published(folder: Path) -> None:
    table = curves_table(read_project(folder), model="mine", trial="0004")
    assert list(table) == ["model", "split", "epoch", "fold", "auroc"]
    assert set(table["model"]) == {"mine"}
    assert set(table["split"]) == {"train", "validation"}
    assert sorted(set(table["epoch"])) == [1, 2, 3, 4, 5]
    assert sorted(set(table["fold"])) == [1, 2, 3]
    assert len(table) == 2 * 5 * 3
    for row in table.to_dict("records"):
        split = {"train": "training"}.get(row["split"], row["split"])
        expected = curve_value("auroc", 4, row["fold"] - 1, row["epoch"] - 1, split=split)
        assert row["auroc"] == expected


def test_without_a_name_the_curves_are_the_best_trials(folder: Path) -> None:
    change_json(folder / "trial_0007" / "trial.json", score=0.99)
    project = read_project(folder)
    expected = curves_table(project, model="m", trial="0007")
    pd.testing.assert_frame_equal(curves_table(project, model="m"), expected)


def test_curves_that_are_not_there_are_named(folder: Path) -> None:
    with pytest.raises(SearchError, match="trial 0099 has no auroc of any fold"):
        curves_table(read_project(folder), model="m", trial="0099")


def test_ranked_curves_go_from_the_best_to_the_worst(folder: Path) -> None:
    project = read_project(folder)
    table = ranked_curves(project, count=5)
    shown = table.drop_duplicates("rank")
    assert len(shown) == 5
    assert shown["rank"].iloc[0] == 1
    assert shown["rank"].iloc[-1] == 12
    assert shown["score"].is_monotonic_decreasing
    first = table[table["rank"] == 1].reset_index(drop=True)
    columns = ["split", "epoch", "fold", "auroc"]
    own = curves_table(project, model="m")[columns]
    pd.testing.assert_frame_equal(first[columns], own, check_dtype=False)


def test_fewer_trials_than_asked_are_all_shown(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "regime_1", count=2))
    assert sorted(set(ranked_curves(project)["rank"])) == [1, 2]


def test_the_best_epoch_is_that_of_the_mean_curve_never_of_a_fold() -> None:
    # Fold 1 alone is best at epoch 1, fold 2 alone at epoch 3, their mean at epoch 2.
    rows = [
        ("m", split, epoch, fold, value)
        for fold, curve in ((1, (0.9, 0.8, 0.1)), (2, (0.1, 0.8, 0.85)))
        for epoch, value in enumerate(curve, 1)
        for split in ("validation", "train")
    ]
    table = best_epoch_scores(
        pd.DataFrame(rows, columns=["model", "split", "epoch", "fold", "auroc"])
    )
    assert list(table["epoch"]) == [2, 2]
    assert list(table["fold"]) == [1, 2]
    assert list(table["value"]) == [0.8, 0.8]


def test_the_first_regime_is_written_as_published(folder: Path, tmp_path: Path) -> None:
    write_published_regime_1(read_project(folder), tmp_path / "out" / "regime_1.csv")
    lines = (tmp_path / "out" / "regime_1.csv").read_text().splitlines()
    assert lines[0] == "batch_size,dropout_rate,max_val_auroc"
    assert len(lines) == 13
    size, rate, score = lines[2].split(",")
    assert size == "47"
    assert float(rate) == 0.5 * 5 / 12
    assert float(score) == pytest.approx(mean_curve("auroc", 1).max())


def test_the_second_regime_is_written_as_published(tmp_path: Path) -> None:
    write_published_regime_2(
        read_project(write_regime_2(tmp_path / "regime_2")), tmp_path / "regime_2.csv"
    )
    table = pd.read_csv(tmp_path / "regime_2.csv")
    assert list(table) == ["learning_rate", "epsilon", "max_val_auroc"]
    assert list(table["learning_rate"]) == [0.1, 0.1, 0.001, 0.001, 0.01, 0.01]
    assert list(table["epsilon"]) == [1e-7, 0.1] * 3


def test_the_published_score_is_the_maximum_whatever_epoch_the_protocol_takes(folder: Path) -> None:
    change_json(folder / "trial_0000" / "trial.json", best_step=0, score=0.1)
    table = published_regime_1(read_project(folder))
    assert table["max_val_auroc"][0] == pytest.approx(mean_curve("auroc", 0).max())


def test_per_fold_curves_are_written_as_published(tmp_path: Path) -> None:
    write_baselines(tmp_path, ("lenet1998", "inceptionv3_imagenet"))
    projects = {
        name: read_project(tmp_path / name) for name in ("lenet1998", "inceptionv3_imagenet")
    }
    write_published_curves(projects, tmp_path / "initial_evaluation.csv")
    text = (tmp_path / "initial_evaluation.csv").read_text()
    assert text.splitlines()[0] == "model,split,epoch,fold,auroc"
    assert text.splitlines()[1].startswith("lenet1998,train,1,1,0.75")
    table = pd.read_csv(tmp_path / "initial_evaluation.csv")
    assert table["model"].value_counts().to_dict() == dict.fromkeys(projects, 2 * 5 * 4)


def test_a_table_comes_back_bit_for_bit(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["a, b", '"'], "value": [0.1 + 0.2, 1 / 3]})
    write_table(table, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table, check_exact=True)


def test_a_study_has_the_tables_of_what_is_there(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    tables = study_tables(study)
    assert list(tables) == [
        "baselines",
        "regime_1",
        "regime_1_history",
        "regime_2",
        "regime_2_history",
        "nested",
        "nested_summary",
        "noise",
        "noise_floor",
        "final",
        "predictions",
    ]
    assert list(tables["baselines"]["model"]) == [
        "chance",
        "view_only",
        "lenet1998",
        "inceptionv3_imagenet",
    ]
    assert len(tables["regime_1"]) == 12
    assert len(tables["regime_2"]) == 6
    # Trials, folds, epochs, splits and metrics.
    assert len(tables["regime_1_history"]) == 12 * 3 * 5 * 2 * 3
    assert len(tables["predictions"]) == 60


def test_an_unfinished_study_has_fewer_tables(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "study" / "regime_1", count=2, num_trials=9)
    assert list(study_tables(tmp_path / "study")) == ["regime_1", "regime_1_history"]


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_a_study_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = {"absent": "absent is not a folder", "empty": "empty is not a study folder"}[name]
    with pytest.raises(ResumeError, match=text):
        study_tables(tmp_path / name)


def test_the_final_table_tells_both_evaluations_beside_the_view_only_baseline(
    tmp_path: Path,
) -> None:
    study = tmp_path / "study"
    write_project(study / "final" / "cross_validation", [{"batch_size": 16}])
    write_json(study / "final" / "holdout.json", holdout_record())
    table = final_table(read_study(study)).set_index(["evaluation", "metric"])
    row: Any = table.loc[("cross_validation", "auroc")]
    assert row["value"] == pytest.approx(mean_curve("auroc", 0).max())
    assert row["std"] == pytest.approx(0.004)
    assert row["view_only"] == 0.7
    assert table.loc[("holdout", "cortex_auroc"), "value"] == 0.66
    assert table.loc[("holdout", "cortex_auroc"), "view_only"] == 0.5
    assert np.isnan(table.loc[("holdout", "recall"), "view_only"])  # type: ignore[arg-type]
    kinds = table.groupby("evaluation")["kind"].unique()
    assert list(kinds["cross_validation"]) == ["selection score"]
    assert list(kinds["holdout"]) == ["estimate"]


def test_nothing_of_a_final_model_is_a_table_without_rows(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=1)
    records = read_study(tmp_path)
    assert final_table(records).empty
    assert final_table(
        dataclasses.replace(records, holdout=Holdout.of(holdout_record()))
    ).shape == (8, 6)
