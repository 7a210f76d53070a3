"""Nested cross-validation: nothing inside sees the outer patients, and each estimate is theirs."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fault_injection import Killed
from narrowing import as_json, not_none
from nested_runs import PROBABILITIES, assert_same, predictions_of
from sklearn.metrics import roc_auc_score
from stand_ins import without_inception
from studies import StudyFolder, first_patients

from rust_tuner import Protocol, Radiographs, load_manifest, make_folds, regime_1, split_holdout
from rust_tuner.data.outer_folds import OuterFold, outer_folds
from rust_tuner.data.splits import Development
from rust_tuner.errors import MetricError, ResumeError, SplitError
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES, LABELS
from rust_tuner.progress import Silent
from rust_tuner.records.nested import Nested, outer_folder, read_nested, read_outer
from rust_tuner.records.predictions import read_predictions
from rust_tuner.records.project import read_out_of_fold, read_project
from rust_tuner.records.rows import read_rows
from rust_tuner.steps.nested import nested_cross_validation


@pytest.fixture(scope="module")
def nested_protocol(tiny_protocol: Protocol) -> Protocol:
    return dataclasses.replace(tiny_protocol, num_folds=2)


@pytest.fixture(scope="module")
def outer(repeated_study: StudyFolder, nested_protocol: Protocol) -> tuple[OuterFold, ...]:
    """The outer folds of the nested study, cut again."""
    development = repeated_study.open().prepare()
    folds = make_folds(development, nested_protocol.outer_folds, nested_protocol.seed)
    return outer_folds(development, folds)


@pytest.fixture(scope="module")
def nested(repeated_study: StudyFolder) -> Nested:
    return read_nested(repeated_study.directory / "nested")


@pytest.mark.slow
def test_no_outer_validation_patient_is_in_any_inner_record(
    repeated_study: StudyFolder, outer: tuple[OuterFold, ...]
) -> None:
    everyone = set()
    for fold in outer:
        place = outer_folder(repeated_study.directory / "nested", fold.number)
        held = set(fold.validation.radiographs.written_patients)
        seen = set(fold.training.radiographs.written_patients)
        everyone |= held
        split = read_json(place / "split.json")
        assert set(split["holdout"]) == held
        assert set(split["development"]) == seen
        assert not held & seen
        (folds,) = split["folds"].values()
        assert set(folds["patients"]) == seen
        for regime in ("regime_1", "regime_2"):
            project = read_project(place / regime)
            assert len(project.trials) == 2
            rows = read_rows(project)
            assert set(rows["patient_id"]) == seen
            assert len(rows) == len(fold.training)
            for trial in project.trials:
                predictions = read_out_of_fold(place / regime, trial.trial)
                assert predictions.shape == (len(fold.training), len(LABELS))
                assert np.isfinite(predictions).all()
            # No other file names a patient or an image.
            for path in (place / regime).rglob("*.json"):
                text = path.read_text()
                assert not [name for name in held | seen if f'"{name}"' in text], path
                assert ".png" not in text
    assert everyone == set(read_json(repeated_study.directory / "split.json")["development"])


@pytest.mark.slow
def test_the_inner_searches_were_run_on_the_outer_training_rows(
    repeated_study: StudyFolder,
    outer: tuple[OuterFold, ...],
    nested_protocol: Protocol,
    tmp_path: Path,
) -> None:
    for fold in outer:
        place = outer_folder(repeated_study.directory / "nested", fold.number)
        folds = make_folds(fold.training, nested_protocol.num_folds, nested_protocol.seed)
        # A search on just these rows takes the folder up; on any others it would be refused.
        for shown in (fold.training, Development(fold.validation.radiographs)):
            copy = tmp_path / f"{fold.number} {shown is fold.training}"
            shutil.copytree(place / "regime_1", copy / "regime_1")
            shared: dict[str, Any] = {"protocol": nested_protocol, "cache": repeated_study.cache}
            if shown is fold.training:
                regime_1(shown, copy, folds=folds, **shared)
            else:
                with pytest.raises(ResumeError, match=r"subject\.inputs: was"):
                    regime_1(shown, copy, **shared)


class FirstOuterFold(Silent):
    """Kills the process as it begins with the second outer fold."""

    def task(self, name: str, total: int, *, done: int = 0) -> Any:
        if name.startswith("outer fold 2 of"):
            raise Killed
        return super().task(name, total, done=done)


@pytest.mark.slow
def test_what_is_true_of_the_outer_patients_changes_nothing_inside(
    repeated_study: StudyFolder, tiny_protocol: Protocol, tmp_path: Path
) -> None:
    protocol = dataclasses.replace(
        tiny_protocol, num_folds=2, trials=1, epochs=1, learning_rates=(1e-2,)
    )
    development = repeated_study.open().prepare()
    folds = make_folds(development, 2, 0)
    table = development.radiographs.table.copy()
    held = folds.assignment == 0
    for cortex in CORTICES:
        table.loc[held, cortex] = table.loc[held, cortex] % 4 + 1
    for name, shown in (("as it is", development), ("other", Development(Radiographs(table)))):
        with pytest.raises(Killed):
            nested_cross_validation(
                shown,
                tmp_path / name,
                protocol=protocol,
                folds=folds,
                cache=repeated_study.cache,
                progress=FirstOuterFold(),
            )
    one, other = (tmp_path / name / "nested" / "outer_00" for name in ("as it is", "other"))
    for regime in ("regime_1", "regime_2"):
        assert_same(one / regime, other / regime)
    assert predictions_of(one) == predictions_of(other)
    first, second = read_outer(one), read_outer(other)
    for name in ("hyperparameters", "epoch", "selection_score", "training", "trials"):
        assert getattr(first, name) == getattr(second, name)
    assert not_none(first).validation != not_none(second).validation
    assert not_none(first).estimate != not_none(second).estimate


@pytest.mark.slow
def test_no_search_takes_the_outer_validation_patients(
    outer: tuple[OuterFold, ...], tmp_path: Path
) -> None:
    with pytest.raises(SplitError, match="got OuterValidation, expected Development"):
        regime_1(outer[0].validation, tmp_path)  # type: ignore[arg-type]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_nothing_nests_the_hold_out_set(
    phantom_manifest: Path, tmp_path: Path, nested_protocol: Protocol
) -> None:
    _, holdout = split_holdout(load_manifest(phantom_manifest))
    with pytest.raises(SplitError, match="got HoldOut, expected Development"):
        nested_cross_validation(holdout, tmp_path, protocol=nested_protocol)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_configuration_is_the_best_that_the_inner_searches_found(
    repeated_study: StudyFolder, nested: Nested
) -> None:
    for record in nested.outer:
        place = outer_folder(repeated_study.directory / "nested", record.outer_fold)
        best = {regime: read_project(place / regime).best for regime in record.trials}
        assert record.trials == {regime: not_none(trial).trial for regime, trial in best.items()}
        tuned = best["regime_2"]
        assert record.hyperparameters == not_none(tuned).values
        assert record.epoch == not_none(tuned).epoch
        for name in ("batch_size", "dropout_rate"):
            assert not_none(tuned).values[name] == not_none(best["regime_1"]).values[name]
        assert record.selection_score == {
            "auroc": not_none(tuned).metrics["val_auroc"],
            "cortex_auroc": not_none(tuned).metrics["val_cortex_auroc"],
        }


@pytest.mark.slow
def test_every_estimate_is_that_of_the_folds_own_predictions(
    repeated_study: StudyFolder, nested: Nested, outer: tuple[OuterFold, ...]
) -> None:
    for record, fold in zip(nested.outer, outer, strict=True):
        place = outer_folder(repeated_study.directory / "nested", record.outer_fold)
        table = pd.read_csv(place / "predictions.csv", dtype={"patient_id": str})
        assert set(table["patient_id"]) == set(fold.validation.radiographs.written_patients)
        labels, visible = fold.validation.radiographs.labels, fold.validation.radiographs.visible
        answers = table[PROBABILITIES].to_numpy(np.float32)
        areas = [
            roc_auc_score(labels[:, index], answers[:, index])
            for index in range(len(LABELS))
            if 0 < labels[:, index].sum() < len(labels)
        ]
        assert record.estimate["auroc"] == pytest.approx(np.mean(areas), abs=1e-10)
        areas = []
        for index in range(16):
            rows = visible[:, index]
            truth = labels[rows, index + 2]
            if 0 < truth.sum() < len(truth):
                areas.append(roc_auc_score(truth, answers[rows, index + 2]))
        assert record.estimate["cortex_auroc"] == pytest.approx(np.mean(areas), abs=1e-10)
        assert record.view_only_baseline["cortex_auroc"] == 0.5


@pytest.mark.slow
def test_every_development_radiograph_is_predicted_once_by_a_model_without_its_patient(
    repeated_study: StudyFolder, outer: tuple[OuterFold, ...]
) -> None:
    folder = repeated_study.directory / "nested"
    table = read_predictions(folder / "predictions.csv")
    development = repeated_study.open().prepare().radiographs
    ours = table["image"].tolist()
    assert ours == development.written["image"].tolist()
    assert len(set(ours)) == len(development)
    for fold in outer:
        own = table[table["outer_fold"] == fold.number]
        assert set(own["patient_id"]) == set(fold.validation.radiographs.written_patients)
        alone = pd.read_csv(outer_folder(folder, fold.number) / "predictions.csv")
        np.testing.assert_array_equal(
            own[PROBABILITIES].to_numpy(np.float32), alone[PROBABILITIES].to_numpy(np.float32)
        )


@pytest.mark.slow
def test_the_summary_is_that_of_the_outer_folds(nested: Nested) -> None:
    for figure in ("auroc", "cortex_auroc"):
        estimates = [record.estimate[figure] for record in nested.outer]
        scores = [record.selection_score[figure] for record in nested.outer]
        found = nested.summary
        assert as_json(found)["estimate"][figure]["mean"] == pytest.approx(np.mean(estimates))
        assert as_json(found)["gap"][figure]["mean"] == pytest.approx(
            np.mean(scores) - np.mean(estimates)
        )
        inner = [record.inner_estimate[figure] for record in nested.outer]
        assert as_json(found)["optimism"][figure]["mean"] == pytest.approx(
            np.mean(scores) - np.mean(inner)
        )
    assert (as_json(nested.summary)["outer_folds"], as_json(nested.summary)["patients"]) == (2, 10)


@pytest.mark.slow
def test_a_fold_with_nothing_to_score_is_found_before_anything_is_trained(
    repeated_study: StudyFolder, tiny_protocol: Protocol, tmp_path: Path
) -> None:
    with pytest.raises(MetricError, match=r"outer fold \d, inner fold \d: AUROC is undefined"):
        nested_cross_validation(
            repeated_study.open().prepare(),
            tmp_path,
            protocol=tiny_protocol,
            cache=repeated_study.cache,
        )
    # Nothing is recorded, so that fewer folds can be asked for.
    assert not [path for path in tmp_path.rglob("*.json") if ".lock" not in path.name]


@pytest.fixture(scope="module")
def noise_labels(many_phantoms: Path) -> Development:
    """Phantoms whose scores are dealt anew among the radiographs of a view."""
    table = first_patients(load_manifest(many_phantoms), 100).table.copy()
    rng = np.random.default_rng(0)
    scores = list(CORTICES)
    for view in ("ap", "lateral"):
        rows = np.flatnonzero(table["view"] == view)
        table.loc[table.index[rows], scores] = table[scores].to_numpy()[rng.permutation(rows)]
    return split_holdout(Radiographs(table))[0]


@pytest.mark.slow
def test_on_labels_of_pure_noise_the_search_promises_more_than_comes_of_it(
    noise_labels: Development,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Any features will do.
    without_inception(monkeypatch)
    protocol = Protocol.study(
        objective="val_cortex_auroc",
        weights="random",
        image_size=75,
        flips="none",
        num_folds=3,
        outer_folds=2,
        # Heads that are hardly trained differ most, so that there is most to choose from.
        epochs=1,
        trials=15,
        batch_size_range=(16, 256),
        learning_rates=(1e-3, 1e-4),
        epsilons=(1e-7,),
    )
    found = nested_cross_validation(
        noise_labels, tmp_path, protocol=protocol, cache=tmp_path / "cache"
    )
    score, inner, optimism, estimate, gap = (
        as_json(found)[name]["cortex_auroc"]["mean"]
        for name in ("selection_score", "inner_estimate", "optimism", "estimate", "gap")
    )
    pooled = as_json(found)["pooled"]["cortex_auroc"]
    with capsys.disabled():
        print(f"\nselection score {score:.3f}, of the same models outside {inner:.3f}, ", end="")
        print(f"estimate {estimate:.3f}, pooled {pooled}")
    # Not against 0.5: what is held out has the fewer positives the more there were to train on, so
    # that cross-validation of noise lies a little below it.
    assert optimism > 0.01
    assert gap > 0
    # About 110 radiographs an outer fold, of which a label's cortex is visible in half.
    assert inner == pytest.approx(0.5, abs=0.05)
    assert estimate == pytest.approx(0.5, abs=0.07)
    assert pooled["value"] == pytest.approx(0.5, abs=0.05)
