"""The two regimes: the published ranges, the seed, the objective, and what the score is."""

import dataclasses
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json, not_none
from notes import Notes
from studies import StudyFolder

from rust_tuner import CrossValidationTuner, Protocol, load_manifest, regime_1, regime_2
from rust_tuner.batch_range import PUBLISHED_BATCH_SIZES
from rust_tuner.data.folds import make_folds
from rust_tuner.data.splits import Development, HoldOut, split_holdout
from rust_tuner.errors import ProtocolError, SearchError, SplitError
from rust_tuner.files import write_json
from rust_tuner.metrics import view_only_baseline
from rust_tuner.records.project import read_out_of_fold
from rust_tuner.records.study import StudyFile

if TYPE_CHECKING:
    import keras_tuner

LEARNING_RATES = [1e-1, 1e-2, 1e-3, 1e-4]
STORED = Path(__file__).parents[1] / "records" / "study_of_format_1.zip"
EPSILONS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]


@pytest.fixture(scope="module")
def sides(phantom_manifest: Path) -> tuple[Development, HoldOut]:
    return split_holdout(load_manifest(phantom_manifest), seed=0)


@pytest.fixture(scope="module")
def development(sides: tuple[Development, HoldOut]) -> Development:
    return sides[0]


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Searches are opened and not run; what they would have been called with."""
    calls = []
    monkeypatch.setattr(
        CrossValidationTuner, "search", lambda self, *args, **kwargs: calls.append((args, kwargs))
    )
    return calls


def space_of(
    tuner: CrossValidationTuner,
) -> "dict[str, keras_tuner.engine.hyperparameters.HyperParameter]":
    return {parameter.name: parameter for parameter in tuner.oracle.get_space().space}


def kinds(tuner: CrossValidationTuner) -> dict[str, str]:
    return {name: type(parameter).__name__ for name, parameter in space_of(tuner).items()}


def test_regime_1_has_the_published_ranges_and_scale(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    tuner = regime_1(development, tmp_path, batch_size_range=PUBLISHED_BATCH_SIZES)
    space = space_of(tuner)
    assert kinds(tuner) == {
        "batch_size": "Int",
        "dropout_rate": "Float",
        "learning_rate": "Fixed",
        "epsilon": "Fixed",
    }
    batch_size, dropout_rate = space["batch_size"], space["dropout_rate"]
    assert (batch_size.min_value, batch_size.max_value) == (16, 2048)
    assert (batch_size.sampling, batch_size.step) == ("linear", 1)
    assert (dropout_rate.min_value, dropout_rate.max_value) == (0.0, 0.5)
    assert (dropout_rate.sampling, dropout_rate.step) == ("linear", None)
    assert (space["learning_rate"].value, space["epsilon"].value) == (1e-3, 1e-7)
    assert (tuner.oracle.max_trials, tuner.oracle.num_trials()) == (100, 100)
    assert (tuner.cv, tuner.score_epoch, tuner.seed) == (6, "best_mean", 0)
    ((args, kwargs),) = searches
    assert args == (development,)
    assert kwargs["epochs"] == 20
    assert tuner.project_folder == tmp_path / "regime_1"


def write_run(folder: Path, about: dict[str, Any]) -> None:
    """The record of a search that was begun, with what it says of itself in place of its own."""
    with zipfile.ZipFile(STORED) as archive:
        run = json.loads(archive.read("regime_1/search.json"))
    run.pop("fit_batch_sizes", None)
    write_json(folder / "regime_1" / "search.json", run | about)


def test_batch_sizes_end_at_the_rows_of_a_fold_and_that_is_said_once(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    notes = Notes()
    tuner = regime_1(development, tmp_path, progress=notes)
    rows = max(len(training) for training, _ in make_folds(development, 6, 0))
    batch_size = space_of(tuner)["batch_size"]
    assert (batch_size.max_value, batch_size.sampling) == (rows, "log")
    (note,) = notes.said
    assert f"trains on up to {rows} radiographs" in note
    drawn = pd.DataFrame([tuner.oracle.values_of(trial) for trial in range(100)])["batch_size"]
    assert drawn.between(batch_size.min_value, rows).all()
    assert (np.ceil(rows / drawn) > 1).mean() > 0.9
    about = searches[0][1]["about"]
    assert about["fit_batch_sizes"] is True
    # A search that was begun is said to be nothing new.
    write_run(tmp_path, about)
    regime_1(development, tmp_path, progress=notes)
    assert notes.said == [note]
    assert searches[1][1]["about"] == about


def test_a_range_that_is_asked_for_stays_and_what_of_it_is_one_step_is_said(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    notes = Notes()
    tuner = regime_1(development, tmp_path, batch_size_range=(8, 1000), progress=notes)
    assert (space_of(tuner)["batch_size"].max_value) == 1000
    assert "of the batch sizes 8 to 1000 contain the whole fold" in notes.said[0]
    assert "fit_batch_sizes" not in searches[0][1]["about"]


def test_a_search_of_an_earlier_version_keeps_the_range_that_it_was_begun_with(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    regime_1(development, tmp_path, batch_size_range=PUBLISHED_BATCH_SIZES)
    recorded = {"protocol": searches[0][1]["about"]["protocol"]}
    assert "fit_batch_sizes" not in recorded["protocol"]
    write_run(tmp_path, recorded)
    tuner = regime_1(development, tmp_path)
    batch_size = space_of(tuner)["batch_size"]
    assert (batch_size.max_value, batch_size.sampling) == (2048, "linear")
    assert searches[1] == searches[0]


def test_regime_1_draws_over_the_whole_of_its_ranges(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    tuner = regime_1(development, tmp_path, batch_size_range=PUBLISHED_BATCH_SIZES)
    drawn = pd.DataFrame([tuner.oracle.values_of(trial) for trial in range(100)])
    assert not drawn.duplicated().any()
    assert drawn["batch_size"].between(16, 2048).all()
    assert drawn["dropout_rate"].between(0, 0.5).all()
    # Linear: a quarter of 100 draws lies in each quarter of a range, give or take four sigma.
    for name, low, high in (("batch_size", 16, 2048), ("dropout_rate", 0, 0.5)):
        counts, _ = np.histogram(drawn[name], bins=4, range=(low, high))
        assert (np.abs(counts - 25) < 4 * np.sqrt(100 * 0.25 * 0.75)).all()


def test_regime_2_is_the_published_grid_with_the_rest_fixed(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    tuner = regime_2(development, tmp_path, 1601, 0.14)
    space = space_of(tuner)
    assert kinds(tuner) == {
        "batch_size": "Fixed",
        "dropout_rate": "Fixed",
        "learning_rate": "Choice",
        "epsilon": "Choice",
    }
    assert (space["batch_size"].value, space["dropout_rate"].value) == (1601, 0.14)
    assert list(space["learning_rate"].values) == LEARNING_RATES
    assert list(space["epsilon"].values) == EPSILONS
    assert tuner.oracle.num_trials() == 32
    points = [tuner.oracle.values_of(trial) for trial in range(32)]
    grid = {(not_none(point)["learning_rate"], not_none(point)["epsilon"]) for point in points}
    assert grid == {(rate, epsilon) for rate in LEARNING_RATES for epsilon in EPSILONS}
    assert tuner.oracle.values_of(32) is None
    assert searches[0][1]["epochs"] == 20
    assert tuner.project_folder == tmp_path / "regime_2"


def test_arguments_replace_the_protocols_fields(
    tmp_path: Path, development: Development, searches: list[tuple[tuple[Any, ...], dict[str, Any]]]
) -> None:
    tuner = regime_1(
        development,
        tmp_path,
        trials=7,
        num_folds=3,
        epochs=4,
        batch_size_range=(8, 9),
        dropout_rate_range=(0.1, 0.2),
        seed=5,
        weights="random",
        protocol=Protocol.study(seed=1, trials=50, score_epoch="last"),
    )
    assert (tuner.oracle.max_trials, tuner.cv, tuner.seed) == (7, 3, 5)
    assert (tuner.oracle.seed, tuner.score_epoch) == (5, "last")
    assert searches[0][1]["epochs"] == 4
    assert tuner.hypermodel.weights == "random"
    recorded = searches[0][1]["about"]["protocol"]
    assert (recorded["seed"], recorded["num_folds"], recorded["weights"]) == (5, 3, "random")


@pytest.mark.parametrize(
    ("protocol", "objective", "masked"),
    [(Protocol.study(), "val_auroc", False), (Protocol.clinical(), "val_cortex_auroc", True)],
)
def test_the_protocol_decides_objective_loss_and_preprocessing(
    tmp_path: Path,
    development: Development,
    searches: list[tuple[tuple[Any, ...], dict[str, Any]]],
    protocol: Protocol,
    objective: str,
    masked: bool,
) -> None:
    for tuner in (
        regime_1(development, tmp_path, protocol=protocol),
        regime_2(development, tmp_path, 32, 0.5, protocol=protocol),
    ):
        assert (tuner.oracle.objective.name, tuner.oracle.objective.direction) == (objective, "max")
        assert tuner.hypermodel.masked_loss is masked
        assert tuner.hypermodel.resize == protocol.resize
        assert tuner.hypermodel.flips == protocol.flips


@pytest.mark.parametrize("regime", [regime_1, regime_2])
def test_only_the_development_set_is_accepted(
    tmp_path: Path, sides: tuple[Development, HoldOut], regime: Callable[..., CrossValidationTuner]
) -> None:
    given = {"batch_size": 32, "dropout_rate": 0.5} if regime is regime_2 else {}
    development, holdout = sides
    with pytest.raises(SplitError, match=r"got HoldOut, expected Development: the sealed"):
        regime(holdout, tmp_path, weights="random", **given)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SplitError, match=r"got Radiographs, expected Development"):
        regime(development.radiographs, tmp_path, weights="random", **given)


@pytest.mark.parametrize(
    "changes",
    [{"trials": 0}, {"num_folds": 1}, {"batch_size_range": (9, 3)}, {"dropout_rate_range": (0, 1)}],
)
def test_a_choice_out_of_its_range_is_refused_by_name(
    tmp_path: Path, development: Development, changes: dict[str, Any]
) -> None:
    (name,) = changes
    with pytest.raises(ProtocolError, match=f"^{name}="):
        regime_1(development, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_regime_2_without_regime_1_and_without_values_is_refused(
    tmp_path: Path, development: Development
) -> None:
    with pytest.raises(SearchError, match="Regime I has not been run"):
        regime_2(development, tmp_path)


@pytest.fixture(scope="module")
def run(
    development: Development,
    tiny_protocol: Protocol,
    feature_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., CrossValidationTuner]:
    """Run a search of two trials; the tuner."""

    def run(
        regime: Callable[..., CrossValidationTuner] = regime_1, **changes: Any
    ) -> CrossValidationTuner:
        protocol = dataclasses.replace(tiny_protocol, **changes.pop("protocol", {}))
        folder = tmp_path_factory.mktemp("run")
        return regime(development, folder, protocol=protocol, cache=feature_cache, **changes)

    return run


@pytest.fixture(scope="module")
def first(
    phantom_manifest: Path,
    tiny_protocol: Protocol,
    finished_study: StudyFolder,
    tmp_path_factory: pytest.TempPathFactory,
) -> CrossValidationTuner:
    """The search of the finished study, taken up."""
    folder = tmp_path_factory.mktemp("first")
    shutil.copytree(finished_study.directory / "regime_1", folder / "regime_1")
    # As the study names its patients, which the rows of its searches do.
    radiographs = StudyFile(finished_study.directory).named(load_manifest(phantom_manifest))
    development, _ = split_holdout(radiographs, seed=0)
    return regime_1(development, folder, protocol=tiny_protocol, cache=finished_study.cache)


def bits(tuner: CrossValidationTuner) -> tuple[pd.DataFrame, pd.DataFrame, list[bytes]]:
    """All that a search found out, but for how long it took."""
    history = tuner.history()
    results = tuner.results().drop(columns="seconds")
    predictions = [read_out_of_fold(tuner.project_folder, t).tobytes() for t in results["trial"]]
    return history, results, predictions


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(
    run: Callable[..., CrossValidationTuner], first: CrossValidationTuner
) -> None:
    assert first.seed == 0
    assert first.oracle.seed == 0
    one, two = bits(first), bits(run(seed=0))
    pd.testing.assert_frame_equal(one[0], two[0], check_exact=True)
    pd.testing.assert_frame_equal(one[1], two[1], check_exact=True)
    assert one[2] == two[2]


@pytest.mark.slow
def test_another_seed_gives_other_trials_folds_and_scores(
    run: Callable[..., CrossValidationTuner], first: CrossValidationTuner
) -> None:
    other = run(seed=1)
    one, two = first.results(), other.results()
    assert not set(one["dropout_rate"]) & set(two["dropout_rate"])
    assert not set(one["score"]) & set(two["score"])
    folds = [as_json(tuner.project.run)["subject"]["folds"] for tuner in (first, other)]
    assert folds[0] != folds[1]


def score_by_hand(history: pd.DataFrame, metric: str) -> "tuple[pd.Series[float], pd.Series[int]]":
    """Fold-averaged validation curves, and their best epoch, of each trial."""
    curves = history[(history["split"] == "validation") & (history["metric"] == metric)]
    mean = curves.groupby(["trial", "epoch"])["value"].mean().unstack()
    return mean.max(axis=1), mean.idxmax(axis=1)


def test_the_score_is_the_best_epoch_of_the_fold_averaged_auroc(
    first: CrossValidationTuner,
) -> None:
    score, epoch = score_by_hand(first.history(), "auroc")
    results = first.results().set_index("trial")
    np.testing.assert_allclose(results["score"], score, rtol=1e-14)
    assert list(results["epoch"]) == list(epoch)
    best = first.get_best_hyperparameters()[0].values
    assert best["dropout_rate"] == results.loc[score.idxmax(), "dropout_rate"]  # type: ignore[index]


@pytest.mark.slow
def test_the_clinical_score_is_that_of_visible_cortices(
    run: Callable[..., CrossValidationTuner],
) -> None:
    clinical = Protocol.clinical()
    differs = ("objective", "masked_loss")
    changes = {name: getattr(clinical, name) for name in differs}
    tuner = run(protocol=changes | {"epochs": 3}, trials=1)
    score, epoch = score_by_hand(tuner.history(), "cortex_auroc")
    results = tuner.results()
    np.testing.assert_allclose(results["score"], score, rtol=1e-14)
    assert list(results["epoch"]) == list(epoch)
    assert (results["score"] == results["val_cortex_auroc"]).all()
    assert set(tuner.history()["metric"]) == {"auroc", "cortex_auroc", "loss"}


def test_every_results_table_carries_the_view_only_baseline(
    first: CrossValidationTuner, development: Development
) -> None:
    radiographs = development.radiographs
    folds = make_folds(development, 3, 0)
    baselines = [
        view_only_baseline(
            radiographs.labels[training],
            radiographs.labels[validation],
            radiographs.visible[validation],
        )
        for training, validation in folds
    ]
    results = first.results()
    for name in ("auroc", "cortex_auroc"):
        expected = np.mean([getattr(baseline, name) for baseline in baselines])
        np.testing.assert_allclose(results[f"view_only_{name}"], expected, rtol=1e-14)


def test_the_steps_of_an_epoch_follow_from_the_batch_size(
    first: CrossValidationTuner, development: Development
) -> None:
    largest = max(len(training) for training, _ in make_folds(development, 3, 0))
    results = first.results()
    expected = np.ceil(largest / results["batch_size"])
    assert list(results["steps_per_epoch"]) == list(expected)
