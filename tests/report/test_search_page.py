"""The report of a search without a study: its answer first, with figures and tables as files."""

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from search_problems import run_search
from typer.testing import CliRunner

from rust_tuner import RandomSearchOracle
from rust_tuner.cli.app import app
from rust_tuner.errors import ResumeError
from rust_tuner.folder_kinds import is_lone_search
from rust_tuner.report.search_page import write_search_report
from rust_tuner.search.tuner import CrossValidationTuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return run_search(tmp_path_factory.mktemp("page"), "grid", max_trials=3, epochs=2)


def test_the_page_begins_with_the_best_trial_and_has_figures_and_tables(
    searched: CrossValidationTuner,
) -> None:
    page = write_search_report(searched.project_folder)
    text = page.read_text()
    best = searched.project.best
    assert (
        f"Trial {not_none(best).trial} is the best: val_auroc {not_none(best).score:.4f} ± " in text
    )
    assert text.index("is the best") < text.index("<svg")
    assert text.count("<svg") == 4
    assert "could not be made" not in text
    table = pd.read_csv(page.parent / "tables" / "trials.csv")
    assert table["score"].tolist() == pytest.approx(searched.results()["score"].tolist())
    names = {path.stem for path in (page.parent / "figures").glob("*.png")}
    assert names == {"history_0", "slices_0", "progress", "folds"}
    assert write_search_report(searched.project_folder).read_text() == text


def test_the_command_writes_it_for_a_search_of_ones_own(searched: CrossValidationTuner) -> None:
    assert is_lone_search(searched.project_folder)
    done = CliRunner().invoke(app, ["report", str(searched.project_folder)])
    assert done.exit_code == 0, done.output
    assert (searched.project_folder / "report" / "index.html").is_file()


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is not a search folder"):
        write_search_report(tmp_path)


def classifier(hp: keras_tuner.HyperParameters) -> keras.Model:
    hp.Choice("epsilon", [0.0, 0.1, 0.2])
    hp.Choice("kind", ["relu", "sigmoid", "softplus", "swish"])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    return model


def test_a_search_of_ones_own_is_not_described_as_one_on_radiographs(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2
    tuner = CrossValidationTuner(
        classifier,
        RandomSearchOracle(keras_tuner.Objective("val_auroc", "max"), max_trials=4, seed=1),
        cv=2,
        directory=tmp_path,
    )
    tuner.search(x, y, epochs=1, verbose=0)
    page = write_search_report(tuner.project_folder)
    text = page.read_text()
    assert "18 labels" not in text
    assert "AUROC by epoch" in text
    assert "Adam" not in text
    # A value of 0 has no logarithm, and label smoothing is no epsilon of Adam's.
    assert "could not be made" not in text
    assert "damaged" not in text
