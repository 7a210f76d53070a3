"""The first models side by side: which of them are tied, from records alone."""

from pathlib import Path

import numpy as np
import pytest
from narrowing import not_none
from report_studies import signed, write_baselines, write_json

from rust_tuner.files import read_json
from rust_tuner.metrics import corrected_t_test, tied_with_best
from rust_tuner.records.baselines import BASELINES, baseline_results
from rust_tuner.records.project import read_project


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
