"""The tuner: a trial is a cross-validation, the seed decides, and the data must fit together."""

from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from search_problems import TinyHyperModel, arrays, make_tuner, run_search
from sklearn.model_selection import GroupKFold, KFold

from rust_tuner import RandomSearchOracle
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import MetricError, SearchError, SpaceError, SplitError, StorageError
from rust_tuner.progress import Silent
from rust_tuner.search.tuner import CrossValidationTuner


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CrossValidationTuner:
    return run_search(tmp_path_factory.mktemp("finished"), "random", max_trials=2, cv=3, epochs=3)


def test_the_score_is_the_best_epoch_of_the_mean_over_folds(finished: CrossValidationTuner) -> None:
    history = finished.history()
    curves = history.query("split == 'validation' and metric == 'auroc'")
    means = curves.groupby(["trial", "epoch"])["value"].mean().groupby("trial").max()
    results = finished.results().set_index("trial")
    np.testing.assert_allclose(results["score"], means, rtol=1e-15)
    per_fold_best = curves.groupby(["trial", "fold"])["value"].max().groupby("trial").mean()
    assert (results["score"] <= per_fold_best).all()
    assert (results["score"] < per_fold_best).any()


def test_records_stay_where_they_are_if_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    tuner = run_search(Path("searches"), "random", max_trials=1, epochs=1)
    before = tuner.results()
    monkeypatch.chdir(tmp_path / "elsewhere")
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=1, batch_size=16)
    pd.testing.assert_frame_equal(tuner.results(), before)
    assert tuner.project_folder == tmp_path / "searches" / "search"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_history_is_tidy(finished: CrossValidationTuner) -> None:
    history = finished.history()
    assert list(history) == ["trial", "fold", "epoch", "split", "metric", "value"]
    assert set(history["split"]) == {"training", "validation"}
    assert not history["metric"].str.startswith("val_").any()
    assert sorted(history["fold"].unique()) == [0, 1, 2]
    assert sorted(history["epoch"].unique()) == [0, 1, 2]
    assert not history.duplicated(["trial", "fold", "epoch", "split", "metric"]).any()


def test_results_hold_the_spread_over_folds_at_the_epoch_of_the_score(
    finished: CrossValidationTuner,
) -> None:
    row = finished.results().iloc[1]
    at_epoch = finished.history().query(
        f"trial == '{row.trial}' and split == 'validation' and metric == 'auroc' "
        f"and epoch == {row.epoch}"
    )
    assert row["score_std"] == pytest.approx(at_epoch["value"].std(ddof=1), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "epoch"), [("last", 1), (0, 0)])
def test_the_score_epoch_is_the_one_asked_for(rule: str | int, epoch: int, tmp_path: Path) -> None:
    tuner = run_search(tmp_path, "grid", max_trials=1, score_epoch=rule)
    row = tuner.results().iloc[0]
    curve = tuner.history().query("split == 'validation' and metric == 'auroc'")
    expected = curve[curve["epoch"] == epoch]["value"].mean()
    assert (row["epoch"], row["score"]) == (epoch, pytest.approx(expected, rel=1e-15))


@pytest.mark.slow
@pytest.mark.numerical
def test_the_same_seed_gives_the_same_search_bitwise_and_another_does_not(tmp_path: Path) -> None:
    one, same, other = (
        run_search(tmp_path / name, "random", max_trials=1, epochs=1, seed=seed).history()
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert not np.array_equal(one["value"], other["value"])


@pytest.mark.slow
def test_the_global_random_state_neither_matters_nor_moves(
    tmp_path: Path, finished: CrossValidationTuner
) -> None:
    np.random.seed(123)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    again = run_search(tmp_path, "random", max_trials=1, cv=3, epochs=3)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    first = finished.history().query("trial == '0000'")
    pd.testing.assert_frame_equal(again.history(), first, check_exact=True)


def test_a_finished_search_started_again_adds_and_changes_nothing(
    finished: CrossValidationTuner,
) -> None:
    folder = finished.project_folder.parent
    before = {p: p.read_bytes() for p in folder.rglob("trial_*/*")}
    again = run_search(folder, "random", max_trials=2, cv=3, epochs=3)
    assert {p: p.read_bytes() for p in folder.rglob("trial_*/*")} == before
    assert len(before) > 4
    pd.testing.assert_frame_equal(finished.results(), again.results())


def test_folds_that_cannot_be_scored_stop_an_auroc_search_alone(tmp_path: Path) -> None:
    from sklearn.model_selection import LeaveOneOut

    from rust_tuner import CrossValidationTuner, GridSearchOracle

    x, y, _ = (part[:3] for part in arrays())
    for name, kind in (("val_auroc", "max"), ("val_loss", "min")):
        oracle = GridSearchOracle(keras_tuner.Objective(name, kind), max_trials=1)
        tuner = CrossValidationTuner(
            TinyHyperModel(), oracle, cv=LeaveOneOut(), directory=tmp_path, project_name=name
        )
        if name == "val_auroc":
            with pytest.raises(MetricError, match="fold 0"):
                tuner.search(x, y, epochs=1)
        else:
            tuner.search(x, y, epochs=1)
            assert list(tuner.results()["status"]) == ["COMPLETED"]


@pytest.mark.slow
def test_any_scikit_learn_splitter_will_do(tmp_path: Path) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, cv=GroupKFold(4))
    tuner.search(x, y, groups, epochs=1, batch_size=16)
    assert sorted(tuner.history()["fold"].unique()) == [0, 1, 2, 3]


def test_no_group_straddles_a_fold_made_from_a_number(tmp_path: Path) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, cv=3)
    tuner.search(x, y, groups, epochs=1, batch_size=16)
    folds = tuner._run.subject.folds
    assert len(folds) == 3
    for training, validation in folds:
        assert not set(groups[training]) & set(groups[validation])


@pytest.mark.numerical
def test_out_of_fold_predictions_cover_every_row_once(finished: CrossValidationTuner) -> None:
    from rust_tuner.records.project import read_out_of_fold

    predictions = read_out_of_fold(finished.project_folder, "0001")
    assert predictions.shape == (48, 2)
    assert np.isfinite(predictions).all()


def test_arrays_that_do_not_fit_together_are_refused_before_work(tmp_path: Path) -> None:
    x, y, groups = arrays()
    with pytest.raises(SearchError, match="x has 48, y has 47, groups has 48 rows"):
        make_tuner(tmp_path, "grid").search(x, y[1:], groups)


@pytest.mark.parametrize("fault", [None, float("nan"), "7"])
def test_faulty_groups_are_refused_by_row_and_leave_no_file(
    tmp_path: Path, fault: float | str | None
) -> None:
    x, y, groups = arrays()
    tuner = make_tuner(tmp_path, "grid")
    before = sorted(tmp_path.rglob("*"))
    faulty = [fault if row == 5 else group for row, group in enumerate(groups.tolist())]
    with pytest.raises(SearchError, match=r"groups (is missing|are of several types).* in row 5"):
        tuner.search(x, y, faulty)  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_arrays_without_groups_are_said_to_be_split_by_row(tmp_path: Path) -> None:
    x, y, groups = arrays()
    for given, expected in ((None, 1), (groups, 0)):
        said: list[str] = []

        class Listening(Silent):
            def say(self, text: str, said: list[str] = said) -> None:
                said.append(text)

        tuner = make_tuner(tmp_path / str(expected), "grid", 1, progress=Listening())
        tuner.search(x, y, given, epochs=1, batch_size=16)
        assert sum("rows are split one by one" in text for text in said) == expected


def test_radiographs_that_are_no_development_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="expected Development"):
        make_tuner(tmp_path, "grid").search(Radiographs(phantom_table(patients=8, seed=0)))


def test_a_model_that_compares_with_targets_is_not_searched_without_them(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"y is missing.*pass the inputs as y as well"):
        make_tuner(tmp_path, "grid").search(arrays()[0])


def test_an_objective_that_is_not_reported_is_refused(tmp_path: Path) -> None:
    from rust_tuner import CrossValidationTuner, GridSearchOracle

    oracle = GridSearchOracle(keras_tuner.Objective("val_kappa", "max"))
    tuner = CrossValidationTuner(TinyHyperModel(), oracle, cv=2, directory=tmp_path)
    with pytest.raises(SearchError, match=r"val_kappa is not among the metrics: .*val_auroc"):
        tuner.search(*arrays(), epochs=1)


class GrowingHyperModel(TinyHyperModel):
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = super().build(hp)
        if hp.get("dropout") > 0:
            hp.Float("late", 0, 1)
        return model


def test_a_space_that_grows_in_mid_search_is_refused_by_name(tmp_path: Path) -> None:
    hypermodel = GrowingHyperModel()
    hypermodel.declares_everything = True
    tuner = make_tuner(tmp_path, "grid", None, hypermodel=hypermodel)
    with pytest.raises(SpaceError, match="late was first declared during the search"):
        tuner.search(*arrays(), epochs=1, batch_size=16)


@pytest.mark.filterwarnings("ignore:currentThread\\(\\) is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:getName\\(\\) is deprecated:DeprecationWarning")
def test_stock_keras_tuner_reloads_the_folder_and_reports_the_same_best_trial(
    finished: CrossValidationTuner,
) -> None:
    stock = keras_tuner.RandomSearch(
        TinyHyperModel(),
        objective=keras_tuner.Objective("val_auroc", "max"),
        max_trials=2,
        directory=finished.directory,
        project_name=finished.project_name,
    )
    best = stock.oracle.get_best_trials(1)[0]
    assert best.trial_id == not_none(finished.project.best).trial
    assert best.score == not_none(finished.project.best).score
    assert stock.get_best_hyperparameters()[0].values == not_none(finished.project.best).values


def test_folds_that_come_from_a_generator_serve_every_search(tmp_path: Path) -> None:
    x, y, _ = arrays()
    tuner = make_tuner(tmp_path, "grid", 1, cv=iter(list(KFold(2).split(x))))
    for _ in range(2):
        tuner.search(x, y, epochs=1, batch_size=16, verbose=0)
    assert len(tuner.results()) == 1


def test_a_folder_that_cannot_be_made_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/search cannot be made .*, which is a file"):
        make_tuner(tmp_path / "file", "grid")


def test_a_project_folder_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "search").write_text("")
    with pytest.raises(StorageError, match=r"Remove or rename .*/search, which is a file or a"):
        make_tuner(tmp_path, "grid")
    (tmp_path / "search").unlink()
    (tmp_path / "search").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="a link to nothing"):
        make_tuner(tmp_path, "grid")
    with pytest.raises(StorageError, match="Give a shorter project_name"):
        CrossValidationTuner(
            TinyHyperModel(),
            RandomSearchOracle("val_loss", 1),
            directory=tmp_path,
            project_name="x" * 300,
        )


def test_a_deleted_current_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StorageError, match="the current folder has been deleted; change to"):
        make_tuner(Path("searches"), "grid")
