"""Clustered AUROC: values are the exact ones, variances those of DeLong and Obuchowski."""

import numpy as np
import numpy.typing as npt
import pytest

from rust_tuner.errors import MetricError
from rust_tuner.metrics import ClusteredAurocs, FoldMacroAuroc, auroc, macro_auroc


def draw(
    seed: int, num_rows: int, num_labels: int = 3, num_patients: int = 15
) -> tuple[
    npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.str_], npt.NDArray[np.bool_]
]:
    rng = np.random.default_rng(seed)
    truth = rng.random((num_rows, num_labels)) < rng.choice([0.2, 0.3, 0.6], size=num_labels)
    score = np.round(truth + rng.normal(size=truth.shape), 1)
    patients = np.array([f"P{number:02}" for number in rng.integers(0, num_patients, num_rows)])
    return truth, score, patients, rng.random(truth.shape) < 0.8


def delong(truth: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
    """The variance of DeLong, DeLong and Clarke-Pearson, by all pairs."""
    positives, negatives = score[truth], score[~truth]
    wins = (positives[:, None] > negatives) + (positives[:, None] == negatives) / 2
    return float(
        wins.mean(axis=1).var(ddof=1) / len(positives)
        + wins.mean(axis=0).var(ddof=1) / len(negatives)
    )


def obuchowski(
    truth: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], patients: npt.NDArray[np.str_]
) -> float:
    """As the paper writes it, patient by patient."""
    positives, negatives = np.flatnonzero(truth), np.flatnonzero(~truth)
    wins = (score[positives, None] > score[negatives]) + (
        score[positives, None] == score[negatives]
    ) / 2
    area, m, n = wins.mean(), len(positives), len(negatives)
    names = np.unique(patients)
    x = [(wins.mean(axis=1)[patients[positives] == name] - area).sum() for name in names]
    y = [(wins.mean(axis=0)[patients[negatives] == name] - area).sum() for name in names]
    with_positives = len(set(patients[positives]))
    with_negatives = len(set(patients[negatives]))
    s10 = with_positives / ((with_positives - 1) * m) * sum(part**2 for part in x)
    s01 = with_negatives / ((with_negatives - 1) * n) * sum(part**2 for part in y)
    s11 = len(names) / (len(names) - 1) * sum(a * b for a, b in zip(x, y, strict=True))
    return float(s10 / m + s01 / n + 2 / (m * n) * s11)


@pytest.mark.parametrize("seed", range(5))
def test_one_row_a_patient_has_the_variance_of_delong(seed: int) -> None:
    truth, score, _, _ = draw(seed, 60)
    # Positives and negatives are of different patients: what the two share is nothing.
    found = ClusteredAurocs(truth, score, np.arange(60))
    for label in range(3):
        area = found.label(label)
        assert area.value == pytest.approx(auroc(truth, score)[label], abs=1e-12)
        expected = delong(truth[:, label], score[:, label])
        assert area.variance == pytest.approx(expected, rel=1e-12)
        assert area.positives == truth[:, label].sum()
        assert area.patients == min(truth[:, label].sum(), (~truth[:, label]).sum())


@pytest.mark.parametrize("seed", range(5))
def test_several_rows_a_patient_have_the_variance_of_obuchowski(seed: int) -> None:
    truth, score, patients, _ = draw(seed, 80)
    found = ClusteredAurocs(truth, score, patients)
    for label in range(3):
        expected = obuchowski(truth[:, label], score[:, label], patients)
        assert found.label(label).variance == pytest.approx(expected, rel=1e-12)


def test_rows_that_do_not_count_are_as_if_they_were_not_there() -> None:
    truth, score, patients, mask = draw(3, 80)
    found = ClusteredAurocs(truth, score, patients, mask)
    for label in range(3):
        kept = mask[:, label]
        own = ClusteredAurocs(truth[kept], score[kept], patients[kept]).label(label)
        assert found.label(label).value == own.value
        assert found.label(label).variance == pytest.approx(own.variance)


@pytest.mark.parametrize("num_folds", [1, 3])
def test_macro_and_labels_are_the_means_over_folds_that_the_bootstrap_takes(num_folds: int) -> None:
    truth, score, patients, mask = draw(8, 90)
    folds = np.unique(patients, return_inverse=True)[1] % num_folds
    truth[folds == 0, 0] = False
    found = ClusteredAurocs(truth, score, patients, mask, folds=folds)
    macro = FoldMacroAuroc(truth, score, mask, folds=folds)(np.ones((90, 1)))[0, 0]
    assert found.macro().value == pytest.approx(macro, abs=1e-12)
    areas = [
        auroc(truth[folds == f], score[folds == f], mask[folds == f]) for f in range(num_folds)
    ]
    for label in range(3):
        own = [area[label] for area in areas if not np.isnan(area[label])]
        expected = np.mean(own) if own else np.nan
        assert found.label(label).value == pytest.approx(expected, nan_ok=True)
    if num_folds == 1:
        assert macro == pytest.approx(macro_auroc(truth, score, mask))


def test_a_mean_of_the_same_label_twice_is_no_surer_than_the_label() -> None:
    truth, score, patients, _ = draw(1, 600, num_labels=1, num_patients=150)
    one = ClusteredAurocs(truth, score, patients)
    two = ClusteredAurocs(np.tile(truth, 2), np.tile(score, 2), patients).macro()
    assert two.value == pytest.approx(one.label(0).value)
    assert two.variance == pytest.approx(one.label(0).variance, rel=0.05)


def test_the_variance_of_the_macro_is_that_of_many_data_sets() -> None:
    rng = np.random.default_rng(0)
    values, variances = [], []
    patients = np.repeat(np.arange(60), 3)
    for _ in range(150):
        shared = rng.normal(size=(60, 1))[patients]
        truth = rng.random((180, 6)) < 0.3
        score = truth + 0.7 * shared + 0.7 * rng.normal(size=truth.shape)
        found = ClusteredAurocs(truth, score, patients).macro()
        values.append(found.value)
        variances.append(found.variance)
    assert np.mean(variances) == pytest.approx(np.var(values, ddof=1), rel=0.3)


def test_a_table_without_both_classes_is_undefined() -> None:
    found = ClusteredAurocs(np.zeros((4, 2)), np.zeros((4, 2)), list("aabb"))
    for area in (found.macro(), found.label(0)):
        assert np.isnan([area.value, area.variance]).all()


@pytest.mark.parametrize("name", ["patient_ids", "folds"])
def test_arrays_of_other_rows_are_refused(name: str) -> None:
    truth, score, patients, _ = draw(0, 20)
    options = {"patient_ids": patients, "folds": np.zeros(20)} | {name: np.zeros(3)}
    with pytest.raises(MetricError, match=rf"{name} \(3,\); expected \(20,\)"):
        ClusteredAurocs(truth, score, options["patient_ids"], folds=options["folds"])
