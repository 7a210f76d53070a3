"""What a side lacks is told where it counts, once, and never where nothing is lacking."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rust_tuner.data.label_warnings import (
    fold_warnings,
    note_of_unscored,
    require_different_scores,
    split_warnings,
)
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ManifestError

CORTICES = ("medial", "lateral", "anterior", "posterior")


def radiographs(*rows: Any) -> Radiographs:
    """From (patient, view, medial); the other cortices have every score in turn."""
    table = []
    for patient, view, medial in rows:
        for score in (1, 2, 3, 4):
            others = dict.fromkeys(CORTICES[1:], score)
            table.append({"patient_id": patient, "view": view, "medial": medial} | others)
    return Radiographs(pd.DataFrame(table).assign(image="x.png", visit="1"))


BOTH_VIEWS = [("ap", score) for score in (1, 2, 3, 4)] + [("lateral", 1)]
COMPLETE = radiographs(*(("a", *row) for row in BOTH_VIEWS))


def test_radiographs_without_any_score_are_counted_with_a_row_of_one() -> None:
    assert note_of_unscored(COMPLETE) is None
    table = COMPLETE.table.copy()
    table.loc[table.index[[4, 9]], list(CORTICES)] = np.nan
    note = note_of_unscored(Radiographs(table))
    assert note is not None
    assert note.startswith("2 of 20 radiographs have no score, such as that of row ")
    assert "they count as showing no cortex" in note
    # One cortex that is scored is enough.
    table.loc[table.index[[4, 9]], "medial"] = 1.0
    assert note_of_unscored(Radiographs(table)) is None


def test_two_sides_with_every_label_have_no_warning() -> None:
    other = radiographs(*(("b", *row) for row in BOTH_VIEWS))
    assert split_warnings(COMPLETE, other) == ()


@pytest.mark.parametrize(
    ("lacks", "side", "worth"),
    [
        ("development", "development set", "nothing to learn from"),
        ("hold-out", "hold-out set", "no AUROC there"),
    ],
)
def test_labels_that_one_side_lacks_are_in_one_line_with_patients_and_mend(
    lacks: str, side: str, worth: str
) -> None:
    poor = radiographs(("b", "ap", 1), ("c", "lateral", 2), ("c", "lateral", None))
    sides = (poor, COMPLETE) if lacks == "development" else (COMPLETE, poor)
    (line,) = split_warnings(*sides)
    assert line == (
        f"no radiograph of the {side} (2 patients) has medial cortex, scores 3 or 4: {worth}; "
        "another seed or hold-out fraction, in a new study folder, may help"
    )


def test_a_cortex_counts_only_where_it_is_visible() -> None:
    # Where the cortex is not seen, `medial_1` is not set; that makes it no negative.
    poor = radiographs(("b", "ap", 1), ("b", "lateral", None))
    lines = split_warnings(COMPLETE, poor)
    assert [line.partition(":")[0] for line in lines] == [
        "no radiograph of the hold-out set (1 patient) has medial cortex, scores 2, 3 or 4",
        "every radiograph of the hold-out set (1 patient) has medial cortex, score 1 where it is "
        "shown",
    ]


def test_what_nothing_has_is_told_once_and_of_no_side() -> None:
    of_one_view = [radiographs((name, "ap", 1), (name, "ap", 2)) for name in "ab"]
    assert split_warnings(*of_one_view) == (
        "no radiograph has lateral view; medial cortex, scores 3 or 4: there is nothing to "
        "distinguish; the AUROC is undefined",
        "every radiograph has AP view where it is shown: there is nothing to distinguish; the "
        "AUROC is undefined",
    )


def test_a_cortex_that_a_side_does_not_show_is_told_once() -> None:
    many = radiographs(*((f"{n}", "ap", 1 + n % 4) for n in range(8)))
    hidden = radiographs(("x", "ap", None), ("y", "ap", None))
    lines = [line for line in split_warnings(many, hidden) if "medial" in line]
    assert [line.partition(" ")[0] for line in lines] == ["no"]
    assert "no radiograph of the hold-out set (2 patients) has medial cortex, scores 1" in lines[0]


def test_a_fold_without_a_label_is_told() -> None:
    table = radiographs(("a", "ap", 1), ("b", "ap", 1), ("c", "ap", 2), ("d", "ap", 2))
    warnings = fold_warnings(table, np.repeat([0, 0, 1, 1], 4), num_folds=2)
    for text in (
        "medial cortex, score 1, is set in 2 patients, but in no validation row of the folds [1]",
        "medial cortex, score 1, is set in 2 patients, but in no training row of fold 0",
        "medial cortex, score 1, is not set in 2 patients, but in no training row of fold 1",
    ):
        assert any(text in line for line in warnings)


@pytest.mark.parametrize("score, scored", [(None, 0), (3, 2)])
def test_radiographs_that_tell_nothing_but_the_view_are_refused(
    score: int | None, scored: int
) -> None:
    row = {"image": "x.png", "visit": "1"} | dict.fromkeys(CORTICES, score)
    rows = [{"patient_id": "a", "view": "ap"} | row, {"patient_id": "b", "view": "lateral"} | row]
    with pytest.raises(ManifestError, match=f"{scored} of 2 radiographs have a score"):
        require_different_scores(Radiographs(pd.DataFrame(rows)))
    rows[0]["medial"] = 1
    rows[1]["medial"] = 2
    require_different_scores(Radiographs(pd.DataFrame(rows)))
