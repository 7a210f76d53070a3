"""The gain over a baseline: its figures are those of `macro_auroc`, its interval is paired."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import gain_over, macro_auroc, view_only_of_folds, view_only_scores


def problem(
    seed: int = 0, patients: int = 30, rows: int = 3, labels: int = 4, skill: float = 1.5
) -> tuple[
    npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]
]:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), rows)
    truth = (rng.random((patients, labels)) < 0.4)[owner]
    baseline = truth + 1.5 * rng.normal(size=truth.shape)
    score = baseline + skill * truth + 0.3 * rng.normal(size=truth.shape)
    return truth, score, baseline, owner


def test_model_baseline_and_gain_are_the_macro_aurocs() -> None:
    truth, score, baseline, owner = problem()
    found = gain_over(truth, score, baseline, owner)
    assert found.model == pytest.approx(macro_auroc(truth, score))
    assert found.baseline == found.reference == pytest.approx(macro_auroc(truth, baseline))
    assert found.gain.value == pytest.approx(found.model - found.baseline)
    assert 0 < found.gain.low < found.gain.value < found.gain.high
    assert found.num_patients == 30


@pytest.mark.parametrize("patients", [2, 3, 4])
def test_a_few_patients_are_too_few_for_an_interval(patients: int) -> None:
    """A few patients agree by luck: two of them in one of eight data sets without any skill."""
    truth, score, baseline, owner = problem(patients=patients)
    found = gain_over(truth, score, baseline, owner).gain
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.reason == (
        f"{patients} patients with a label that counts; an interval needs at least 5"
    )


@pytest.mark.parametrize("patients", [5, 30])
def test_patients_who_all_have_the_same_course_give_no_interval(patients: int) -> None:
    owner = np.repeat(np.arange(patients), 2)
    truth = np.tile([[False], [True]], (patients, 1))
    found = gain_over(truth, truth.astype(float), np.zeros_like(truth), owner).gain
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert found.reason == "no patient changes it"


def test_a_baseline_below_chance_is_replaced_by_chance() -> None:
    truth, score, baseline, owner = problem(skill=0.0)
    found = gain_over(truth, score, -baseline, owner)
    assert found.baseline < 0.5
    assert found.reference == 0.5
    assert found.gain.value == pytest.approx(found.model - 0.5)


def test_the_interval_is_paired() -> None:
    """What model and baseline share does not widen it."""
    truth, score, baseline, owner = problem(skill=0.05)
    with_it = gain_over(truth, score, baseline, owner).gain
    apart = gain_over(truth, score, np.zeros_like(baseline), owner).gain
    assert with_it.high - with_it.low < 0.6 * (apart.high - apart.low)


def test_the_variance_is_the_jackknifes_where_that_is_larger() -> None:
    truth, score, baseline, owner = problem()
    names = np.unique(owner)
    left_out = [
        macro_auroc(truth[rows], score[rows]) - macro_auroc(truth[rows], baseline[rows])
        for rows in (owner != name for name in names)
    ]
    error = math.sqrt((len(names) - 1) * np.var(left_out))
    found = gain_over(truth, score, baseline, owner).gain
    # Student's t with 29 degrees of freedom.
    assert found.high - found.value >= 2.0452 * error * 0.9999


def test_patients_that_agree_by_luck_do_not_make_it_certain() -> None:
    """All is right for each of three patients: the jackknife's variance is 0."""
    truth = np.array([[1], [0], [0]])
    score = np.array([[0.9], [0.2], [0.1]])
    found = gain_over(truth, score, np.zeros((3, 1)), ["a", "b", "c"])
    assert (found.model, found.gain.value) == (1.0, 0.5)
    assert not found.gain.low > 0


def test_folds_widen_it_by_what_they_share() -> None:
    truth, score, baseline, owner = problem(patients=60)
    folds = owner % 3
    # The same rows, every fold by itself a sample: only the correction differs.
    found = gain_over(truth, score, baseline, owner, folds=folds).gain
    apart = gain_over(truth, score, baseline, owner).gain
    ratio = (found.high - found.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(1 + 3 / 2), rel=0.15)
    one = gain_over(truth, score, baseline, owner, folds=np.zeros(len(owner), int)).gain
    assert one == apart


def test_the_interval_does_not_depend_on_the_order_of_rows_or_names() -> None:
    truth, score, baseline, owner = problem()
    order = np.random.default_rng(0).permutation(len(owner))
    names = np.array([f"P{(7 * number) % 30}" for number in owner])
    first = gain_over(truth, score, baseline, owner).gain
    other = gain_over(truth[order], score[order], baseline[order], names[order]).gain
    assert (other.low, other.high) == pytest.approx((first.low, first.high), abs=1e-12)


def test_too_few_patients_have_no_interval() -> None:
    truth, score, baseline, _ = problem()
    assert math.isnan(gain_over(truth, score, baseline, ["a"] * len(truth)).gain.low)
    # Without the one patient that has both classes nothing is left.
    truth = np.array([[1], [0], [0]])
    score = np.array([[0.9], [0.2], [0.1]])
    assert math.isnan(gain_over(truth, score, np.zeros((3, 1)), ["a", "a", "b"]).gain.low)


def test_the_view_alone_of_a_fold_knows_the_other_folds() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((30, 18)) < 0.4).astype(float)
    labels[:, 0], labels[:, 1] = np.arange(30) % 2, 1 - np.arange(30) % 2
    folds = np.arange(30) % 3
    found = view_only_of_folds(labels, folds)
    expected = view_only_scores(labels[folds != 1], labels[folds == 1])
    np.testing.assert_array_equal(found[folds == 1], expected)
    with pytest.raises(
        MetricError, match="1 fold; expected at least 2, as a fold's prevalences come from"
    ):
        view_only_of_folds(labels, np.zeros(30, int))


def test_patients_of_another_shape_are_refused() -> None:
    truth, score, baseline, owner = problem()
    with pytest.raises(MetricError, match=r"patient_ids \(3,\); expected \(90,\)"):
        gain_over(truth, score, baseline, owner[:3])


@pytest.mark.parametrize("in_a_fold", [3, 5, 7])
def test_a_gain_that_no_patient_changes_has_no_interval_of_rounding_errors(in_a_fold: int) -> None:
    """Each patient of a fold has a label of its own, and all labels get the same scores."""
    rows = 2 * in_a_fold
    truth = np.tile(np.eye(in_a_fold, dtype=bool), (2, 1))
    score = np.tile(np.random.default_rng(0).random((rows, 1)), (1, in_a_fold))
    baseline = np.zeros(truth.shape)
    found = gain_over(truth, score, baseline, np.arange(rows), folds=np.arange(rows) // in_a_fold)
    assert found.gain.value == 0
    assert math.isnan(found.gain.low)
    assert found.gain.reason == "no patient changes it"
