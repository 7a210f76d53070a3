"""Tables of every figure of some predictions: all together, by label, by site, and AUROC two ways.

What the figures are belongs to `metrics.assessment`; whose predictions they are, to the caller.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.labels import CORTEX_LABELS, CORTICES, LABELS, UNION_THRESHOLD, encode, visible_mask
from rust_tuner.metrics import (
    Figure,
    Predictions,
    ReliabilityTable,
    assess,
    auroc,
    keras_aurocs,
    reliability_table,
)
from rust_tuner.metrics.figure import (
    ALL_LABELS,
    CORTEX_GROUP,
    NAN,
    VISIBLE,
    VISITS,
    with_intervals,
)
from rust_tuner.metrics.weighted_counts import WeightedShare

# What a table by site tells, in its order: figure, and what it is of.
SITE_FIGURES = (
    ("accuracy", CORTEX_GROUP),
    ("balanced_accuracy", CORTEX_GROUP),
    ("macro_f1", CORTEX_GROUP),
    ("kappa", CORTEX_GROUP),
    ("auroc", ALL_LABELS),
    ("auroc", CORTEX_GROUP),
    ("mae", VISITS),
    ("icc", VISITS),
)
POOLED = "all"
_AVERAGED = ("macro", "")


def as_predictions(table: pd.DataFrame) -> Predictions:
    """Predictions of a table such as `read_predictions` gives.

    Args:
        table: `patient_id, visit, view`, the four cortices, and `probability_` of each label.
    """
    scores = table[list(CORTICES)].to_numpy(dtype=np.float64)
    return Predictions(
        labels=encode(table["view"].tolist(), scores),
        visible=visible_mask(scores),
        probabilities=table[[f"probability_{label}" for label in LABELS]].to_numpy(np.float64),
        patient_ids=table["patient_id"].to_numpy(dtype=object),
        visits=table["visit"].to_numpy(dtype=object),
    )


def figures_table(
    predictions: Predictions,
    *,
    union_threshold: float = UNION_THRESHOLD,
    union_cutoff: float | None = None,
) -> pd.DataFrame:
    """Every figure with its 95 % interval over patients; those of the most likely scores first.

    Args:
        predictions: n radiographs.
        union_threshold: as in `assess`.
        union_cutoff: as in `assess`.

    Returns:
        The fields of `metrics.Figure`, a row each: `figure, of, average, counted, value, low,
        high, defined, total, reason`.
    """
    return _table_of(_Asked(predictions.digest, predictions), union_threshold, union_cutoff).copy()


@dataclass(frozen=True)
class _Asked:
    """Predictions, equal where their content is."""

    digest: str
    predictions: Predictions = dataclasses.field(compare=False)


# A report tells the same figures in several places, and thousands of rows take seconds.
@functools.lru_cache(maxsize=16)
def _table_of(asked: _Asked, union_threshold: float, union_cutoff: float | None) -> pd.DataFrame:
    found = assess(asked.predictions, union_threshold=union_threshold, union_cutoff=union_cutoff)
    names = [field.name for field in dataclasses.fields(Figure)]
    table = pd.DataFrame([dataclasses.astuple(figure) for figure in found], columns=names)
    return table.astype({"defined": "Int64", "total": "Int64"})


def overall_figures(figures: pd.DataFrame) -> pd.DataFrame:
    """The figures that are not of one label; those of one cortex are among them."""
    return figures[~figures["of"].isin(LABELS)].reset_index(drop=True)


def label_figures(figures: pd.DataFrame) -> pd.DataFrame:
    """One row a label and rows counted: each figure with `_low`, `_high` and `_reason`.

    Returns:
        `label, counted` (`all` rows of the 18 labels, then the cortices' where `visible`), and the
        figures' columns.
    """
    own = figures[figures["of"].isin(LABELS)]
    rows = []
    for (counted, label), part in own.groupby(["counted", "of"], sort=False):
        row: dict[str, object] = {"label": label, "counted": counted}
        for figure in part.to_dict("records"):
            name = figure["figure"]
            row |= {name: figure["value"], f"{name}_low": figure["low"]}
            row |= {f"{name}_high": figure["high"], f"{name}_reason": figure["reason"]}
        rows.append(row)
    return pd.DataFrame(rows)


def site_figures(
    predictions: Predictions,
    sites: Sequence[str],
    *,
    union_threshold: float = UNION_THRESHOLD,
    union_cutoff: float | None = None,
) -> pd.DataFrame:
    """The main figures of each site's own radiographs, with their intervals over its patients.

    Args:
        predictions: n radiographs.
        sites: the site of each; those without one are left out.
        union_threshold: as in `assess`.
        union_cutoff: as in `assess`.

    Returns:
        `site, radiographs, patients, figure, of, value, low, high, reason`, sites in the order of
        their names; no rows where there are fewer than two sites.
    """
    names = np.array([str(site) for site in sites], dtype=object)
    parts = []
    for site in compared_sites(sites):
        own = predictions.subset(names == site)
        table = figures_table(own, union_threshold=union_threshold, union_cutoff=union_cutoff)
        table = table[table["average"].isin(_AVERAGED)]
        shown = pd.concat(
            [
                table[(table["figure"] == figure) & (table["of"] == of)]
                for figure, of in SITE_FIGURES
            ]
        )
        parts.append(
            shown.assign(
                site=site,
                radiographs=len(own.labels),
                patients=len(set(own.patient_ids)),
            )
        )
    columns = ["site", "radiographs", "patients", "figure", "of", "value", "low", "high", "reason"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def compared_sites(sites: Sequence[str]) -> list[str]:
    """The sites that figures are given for, by name: all that are known, or none of just one."""
    known = sorted({str(site) for site in sites if str(site)})
    return known if len(known) > 1 else []


def auroc_two_ways(
    predictions: Mapping[str, Predictions], known: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The exact 18-label AUROC beside Keras's with 200 thresholds, and where they part.

    Args:
        predictions: by what they are of; those of several folds are averaged over the folds.
        known: the exact figure of some of them, as it stands elsewhere.

    Returns:
        `evaluation, exact, defined, labels` (over how many of the labels the exact figure is, in
        any fold), `fewest_in_a_fold` (over how many in the fold that has the fewest; empty of one
        model), `keras`, `difference` (Keras's less the exact), of which
        `by_bins` (scores within a bin count as tied) and `by_undefined` (labels of one class only
        count as 0), which add up to it.
    """
    rows = []
    for name, found in predictions.items():
        folds = np.zeros(len(found.labels)) if found.folds is None else found.folds
        parts = []
        any_fold = np.zeros(len(LABELS), bool)
        for fold in np.unique(folds):
            own = found.subset(folds == fold)
            exact = auroc(own.labels, own.probabilities)
            keras = keras_aurocs(own.labels, own.probabilities)
            defined = ~np.isnan(exact)
            any_fold |= defined
            if not defined.any():
                continue
            mean = float(exact[defined].mean())
            binned = float(keras[defined].mean())
            whole = float(keras.mean())
            parts.append((mean, int(defined.sum()), whole, binned - mean, whole - binned))
        if not parts:
            continue
        table = np.array(parts)
        exact_mean, _, keras_mean, by_bins, by_undefined = table.mean(axis=0)
        exact_mean = (known or {}).get(name, exact_mean)
        rows.append(
            {
                "evaluation": name,
                "exact": exact_mean,
                "defined": int(any_fold.sum()),
                "labels": len(LABELS),
                "fewest_in_a_fold": None if found.folds is None else int(table[:, 1].min()),
                "keras": keras_mean,
                "difference": keras_mean - exact_mean,
                "by_bins": by_bins,
                "by_undefined": by_undefined,
            }
        )
    names = ["evaluation", "exact", "defined", "labels", "fewest_in_a_fold", "keras"]
    table_of_all = pd.DataFrame(rows, columns=[*names, "difference", "by_bins", "by_undefined"])
    return table_of_all.astype({"fewest_in_a_fold": "Int64"})


def reliability_bins(predictions: Predictions) -> pd.DataFrame:
    """The calibration of predictions, in ten bins of equal width, where the cortex is visible.

    The one table of it: the drawing shows the rows of `all`, and the expected calibration errors
    among the figures are of the same bins.

    Returns:
        `label` (each cortex label, and `all` of them together), `above, up_to` (of the bin),
        `rows, mean_probability, share_positive`, and of `all` the 95 % interval over patients of
        the share, `share_low, share_high`; bins without rows are left out.
    """
    truth, score, mask = _cortices(predictions)
    together = reliability_table(truth[mask][:, None], score[mask][:, None])
    rows = _bins_of(together, (POOLED,))
    owner = predictions.patient_ids[np.nonzero(mask)[0]]
    place = np.searchsorted(together.edges[1:-1], score[mask])
    for number, own in zip(np.flatnonzero(together.rows[0]), rows, strict=True):
        inside = place == number
        own |= _share_interval(truth[mask][inside], owner[inside])
    rows += _bins_of(reliability_table(truth, score, mask), CORTEX_LABELS)
    columns = ["label", "above", "up_to", "rows", "mean_probability", "share_positive"]
    return pd.DataFrame(rows, columns=[*columns, "share_low", "share_high"])


def _bins_of(table: ReliabilityTable, names: Sequence[str]) -> list[dict[str, Any]]:
    """The bins that hold rows, one table of labels after the other."""
    return [
        {
            "label": label,
            "above": table.edges[number],
            "up_to": table.edges[number + 1],
            "rows": int(table.rows[place, number]),
            "mean_probability": table.mean_probability[place, number],
            "share_positive": table.share_positive[place, number],
        }
        for place, label in enumerate(names)
        for number in np.flatnonzero(table.rows[place])
    ]


def _share_interval(
    positive: npt.NDArray[np.float64], patient_ids: npt.NDArray[Any]
) -> dict[str, float]:
    """The 95 % interval over patients of a share of labels; NaN where too few tell of it."""
    share = WeightedShare(positive)
    (figure,) = with_intervals([Figure("share", POOLED, "", VISIBLE, NAN)], share, patient_ids)
    return {"share_low": figure.low, "share_high": figure.high}


def _cortices(
    predictions: Predictions,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    place = len(LABELS) - len(CORTEX_LABELS)
    return (
        predictions.labels[:, place:].astype(np.float64),
        predictions.probabilities[:, place:].astype(np.float64),
        predictions.visible,
    )
