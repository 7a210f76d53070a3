"""Tables of figures: those of the metrics, by label and by site, and AUROC two ways."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from report_predictions import make_predictions

from rust_tuner.analysis.assessment import (
    SITE_FIGURES,
    as_predictions,
    auroc_two_ways,
    figures_table,
    label_figures,
    overall_figures,
    reliability_bins,
    site_figures,
)
from rust_tuner.labels import CORTEX_LABELS, LABELS
from rust_tuner.metrics import (
    assess,
    expected_calibration_error,
    keras_auroc,
    macro_auroc,
    reliability_table,
)
from rust_tuner.metrics.assessment import Predictions


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return as_predictions(make_predictions(80))


@pytest.fixture(scope="module")
def figures(predictions: Predictions) -> pd.DataFrame:
    return figures_table(predictions, union_threshold=10)


def test_the_table_has_every_figure_of_the_assessment(
    predictions: Predictions, figures: pd.DataFrame
) -> None:
    expected = assess(predictions, union_threshold=10)
    assert len(figures) == len(expected)
    for row, figure in zip(figures.to_dict("records"), expected, strict=True):
        for name, value in dataclasses.asdict(figure).items():
            if value is None or value != value:
                assert pd.isna(row[name])
            else:
                assert row[name] == value


def test_overall_and_label_figures_share_all_between_them(figures: pd.DataFrame) -> None:
    overall, labels = overall_figures(figures), label_figures(figures)
    assert not set(overall["of"]) & set(LABELS)
    assert list(labels["label"]) == [*LABELS, *CORTEX_LABELS]
    assert list(labels["counted"]) == ["all"] * 18 + ["visible"] * 16
    names = [name for name in labels if f"{name}_low" in labels]
    assert len(overall) + len(labels) * len(names) == len(figures)
    row = labels.iloc[20]
    own = figures[
        (figures["of"] == row["label"])
        & (figures["counted"] == "visible")
        & (figures["figure"] == "auroc")
    ]
    assert own[["value", "low", "high"]].to_numpy().tolist() == [
        [row["auroc"], row["auroc_low"], row["auroc_high"]]
    ]


def test_each_site_has_the_figures_of_its_own_radiographs(predictions: Predictions) -> None:
    sites = np.array(["B", "A", ""])[np.arange(80) // 2 % 3]
    table = site_figures(predictions, sites.tolist(), union_threshold=10)
    assert list(table["site"].unique()) == ["A", "B"]
    assert len(table) == 2 * len(SITE_FIGURES)
    own = predictions.subset(sites == "B")
    part = table[table["site"] == "B"].set_index(["figure", "of"])
    assert (part["radiographs"] == len(own.labels)).all()
    assert (part["patients"] == len(set(own.patient_ids))).all()
    area = macro_auroc(own.labels, own.probabilities)
    assert part.loc[("auroc", "labels"), "value"] == pytest.approx(area)
    assert (
        float(part.loc[("auroc", "labels"), "low"])  # type: ignore[arg-type]
        < area
        < float(part.loc[("auroc", "labels"), "high"])  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("sites", [[""] * 80, ["A"] * 80, ["A"] * 40 + [""] * 40])
def test_one_site_is_no_comparison(predictions: Predictions, sites: list[str]) -> None:
    assert site_figures(predictions, sites).empty


def test_the_two_aurocs_differ_by_bins_and_undefined_labels_and_nothing_else(
    predictions: Predictions,
) -> None:
    labels = predictions.labels.copy()
    labels[:, LABELS.index("medial_4")] = 0
    changed = dataclasses.replace(predictions, labels=labels)
    folds = np.arange(80) // 2 % 2
    table = auroc_two_ways({"one": changed, "two": dataclasses.replace(changed, folds=folds)})
    one, two = table.to_dict("records")
    assert one["exact"] == macro_auroc(labels, changed.probabilities)
    assert one["keras"] == pytest.approx(keras_auroc(labels, changed.probabilities))
    assert (one["defined"], one["labels"]) == (17, 18)
    for row in (one, two):
        assert row["difference"] == pytest.approx(row["keras"] - row["exact"])
        assert row["difference"] == pytest.approx(row["by_bins"] + row["by_undefined"])
        # A label of 18 that counts as 0 costs about as much as the mean of the others, by 18.
        assert row["by_undefined"] < -0.03
        assert abs(row["by_bins"]) < 0.01
    parts = [changed.subset(folds == fold) for fold in (0, 1)]
    expected = np.mean([macro_auroc(part.labels, part.probabilities) for part in parts])
    assert two["exact"] == pytest.approx(expected)


def test_the_bins_are_those_of_the_metrics_and_give_its_error(predictions: Predictions) -> None:
    bins = reliability_bins(predictions)
    truth, prob = predictions.labels[:, 2:], predictions.probabilities[:, 2:]
    table = reliability_table(truth, prob, predictions.visible)
    errors = expected_calibration_error(truth, prob, predictions.visible)
    for place, label in enumerate(CORTEX_LABELS):
        own = bins[bins["label"] == label]
        assert own["rows"].sum() == table.rows[place].sum()
        gap = (own["mean_probability"] - own["share_positive"]).abs()
        assert np.average(gap, weights=own["rows"]) == pytest.approx(errors[place])
    whole = bins[bins["label"] == "all"]
    assert whole["rows"].sum() == predictions.visible.sum()
