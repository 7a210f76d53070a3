"""What was learned: a reader with skill passes, one that knows only the view does not."""

import json

import numpy as np
import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search

from rust_tuner.data.splits import Development, make_folds
from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import Predictions, macro_auroc
from rust_tuner.records.project import read_project
from rust_tuner.records.rows import ROWS_FILE, out_of_fold_predictions
from rust_tuner.steps.checks.models import (
    ShuffledRun,
    check_predictors,
    judge_shuffled,
    judge_view_only,
)
from rust_tuner.steps.checks.shuffling import shuffled_between_patients


@pytest.fixture(scope="module")
def radiographs():
    return phantom_rows()


@pytest.fixture(scope="module")
def searches(tmp_path_factory, radiographs):
    """A search with skill, one that only knows the view, one that guesses everything."""
    place = tmp_path_factory.mktemp("searches")
    noise = skilled(radiographs, skill=0.0)
    return {
        "skilled": write_judged_search(place / "skilled", radiographs, skilled(radiographs)),
        "view": write_judged_search(place / "view", radiographs, of_the_view(radiographs)),
        "guess": write_judged_search(place / "guess", radiographs, noise),
    }


def only(searches, *names):
    return {name: searches[name] for name in names}


def test_a_search_with_skill_passes_with_its_figures(searches):
    verdict = check_predictors(only(searches, "skilled"))
    assert verdict.status == "passed"
    assert verdict.findings == ()
    best = searches["skilled"].best
    for metric in ("auroc", "cortex_auroc"):
        value = verdict.figures[f"skilled_{metric}"]
        assert value == pytest.approx(best.metrics[f"val_{metric}"], abs=1e-9)
        low, high = (verdict.figures[f"skilled_{metric}_{end}"] for end in ("low", "high"))
        assert low < value < high
        assert low > verdict.figures[f"skilled_{metric}_view_only"]


def test_a_search_that_knows_only_the_view_is_warned_of_in_both_figures(searches):
    verdict = check_predictors(only(searches, "skilled", "view"))
    assert verdict.status == "warning"
    whole, cortices = verdict.findings
    assert whole.startswith("view, trial 0000: AUROC, 18 labels")
    assert "the view-only baseline" in whole
    assert "chance (0.500)" not in whole
    assert cortices.startswith("view, trial 0000: AUROC, visible cortices")
    assert "contains chance" in cortices
    assert verdict.mend


def test_a_search_that_guesses_lies_below_the_view_and_contains_chance(searches):
    whole, _ = check_predictors(only(searches, "guess")).findings
    assert "lies below the view-only baseline" in whole
    assert "contains chance (0.500)" in whole


def test_a_record_that_its_predictions_do_not_give_fails(tmp_path, radiographs):
    write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    path = tmp_path / "search" / "trial_0000" / "trial.json"
    state = json.loads(path.read_text())
    state["metrics"]["metrics"]["val_auroc"]["observations"][0]["value"] = [0.99]
    path.write_text(json.dumps(state))
    verdict = check_predictors({"search": read_project(tmp_path / "search")})
    assert verdict.status == "failed"
    assert "but 0.990 in its record" in verdict.findings[0]


def test_predictions_whose_rows_are_gone_cannot_be_judged(tmp_path, radiographs):
    project = write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    (tmp_path / "search" / ROWS_FILE).unlink()
    verdict = check_predictors({"search": project})
    assert verdict.status == "not_run"
    assert "run the search again" in verdict.findings[0]


def test_without_a_completed_trial_it_says_what_to_run():
    verdict = check_predictors({})
    assert verdict.status == "not_run"
    assert "rust-tuner regime1 STUDY" in verdict.mend


def run_of(shuffled, answers, folds):
    radiographs = shuffled.radiographs
    predictions = Predictions(
        labels=radiographs.labels,
        visible=radiographs.visible,
        probabilities=answers,
        patient_ids=radiographs.patient_ids,
        visits=radiographs.table["visit"].to_numpy(dtype=object),
        folds=folds,
    )
    return ShuffledRun(predictions, 0.8)


def shuffled_runs(radiographs, reader, permutations=3, seed=0):
    """Permutations of the labels, each read by `reader(shuffled, original, rng)`."""
    folds = make_folds(radiographs, 3, 0).assignment
    runs = []
    for number in range(permutations):
        rng = np.random.default_rng([seed, number])
        shuffled = shuffled_between_patients(Development(radiographs), rng)
        runs.append(run_of(shuffled, reader(shuffled.radiographs, rng), folds))
    return runs


def guesses(shuffled, rng):
    """A reader of the images alone: alike within a patient, and it knows the view."""
    patients, owner = np.unique(shuffled.patient_ids.astype(str), return_inverse=True)
    answers = rng.random((len(patients), 18))[owner] + 0.3 * rng.random((len(owner), 18))
    answers[:, :NUM_VIEWS] = shuffled.labels[:, :NUM_VIEWS]
    return (answers / 1.4).astype(np.float32)


def remembers_patients(shuffled, rng):
    """A reader that has met each patient's other radiographs with their labels."""
    owners = shuffled.patient_ids
    labels = shuffled.labels
    answers = guesses(shuffled, rng)
    for row, owner in enumerate(owners):
        others = np.flatnonzero((owners == owner) & (labels[:, 0] == labels[row, 0]))
        others = others[others != row]
        if len(others):
            answers[row] = 0.3 * answers[row] + 0.7 * labels[others].mean(axis=0)
    return answers


def test_nothing_is_learned_from_shuffled_labels_by_images_alone(radiographs):
    verdict = judge_shuffled(shuffled_runs(radiographs, guesses), seed=0)
    assert verdict.status == "passed"
    figures = verdict.figures
    assert figures["cortex_auroc_low"] <= 0.5 <= figures["cortex_auroc_high"]
    assert figures["permutations"] == 3
    assert figures["auroc_view_only"] == pytest.approx(0.8)


def test_a_reader_that_meets_patients_on_both_sides_fails_on_shuffled_labels():
    # Most have one visit; those with several are who a leak is seen by.
    radiographs = phantom_rows(patients=300)
    verdict = judge_shuffled(shuffled_runs(radiographs, remembers_patients), seed=0)
    assert verdict.status == "failed"
    assert verdict.figures["cortex_auroc_low"] > 0.5
    assert "Labels that no image can tell were learned" in verdict.reason
    assert verdict.mend


def test_the_figure_is_the_mean_over_folds_and_permutations(radiographs):
    runs = shuffled_runs(radiographs, guesses)
    expected = np.mean(
        [
            macro_auroc(part.labels[:, NUM_VIEWS:], part.probabilities[:, NUM_VIEWS:], part.visible)
            for run in runs
            for part in (run.predictions.subset(run.predictions.folds == f) for f in range(3))
        ]
    )
    found = judge_shuffled(runs, seed=0).figures["cortex_auroc"]
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_a_reader_of_images_alone_fails_by_chance_as_rarely_as_an_interval_says(radiographs):
    failed = [
        judge_shuffled(shuffled_runs(radiographs, guesses, seed=seed), seed=seed).status == "failed"
        for seed in range(200)
    ]
    # 2.5 % are expected; of 200, 11 or more come by chance once in 90.
    assert sum(failed) <= 11


def test_a_model_with_skill_is_above_the_head_that_saw_the_view_alone(searches):
    model, view = (out_of_fold_predictions(searches[name]) for name in ("skilled", "view"))
    verdict = judge_view_only(model, view, seed=0)
    assert verdict.status == "passed"
    assert verdict.figures["cortex_auroc_view_only"] == pytest.approx(0.5, abs=0.1)
    assert verdict.figures["auroc_gain_low"] > 0
    gain = (
        searches["skilled"].best.metrics["val_auroc"] - searches["view"].best.metrics["val_auroc"]
    )
    assert verdict.figures["auroc_gain"] == pytest.approx(gain, abs=1e-9)


def test_a_model_that_is_no_better_than_the_view_alone_is_warned_of(
    radiographs, searches, tmp_path
):
    other = write_judged_search(tmp_path / "other", radiographs, of_the_view(radiographs, seed=9))
    model, view = (out_of_fold_predictions(item) for item in (other, searches["view"]))
    verdict = judge_view_only(model, view, seed=0)
    assert verdict.status == "warning"
    assert "AUROC, 18 labels and AUROC, visible cortices" in verdict.mend
