"""What a nested cross-validation is worth: selection score, estimate, and the gap between them.

From records alone, without TensorFlow. A *selection score* is what a search promised for its best
trial; an *estimate* is what the tuned model reached on patients that nothing inside its outer fold
had seen. The gap is the optimism of the search, less what a refit on more patients gains.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.radiographs import COLUMNS, Radiographs
from rust_tuner.labels import LABELS, NUM_VIEWS
from rust_tuner.metrics import WeightedAuroc, patient_bootstrap
from rust_tuner.metrics.uncertainty import FloatArray
from rust_tuner.metrics.weighted_ranking import mean_of_defined
from rust_tuner.records.nested import FIGURES, SPREADS, Nested, OuterRecord
from rust_tuner.seeds import generator

OUTER_FOLD = "outer_fold"
# What each row of the summary is, in the words of every table.
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
    "Selection score: mean over the inner folds of the trial that the searches inside an outer "
    "fold chose. Estimate, inner models: the same models on the outer fold's own patients, which "
    "nothing inside had seen. Optimism: the first less the second. Estimate: the configuration "
    "refitted on all outer training patients, more than any inner model saw. Gap: selection score "
    "less estimate; it is the optimism less what the refit gains, and may be negative. Mean and "
    "standard deviation over the outer folds. Pooled: one AUROC of all out-of-fold predictions; it "
    "also compares patients across the models of different folds, whose probabilities need not be "
    "of one scale, so it is often a little lower. Intervals: 95 %, bootstrap over patients, of the "
    "models as they were trained."
)

_RESAMPLES = 2000


def nested_summary(
    run: dict[str, Any], outer: Sequence[OuterRecord], predictions: pd.DataFrame
) -> dict[str, Any]:
    """The figures of a finished nested cross-validation.

    Args:
        run: its manifest.
        outer: the record of every outer fold.
        predictions: one row a development radiograph: view, scores and patient, `outer_fold`
            (from 0) and the out-of-fold probabilities of the 18 labels.

    Returns:
        JSON values. `selection_score`, `inner_estimate`, `optimism`, `estimate`, `gap` and
        `view_only_baseline`: mean and standard deviation (n - 1) over the outer folds, of `auroc`
        and `cortex_auroc`; the estimate with the 95 % interval of its mean, by bootstrap over
        patients. `pooled`: one AUROC of all out-of-fold predictions, with its interval. What is
        undefined is None.
    """
    # Whose pictures they are was settled when the study was prepared.
    table = Radiographs(predictions[list(COLUMNS)], distinct_patients=True)
    labels, visible = table.labels, table.visible
    answers = predictions[[f"probability_{label}" for label in LABELS]].to_numpy(np.float32)
    cortices = slice(NUM_VIEWS, None)
    everything: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.bool_]]] = {
        "auroc": (labels, answers, np.ones(labels.shape, np.bool_)),
        "cortex_auroc": (labels[:, cortices], answers[:, cortices], visible),
    }
    own = predictions[OUTER_FOLD].to_numpy(np.int64)
    rows = [np.flatnonzero(own == record.outer_fold) for record in outer]
    pooled = {name: WeightedAuroc(*arrays) for name, arrays in everything.items()}
    by_fold = {
        name: [WeightedAuroc(*(array[part] for array in arrays)) for part in rows]
        for name, arrays in everything.items()
    }

    def figures(weights: FloatArray) -> FloatArray:
        columns = [mean_of_defined(pooled[name](weights)) for name in FIGURES]
        for name in FIGURES:
            folds = [
                mean_of_defined(area(weights[part]))
                for part, area in zip(rows, by_fold[name], strict=True)
            ]
            columns.append(mean_of_defined(np.concatenate(folds, axis=1)))
        return np.concatenate(columns, axis=1)

    found = patient_bootstrap(
        figures,
        table.patient_ids.astype(str),
        rng=generator(int(run["seed"]), "nested", "bootstrap"),
        num_resamples=_RESAMPLES,
    )
    in_pool = dict(zip(FIGURES, found[: len(FIGURES)], strict=True))
    in_mean = dict(zip(FIGURES, found[len(FIGURES) :], strict=True))
    spreads = {
        name: {
            figure: _mean_and_spread([getattr(record, name)[figure] for record in outer])
            for figure in FIGURES
        }
        for name in SPREADS
    }
    for figure in FIGURES:
        interval = in_mean[figure]
        spreads["estimate"][figure] |= {
            "low": _number(interval.low),
            "high": _number(interval.high),
        }
    return {
        "objective": run["objective"],
        "outer_folds": len(outer),
        "radiographs": len(table),
        "patients": len(set(table.patient_ids)),
        **spreads,
        "pooled": {
            figure: {
                "value": _number(in_pool[figure].value),
                "low": _number(in_pool[figure].low),
                "high": _number(in_pool[figure].high),
            }
            for figure in FIGURES
        },
        "resamples": _RESAMPLES,
    }


def outer_table(nested: Nested) -> pd.DataFrame:
    """One row a finished outer fold.

    Returns:
        `outer_fold` (from 0), the four hyperparameters, `epoch` (from 0), then of both AUROCs
        `selection_score_...` (what the searches inside promised), `inner_estimate_...` (the same
        models on the outer validation patients), `optimism_...` (the first less the second),
        `estimate_...` (the refitted model on the outer validation patients), `gap_...` (selection
        score less estimate) and `view_only_baseline_...`; the numbers of radiographs and patients
        on both sides, and the id of each regime's best trial.
    """
    rows = []
    for record in nested.outer:
        row: dict[str, Any] = {OUTER_FOLD: record.outer_fold}
        row |= {**record.hyperparameters, "epoch": record.epoch}
        for figure in FIGURES:
            row |= {f"{name}_{figure}": getattr(record, name)[figure] for name in SPREADS}
        for side, counts in (("training", record.training), ("validation", record.validation)):
            row |= {f"{side}_{name}": counts[name] for name in ("patients", "radiographs")}
        row |= {f"{regime}_trial": trial for regime, trial in record.trials.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def summary_table(nested: Nested) -> pd.DataFrame:
    """The summary: `what, metric, value, std, low, high`; no rows where it is not finished.

    `std` is over the outer folds, `low` and `high` are the ends of a 95 % interval.
    """
    rows = []
    for what in SUMMARY_NAMES if nested.summary is not None else ():
        assert nested.summary is not None
        for figure in FIGURES:
            known = nested.summary[what][figure]
            value = known.get("mean", known.get("value"))
            rows.append(
                (what, figure, value, known.get("std"), known.get("low"), known.get("high"))
            )
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
