"""The first models: what each is, that it resumes, and what their table says."""

import dataclasses
import functools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pandas as pd
import pytest
from baseline_problems import Killed, Listener, protocol_of_baselines, run_lenet, write_radimagenet
from narrowing import as_json, not_none
from stand_ins import backbone_stand_in

from rust_tuner import Protocol, load_manifest, make_folds, run_baselines
from rust_tuner.data.splits import Development, HoldOut, split_holdout
from rust_tuner.errors import ResumeError, SearchError
from rust_tuner.files import read_json, write_json
from rust_tuner.metrics import view_only_baseline
from rust_tuner.models import architectures
from rust_tuner.models.hypermodels import ImageHyperModel
from rust_tuner.models.weights import WEIGHTS_VARIABLE
from rust_tuner.records.baselines import BASELINES, baseline_results
from rust_tuner.records.folds import EpochCheckpoint
from rust_tuner.records.project import Project, read_out_of_fold, read_project
from rust_tuner.records.trial_tables import history_table

LENET, END_TO_END, RADIMAGENET, IMAGENET = BASELINES

# NumPy 2 asks for a keyword that Keras's variables do not know; Keras saves through it.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


Finished = tuple[Path, dict[str, Project], list[str]]


@pytest.fixture(scope="module")
def sides(phantom_manifest: Path) -> tuple[Development, HoldOut]:
    return split_holdout(load_manifest(phantom_manifest), seed=0)


@pytest.fixture(scope="module")
def development(sides: tuple[Development, HoldOut]) -> Development:
    return sides[0]


@pytest.fixture(scope="module")
def protocol(tiny_protocol: Protocol) -> Protocol:
    return protocol_of_baselines(tiny_protocol)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def radimagenet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_radimagenet(tmp_path_factory.mktemp("weights"))
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def finished(
    development: Development,
    protocol: Protocol,
    cache: Path,
    radimagenet: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Finished:
    """All four; not to be written to. The end-to-end one has a stand-in for InceptionV3."""
    folder = tmp_path_factory.mktemp("study")
    progress = Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "build_backbone", backbone_stand_in)
        patch.setenv(WEIGHTS_VARIABLE, str(radimagenet))
        projects = run_baselines(
            development,
            folder,
            radimagenet_weights=radimagenet,
            protocol=protocol,
            cache=cache,
            progress=progress,
        )
    return folder, projects, progress.said


@pytest.mark.slow
def test_each_model_is_a_finished_project_of_one_trial_at_the_protocols_values(
    finished: Finished,
) -> None:
    folder, projects, said = finished
    assert tuple(projects) == BASELINES
    assert said == []
    for model, project in projects.items():
        assert project.folder == folder / "baselines" / model
        assert project.problems == ()
        (trial,) = read_project(project.folder).trials
        assert (trial.trial, trial.status) == ("0000", "COMPLETED")
        dropout = {} if model == LENET else {"dropout_rate": 0.25}
        expected = {"batch_size": 8, "learning_rate": 1e-3, "epsilon": 1e-7}
        assert trial.values == expected | dropout
        assert len(trial.folds) == 2
        for fold in trial.folds:
            for split in ("training", "validation"):
                assert set(getattr(fold, split)) == {"loss", "auroc", "cortex_auroc"}
                assert all(len(curve) == 2 for curve in getattr(fold, split).values())
        assert np.isfinite(read_out_of_fold(project.folder, "0000")).all()


@pytest.mark.slow
def test_records_say_which_model_weights_and_preprocessing_it_was(
    finished: Finished, radimagenet: Path
) -> None:
    _, projects, _ = finished
    subjects = {model: project.run.subject.to_json() for model, project in projects.items()}
    assert {s["preprocessing"] for s in subjects.values()} == {"minus_one_to_one"}
    assert len({s["folds"] for s in subjects.values()}) == 1
    assert [subjects[m].get("model") for m in BASELINES] == [LENET, END_TO_END, None, None]
    asked = {
        m: (as_json(s)["weights"]["asked"], as_json(s)["weights"]["file"])
        for m, s in subjects.items()
    }
    assert asked == {
        LENET: ("random", None),
        END_TO_END: ("random", None),
        RADIMAGENET: (radimagenet.name, radimagenet.name),
        IMAGENET: ("imagenet", radimagenet.name),
    }


@pytest.mark.slow
def test_a_radimagenet_file_is_loaded_whole(finished: Finished) -> None:
    # One file served both, so that what they learnt has to be the same.
    _, projects, _ = finished
    one, other = (history_table(projects[model]) for model in (RADIMAGENET, IMAGENET))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    lenet = history_table(projects[LENET])
    assert not np.array_equal(one["value"], lenet["value"])


@pytest.mark.slow
def test_a_second_run_trains_nothing_and_changes_no_record(
    finished: Finished,
    development: Development,
    protocol: Protocol,
    cache: Path,
    radimagenet: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, projects, _ = finished
    before = {path: path.read_bytes() for path in folder.rglob("trial_*/*")}
    monkeypatch.setattr(ImageHyperModel, "build", lambda *a, **k: pytest.fail("a model was built"))
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(radimagenet))
    again = run_baselines(
        development, folder, radimagenet_weights=radimagenet, protocol=protocol, cache=cache
    )
    assert again == projects
    assert {path: path.read_bytes() for path in folder.rglob("trial_*/*")} == before
    searches_differ = dataclasses.replace(protocol, trials=99, epsilons=(0.1,), num_folds=4)
    assert run_lenet(development, folder, searches_differ, cache).best == projects[LENET].best


@pytest.mark.slow
def test_another_choice_of_the_baselines_is_refused_on_resuming(
    finished: Finished, development: Development, protocol: Protocol, cache: Path
) -> None:
    folder, *_ = finished
    other = dataclasses.replace(protocol, baseline_batch_size=4)
    with pytest.raises(ResumeError, match=r"batch_size"):
        run_lenet(development, folder, other, cache)


@pytest.mark.slow
def test_a_model_that_was_killed_and_resumed_equals_an_untouched_one(
    finished: Finished,
    development: Development,
    protocol: Protocol,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A fold keeps its state after each epoch here, as a long one does.
    monkeypatch.setattr(EpochCheckpoint, "seconds_between", 0.0)
    with pytest.raises(Killed):
        run_lenet(development, tmp_path, protocol, cache, progress=Listener(dies_after=2))
    row = baseline_results(tmp_path).set_index("model").loc[LENET]
    assert row[["auroc", "auroc_std", "cortex_auroc", "epoch"]].isna().all()
    assert (row["folds"], row["epochs"]) == (1, 2)
    trained: list[Any] = []
    fit = keras.Model.fit

    # Wrapped, it is still known as Keras's own.
    @functools.wraps(fit)
    def counting_fit(self: keras.Model, *args: Any, **options: Any) -> keras.callbacks.History:
        trained.extend(range(options["initial_epoch"], options["epochs"]))
        return fit(self, *args, **options)

    monkeypatch.setattr(keras.Model, "fit", counting_fit)
    resumed = run_lenet(development, tmp_path, protocol, cache)
    # Both epochs of fold 0 and the first of fold 1 were kept.
    assert len(trained) == 2 * 2 - 3
    untouched = finished[1][LENET]
    pd.testing.assert_frame_equal(
        history_table(resumed), history_table(untouched), check_exact=True
    )
    assert not_none(resumed.best).score == not_none(untouched.best).score
    np.testing.assert_array_equal(
        read_out_of_fold(resumed.folder, "0000"), read_out_of_fold(untouched.folder, "0000")
    )
    assert not list(resumed.folder.rglob("*.epoch.npz"))


@pytest.mark.slow
def test_an_end_to_end_model_resumes_with_its_statistics_and_optimiser(
    finished: Finished,
    development: Development,
    protocol: Protocol,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(EpochCheckpoint, "seconds_between", 0.0)
    monkeypatch.setattr(architectures, "build_backbone", backbone_stand_in)
    shared: dict[str, Any] = {"models": [END_TO_END], "protocol": protocol, "cache": cache}
    with pytest.raises(Killed):
        run_baselines(development, tmp_path, **shared, progress=Listener(dies_after=1))
    resumed = run_baselines(development, tmp_path, **shared)[END_TO_END]
    pd.testing.assert_frame_equal(
        history_table(resumed), history_table(finished[1][END_TO_END]), check_exact=True
    )


@pytest.mark.slow
def test_what_is_left_out_is_said_with_how_to_add_it(
    finished: Finished, development: Development, tmp_path: Path, protocol: Protocol, cache: Path
) -> None:
    folder, found, _ = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    progress = Listener()
    at_random = dataclasses.replace(protocol, weights="random")
    projects = run_baselines(
        development, tmp_path, protocol=at_random, cache=cache, progress=progress
    )
    assert {model: project.trials for model, project in projects.items()} == {
        model: found[model].trials for model in (LENET, END_TO_END)
    }
    first, second = progress.said
    assert first.startswith(f"{RADIMAGENET} is left out; to add it, request the files at https://")
    assert "RadImageNet-InceptionV3_notop.h5 as radimagenet_weights" in first
    assert second.startswith(f"{IMAGENET} is left out, since the protocol's weights are random")


@pytest.mark.slow
def test_a_model_that_fails_is_said_each_time_and_the_others_go_on(
    development: Development,
    tmp_path: Path,
    protocol: Protocol,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(*args: object, **kwargs: object) -> NoReturn:
        raise MemoryError("no room")

    monkeypatch.setattr(architectures, "build_backbone", backbone_stand_in)
    short = dataclasses.replace(protocol, baseline_epochs=1, baseline_folds=2)
    shared: dict[str, Any] = {"models": [END_TO_END, LENET], "protocol": short, "cache": cache}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rust_tuner.models.hypermodels.LeNet1998", too_large)
        run_baselines(development, tmp_path, **shared)
    progress = Listener()
    projects = run_baselines(development, tmp_path, **shared, progress=progress)
    assert projects[LENET].best is None
    assert projects[END_TO_END].best is not None
    assert progress.said == [
        f"lenet1998 failed (MemoryError: no room); delete {tmp_path / 'baselines' / LENET} to try "
        "it again"
    ]
    table = baseline_results(tmp_path).set_index("model")
    assert table["auroc"].isna().to_dict() == {
        "chance": False,
        "view_only": False,
        LENET: True,
        END_TO_END: False,
    }


# -------------------------------------------------------------------------------------- the table


@pytest.mark.slow
def test_the_table_has_chance_the_view_alone_and_each_model(
    finished: Finished, development: Development
) -> None:
    folder, projects, _ = finished
    table = baseline_results(folder)
    assert list(table) == [
        "model",
        "auroc",
        "auroc_std",
        "cortex_auroc",
        "cortex_auroc_std",
        "tied_with_best",
        "p_against_best",
        "epoch",
        "folds",
        "epochs",
        "seconds",
    ]
    assert list(table["model"]) == ["chance", "view_only", *BASELINES]
    rows = table.set_index("model")
    assert list(rows.loc["chance", ["auroc", "cortex_auroc"]]) == [0.5, 0.5]
    radiographs = development.radiographs
    known = [
        view_only_baseline(
            radiographs.labels[training],
            radiographs.labels[validation],
            radiographs.visible[validation],
        )
        for training, validation in make_folds(development, 2, 0)
    ]
    for name in ("auroc", "cortex_auroc"):
        expected = np.mean([getattr(one, name) for one in known])
        assert rows.loc["view_only", name] == pytest.approx(expected, rel=1e-12)
        for model, project in projects.items():
            history = history_table(project).query("split == 'validation'")
            curves = history[history["metric"] == name].pivot(
                index="epoch", columns="fold", values="value"
            )
            scored = history[history["metric"] == "auroc"].groupby("epoch")["value"].mean()
            at_best = curves.loc[scored.idxmax()]  # type: ignore[call-overload]
            row = rows.loc[model]
            assert row["epoch"] == scored.idxmax()
            assert row[name] == pytest.approx(at_best.mean(), rel=1e-12)
            assert row[f"{name}_std"] == pytest.approx(at_best.std(ddof=1), rel=1e-9)
            assert (row["folds"], row["epochs"]) == (2, 2)
            assert row["seconds"] > 0
    assert table.attrs["objective"] == "val_auroc"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folds", "targets"])
def test_models_of_other_folds_or_labels_are_not_compared(
    name: str, finished: Finished, tmp_path: Path
) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "baselines" / END_TO_END / "search.json"
    run = read_json(path)
    run["subject"][name] = "0" * 64
    write_json(path, run)
    expected = f"{END_TO_END} was trained on other {name} than .*{LENET} .SHA-256 000000000000 and"
    with pytest.raises(SearchError, match=expected):
        baseline_results(tmp_path)


@pytest.mark.slow
def test_the_table_needs_no_tensorflow(finished: Finished) -> None:
    code = (
        "import sys; from rust_tuner.records.baselines import *\n"
        f"table = baseline_results({str(finished[0])!r})\n"
        "print(len(table), {'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "6 set()\n", done.stderr
