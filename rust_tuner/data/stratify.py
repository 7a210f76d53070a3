"""Divides patients into groups in which every label is about as frequent as in the whole.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011,
doi:10.1007/978-3-642-23808-6_10) knows whether a sample has a label, but a patient has several
radiographs and so counts of labels. Counts are given to it in unary, and its result is refined by
exchanging patients, because the counts of a group are what its prevalences are made of.
"""

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import IterativeStratification

from rust_tuner.seeds import generator, seed_word

IntArray = npt.NDArray[np.int64]
_FloatArray = npt.NDArray[np.float64]

_MAX_UNARY_LEVELS = 12
_MAX_SWEEPS = 4
_MAX_PARTNERS = 400


def stratify_patients(
    patient_ids: npt.NDArray[np.object_],
    labels: npt.NDArray[np.float32],
    *,
    shares: npt.ArrayLike,
    seed: int,
    place: tuple[int | str, ...],
) -> IntArray:
    """Divide radiographs into groups by patient, each label and the size in proportion.

    The result depends on patients, labels and seed alone, not on the order of the rows nor on
    NumPy's global state.

    Args:
        patient_ids: (n,) text.
        labels: (n, num_labels) of zeros and ones.
        shares: (num_groups,) of the whole that each group is to have, summing to 1; not more
            groups than patients.
        seed: an integer from 0.
        place: names the use of the seed, see `seeds.derive_seed`.

    Returns:
        (n,) the group of each radiograph; no group is empty, and no patient is in two.
    """
    wanted = np.asarray(shares, dtype=np.float64)
    patients, owners = np.unique(patient_ids.astype(str), return_inverse=True)
    assert len(wanted) <= len(patients)
    # The row count is a label like the others: it keeps the groups of one size.
    quantities = np.column_stack([labels, np.ones(len(labels))]).astype(np.int64)
    counts = np.zeros((len(patients), quantities.shape[1]), dtype=np.int64)
    np.add.at(counts, owners, quantities)
    groups = IterativeStratification(
        labels=_unary(counts),
        r=wanted,
        random_state=np.random.RandomState(seed_word(seed, *place, "iterative")),
    ).astype(np.int64)
    _fill_empty(groups, counts[:, -1], wanted)
    _refine(groups, counts, wanted, generator(seed, *place, "refine"))
    by_row: IntArray = groups[owners]
    return by_row


def _unary(counts: IntArray) -> npt.NDArray[np.bool_]:
    """(patients, columns) `has at least 1`, `at least 2`, ... of each count, as labels."""
    columns = [
        counts[:, label] >= level
        for label in range(counts.shape[1])
        for level in range(1, min(int(counts[:, label].max()), _MAX_UNARY_LEVELS) + 1)
    ]
    return np.column_stack(columns)


def _fill_empty(groups: IntArray, sizes: IntArray, shares: _FloatArray) -> None:
    """Give each empty group the smallest patient of the group with the most to spare."""
    for empty in range(len(shares)):
        members = np.bincount(groups, minlength=len(shares))
        if members[empty]:
            continue
        donor = int(np.argmax(np.where(members > 1, members / shares, -1.0)))
        candidates = np.flatnonzero(groups == donor)
        groups[candidates[np.argmin(sizes[candidates])]] = empty


def _refine(
    groups: IntArray, counts: IntArray, shares: _FloatArray, rng: np.random.Generator
) -> None:
    """Exchange and move patients while that brings the counts of the groups nearer to the shares.

    What falls is the sum over groups and labels of the squared relative deviation of the count
    from its share. Each patient in turn is tried against a sample of partners, so the cost is
    linear in the number of patients.
    """
    totals = counts.sum(axis=0)
    parts = counts[:, totals > 0] / totals[totals > 0]
    # The last partner is nobody: an exchange with it is a move. Its group is set when tried.
    parts = np.vstack([parts, np.zeros(parts.shape[1])])
    sums = np.zeros((len(shares), parts.shape[1]))
    np.add.at(sums, groups, parts[:-1])
    members = np.bincount(groups, minlength=len(shares))
    excess = sums - shares[:, None]
    weights = shares**-2.0
    nobody = len(groups)
    for _ in range(_MAX_SWEEPS):
        improved = False
        for patient in rng.permutation(len(groups)):
            here = groups[patient]
            partners = rng.choice(len(groups), min(len(groups), _MAX_PARTNERS), replace=False)
            partners = np.append(partners, np.full(len(shares), nobody))
            there = np.append(groups[partners[: -len(shares)]], np.arange(len(shares)))
            change = parts[partners] - parts[patient]
            square = np.einsum("ij,ij->i", change, change)
            gain_here = weights[here] * (2 * change @ excess[here] + square)
            gain_there = weights[there] * (
                square - 2 * np.einsum("ij,ij->i", change, excess[there])
            )
            gain = np.where(there == here, 0.0, gain_here + gain_there)
            if members[here] == 1:
                gain[-len(shares) :] = 0.0
            best = int(np.argmin(gain))
            if gain[best] > -1e-12:
                continue
            improved = True
            partner, target = int(partners[best]), int(there[best])
            excess[here] += change[best]
            excess[target] -= change[best]
            groups[patient] = target
            if partner == nobody:
                members[here] -= 1
                members[target] += 1
            else:
                groups[partner] = here
        if not improved:
            return
