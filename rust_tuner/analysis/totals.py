"""RUST totals of visits, true and predicted, and the times of a patient's visits.

A total sums four cortices, of which a view shows two, so it needs both views of a visit.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rust_tuner.labels import CORTICES, LABELS, decode_probabilities
from rust_tuner.metrics import paired_totals

_UNITS = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(day|week|month|year|d|wk|w|mo|m|yr|y)s?")
_SHORT_UNITS = {
    "d": "day",
    "w": "week",
    "wk": "week",
    "m": "month",
    "mo": "month",
    "y": "year",
    "yr": "year",
}
_STARTS = ("baseline", "start", "injury", "surgery", "postoperative")
_NUMBER = re.compile(r"(?:visit ?|v)?(\d+(?:\.\d+)?)")
# REDCap names an event as `3_months_arm_1`.
_ARM = re.compile(r" arm ?\d+$")


@dataclass(frozen=True)
class VisitScale:
    """The positions of visits on an axis.

    Attributes:
        places: visit -> position; names with the same meaning share a position.
        unit: `days`, `weeks`, `months` or `years` if all names give a time, else None.
        is_ordinal: whether a position is only a rank.
    """

    places: dict[str, float]
    unit: str | None
    is_ordinal: bool


def visit_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """The totals of the visits whose four cortices are all scored.

    See `metrics.paired_totals`; a predicted score is the most likely one.

    Args:
        predictions: from `read_predictions`.

    Returns:
        `patient_id, visit, true_total, predicted_total`, totals in [4, 16], in the order of
        `predictions`.
    """
    answers = predictions[[f"probability_{label}" for label in LABELS]].to_numpy(dtype=np.float64)
    totals = paired_totals(
        predictions[list(CORTICES)].to_numpy(dtype=np.float64),
        decode_probabilities(answers).most_likely,
        predictions["patient_id"],
        predictions["visit"],
    )
    columns = (totals.patient_ids, totals.visits, totals.reference, totals.predicted)
    names = ("patient_id", "visit", "true_total", "predicted_total")
    return pd.DataFrame(dict(zip(names, columns, strict=True)))


def visit_scale(visits: Iterable[str]) -> VisitScale:
    """The positions of visits: by the times or numbers in their names, else in their order.

    Args:
        visits: names such as `baseline`, `6 weeks`, `3_months_arm_1`, or `1`, `2`.
    """
    names = list(dict.fromkeys(visits))
    plain = {name: _ARM.sub("", name.strip().lower().replace("_", " ")) for name in names}
    times = {name: _days(text) for name, text in plain.items()}
    # A start alone gives no unit.
    units = [time[1] for time in times.values() if time is not None and time[1] is not None]
    if units and all(time is not None for time in times.values()):
        unit = min(units, key=_UNITS.__getitem__)
        places = {name: time[0] / _UNITS[unit] for name, time in times.items() if time is not None}
        return VisitScale(places, f"{unit}s", False)
    numbers = {name: _NUMBER.fullmatch(text) for name, text in plain.items()}
    if all(numbers.values()):
        places = {name: float(match[1]) for name, match in numbers.items() if match}
        return VisitScale(places, None, False)
    return VisitScale({name: float(rank) for rank, name in enumerate(names, 1)}, None, True)


def trajectory_table(visits: pd.DataFrame, *, count: int = 9) -> pd.DataFrame:
    """Patients with two or more complete visits, evenly from the smallest to the largest error.

    Args:
        visits: from `visit_table`.
        count: how many patients at most.

    Returns:
        `visits` of these patients with `place` (of `visit_scale`, over all visits) and `error`
        (the patient's mean absolute error of the total), patients by error, visits by place. The
        number of all such patients is in `attrs["patients"]`.
    """
    scale = visit_scale(visits["visit"])
    table = visits.assign(
        place=visits["visit"].map(scale.places),
        error=(visits["predicted_total"] - visits["true_total"]).abs(),
    )
    by_patient = table.groupby("patient_id", sort=False)["error"]
    table["error"] = by_patient.transform("mean")
    patients = table[by_patient.transform("size") > 1].sort_values(
        ["error", "patient_id", "place"], kind="stable"
    )
    names = list(dict.fromkeys(patients["patient_id"]))
    shown = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    chosen = patients[patients["patient_id"].isin([names[index] for index in shown])]
    chosen = chosen.reset_index(drop=True)
    chosen.attrs["patients"] = len(names)
    return chosen


def _days(text: str) -> tuple[float, str | None] | None:
    """Days since the start, and their unit in the text."""
    if text in _STARTS:
        return 0.0, None
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    unit = _SHORT_UNITS.get(match[2], match[2])
    return float(match[1]) * _UNITS[unit], unit
