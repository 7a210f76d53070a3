"""Hold-out predictions, and tidy tables of them for the final figures.

A cortex counts only in rows where it has a score. Undefined values are NaN or left out, never
replaced.
"""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.csv_output import original_text
from rust_tuner.data.exact_csv import read_exactly
from rust_tuner.errors import RecordError, RustTunerError
from rust_tuner.files import read_whole
from rust_tuner.labels import CORTICES, LABELS, SCORES, decode_probabilities, encode, visible_mask
from rust_tuner.metrics import auroc, macro_average
from rust_tuner.records.holdout import Holdout
from rust_tuner.scope import SCOPES

_TEXTS = ("image", "patient_id", "visit", "view")
_SITE = "site"
_PROBABILITIES = tuple(f"probability_{label}" for label in LABELS)
# Two AUROCs that differ by more are not of the same predictions, as written and as read.
_AS_WRITTEN = 1e-6


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read `final/predictions.csv`: one row per radiograph, with true scores and 18 probabilities.

    Raises:
        FileNotFoundError: if there is no such file.
        RecordError: if it is not a CSV file.
        RustTunerError: if columns are missing or values are out of range.
    """
    source = Path(path)
    content = read_whole(source)
    try:
        table = read_exactly(io.BytesIO(content), dtype=dict.fromkeys((*_TEXTS, _SITE), "str"))
    except ValueError as error:
        raise RecordError.of(source, f"is not a CSV file ({error})", mend="restore it") from error
    missing = [name for name in (*_TEXTS, *CORTICES, *_PROBABILITIES) if name not in table.columns]
    if missing:
        raise RustTunerError(f"{source.name} lacks the column {missing[0]}; restore it")
    columns = [*CORTICES, *_PROBABILITIES]
    numbers = table[columns].apply(pd.to_numeric, errors="coerce")
    probabilities = numbers[list(_PROBABILITIES)].to_numpy(dtype=np.float64)
    wrong = np.argwhere(~((probabilities >= 0) & (probabilities <= 1)))
    if len(wrong):
        row, column = wrong[0]
        raise RustTunerError(
            f"{source.name} row {row + 1}: {_PROBABILITIES[column]}="
            f"{table[_PROBABILITIES[column]].iloc[row]}; a probability is in 0-1"
        )
    scores = numbers[list(CORTICES)].to_numpy(dtype=np.float64)
    given = table[list(CORTICES)].notna().to_numpy()
    wrong = np.argwhere(given & ~np.isin(scores, SCORES))
    if len(wrong):
        row, column = wrong[0]
        raise RustTunerError(
            f"{source.name} row {row + 1}: {CORTICES[column]}="
            f"{table[CORTICES[column]].iloc[row]}; a RUST score is 1-4 or empty"
        )
    texts = {name: original_text(table[name]) for name in (*_TEXTS, _SITE) if name in table}
    return table.assign(**texts, **{name: numbers[name].astype("float64") for name in columns})


def difference_from(predictions: pd.DataFrame, holdout: Holdout) -> str:
    """How predictions differ from those of `final/holdout.json`; empty if they do not.

    Args:
        predictions: from `read_predictions`.
        holdout: the content of `final/holdout.json`.
    """
    if len(predictions) != holdout.radiographs:
        return f"{len(predictions)} radiographs, not {holdout.radiographs}"
    scores = predictions[list(CORTICES)].to_numpy(dtype=np.float64)
    labels = encode(predictions["view"].tolist(), scores)
    answers = predictions[list(_PROBABILITIES)].to_numpy(dtype=np.float64)
    recorded_of = holdout.metrics.by_name
    for scope in SCOPES:
        areas = auroc(*scope.problem(labels, answers, visible_mask(scores)))
        recorded, value = recorded_of.get(scope.metric), macro_average(areas).value
        expected = float("nan") if recorded is None else float(recorded)
        if not np.isclose(expected, value, rtol=0, atol=_AS_WRITTEN, equal_nan=True):
            return f"{scope.title} {value:.3f}, not {expected:.3f}"
    return ""


def label_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per radiograph, visible cortex and score.

    Args:
        predictions: from `read_predictions`.

    Returns:
        `image, cortex, score, positive, probability`: whether the cortex has this score, and the
        predicted probability that it has.
    """
    parts: list[pd.DataFrame] = []
    for cortex in CORTICES:
        shown = predictions[predictions[cortex].notna()]
        parts.extend(
            pd.DataFrame(
                {
                    "image": shown["image"],
                    "cortex": cortex,
                    "score": score,
                    "positive": shown[cortex] == score,
                    "probability": shown[f"probability_{cortex}_{score}"],
                }
            )
            for score in SCORES
        )
    return pd.concat(parts, ignore_index=True)


def roc_table(labels: pd.DataFrame) -> pd.DataFrame:
    """ROC curves: `cortex, score, false_positive_rate, true_positive_rate, auroc, positives, rows`.

    A label with one class only has no curve, but one row that counts it.

    Args:
        labels: from `label_table`.
    """
    from sklearn.metrics import roc_curve

    parts = []
    for (cortex, score), rows in labels.groupby(["cortex", "score"], sort=False):
        truth, probability = _of(rows)
        curve = {"false_positive_rate": [np.nan], "true_positive_rate": [np.nan]}
        if _has_both(truth):
            false_rate, true_rate, _ = roc_curve(truth, probability)
            curve = {"false_positive_rate": false_rate, "true_positive_rate": true_rate}
        area = float(auroc(truth[:, None], probability[:, None])[0])
        counted = {"auroc": area, "positives": int(truth.sum()), "rows": len(rows)}
        parts.append(pd.DataFrame({"cortex": cortex, "score": score, **curve, **counted}))
    return _joined(parts)


def precision_recall_table(labels: pd.DataFrame) -> pd.DataFrame:
    """Curves: `cortex, score, recall, precision, average_precision, positives, rows`.

    A label with one class only has no curve, but one row that counts it.

    Args:
        labels: from `label_table`.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    parts = []
    for (cortex, score), rows in labels.groupby(["cortex", "score"], sort=False):
        truth, probability = _of(rows)
        curve, area = {"recall": [np.nan], "precision": [np.nan]}, np.nan
        if _has_both(truth):
            precision, recall, _ = precision_recall_curve(truth, probability)
            curve = {"recall": recall, "precision": precision}
            area = float(average_precision_score(truth, probability))
        counted = {"average_precision": area, "positives": int(truth.sum()), "rows": len(rows)}
        parts.append(pd.DataFrame({"cortex": cortex, "score": score, **curve, **counted}))
    return _joined(parts)


def confusion_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Most likely score against true score: `cortex, true_score, predicted_score, count, share`.

    `share` is that of the true score's rows; NaN where it has none.

    Args:
        predictions: from `read_predictions`.
    """
    answers = predictions[list(_PROBABILITIES)].to_numpy(dtype=np.float64)
    likeliest = decode_probabilities(answers).most_likely
    rows = []
    for column, cortex in enumerate(CORTICES):
        truth = predictions[cortex].to_numpy(dtype=np.float64)
        for true_score in SCORES:
            of_score = truth == true_score
            for predicted in SCORES:
                count = int((of_score & (likeliest[:, column] == predicted)).sum())
                share = count / of_score.sum() if of_score.any() else np.nan
                rows.append((cortex, true_score, predicted, count, share))
    names = ["cortex", "true_score", "predicted_score", "count", "share"]
    return pd.DataFrame(rows, columns=names)


def _of(rows: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    return rows["positive"].to_numpy(dtype=np.int64), rows["probability"].to_numpy(np.float64)


def _has_both(truth: npt.NDArray[np.int64]) -> bool:
    return 0 < int(truth.sum()) < len(truth)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    if not parts:
        raise RustTunerError("no radiograph has a visible cortex; nothing can be drawn of them")
    return pd.concat(parts, ignore_index=True)
