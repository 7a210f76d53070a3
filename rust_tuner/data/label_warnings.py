"""Warns of labels that a side of a split or a fold lacks, and so cannot learn or score.

Data from which nothing can be learned are refused. Which radiograph is on which side belongs to
`splits`.
"""

import numpy as np
import numpy.typing as npt

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ManifestError
from rust_tuner.labels import LABELS, NUM_VIEWS
from rust_tuner.words import counted, label_list, words

_CONSEQUENCES = {"development": "nothing to learn from", "hold-out": "no AUROC there"}


def fold_warnings(
    radiographs: Radiographs,
    assignment: npt.NDArray[np.int64],
    *,
    num_folds: int,
    are_drawn: bool = True,
) -> tuple[str, ...]:
    """Labels that folds cannot score or learn, because no or every radiograph of a side has them.

    Args:
        radiographs: n radiographs.
        assignment: (n,) the fold of each.
        num_folds: the number of folds.
        are_drawn: whether another seed gives other folds.

    Returns:
        A line for each label that is set (or not set) in fewer patients than there are folds,
        and for each that some fold's validation or training side lacks.
    """
    _, owners = np.unique(radiographs.patient_ids.astype(str), return_inverse=True)
    num_owners = len(np.unique(owners))
    warnings, cure = [], "; try another seed" if are_drawn else ""
    for index, label in enumerate(LABELS):
        is_set = radiographs.labels[:, index] == 1
        for rows, state in ((is_set, "set"), (~is_set, "not set")):
            num_patients = len(np.unique(owners[rows]))
            if num_patients < num_folds:
                warnings.append(
                    _few(label, num_patients, num_owners, num_folds, is_set=rows is is_set)
                )
                continue
            per_fold = np.bincount(assignment[rows], minlength=num_folds)
            if (per_fold == 0).any():
                folds = np.flatnonzero(per_fold == 0).tolist()
                warnings.append(
                    f"{words(label)}, is {state} in {num_patients} patients, but in no validation "
                    f"row of the folds {folds}: its AUROC is undefined there{cure}"
                )
            if (per_fold == per_fold.sum()).any():
                fold = int(np.argmax(per_fold))
                warnings.append(
                    f"{words(label)}, is {state} in {num_patients} patients, but in no training "
                    f"row of fold {fold}: the fold cannot learn it{cure}"
                )
    return tuple(warnings)


def _few(label: str, patients: int, of: int, num_folds: int, *, is_set: bool) -> str:
    """The warning that a label is set, or not set, in fewer patients than there are folds."""
    if patients == 0:
        where = "no radiograph" if is_set else "every radiograph"
        return f"{where} has {words(label)}: its AUROC is undefined in every fold"
    what = "" if is_set else "a radiograph without "
    have = "has" if patients == 1 else "have"
    return (
        f"only {patients} of {of} patients {have} {what}{words(label)}, fewer than the {num_folds} "
        "folds: where a fold has none, its AUROC for the label is undefined; take fewer folds, or "
        "read the figures with care"
    )


def require_different_scores(radiographs: Radiographs) -> None:
    """Refuse radiographs from which nothing but the view can be learned.

    Raises:
        ManifestError: if no cortex has two different scores.
    """
    counts = _positives_and_negatives(radiographs)[:, NUM_VIEWS:]
    if not (counts > 0).all(axis=0).any():
        scored = int(radiographs.visible.any(axis=1).sum())
        raise ManifestError(
            f"{radiographs.source}: {scored} of {len(radiographs)} radiographs have a score, and "
            "no cortex has two different ones, so nothing but the view could be learned; fill in "
            "the columns medial, lateral, anterior and posterior"
        )


def note_of_unscored(radiographs: Radiographs) -> str | None:
    """Which radiographs have no score at all; None if each has one.

    They count as showing no cortex, which is right only if somebody has looked.
    """
    unscored = np.flatnonzero(~radiographs.visible.any(axis=1))
    if not len(unscored):
        return None
    have, count, them = (
        ("has", "it counts", "it") if len(unscored) == 1 else ("have", "they count", "them")
    )
    return (
        f"{len(unscored)} of {len(radiographs)} radiographs {have} no score, such as that of row "
        f"{radiographs.rows[unscored[0]]}: {count} as showing no cortex; if nobody has scored "
        f"{them} yet, leave {them} out"
    )


def split_warnings(development: Radiographs, holdout: Radiographs) -> tuple[str, ...]:
    """Labels that cannot be learned, or that the evaluation on the hold-out set cannot score.

    A cortex's label counts where its cortex is visible, a view's everywhere.

    Returns:
        One line for each side in which no radiograph has some labels, or every one has them; labels
        that no radiograph at all has, or every one, get a separate line.
    """
    sides = {"development": development, "hold-out": holdout}
    counts = {name: _positives_and_negatives(radiographs) for name, radiographs in sides.items()}
    positives, negatives = counts["development"] + counts["hold-out"]
    whole = (
        (positives == 0, "no radiograph has {}"),
        ((positives > 0) & (negatives == 0), "every radiograph has {} where it is shown"),
    )
    warnings = [
        f"{text.format(_named(labels))}: there is nothing to distinguish; the AUROC is undefined"
        for labels, text in whole
        if labels.any()
    ]
    has_both = (positives > 0) & (negatives > 0)
    for name, radiographs in sides.items():
        num_patients = len(set(radiographs.patient_ids))
        side = f"radiograph of the {name} set ({counted(num_patients, 'patient')}) has"
        lacking = (
            (has_both & (counts[name][0] == 0), f"no {side} {{}}"),
            (
                has_both & (counts[name][0] > 0) & (counts[name][1] == 0),
                f"every {side} {{}} where it is shown",
            ),
        )
        warnings += [
            f"{text.format(_named(labels))}: {_CONSEQUENCES[name]}; another seed or hold-out "
            "fraction, in a new study folder, may help"
            for labels, text in lacking
            if labels.any()
        ]
    return tuple(warnings)


def _positives_and_negatives(radiographs: Radiographs) -> npt.NDArray[np.int64]:
    """(2, 18): how many radiographs have each label, and how many show it without having it."""
    views = np.ones((len(radiographs), NUM_VIEWS), dtype=np.bool_)
    shown = np.concatenate([views, radiographs.visible], axis=1)
    # A label that is set is shown.
    positives = (radiographs.labels == 1).sum(axis=0)
    return np.stack([positives, shown.sum(axis=0) - positives])


def _named(labels: npt.NDArray[np.bool_]) -> str:
    meant = (label for label, is_meant in zip(LABELS, labels, strict=True) if is_meant)
    return label_list(meant, join="or")
