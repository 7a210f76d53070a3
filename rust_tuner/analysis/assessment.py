"""Tables of all figures of predictions: overall, by label, by site, and AUROC two ways.

The figures themselves belong to `metrics.assessment`.
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
from rust_tuner.metrics.figure import ALL_LABELS, CORTEX_GROUP, NAN, VISIBLE, VISITS, with_intervals
from rust_tuner.metrics.weighted_counts import WeightedShare

# The rows of a table by site, in order: figure and group.
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
    """Predictions, equal if their content is equal."""

    digest: str
    predictions: Predictions = dataclasses.field(compare=False)


# A report shows the same figures in several places; thousands of rows take seconds.
@functools.lru_cache(maxsize=16)
def _table_of(asked: _Asked, union_threshold: float, union_cutoff: float | None) -> pd.DataFrame:
    figures = assess(asked.predictions, union_threshold=union_threshold, union_cutoff=union_cutoff)
    names = [field.name for field in dataclasses.fields(Figure)]
    table = pd.DataFrame([dataclasses.astuple(figure) for figure in figures], columns=names)
    return table.astype({"defined": "Int64", "total": "Int64"})


def overall_figures(figures: pd.DataFrame) -> pd.DataFrame:
    """The figures that are not of a single label; includes those of single cortices."""
    return figures[~figures["of"].isin(LABELS)].reset_index(drop=True)


def label_figures(figures: pd.DataFrame) -> pd.DataFrame:
    """One row per label and counted rows: each figure with `_low`, `_high` and `_reason`.

    Returns:
        `label, counted` (`all` rows of the 18 labels, then the cortices' where `visible`), and the
        figures' columns.
    """
    of_labels = figures[figures["of"].isin(LABELS)]
    rows = []
    for (counted, label), part in of_labels.groupby(["counted", "of"], sort=False):
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
    """The main figures of each site, with their intervals over its patients.

    Args:
        predictions: n radiographs.
        sites: the site of each; those without one are left out.
        union_threshold: as in `assess`.
        union_cutoff: as in `assess`.

    Returns:
        `site, radiographs, patients, figure, of, value, low, high, reason`, sites in the order of
        their names; no rows if there are fewer than two sites.
    """
    names = np.array([str(site) for site in sites], dtype=object)
    parts = []
    for site in compared_sites(sites):
        of_site = predictions.subset(names == site)
        table = figures_table(of_site, union_threshold=union_threshold, union_cutoff=union_cutoff)
        table = table[table["average"].isin(_AVERAGED)]
        shown = pd.concat(
            [
                table[(table["figure"] == figure) & (table["of"] == of)]
                for figure, of in SITE_FIGURES
            ]
        )
        parts.append(
            shown.assign(
                site=site, radiographs=len(of_site.labels), patients=len(set(of_site.patient_ids))
            )
        )
    columns = ["site", "radiographs", "patients", "figure", "of", "value", "low", "high", "reason"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def compared_sites(sites: Sequence[str]) -> list[str]:
    """The names of the sites that get their own figures: all known ones, or none if only one."""
    names = sorted({str(site) for site in sites if str(site)})
    return names if len(names) > 1 else []


def auroc_two_ways(
    predictions: Mapping[str, Predictions], known: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The exact 18-label AUROC beside Keras's with 200 thresholds, and why they differ.

    Args:
        predictions: by evaluation; those of several folds are averaged over the folds.
        known: the exact AUROC of some evaluations, as shown elsewhere.

    Returns:
        `evaluation, exact, defined, labels` (how many of the labels are defined in any fold),
        `fewest_in_a_fold` (how many in the fold with the fewest; empty for a single model),
        `keras`, `difference` (Keras's minus exact), and its two parts `by_bins` (scores within a
        bin count as tied) and `by_undefined` (labels with one class only count as 0).
    """
    rows = []
    for name, item in predictions.items():
        folds = np.zeros(len(item.labels)) if item.folds is None else item.folds
        parts = []
        any_fold = np.zeros(len(LABELS), bool)
        for fold in np.unique(folds):
            rows_of_fold = item.subset(folds == fold)
            exact = auroc(rows_of_fold.labels, rows_of_fold.probabilities)
            keras = keras_aurocs(rows_of_fold.labels, rows_of_fold.probabilities)
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
                "fewest_in_a_fold": None if item.folds is None else int(table[:, 1].min()),
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

    The drawing shows the rows of `all`; the expected calibration errors use the same bins.

    Returns:
        `label` (each cortex label, and `all` of them together), `above, up_to` (of the bin),
        `rows, mean_probability, share_positive`, and for `all` the 95 % interval over patients of
        the share, `share_low, share_high`. Bins without rows are left out.
    """
    truth, score, mask = _cortices(predictions)
    together = reliability_table(truth[mask][:, None], score[mask][:, None])
    rows = _bins_of(together, (POOLED,))
    owner = predictions.patient_ids[np.nonzero(mask)[0]]
    bins = np.searchsorted(together.edges[1:-1], score[mask])
    for number, row in zip(np.flatnonzero(together.rows[0]), rows, strict=True):
        inside = bins == number
        row |= _share_interval(truth[mask][inside], owner[inside])
    rows += _bins_of(reliability_table(truth, score, mask), CORTEX_LABELS)
    columns = ["label", "above", "up_to", "rows", "mean_probability", "share_positive"]
    return pd.DataFrame(rows, columns=[*columns, "share_low", "share_high"])


def _bins_of(table: ReliabilityTable, names: Sequence[str]) -> list[dict[str, Any]]:
    """The bins that are not empty, label by label."""
    return [
        {
            "label": label,
            "above": table.edges[number],
            "up_to": table.edges[number + 1],
            "rows": int(table.rows[index, number]),
            "mean_probability": table.mean_probability[index, number],
            "share_positive": table.share_positive[index, number],
        }
        for index, label in enumerate(names)
        for number in np.flatnonzero(table.rows[index])
    ]


def _share_interval(
    positive: npt.NDArray[np.float64], patient_ids: npt.NDArray[Any]
) -> dict[str, float]:
    """The 95 % interval over patients of a share of labels; NaN if there are too few."""
    share = WeightedShare(positive)
    (figure,) = with_intervals([Figure("share", POOLED, "", VISIBLE, NAN)], share, patient_ids)
    return {"share_low": figure.low, "share_high": figure.high}


def _cortices(
    predictions: Predictions,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    first = len(LABELS) - len(CORTEX_LABELS)
    return (
        predictions.labels[:, first:].astype(np.float64),
        predictions.probabilities[:, first:].astype(np.float64),
        predictions.visible,
    )
