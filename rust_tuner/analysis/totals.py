"""RUST totals of visits, true and predicted, and the times of a patient's visits.

A total sums four cortices, of which a view shows two, so it needs both views of a visit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rust_tuner.data.visit_times import DAYS, number_of_visit, time_of_visit
from rust_tuner.labels import CORTICES, LABELS, decode_probabilities
from rust_tuner.metrics import paired_totals


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
    times = [time for name in names if (time := time_of_visit(name)) is not None]
    # A start alone gives no unit.
    units = [time.unit for time in times if time.unit is not None]
    if units and len(times) == len(names):
        unit = min(units, key=DAYS.__getitem__)
        places = {name: time.days / DAYS[unit] for name, time in zip(names, times, strict=True)}
        return VisitScale(places, f"{unit}s", False)
    places = {name: number for name in names if (number := number_of_visit(name)) is not None}
    if len(places) == len(names):
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
