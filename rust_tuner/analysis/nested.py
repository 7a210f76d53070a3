"""The tables of a nested cross-validation: selection score, estimate, and the gap between them.

They need records only, not TensorFlow. A *selection score* is the score of a search's best trial;
an *estimate* is the score of the tuned model on the patients that its outer fold left out. The gap
is the optimism of the search, less the gain of a refit on more patients.
"""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from rust_tuner.data.cells import COLUMNS
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.labels import LABELS
from rust_tuner.metrics import auroc_intervals, fold_interval
from rust_tuner.metrics.fold_interval import UNIT
from rust_tuner.records.nested import (
    FIGURES,
    SPREADS,
    Nested,
    NestedManifest,
    NestedSummary,
    OuterRecord,
    nested_key,
)
from rust_tuner.scope import SCOPES

OUTER_FOLD = "outer_fold"
# The names of the summary's rows, in every table.
SUMMARY_NAMES = {
    "selection_score": "selection score",
    "inner_estimate": "estimate, inner models",
    "optimism": "optimism",
    "estimate": "estimate",
    "gap": "gap",
    "pooled": "estimate, pooled",
    "view_only_baseline": "view only",
}
SUMMARY_CAPTION = (
    "Selection score: mean over the inner folds of the trial chosen by the searches in an outer "
    "fold. Estimate, inner models: the same models on the patients that the outer fold left out. "
    "Optimism: the first minus the second. Estimate: the configuration refitted on all outer "
    "training patients, which are more than any inner model saw. Gap: selection score minus "
    "estimate, which is the optimism minus the gain of the refit and may be negative. Mean and "
    "standard deviation are over the outer folds. Pooled: one AUROC of all out-of-fold "
    "predictions. It also compares patients across the models of different folds, whose "
    "probabilities may differ in scale, so it is often slightly lower. Intervals: 95 %. The "
    "interval of the estimate is that of the whole procedure, including search and training on "
    "other patients: t over the outer folds with the variance of Nadeau and Bengio, since the "
    "folds share training patients. The interval of the pooled estimate is over patients, for the "
    "models as trained."
)


def nested_summary(
    run: NestedManifest, outer: Sequence[OuterRecord], predictions: pd.DataFrame
) -> NestedSummary:
    """The figures of a finished nested cross-validation.

    Args:
        run: its manifest.
        outer: the record of every outer fold.
        predictions: one row a development radiograph: view, scores and patient, `outer_fold`
            (from 0) and the out-of-fold probabilities of the 18 labels.

    Returns:
        `selection_score`, `inner_estimate`, `optimism`, `estimate`, `gap` and
        `view_only_baseline`: mean and standard deviation (n - 1) over the outer folds, of `auroc`
        and `cortex_auroc`; the estimate with the 95 % interval of the procedure, `fold_interval`
        over the outer folds. `pooled`: one AUROC of all out-of-fold predictions, with its interval
        over patients, of the models as they were trained. What is undefined is None.
    """
    # Patient ids were checked when the study was prepared.
    table = Radiographs(predictions[list(COLUMNS)], distinct_patients=True)
    labels, visible = table.labels, table.visible
    answers = predictions[[f"probability_{label}" for label in LABELS]].to_numpy(np.float32)
    owners = table.patient_ids.astype(str)
    pooled = {}
    for scope in SCOPES:
        truth, score, mask = scope.problem(labels, answers, visible)
        pooled[scope.metric] = auroc_intervals(truth, score, owners, mask).macro
    spreads = {
        name: {
            figure: _mean_and_spread([getattr(record, name)[figure] for record in outer])
            for figure in FIGURES
        }
        for name in SPREADS
    }
    # The mean over the folds, since sites that are left out may have any size.
    overlap = float(np.mean([r.validation.patients / r.training.patients for r in outer]))
    for figure in FIGURES:
        of_folds = [record.estimate[figure] for record in outer]
        interval = fold_interval(of_folds, overlap=overlap, bounds=UNIT)
        spreads["estimate"][figure] |= {
            "low": _number(interval.low),
            "high": _number(interval.high),
        }
    content = {
        "format": 1,
        "key": nested_key(run),
        "objective": run.objective,
        "outer_folds": len(outer),
        "radiographs": len(table),
        "patients": len(set(table.patient_ids)),
        **spreads,
        "pooled": {
            figure: {
                "value": _number(pooled[figure].value),
                "low": _number(pooled[figure].low),
                "high": _number(pooled[figure].high),
            }
            for figure in FIGURES
        },
    }
    return NestedSummary.of(content)


def outer_table(nested: Nested) -> pd.DataFrame:
    """One row per finished outer fold.

    Returns:
        `outer_fold` (from 0), the four hyperparameters, `epoch` (from 0), then of both AUROCs
        `selection_score_...` (of the searches inside the fold), `inner_estimate_...` (the same
        models on the outer validation patients), `optimism_...` (the first less the second),
        `estimate_...` (the refitted model on the outer validation patients), `gap_...` (selection
        score less estimate) and `view_only_baseline_...`; the numbers of radiographs and patients
        on both sides, and the id of each regime's best trial.
    """
    rows = []
    for record in nested.outer:
        row: dict[str, object] = {OUTER_FOLD: record.outer_fold}
        row |= {**record.hyperparameters, "epoch": record.epoch}
        for figure in FIGURES:
            row |= {f"{name}_{figure}": getattr(record, name)[figure] for name in SPREADS}
        for side, counts in (("training", record.training), ("validation", record.validation)):
            row |= {f"{side}_patients": counts.patients, f"{side}_radiographs": counts.radiographs}
        row |= {f"{regime}_trial": trial for regime, trial in record.trials.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def summary_table(nested: Nested) -> pd.DataFrame:
    """The summary: `what, metric, value, std, low, high`; no rows if it is not finished.

    `std` is over the outer folds, `low` and `high` are the ends of a 95 % interval.
    """
    rows = []
    asked = itertools.product(SUMMARY_NAMES, FIGURES) if nested.summary is not None else ()
    for what, figure in asked:
        assert nested.summary is not None
        part = nested.summary.part(what).figure(figure)
        value = part.value if part.mean is None else part.mean
        rows.append((what, figure, value, part.std, part.low, part.high))
    names = ["what", "metric", "value", "std", "low", "high"]
    return pd.DataFrame(rows, columns=names).astype(dict.fromkeys(names[2:], "float64"))


def stability_table(nested: Nested) -> pd.DataFrame:
    """How often each value was chosen: `hyperparameter, value, times, outer_folds`.

    The most frequent value of each hyperparameter comes first. `epoch` (from 0) is among them.
    """
    rows = []
    chosen = [{**record.hyperparameters, "epoch": record.epoch} for record in nested.outer]
    for name in chosen[0] if chosen else ():
        values = [values[name] for values in chosen]
        counted = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        rows += [(name, value, times, len(values)) for value, times in counted]
    return pd.DataFrame(rows, columns=["hyperparameter", "value", "times", "outer_folds"])


def _mean_and_spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
