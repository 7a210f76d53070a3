"""The trainings of the checks, whole: a guard is taken out, and the shuffled labels tell."""

from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from PIL import Image
from stand_ins import without_inception

from rust_tuner import Protocol
from rust_tuner.data.folds import Folds, make_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.progress import Silent
from rust_tuner.records.project import REGIME_1
from rust_tuner.records.rows import out_of_fold_predictions
from rust_tuner.search import subject_folds
from rust_tuner.search.grid_search import GridSearchOracle
from rust_tuner.search.tuner import CrossValidationTuner
from rust_tuner.steps.checks.models import judge_view_only
from rust_tuner.steps.checks.shuffled_labels import judge_shuffled
from rust_tuner.steps.checks.training import Training
from rust_tuner.steps.refit import tuned_hypermodel

PATIENTS = 24
VALUES = {"batch_size": 8, "dropout_rate": 0.0, "learning_rate": 1e-3, "epsilon": 1e-7}
PROTOCOL = Protocol.study(
    weights="random", image_size=75, flips="none", num_folds=2, epochs=20, score_epoch="last"
)
SHOWN = {"ap": ("medial", "lateral"), "lateral": ("anterior", "posterior")}


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Development:
    """Two visits of each patient that look and score alike, and like no other patient's."""
    folder = tmp_path_factory.mktemp("textures")
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(PATIENTS):
        for view, cortices in SHOWN.items():
            texture = rng.random((6, 6))
            scores = {name: int(rng.integers(1, 5)) for name in cortices}
            for visit in ("1", "2"):
                path = folder / f"{patient}_{view}_{visit}.png"
                grain = texture + 0.05 * rng.random((6, 6))
                pixels = (grain / grain.max() * 255).astype(np.uint8)
                Image.fromarray(pixels).resize((90, 90), Image.Resampling.BICUBIC).save(path)
                row: dict[str, Any] = {
                    "image": str(path),
                    "patient_id": f"P{patient:02d}",
                    "visit": visit,
                }
                row |= {"view": view, "medial": None, "lateral": None}
                row |= {"anterior": None, "posterior": None}
                rows.append(row | scores)
    return Development(Radiographs(pd.DataFrame(rows)))


def training_on(folder: Path, development: Development, folds: Folds, cache: Path) -> Training:
    """What the checks of a study would start from, after a search of one trial on these folds."""
    tuner = CrossValidationTuner(
        tuned_hypermodel(PROTOCOL, VALUES),
        GridSearchOracle(keras_tuner.Objective("val_auroc", "max")),
        cv=folds,
        seed=PROTOCOL.seed,
        directory=folder,
        project_name=REGIME_1,
        score_epoch="last",
    )
    tuner.search(development, epochs=PROTOCOL.epochs, cache=cache)
    return Training(development, folds, tuner.project, PROTOCOL, folder, cache, Silent())


@pytest.mark.slow
def test_patients_on_both_sides_are_seen_by_shuffled_labels_and_by_nothing_else(
    tmp_path: Path, development: Development, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Any features that tell patients apart will do.
    without_inception(monkeypatch)
    straddling = Folds((development.radiographs.table["visit"] == "2").to_numpy(), 2, 0)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="is on both sides"):
        training_on(tmp_path / "refused", development, straddling, tmp_path / "cache")
    # The guard of the searches is taken out; the check has to find it without.
    monkeypatch.setattr(subject_folds, "require_apart", lambda *arguments: None)
    leaking = training_on(tmp_path / "leaking", development, straddling, tmp_path / "cache")
    leaking.require_same_data()
    verdict = judge_shuffled([leaking.shuffled(number) for number in range(3)])
    assert verdict.status == "failed"
    assert not_none(verdict.figures["cortex_auroc"]) > 0.7

    apart = make_folds(development, 2, 0)
    sound = training_on(tmp_path / "sound", development, apart, tmp_path / "cache")
    verdict = judge_shuffled([sound.shuffled(number) for number in range(3)])
    assert verdict.status == "passed"
    assert not_none(verdict.figures["cortex_auroc"]) < 0.6

    # With the true labels the leak looks like skill, which the view alone does not have.
    view = judge_view_only(out_of_fold_predictions(leaking.source), leaking.on_view_alone())
    assert view.figures["cortex_auroc_view_only"] == pytest.approx(0.5, abs=1e-6)
    with pytest.raises(ResumeError, match="other folds"):
        Training(
            development, apart, leaking.source, PROTOCOL, tmp_path, tmp_path / "cache", Silent()
        ).require_same_data()
