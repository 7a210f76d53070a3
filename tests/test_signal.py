"""A real backbone learns from phantoms what can be learned, and nothing from shuffled labels."""

import os
from pathlib import Path

import numpy as np
import pytest

from rust_tuner import Protocol, Radiographs, load_manifest, regime_1, split_holdout
from rust_tuner.labels import CORTICES
from rust_tuner.models.weights import WEIGHTS_VARIABLE
from rust_tuner.search.tuner import CrossValidationTuner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get(WEIGHTS_VARIABLE), reason=f"{WEIGHTS_VARIABLE} names no real weights"
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("signal")


@pytest.fixture(scope="module")
def radiographs(many_phantoms: Path) -> Radiographs:
    return load_manifest(many_phantoms)


def search(
    radiographs: Radiographs, place: Path, name: str, *, trials: int, batch_sizes: tuple[int, int]
) -> CrossValidationTuner:
    development, _ = split_holdout(radiographs)
    return regime_1(
        development,
        place / name,
        # Half the published side: a quarter of the extraction, and enough to tell the scores.
        protocol=Protocol.study(image_size=150, score_epoch="last"),
        trials=trials,
        num_folds=4,
        epochs=20,
        batch_size_range=batch_sizes,
        cache=place / "cache",
    )


def test_pretrained_features_find_the_scores(
    radiographs: Radiographs, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = search(radiographs, place, "true", trials=4, batch_sizes=(16, 256))
    best = tuner.results().nlargest(1, "score").iloc[0]
    with capsys.disabled():
        print(
            f"\nmasked AUROC {best['val_cortex_auroc']:.3f} ± {best['val_cortex_auroc_std']:.3f}, "
            f"18 labels {best['val_auroc']:.3f}, view only {best['view_only_auroc']:.3f}"
        )
    assert best["val_cortex_auroc"] >= 0.75
    assert best["val_auroc"] > best["view_only_auroc"] + 0.05


def test_shuffled_labels_are_not_found(
    radiographs: Radiographs, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = radiographs.table.copy()
    rng = np.random.default_rng(0)
    scores = list(CORTICES)
    for view in ("ap", "lateral"):
        rows = np.flatnonzero(table["view"] == view)
        table.loc[table.index[rows], scores] = table[scores].to_numpy()[rng.permutation(rows)]
    tuner = search(Radiographs(table), place, "shuffled", trials=1, batch_sizes=(64, 64))
    masked = tuner.results()["val_cortex_auroc"].iloc[0]
    with capsys.disabled():
        print(f"\nmasked AUROC with shuffled labels {masked:.3f}")
    assert 0.45 <= masked <= 0.55
