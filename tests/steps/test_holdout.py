"""The look at the hold-out set: taken once, noted before it happens, and complete on disk."""

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from hold_out_sets import PROBABILITIES, sides_of
from narrowing import as_json, not_none
from rich.console import Console
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from studies import StudyFolder

from rust_tuner import HoldOut, Study, load_manifest, split_holdout
from rust_tuner.analysis.assessment import as_predictions, figures_table, overall_figures
from rust_tuner.analysis.study_figures import development_cutoff
from rust_tuner.errors import ProtocolError, ResumeError, SearchError
from rust_tuner.files import read_json, sha256_of_file, write_json
from rust_tuner.labels import LABELS, NUM_VIEWS
from rust_tuner.records.holdout import Holdout, read_holdout
from rust_tuner.records.looks import HOLDOUT_FILE, MODEL_FILE, PREDICTIONS_FILE
from rust_tuner.records.model_card import read_card
from rust_tuner.records.project import read_project
from rust_tuner.steps.holdout import FIGURES_FILE, evaluate_holdout, holdout_figures
from rust_tuner.terminal.holdout import holdout_table


@pytest.fixture(scope="module")
def final_study(evaluated_study: StudyFolder) -> tuple[Study, Holdout | None]:
    study = evaluated_study.open()
    return study, read_holdout(study.directory)


def test_the_hold_out_set_is_looked_at_once_and_shown_again(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    final = study.directory / "final"
    before = {path: path.read_bytes() for path in final.rglob("*") if path.is_file()}
    assert (
        Study(study.directory, cache=study.cache).final() == found == read_holdout(study.directory)
    )
    assert {path: path.read_bytes() for path in final.rglob("*") if path.is_file()} == before
    assert found["date"]


def test_the_figures_are_those_of_the_predictions(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    table = pd.read_csv(study.directory / "final" / PREDICTIONS_FILE)
    _, holdout = sides_of(study)
    labels, answers = holdout.radiographs.labels, table[PROBABILITIES].to_numpy()
    assert len(table) == as_json(found)["radiographs"] == len(holdout)
    precisions: list[Any]
    recalls: list[Any]
    areas, precisions, recalls = [], [], []
    for index, row in enumerate(as_json(found)["labels"]):
        truth, score = labels[:, index], answers[:, index]
        assert row["label"] == LABELS[index]
        assert row["positives"] == truth.sum()
        defined = 0 < truth.sum() < len(truth)
        assert (row["auroc"] is not None) == defined
        if defined:
            areas.append(roc_auc_score(truth, score))
            assert row["auroc"] == pytest.approx(areas[-1], abs=1e-10)
        precision = precision_score(truth, score >= 0.5, zero_division=np.nan)
        recall = recall_score(truth, score >= 0.5, zero_division=np.nan)
        for name, value, kept in (
            ("precision", precision, precisions),
            ("recall", recall, recalls),
        ):
            assert (row[name] is None) == bool(np.isnan(value))
            if row[name] is not None:
                assert row[name] == pytest.approx(value, abs=1e-12)
                kept.append(value)
    assert as_json(found)["metrics"]["auroc"] == pytest.approx(np.mean(areas), abs=1e-10)
    assert as_json(found)["metrics"]["precision"] == pytest.approx(np.mean(precisions), abs=1e-12)
    assert as_json(found)["metrics"]["recall"] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_what_a_small_hold_out_set_cannot_tell_is_none(phantom_manifest: Path) -> None:
    development, holdout = split_holdout(load_manifest(phantom_manifest))
    one = HoldOut(holdout.radiographs.subset([0]))
    table = one.radiographs.table.assign(**dict.fromkeys(PROBABILITIES, 0.5))
    metrics, alone, labels = holdout_figures(development, one, figures_table(as_predictions(table)))
    assert metrics.auroc is metrics.cortex_auroc is None
    assert alone.auroc is alone.cortex_auroc is None
    shown = io.StringIO()
    counts: dict[str, Any] = {
        "format": 1,
        "date": "2026-11-26",
        "radiographs": 1,
        "patients": 1,
        "epoch": 0,
    }
    record = Holdout(
        **counts, threshold=0.5, metrics=metrics, view_only_baseline=alone, labels=labels
    )
    Console(file=shown, width=80).print(holdout_table(record))
    assert shown.getvalue().count("undefined") >= 4


def test_every_figure_is_written_with_its_interval(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    table = pd.read_csv(
        study.directory / "final" / PREDICTIONS_FILE, dtype={"patient_id": str, "visit": str}
    )
    written = pd.read_csv(study.directory / "final" / FIGURES_FILE)
    cutoff = as_json(found)["union_cutoff"]["value"]
    expected = figures_table(as_predictions(table), union_threshold=13, union_cutoff=cutoff)
    assert list(written["figure"]) == list(expected["figure"])
    np.testing.assert_allclose(written["value"], expected["value"], atol=1e-12)
    np.testing.assert_allclose(written["low"], expected["low"], atol=1e-12)
    assert as_json(found)["union_threshold"] == 13
    recorded = {
        (as_json(row)["figure"], row["of"], row["average"]): row
        for row in as_json(found)["figures"]
    }
    assert len(recorded) == len(overall_figures(written))
    macro = recorded["auroc", "labels", "macro"]
    assert as_json(macro)["value"] == pytest.approx(as_json(found)["metrics"]["auroc"], abs=1e-12)
    # Two patients have no interval, and the record says so.
    assert as_json(found)["patients"] == 2
    assert as_json(macro)["low"] is None
    assert as_json(macro)["reason"] == "2 patients with a label; an interval needs at least 5"
    assert as_json(macro)["total"] == 18
    names = ("accuracy", "balanced_accuracy", "macro_f1", "kappa")
    assert tuple(as_json(found)["metrics"])[:5] == (*names, "auroc")
    assert (
        tuple(dict.fromkeys(as_json(row)["figure"] for row in as_json(found)["figures"]))[:4]
        == names
    )
    for name in names:
        value = recorded[name, "cortices", "macro"]["value"]
        assert as_json(found)["metrics"][name] == value
    cortices = recorded["auroc", "cortices", "macro"]
    assert as_json(cortices)["value"] == pytest.approx(
        as_json(found)["metrics"]["cortex_auroc"], abs=1e-12
    )


def test_the_cut_off_of_union_is_that_of_the_development_set_and_stands_in_both_records(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    project = read_project(study.directory / "final" / "cross_validation")
    expected = development_cutoff(project, threshold=study.protocol.union_threshold)
    assert as_json(found)["union_cutoff"] == expected.to_json()
    assert as_json(found)["union_cutoff"]["how"]
    card = read_card(study.directory / "final" / MODEL_FILE)
    assert card["union"] == as_json(found)["union_cutoff"]


def test_a_kill_before_the_result_is_written_changes_nothing(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, found = final_study
    root = tmp_path / "killed"
    shutil.copytree(study.directory.parent, root)
    folder = root / study.directory.name
    predictions = (folder / "final" / PREDICTIONS_FILE).read_text()
    (folder / "final" / HOLDOUT_FILE).unlink()
    (folder / "final" / PREDICTIONS_FILE).unlink()
    change_look(folder, state="begun", holdout_sha256=None, metrics={})
    again = Study(folder, cache=study.cache).final()
    # The same look goes on, so that even its date is the same.
    # Where the images lie stands in the predictions, and so is in the hash of their file.
    assert again.predictions_sha256 == sha256_of_file(folder / "final" / PREDICTIONS_FILE)
    assert again.with_changes(predictions_sha256=not_none(found).predictions_sha256) == found
    (ours,), (first,) = Study(folder).looks, study.looks
    assert dataclasses.replace(ours, holdout_sha256=None) == dataclasses.replace(
        first, holdout_sha256=None
    )
    # Image paths have moved with the study.
    columns = [*PROBABILITIES, "patient_id", "view"]
    fresh = pd.read_csv(folder / "final" / PREDICTIONS_FILE)[columns]
    (tmp_path / "before.csv").write_text(predictions)
    pd.testing.assert_frame_equal(fresh, pd.read_csv(tmp_path / "before.csv")[columns])


def change_look(folder: Path, **changes: Any) -> None:
    path = folder / "study.json"
    written = read_json(path)
    written["looks"][-1] |= changes
    write_json(path, written)


@pytest.fixture
def final_copy(final_study: tuple[Study, Holdout | None], tmp_path: Path) -> Study:
    study, _ = final_study
    shutil.copytree(study.directory.parent, tmp_path / "copy")
    return Study(tmp_path / "copy" / study.directory.name, cache=study.cache)


def test_the_look_is_complete_in_the_record_of_the_study(
    final_study: tuple[Study, Holdout | None],
) -> None:
    study, found = final_study
    (look,) = study.looks
    assert (look.date, look.state, look.reason) == (as_json(found)["date"], "finished", None)
    assert look.model_sha256 == as_json(found)["model_sha256"]
    assert look.holdout_sha256 == sha256_of_file(study.directory / "final" / HOLDOUT_FILE)
    assert look.metrics == {
        name: as_json(found)["metrics"][name] for name in ("auroc", "cortex_auroc")
    }


@pytest.mark.parametrize("lost", ["holdout.json", "everything", "changed", "broken"])
def test_what_was_found_may_be_lost_but_not_looked_for_again(
    final_copy: Study, final_study: tuple[Study, Holdout | None], lost: str
) -> None:
    path = final_copy.directory / "final" / HOLDOUT_FILE
    if lost == "everything":
        shutil.rmtree(path.parent)
    elif lost == "holdout.json":
        path.unlink()
    else:
        path.write_text('{"form' if lost == "broken" else path.read_text() + " ")
    before = (final_copy.directory / "study.json").read_bytes()
    (look,) = final_copy.looks
    with pytest.raises(ResumeError) as caught:
        final_copy.final()
    message = str(caught.value)
    assert (
        f"looked at on {look.date} with the model {not_none(look.model_sha256)[:12]} (AUROC 0."
        in message
    )
    assert "--look-again" in message
    assert "remove" not in message
    assert (final_copy.directory / "study.json").read_bytes() == before


def test_another_look_with_a_reason_is_counted_and_the_same_command_shows_it(
    final_copy: Study,
) -> None:
    (final_copy.directory / "final" / HOLDOUT_FILE).unlink()
    found = final_copy.final(look_again="  the disk\nlost the file ")
    first, second = final_copy.looks
    assert second.reason == "the disk lost the file"
    assert second.metrics == first.metrics
    assert [as_json(look)["reason"] for look in as_json(found)["looks"]] == [
        None,
        "the disk lost the file",
    ]
    assert final_copy.final() == found
    assert final_copy.final(look_again="the disk lost the file") == found
    assert len(final_copy.looks) == 2


def test_the_look_is_noted_before_the_first_sealed_image_is_decoded(
    final_copy: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Any] = []

    def die(*arguments: object, **options: object) -> NoReturn:
        noted.extend(Study(final_copy.directory).looks)
        raise KeyboardInterrupt

    monkeypatch.setattr("rust_tuner.steps.holdout.decode_images", die)
    with pytest.raises(KeyboardInterrupt):
        final_copy.final(look_again="another")
    assert [look.state for look in noted] == ["finished", "begun"]
    # Another model may not finish what this one began.
    model = final_copy.directory / "final" / MODEL_FILE
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(ResumeError, match=r"not finished, and .*model\.keras was replaced"):
        final_copy.final()


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501, 3])
def test_a_reason_is_a_text_that_says_something(final_copy: Study, reason: Any) -> None:
    with pytest.raises(ProtocolError, match="expected the reason for another look"):
        final_copy.final(look_again=reason)
    assert len(final_copy.looks) == 1


def test_the_record_of_an_older_version_counts_as_the_first_look(final_copy: Study) -> None:
    path = final_copy.directory / "study.json"
    written = read_json(path)
    (look,) = final_copy.looks
    del written["looks"]
    write_json(path, written)
    assert final_copy.looks == (look,)
    # The next step that prepares writes it down, so that deleting the files does not undo it.
    final_copy.prepare()
    shutil.rmtree(final_copy.directory / "final")
    with pytest.raises(ResumeError, match="--look-again"):
        final_copy.final()


def test_a_reason_before_the_first_look_is_refused_before_any_work(
    finished_copy: StudyFolder,
) -> None:
    with pytest.raises(ProtocolError, match="has not been looked at yet, so leave out"):
        finished_copy.open().final(look_again="again")


def test_the_development_set_is_not_taken_for_the_hold_out_set(
    final_study: tuple[Study, Holdout | None], tmp_path: Path
) -> None:
    study, _ = final_study
    development, _ = sides_of(study)
    with pytest.raises(SearchError, match="got Development, expected HoldOut"):
        evaluate_holdout(tmp_path, development, development, epoch=0)  # type: ignore[arg-type]


def test_the_result_is_strict_json(final_study: tuple[Study, Holdout | None]) -> None:
    study, found = final_study
    text = (study.directory / "final" / HOLDOUT_FILE).read_text()
    assert (
        json.loads(text, parse_constant=lambda name: pytest.fail(name)) == not_none(found).to_json()
    )
    assert len(as_json(found)["labels"]) == len(LABELS) == NUM_VIEWS + 16
