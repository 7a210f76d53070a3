"""The first models side by side: which are tied and which is suggested, from records alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from report_searches import signed, write_baselines, write_json

from rust_tuner.files import read_json
from rust_tuner.metrics import corrected_t_test, tied_with_best
from rust_tuner.records.baselines import (
    BASELINES,
    baseline_results,
    read_baselines,
    suggested_backbone,
)
from rust_tuner.records.project import read_project

*_, RADIMAGENET, IMAGENET = BASELINES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three models of four folds each, the first one the best, the last one far off."""
    models = (BASELINES[0], *BASELINES[2:])
    write_baselines(tmp_path / "baselines", models, num_folds=4)
    rng = np.random.default_rng(0)
    for model, mean in zip(models, (0.8, 0.79, 0.6), strict=True):
        for fold in range(4):
            path = tmp_path / "baselines" / model / "trial_0000" / f"fold_{fold}.json"
            head = read_json(path)
            head["validation"]["auroc"] = [mean + 0.01 * rng.normal()] * 5
            write_json(path, signed(head))
    return tmp_path


def test_models_are_tied_as_trials_of_one_search_would_be(folder: Path) -> None:
    table = baseline_results(folder).set_index("model")
    models = (BASELINES[0], *BASELINES[2:])
    scores = np.array(
        [
            not_none(read_project(folder / "baselines" / model).best).fold_values("auroc")
            for model in models
        ]
    )
    # The folds of the hand-written records hold 7 of 30 patients each.
    expected = tied_with_best(scores, 23, 7)
    assert list(expected) == [True, True, False]
    assert list(table.loc[list(models), "tied_with_best"]) == list(expected)
    for model, own in zip(models, scores, strict=True):
        p_value = corrected_t_test(scores[0], own, 23, 7).p_value
        assert table.loc[model, "p_against_best"] == pytest.approx(p_value)
    assert table.loc[["chance", "view_only"], "tied_with_best"].isna().all()


def test_no_models_give_no_rows(tmp_path: Path) -> None:
    table = baseline_results(tmp_path)
    assert table.empty
    assert suggested_backbone(table) is None
    assert read_baselines(tmp_path) == {}


def made_table(**aurocs: Any) -> pd.DataFrame:
    rows = [{"model": model, "auroc": a, "cortex_auroc": c} for model, (a, c) in aurocs.items()]
    return pd.DataFrame(rows)


def test_the_suggested_backbone_is_the_best_frozen_one_by_the_objective() -> None:
    table = made_table(
        view_only=(0.99, 0.5),
        inceptionv3_end2end=(0.95, 0.95),
        inceptionv3_radimagenet=(0.8, 0.6),
        inceptionv3_imagenet=(0.7, 0.7),
    )
    assert suggested_backbone(table) == RADIMAGENET
    assert suggested_backbone(table, "val_cortex_auroc") == IMAGENET
    table.attrs["objective"] = "val_cortex_auroc"
    assert suggested_backbone(table) == IMAGENET
    unfinished = made_table(
        inceptionv3_radimagenet=(np.nan, np.nan), inceptionv3_imagenet=(0.4, 0.4)
    )
    assert suggested_backbone(unfinished) == IMAGENET
    assert suggested_backbone(made_table(lenet1998=(0.9, 0.9))) is None
