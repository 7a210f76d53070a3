"""Selection score, estimate and the gap: every figure is recomputed another way."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json
from report_predictions import make_out_of_fold
from report_repeats import nested_run, outer_record, write_nested
from scipy import stats
from sklearn.metrics import roc_auc_score

from rust_tuner.analysis.nested import (
    SUMMARY_CAPTION,
    SUMMARY_NAMES,
    nested_summary,
    outer_table,
    stability_table,
    summary_table,
)
from rust_tuner.labels import LABELS
from rust_tuner.records.nested import (
    FIGURES,
    Nested,
    NestedManifest,
    NestedSummary,
    OuterRecord,
    read_nested,
)

RECORDS = [OuterRecord(**outer_record(number)) for number in range(3)]


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return make_out_of_fold()


@pytest.fixture(scope="module")
def summary(predictions: pd.DataFrame) -> NestedSummary:
    return nested_summary(NestedManifest.of(nested_run()), RECORDS, predictions)


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Nested:
    return read_nested(write_nested(tmp_path_factory.mktemp("study") / "nested"))


def macro_by_hand(table: pd.DataFrame, *, cortices_only: bool) -> float:
    """The mean of scikit-learn's AUROC over the labels that have both classes."""
    areas = []
    for label in LABELS:
        cortex, _, score = label.partition("_")
        if cortex == "view":
            if cortices_only:
                continue
            rows, truth = table, table["view"] == score
        else:
            rows = table[table[cortex].notna()] if cortices_only else table
            truth = rows[cortex] == int(score)
        if truth.nunique() == 2:
            areas.append(roc_auc_score(truth, rows[f"probability_{label}"].astype(np.float32)))
    return float(np.mean(areas))


@pytest.mark.parametrize("figure", FIGURES)
def test_the_pooled_estimate_is_the_auroc_of_all_out_of_fold_predictions(
    figure: str, summary: NestedSummary, predictions: pd.DataFrame
) -> None:
    expected = macro_by_hand(predictions, cortices_only=figure == "cortex_auroc")
    found = as_json(summary)["pooled"][figure]
    assert found["value"] == pytest.approx(expected, abs=1e-10)
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    "what", ["selection_score", "inner_estimate", "estimate", "view_only_baseline"]
)
def test_means_and_spreads_are_those_of_the_outer_folds(
    what: str, figure: str, summary: NestedSummary
) -> None:
    values = [getattr(record, what)[figure] for record in RECORDS]
    found = as_json(summary)[what][figure]
    assert found["mean"] == pytest.approx(sum(values) / 3, abs=1e-12)
    assert found["std"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(("name", "less"), [("optimism", "inner_estimate"), ("gap", "estimate")])
def test_optimism_and_gap_are_mean_differences_with_their_own_spread(
    name: str, less: str, figure: str, summary: NestedSummary
) -> None:
    each = [record.selection_score[figure] - getattr(record, less)[figure] for record in RECORDS]
    found = as_json(summary)[name][figure]
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["mean"] == pytest.approx(
        as_json(summary)["selection_score"][figure]["mean"] - as_json(summary)[less][figure]["mean"]
    )
    assert found["std"] == pytest.approx(np.std(each, ddof=1))


@pytest.mark.parametrize("figure", FIGURES)
def test_the_interval_of_the_estimate_is_of_the_procedure_over_outer_folds(
    figure: str, summary: NestedSummary
) -> None:
    values = np.array([record.estimate[figure] for record in RECORDS])
    # Three outer folds: each is scored on half as many patients as it was trained on.
    error = np.sqrt(values.var(ddof=1) * (1 / 3 + 1 / 2))
    reach = stats.t.ppf(0.975, 2) * error
    found = as_json(summary)["estimate"][figure]
    assert found["low"] == pytest.approx(max(values.mean() - reach, 0))
    assert found["high"] == pytest.approx(min(values.mean() + reach, 1))
    assert "of the whole procedure" in SUMMARY_CAPTION


def test_the_same_predictions_give_the_same_summary(
    summary: NestedSummary, predictions: pd.DataFrame
) -> None:
    again = nested_summary(NestedManifest.of(nested_run(seed=1)), RECORDS, predictions)
    assert again.with_changes(key=summary.key) == summary


def test_the_rows_may_come_in_any_order(summary: NestedSummary, predictions: pd.DataFrame) -> None:
    turned = nested_summary(
        NestedManifest.of(nested_run()), RECORDS, predictions.iloc[::-1].reset_index(drop=True)
    )
    assert as_json(turned)["pooled"]["auroc"]["value"] == pytest.approx(
        as_json(summary)["pooled"]["auroc"]["value"]
    )


def test_the_outer_table_has_a_row_a_fold_with_what_was_promised_and_reached(
    nested: Nested,
) -> None:
    table = outer_table(nested)
    assert list(table["outer_fold"]) == [0, 1, 2]
    assert list(table["batch_size"]) == [64, 64, 128]
    assert list(table["epoch"]) == [3, 4, 5]
    for figure in FIGURES:
        promised = table[f"selection_score_{figure}"]
        np.testing.assert_allclose(table[f"gap_{figure}"], promised - table[f"estimate_{figure}"])
        optimism = promised - table[f"inner_estimate_{figure}"]
        np.testing.assert_allclose(table[f"optimism_{figure}"], optimism)
    assert list(table["regime_2_trial"]) == ["0000", "0001", "0002"]
    assert set(table["validation_patients"]) == {10}


def test_the_summary_table_names_each_figure_once_a_metric(nested: Nested) -> None:
    table = summary_table(nested)
    assert list(table["what"].unique()) == list(SUMMARY_NAMES)
    assert not table.duplicated(["what", "metric"]).any()
    row: Any = table.set_index(["what", "metric"]).loc[("estimate", "auroc")]
    assert row["value"] == as_json(nested.summary)["estimate"]["auroc"]["mean"]
    assert row["low"] == as_json(nested.summary)["estimate"]["auroc"]["low"]


def test_an_unfinished_one_has_a_summary_table_without_rows(tmp_path: Path) -> None:
    nested = read_nested(write_nested(tmp_path / "nested", finished=1))
    assert summary_table(nested).empty
    assert len(outer_table(nested)) == 1


def test_the_stability_table_counts_each_value_the_most_frequent_first(nested: Nested) -> None:
    table = stability_table(nested)
    batch = table[table["hyperparameter"] == "batch_size"]
    assert list(zip(batch["value"], batch["times"], strict=True)) == [(64, 2), (128, 1)]
    rate = table[table["hyperparameter"] == "learning_rate"]
    assert list(rate["times"]) == [3]
    for _, rows in table.groupby("hyperparameter"):
        assert rows["times"].sum() == 3
    assert set(table["hyperparameter"]) == {
        "batch_size",
        "dropout_rate",
        "learning_rate",
        "epsilon",
        "epoch",
    }
