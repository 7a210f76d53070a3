"""The check for duplicate images: pairs of rows that show the same picture, and their patients.

Finding similar pictures belongs to `data.near_duplicates`.
"""

from pathlib import PurePath

from rust_tuner.data.near_duplicates import FOUND, FOUND_WITHIN_A_PATIENT, NOT_FOUND, SimilarPair
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.records.checks import Verdict
from rust_tuner.records.split import SplitRecord

NEAR_DUPLICATES = ("near_duplicates", "Equal and nearly equal images")

_WHOSE = (
    "Look at both. If they show one picture or one leg, find out which patient it belongs to, "
    "correct the rows and use a new study folder: the split was made with both."
)


def check_pictures(
    radiographs: Radiographs, pairs: tuple[SimilarPair, ...], split: SplitRecord | None
) -> Verdict:
    """Judge the pairs of pictures that are equal or nearly so.

    Args:
        radiographs: all radiographs, of both sides.
        pairs: from `similar_pairs`, of all of them.
        split: says on which side a patient is; None if it is not known.

    Returns:
        Failed if the images of a pair are of two patients, since they may be on two sides of a
        split, in particular across the hold-out border; a warning if both are of one patient.
    """
    sealed = set() if split is None else set(split.holdout)
    patients = radiographs.written_patients
    border, across, within = [], [], []
    for pair in pairs:
        first, second = patients[pair.first], patients[pair.second]
        line = _as_line(radiographs, pair, sealed, with_sides=split is not None)
        if first == second:
            within.append(line)
        elif (first in sealed) != (second in sealed):
            border.append(line)
        else:
            across.append(line)
    count = len(radiographs)
    figures = {
        "radiographs": count,
        "pairs_compared": count * (count - 1) // 2,
        "across_the_holdout_border": len(border),
        "across_patients": len(across),
        "within_a_patient": len(within),
    }
    counts = [
        (len(border), "across the hold-out border"),
        (len(across), "of two patients on one side"),
        (len(within), "of one patient"),
    ]
    compared = (
        f"{count} images, {count * (count - 1) // 2} pairs, were compared. The search finds nearly "
        f"all copies that were {FOUND}. {FOUND_WITHIN_A_PATIENT}. It was not made for "
        f"{NOT_FOUND}."
    )
    if not pairs:
        reason = f"No duplicates found. {compared}"
        return Verdict(*NEAR_DUPLICATES, "passed", reason, figures=figures)
    kinds = ", ".join(f"{number} {what}" for number, what in counts if number)
    return Verdict(
        *NEAR_DUPLICATES,
        "failed" if border or across else "warning",
        f"Pairs of images that show the same picture: {kinds}. {compared}",
        _WHOSE
        if border or across
        else "Look at both. Two exposures may be alike; a copy should be removed.",
        (*border, *across, *within),
        figures,
    )


def _as_line(
    radiographs: Radiographs, pair: SimilarPair, sealed: set[str], *, with_sides: bool
) -> str:
    sides = []
    for position in (pair.first, pair.second):
        row = radiographs.written.iloc[position]
        side = "hold-out set" if row["patient_id"] in sealed else "development set"
        where = f", {side}" if with_sides else ""
        sides.append(
            f"row {radiographs.rows[position]} {PurePath(row['image']).name} (patient "
            f"{row['patient_id']}, visit {row['visit']}, {row['view']}{where})"
        )
    changes = [f"the second {pair.flip}"] if pair.flip else []
    changes += [pair.change] if pair.change else []
    how = "equal" if pair.equal else ", ".join([f"similarity {pair.similarity:.3f}", *changes])
    return f"{sides[0]} and {sides[1]}: {how}"
