"""The rows of a search, so that out-of-fold predictions can be judged from its records.

It owns `rows.csv` of a project folder: the patient, the true scores and the validating fold of each
radiograph. The model of that fold is the only one that was not trained on the radiograph.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.csv_output import csv_text, original_text
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ResumeError
from rust_tuner.files import sha256_of_file, sha256_of_text, write_text
from rust_tuner.labels import CORTICES, encode, visible_mask
from rust_tuner.metrics import Predictions
from rust_tuner.records.project import Project, read_out_of_fold
from rust_tuner.records.trials import TrialRecord
from rust_tuner.scope import SCOPES, Problem

ROWS_FILE = "rows.csv"
NO_FOLD = -1

_TEXTS = ("patient_id", "visit", "view")
_SITE = "site"


def rows_table(radiographs: Radiographs, folds: list[npt.NDArray[np.int64]]) -> pd.DataFrame:
    """The table of `rows.csv`: one row per radiograph, in the order of the predictions.

    Args:
        radiographs: n radiographs.
        folds: the rows that each fold validates.

    Returns:
        `patient_id, visit, view`, `site` if there is one, the four cortices, and `fold`; it is
        -1 if no fold validates the row, and everywhere if some row has several folds.
    """
    number = np.zeros(len(radiographs), dtype=np.int64)
    fold_of_row = np.full(len(radiographs), NO_FOLD)
    for fold, rows in enumerate(folds):
        number[rows] += 1
        fold_of_row[rows] = fold
    if (number > 1).any():
        fold_of_row[:] = NO_FOLD
    table = radiographs.written
    names = [name for name in (*_TEXTS, _SITE, *CORTICES) if name in table]
    return table[names].reset_index(drop=True).assign(fold=fold_of_row)


def rows_sha256(rows: pd.DataFrame) -> str:
    """The SHA-256 of the file that `write_rows` makes."""
    return sha256_of_text(csv_text(rows))


def write_rows(folder: Path, rows: pd.DataFrame) -> None:
    """Write `rows.csv`, unless it exists already."""
    path = folder / ROWS_FILE
    if not path.is_file() or sha256_of_file(path) != rows_sha256(rows):
        write_text(path, csv_text(rows))


def read_rows(project: Project) -> pd.DataFrame:
    """The rows of a project's predictions; `site` is always there, empty if it is not known.

    Raises:
        ResumeError: if they are missing or differ from those of the search.
    """
    path = project.folder / ROWS_FILE
    expected = project.run.subject.rows
    if expected is None or not path.is_file() or sha256_of_file(path) != expected:
        raise ResumeError(
            f"{path} is missing or was changed, so the out-of-fold predictions cannot be judged; "
            "run the search again, which writes it again"
        )
    table = pd.read_csv(path, dtype=dict.fromkeys((*_TEXTS, _SITE), "str"), keep_default_na=False)
    texts = [name for name in (*_TEXTS, _SITE) if name in table]
    table[texts] = table[texts].apply(original_text)
    scores = table[list(CORTICES)].apply(pd.to_numeric, errors="coerce")
    table[list(CORTICES)] = scores.astype("float64")
    return table if _SITE in table else table.assign(**{_SITE: ""})


def out_of_fold_predictions(project: Project, trial: TrialRecord | None = None) -> Predictions:
    """A completed trial's predictions at its epoch, for all rows that a fold validates.

    Args:
        project: a search on radiographs.
        trial: the trial; the best one if None.

    Raises:
        ResumeError: if there are none, or more than one fold validates a row.
    """
    chosen = trial or project.best
    if chosen is None:
        raise ResumeError(f"{project.folder} has no completed trial, so there are no predictions")
    return predictions_of(read_rows(project), read_out_of_fold(project.folder, chosen.trial))


def predictions_of(rows: pd.DataFrame, probabilities: npt.NDArray[np.float32]) -> Predictions:
    """Predictions with the true labels, for the rows that one fold validates.

    Args:
        rows: from `read_rows`.
        probabilities: (n, 18) of the same rows.

    Raises:
        ResumeError: if their numbers differ, or no row is validated by exactly one fold.
    """
    counted = (rows["fold"] != NO_FOLD).to_numpy()
    if len(probabilities) != len(rows) or not counted.any():
        raise ResumeError(
            f"{len(probabilities)} predictions for {len(rows)} rows, of which {counted.sum()} are "
            "validated by exactly one fold; out-of-fold figures need one prediction for each"
        )
    scores = rows[list(CORTICES)].to_numpy(dtype=np.float64)
    return Predictions(
        labels=encode(rows["view"].tolist(), scores),
        visible=visible_mask(scores),
        probabilities=probabilities,
        patient_ids=rows["patient_id"].to_numpy(dtype=object),
        visits=rows["visit"].to_numpy(dtype=object),
        folds=rows["fold"].to_numpy(dtype=np.int64),
    ).subset(counted)


def problems_of(predictions: Predictions) -> dict[str, Problem]:
    """The inputs of both AUROCs of predictions: labels, scores, and which entries count."""
    arrays = (predictions.labels, predictions.probabilities, predictions.visible)
    return {scope.objective: scope.problem(*arrays) for scope in SCOPES}
