"""The published tables come with the package, whole."""

from pathlib import Path

import pytest

from rust_tuner.analysis.tables import best_epoch_scores
from rust_tuner.errors import RustTunerError
from rust_tuner.figures.published_study import PUBLISHED_TABLES, read_published

ROWS = {"initial_evaluation": 4000, "regime_1": 110, "regime_2": 32, "final_model_kfold": 800}


@pytest.mark.parametrize("name", PUBLISHED_TABLES)
def test_every_table_is_there_and_whole(name: str) -> None:
    table = read_published(name)
    assert len(table) == ROWS[name]
    assert not table.isna().any(axis=None)


def test_the_first_models_reach_what_was_published() -> None:
    scores = best_epoch_scores(read_published("initial_evaluation"))
    means = scores.groupby("model", sort=False)["value"].mean().round(3)
    assert list(means) == [0.608, 0.692, 0.706, 0.784]


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(RustTunerError, match="no published table 'regime_3'"):
        read_published("regime_3")


def test_an_installation_without_the_tables_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(RustTunerError, match=r"regime_1\.csv cannot be read .* install"):
        read_published("regime_1")
    (tmp_path / "published_csv").mkdir()
    (tmp_path / "published_csv" / "regime_1.csv").write_text("batch_size,dropout_rate\n1,0.5\n")
    with pytest.raises(RustTunerError, match="has the columns batch_size, dropout_rate"):
        read_published("regime_1")
