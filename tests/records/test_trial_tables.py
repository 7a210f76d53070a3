"""Tables of a search: a row a trial, every value once, and no name that overwrites another."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from search_records import RUN

from rust_tuner.files import sha256_of_json, write_json
from rust_tuner.metrics import corrected_t_test
from rust_tuner.records.project import read_project
from rust_tuner.records.trial_tables import history_table, hyperparameter_columns, results_table


def test_results_have_a_row_a_trial_with_scores_spreads_and_baselines(project: Path) -> None:
    table = results_table(read_project(project))
    assert list(table) == [
        "rank",
        "trial",
        "score",
        "score_std",
        "tied_with_best",
        "units",
        "epoch",
        "status",
        "score_low",
        "score_high",
        "p_against_best",
        "val_auroc",
        "val_auroc_std",
        "val_loss",
        "val_loss_std",
        "view_only_auroc",
        "folds_trained",
        "steps_per_epoch",
        "one_step",
        "seconds",
        "message",
    ]
    assert list(table["units"]) == [2, 3, 2, 2]
    assert list(table["rank"].fillna(0)) == [2, 1, 0, 0]
    np.testing.assert_allclose(table["score"], [0.7, 0.8125, np.nan, np.nan], rtol=1e-12)
    np.testing.assert_array_equal(table["val_auroc"], table["score"])
    # Two values spread by their distance over the root of two.
    spreads = [0.1 / np.sqrt(2), 0.125 / np.sqrt(2), np.nan, np.nan]
    np.testing.assert_allclose(table["score_std"], spreads, rtol=1e-12)
    # Student's t with one degree of freedom; of two folds each trains on the other's rows. An AUROC
    # ends at 0 and 1.
    reach = 12.706204736432095 * np.sqrt(1 / 2 + 1) * np.array(spreads)
    for end, expected in (("low", table["score"] - reach), ("high", table["score"] + reach)):
        np.testing.assert_allclose(table[f"score_{end}"], np.clip(expected, 0, 1), rtol=1e-9)
    np.testing.assert_allclose(table["val_auroc_std"], spreads, rtol=1e-12)
    np.testing.assert_allclose(table["val_loss_std"], [0, 0, np.nan, np.nan], atol=1e-15)
    np.testing.assert_array_equal(table["epoch"], [1, 1, np.nan, np.nan])
    # How many patients the folds had is not known here.
    assert table[["tied_with_best", "p_against_best"]].isna().all(axis=None)
    assert list(table["view_only_auroc"]) == [0.6] * 4
    np.testing.assert_array_equal(table["steps_per_epoch"], [5, 5, np.nan, 4])
    assert table["one_step"].tolist() == [False, False, pd.NA, False]
    assert list(table["seconds"]) == [3.0, 3.0, 0.0, 1.5]
    assert table["message"].tolist()[2] == "MemoryError: no room"


def test_results_mark_trials_whose_batch_held_the_whole_fold(project: Path) -> None:
    for path in (project / "trial_0001").glob("fold_*.json"):
        head = json.loads(path.read_text()) | {"steps_per_epoch": 1}
        del head["sha256"]
        write_json(path, head | {"sha256": sha256_of_json(head)})
    read = read_project(project)
    table = results_table(read).set_index("trial")
    assert table["one_step"].dtype == "boolean"
    assert table.loc[["0000", "0001"], "one_step"].tolist() == [False, True]
    assert [trial.one_step for trial in read.trials] == [False, True, None, False]


TABLE_COLUMNS = (
    *("trial", "status", "score", "score_std", "score_low", "score_high", "tied_with_best"),
    *("p_against_best", "epoch", "val_auroc", "val_auroc_std", "val_loss", "val_loss_std"),
    *("view_only_auroc", "folds_trained", "steps_per_epoch", "one_step", "seconds", "message"),
    *("rank", "best_so_far", "fold", "split", "metric", "value", "model"),
)


@pytest.mark.parametrize("name", TABLE_COLUMNS)
def test_a_hyperparameter_overwrites_no_column_and_is_kept_beside_it(
    name: str, project: Path
) -> None:
    plain = results_table(read_project(project)).set_index("trial")
    for path in sorted(project.glob("trial_*/trial.json")):
        state = json.loads(path.read_text())
        state["hyperparameters"]["values"] = {"units": 2, name: f"own {path.parent.name}"}
        write_json(path, state)
    read = read_project(project)
    table = results_table(read)
    assert table.columns.is_unique
    assert list(table[f"hp_{name}"]) == [f"own trial_000{number}" for number in range(4)]
    rest = table.drop(columns=f"hp_{name}").set_index("trial")
    columns = [column for column in plain if column != "units"]
    pd.testing.assert_frame_equal(rest[columns], plain[columns])
    assert list(table["trial"]) == ["0000", "0001", "0002", "0003"]


def test_a_prefix_stands_only_where_names_collide_and_then_until_they_do_not(project: Path) -> None:
    path = project / "trial_0000" / "trial.json"
    values = {"units": 2, "epochs": 3, "loss": "mse", "trial": 4, "hp_trial": 5}
    state = json.loads(path.read_text())
    write_json(path, state | {"hyperparameters": {"space": [], "values": values}})
    read = read_project(project)
    columns = hyperparameter_columns(read)
    assert columns == {
        "units": "units",
        "epochs": "epochs",
        "loss": "loss",
        "trial": "hp_hp_trial",
        "hp_trial": "hp_trial",
    }
    row = results_table(read).iloc[0]
    assert {name: row[column] for name, column in columns.items()} == values
    assert hyperparameter_columns(read, ("loss",))["loss"] == "hp_loss"


def test_results_say_which_trials_are_tied_with_the_best(project: Path) -> None:
    run = json.loads((project / "search.json").read_text())
    units = {"kind": "patients", "training": [10, 12], "validation": [2, 4]}
    write_json(project / "search.json", run | {"subject": {"units": units, "num_folds": 2}})
    read = read_project(project)
    table = results_table(read).set_index("trial")
    assert table["tied_with_best"].dtype == "boolean"
    scores = {name: read.trials[int(name)].fold_values("auroc") for name in ("0000", "0001")}
    expected = corrected_t_test(scores["0001"], scores["0000"], n_train=30, n_test=8).p_value  # type: ignore[arg-type]
    assert table.loc["0000", "p_against_best"] == pytest.approx(expected)
    assert table.loc["0000", "tied_with_best"] == (expected >= 0.05)
    assert table.loc["0001", "p_against_best"] == 1
    assert table.loc["0001", "tied_with_best"]
    # A trial that failed and one that runs are not compared.
    for name in ("0002", "0003"):
        assert table.loc[name, ["tied_with_best", "p_against_best"]].isna().all()


def test_the_history_has_every_value_of_every_fold_once(project: Path) -> None:
    table = history_table(read_project(project))
    assert list(table) == ["trial", "fold", "epoch", "split", "metric", "value"]
    # Two epochs of three curves of two, two, no and one fold.
    assert len(table) == 2 * 3 * (2 + 2 + 0 + 1)
    keys = ["trial", "fold", "epoch", "split", "metric"]
    values = table.set_index(keys)["value"]
    assert values.index.is_unique
    assert values["0000", 1, 0, "training", "loss"] == 0.7 + 0.1
    assert values["0000", 1, 1, "training", "loss"] == 0.1 + 0.2
    assert values["0001", 0, 1, "validation", "auroc"] == 0.875
    assert values["0003", 0, 0, "validation", "loss"] == 0.8
    assert set(table.loc[table["split"] == "training", "metric"]) == {"loss"}
    assert set(table.loc[table["split"] == "validation", "metric"]) == {"loss", "auroc"}


def test_a_search_without_trials_has_empty_tables_with_their_columns(tmp_path: Path) -> None:
    write_json(tmp_path / "search.json", RUN | {"view_only_baseline": {}})
    read = read_project(tmp_path)
    assert read.best is None
    names = ["rank", "trial", "score", "score_std", "tied_with_best", "epoch", "status"]
    assert list(results_table(read)) == [*names, "score_low", "score_high", "p_against_best"]
    pd.testing.assert_index_equal(
        history_table(read).columns,
        pd.Index(["trial", "fold", "epoch", "split", "metric", "value"]),
    )
    assert len(results_table(read)) == len(history_table(read)) == 0
