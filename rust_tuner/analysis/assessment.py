"""Tables of every figure of some predictions: all together, by label, by site, and AUROC two ways.

What the figures are belongs to `metrics.assessment`; whose predictions they are, to the caller.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.labels import CORTEX_LABELS, CORTICES, LABELS, UNION_THRESHOLD, encode, visible_mask
from rust_tuner.metrics import (
    Figure,
    Predictions,
    assess,
    auroc,
    keras_aurocs,
    reliability_table,
)
from rust_tuner.metrics.assessment import ALL_LABELS, CORTEX_GROUP, VISITS

# What a table by site tells, in its order: figure, and what it is of.
SITE_FIGURES = (
    ("auroc", ALL_LABELS),
    ("auroc", CORTEX_GROUP),
    ("kappa", CORTEX_GROUP),
    ("exact", CORTEX_GROUP),
    ("mae", VISITS),
    ("icc", VISITS),
)
_POOLED = "all"
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
    predictions: Predictions, *, union_threshold: float = UNION_THRESHOLD
) -> pd.DataFrame:
    """Every figure with its 95 % interval over patients.

    Returns:
        The fields of `metrics.Figure`, a row each: `figure, of, average, counted, value, low,
        high, defined, total, reason`.
    """
    found = assess(predictions, union_threshold=union_threshold)
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
) -> pd.DataFrame:
    """The main figures of each site's own radiographs, with their intervals over its patients.

    Args:
        predictions: n radiographs.
        sites: the site of each; those without one are left out.
        union_threshold: as in `assess`.

    Returns:
        `site, radiographs, patients, figure, of, value, low, high, reason`, sites in the order of
        their names; no rows where there are fewer than two sites.
    """
    names = np.array([str(site) for site in sites], dtype=object)
    parts = []
    for site in compared_sites(sites):
        own = predictions.subset(names == site)
        table = figures_table(own, union_threshold=union_threshold)
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


def auroc_two_ways(predictions: Mapping[str, Predictions]) -> pd.DataFrame:
    """The exact 18-label AUROC beside Keras's with 200 thresholds, and where they part.

    Args:
        predictions: by what they are of; those of several folds are averaged over the folds.

    Returns:
        `evaluation, exact, defined, labels` (over how many of the labels the exact figure is; with
        folds the fewest of a fold), `keras`, `difference` (Keras's less the exact), of which
        `by_bins` (scores within a bin count as tied) and `by_undefined` (labels of one class only
        count as 0), which add up to it.
    """
    rows = []
    for name, found in predictions.items():
        folds = np.zeros(len(found.labels)) if found.folds is None else found.folds
        parts = []
        for fold in np.unique(folds):
            own = found.subset(folds == fold)
            exact = auroc(own.labels, own.probabilities)
            keras = keras_aurocs(own.labels, own.probabilities)
            defined = ~np.isnan(exact)
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
        rows.append(
            {
                "evaluation": name,
                "exact": exact_mean,
                "defined": int(table[:, 1].min()),
                "labels": len(LABELS),
                "keras": keras_mean,
                "difference": keras_mean - exact_mean,
                "by_bins": by_bins,
                "by_undefined": by_undefined,
            }
        )
    names = ["evaluation", "exact", "defined", "labels", "keras", "difference"]
    return pd.DataFrame(rows, columns=[*names, "by_bins", "by_undefined"])


def reliability_bins(predictions: Predictions) -> pd.DataFrame:
    """Reliability tables in ten bins of equal width, where the cortex is visible.

    Returns:
        `label` (each cortex label, and `all` of them together), `low, high` (of the bin), `rows,
        mean_probability, share_positive`; bins without rows are left out.
    """
    truth, score, mask = _cortices(predictions)
    rows = []
    everything = (truth[mask][:, None], score[mask][:, None], None)
    for names, problem in (((_POOLED,), everything), (CORTEX_LABELS, (truth, score, mask))):
        table = reliability_table(*problem)
        for place, label in enumerate(names):
            for number in np.flatnonzero(table.rows[place]):
                rows.append(
                    (
                        label,
                        table.edges[number],
                        table.edges[number + 1],
                        int(table.rows[place, number]),
                        table.mean_probability[place, number],
                        table.share_positive[place, number],
                    )
                )
    columns = ["label", "low", "high", "rows", "mean_probability", "share_positive"]
    return pd.DataFrame(rows, columns=columns)


def _cortices(
    predictions: Predictions,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    place = len(LABELS) - len(CORTEX_LABELS)
    return (
        predictions.labels[:, place:].astype(np.float64),
        predictions.probabilities[:, place:].astype(np.float64),
        predictions.visible,
    )
