"""Models that were trained on shuffled labels: a leak fails, and a clean study passes."""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from judged_searches import phantom_rows
from narrowing import not_none

from rust_tuner.data.folds import make_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development
from rust_tuner.labels import NUM_VIEWS
from rust_tuner.metrics import Predictions, macro_auroc
from rust_tuner.steps.checks.shuffled_labels import BLIND_SPOTS, judge_shuffled
from rust_tuner.steps.checks.shuffling import shuffled_between_patients


@pytest.fixture(scope="module")
def radiographs() -> Radiographs:
    return phantom_rows()


def run_of(
    shuffled: Development, answers: npt.NDArray[np.float32], folds: npt.NDArray[np.int64]
) -> Predictions:
    radiographs = shuffled.radiographs
    return Predictions(
        labels=radiographs.labels,
        visible=radiographs.visible,
        probabilities=answers,
        patient_ids=radiographs.patient_ids,
        visits=radiographs.table["visit"].to_numpy(dtype=object),
        folds=folds,
    )


def shuffled_runs(
    radiographs: Radiographs,
    reader: Callable[[Radiographs, np.random.Generator], npt.NDArray[np.float32]],
    permutations: int = 5,
    seed: int = 0,
) -> list[Predictions]:
    """Permutations of the labels, each read by `reader(shuffled, original, rng)`."""
    folds = make_folds(radiographs, 3, 0).assignment
    runs = []
    for number in range(permutations):
        rng = np.random.default_rng([seed, number])
        shuffled = shuffled_between_patients(Development(radiographs), rng)
        runs.append(run_of(shuffled, reader(shuffled.radiographs, rng), folds))
    return runs


def guesses(shuffled: Radiographs, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A reader of the images alone: alike within a patient, and it knows the view."""
    patients, owner = np.unique(shuffled.patient_ids.astype(str), return_inverse=True)
    answers = rng.random((len(patients), 18))[owner] + 0.3 * rng.random((len(owner), 18))
    answers[:, :NUM_VIEWS] = shuffled.labels[:, :NUM_VIEWS]
    return (answers / 1.4).astype(np.float32)


def remembers_patients(shuffled: Radiographs, rng: np.random.Generator) -> npt.NDArray[np.float32]:
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


def test_nothing_is_learned_from_shuffled_labels_by_images_alone(radiographs: Radiographs) -> None:
    verdict = judge_shuffled(shuffled_runs(radiographs, guesses))
    assert verdict.status == "passed"
    figures = verdict.figures
    assert not_none(figures["cortex_auroc_low"]) <= 0.5 <= not_none(figures["cortex_auroc_high"])
    assert figures["permutations"] == 5
    assert figures["cortex_auroc_expected"] == 0.5
    assert BLIND_SPOTS in verdict.reason
    assert f"by less than {not_none(figures['cortex_auroc_high']) - 0.5:.3f}" in verdict.reason


def test_a_reader_that_meets_patients_on_both_sides_fails_on_shuffled_labels() -> None:
    # Most have one visit; those with several are who a leak is seen by.
    radiographs = phantom_rows(patients=300)
    verdict = judge_shuffled(shuffled_runs(radiographs, remembers_patients))
    assert verdict.status == "failed"
    assert not_none(verdict.figures["cortex_auroc_low"]) > 0.5
    assert "Models learned from shuffled labels" in verdict.reason
    assert "A clean study fails this check" in verdict.mend
    assert BLIND_SPOTS in verdict.reason


def test_the_figure_is_the_mean_over_folds_and_permutations(radiographs: Radiographs) -> None:
    runs = shuffled_runs(radiographs, guesses)
    expected = np.mean(
        [
            macro_auroc(part.labels[:, NUM_VIEWS:], part.probabilities[:, NUM_VIEWS:], part.visible)
            for run in runs
            for part in (run.subset(np.asarray(run.folds == f)) for f in range(3))
        ]
    )
    found = judge_shuffled(runs).figures["cortex_auroc"]
    assert found == pytest.approx(expected, abs=1e-12)


def with_figures(radiographs: Radiographs, lifts: list[float]) -> list[Predictions]:
    """Permutations whose labels are told apart to a degree that differs between them."""
    folds = make_folds(radiographs, 3, 0).assignment
    runs = []
    for number, lift in enumerate(lifts):
        rng = np.random.default_rng(number)
        shuffled = shuffled_between_patients(Development(radiographs), rng).radiographs
        answers = (rng.random((len(shuffled), 18)) + lift * shuffled.labels) / (1 + lift)
        runs.append(run_of(Development(shuffled), answers.astype(np.float32), folds))
    return runs


def test_permutations_that_disagree_widen_the_interval(radiographs: Radiographs) -> None:
    alike, apart = (
        judge_shuffled(with_figures(radiographs, lifts)).figures
        for lifts in ([0.2] * 4, [0.0, 0.4, 0.0, 0.4])
    )
    widths = [
        not_none(f["cortex_auroc_high"]) - not_none(f["cortex_auroc_low"]) for f in (alike, apart)
    ]
    assert widths[1] > 2 * widths[0]


def test_permutations_that_rule_out_no_leak_at_all_carry_no_verdict(
    radiographs: Radiographs,
) -> None:
    verdict = judge_shuffled(with_figures(radiographs, [0.0, 0.6]))
    assert verdict.status == "not_run"
    assert verdict.figures["cortex_auroc_low"] == 0.0
    assert verdict.figures["cortex_auroc_high"] == 1.0
    assert "95 % interval 0.000 to 1.000" in verdict.reason
    assert verdict.mend == "Request more: --permutations 10."


def test_one_permutation_carries_no_verdict(radiographs: Radiographs) -> None:
    verdict = judge_shuffled(shuffled_runs(radiographs, guesses, permutations=1))
    assert verdict.status == "not_run"
    assert "1 permutation has no spread" in verdict.reason
    assert "--permutations 10" in verdict.mend


def test_permutations_that_agree_by_luck_do_not_fail() -> None:
    """One fold of two patients counts: each permutation is right or wrong, with equal chance."""
    labels = np.zeros((4, 18), np.float32)
    labels[:, 0] = 1
    labels[0, 2] = labels[1:, 3] = 1
    visible = np.zeros((4, 16), bool)
    visible[:, :4] = True
    lucky = Predictions(
        labels=labels,
        visible=visible,
        probabilities=0.5 * labels,
        patient_ids=np.array(["a", "b", "c", "d"], dtype=object),
        visits=np.array(["1"] * 4, dtype=object),
        folds=np.array([0, 0, 1, 1]),
    )
    for permutations in (2, 3, 4):
        verdict = judge_shuffled([lucky] * permutations)
        assert verdict.status == "not_run", permutations
        assert verdict.figures["cortex_auroc"] == 1.0


def test_what_the_view_tells_of_a_cortex_seen_in_both_is_no_leak(radiographs: Radiographs) -> None:
    """Shuffling keeps the view, so of a cortex with other scores in each the view tells some."""
    table = radiographs.table.copy()
    is_ap = (table["view"] == "ap").to_numpy()
    rng = np.random.default_rng(0)
    for cortex in ("medial", "lateral", "anterior", "posterior"):
        table[cortex] = np.where(
            is_ap, rng.integers(2, 5, len(table)), rng.integers(1, 4, len(table))
        )
    both = type(radiographs)(table)

    def of_the_view(shuffled: Radiographs, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        answers = guesses(shuffled, rng) * 0.01
        answers[:, NUM_VIEWS:] += 0.5 * shuffled.labels[:, :1] * np.tile([-1, 0, 0, 1], 4) + 0.49
        return answers

    verdict = judge_shuffled(shuffled_runs(both, of_the_view, permutations=10))
    assert not_none(verdict.figures["cortex_auroc"]) > 0.6
    assert not_none(verdict.figures["cortex_auroc_expected"]) > 0.6
    assert verdict.status == "passed"


def test_permutations_without_a_defined_label_carry_no_verdict(radiographs: Radiographs) -> None:
    (run, *_) = shuffled_runs(radiographs, guesses)
    blank = dataclasses.replace(run, visible=np.zeros_like(run.visible))
    assert judge_shuffled([blank] * 3).status == "not_run"
