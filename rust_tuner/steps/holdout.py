"""The look at the hold-out set: predictions, figures and their record.

This is the only module that takes a `HoldOut`. Each look is noted in `study.json` before a sealed
image is read, and every look after the first one needs a reason.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rust_tuner.analysis.assessment import (
    as_predictions,
    figures_table,
    label_figures,
    overall_figures,
)
from rust_tuner.analysis.study_figures import SCORE_FIGURES, find_figure
from rust_tuner.data.cells import COLUMNS
from rust_tuner.data.csv_output import csv_text
from rust_tuner.data.pipeline import decode_images
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.errors import ProtocolError, ResumeError, SearchError
from rust_tuner.files import sha256_of_file, write_text
from rust_tuner.labels import LABELS
from rust_tuner.metrics import auroc, macro_average, view_only_scores
from rust_tuner.metrics.figure import CORTEX_GROUP, EVERY_ROW
from rust_tuner.progress import Progress
from rust_tuner.protocol import Protocol
from rust_tuner.records.holdout import (
    Holdout,
    HoldoutMetrics,
    LabelFigures,
    LookNote,
    TwoFigures,
    UnionRecord,
    read_holdout,
    write_holdout,
)
from rust_tuner.records.looks import (
    FINAL,
    HOLDOUT_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    is_whole,
    look_refused,
)
from rust_tuner.records.model_card import read_card, write_card
from rust_tuner.records.study import StudyFile
from rust_tuner.scope import SCOPES
from rust_tuner.steps.final import (
    chosen_union_cutoff,
    load_final_model,
    looks_so_far,
    predict_probabilities,
)

FIGURES_FILE = "figures.csv"


THRESHOLD = 0.5


_LABEL_FIGURES = ("auroc", "precision", "recall", "f1")


def evaluate_holdout(
    directory: str | Path,
    development: Development,
    holdout: HoldOut,
    *,
    epoch: int,
    protocol: Protocol | None = None,
    look_again: str | None = None,
    progress: Progress | None = None,
) -> Holdout:
    """Look at the hold-out set, once; its figures are estimates. The study's lock must be held.

    The look is noted in `study.json`, on disk, before the first image is read. Then three files are
    written: `predictions.csv`, one row per radiograph; `figures.csv`, every figure of
    `metrics.assess` with its interval over patients; and `holdout.json`, which completes the look.
    If the look is complete, `holdout.json` is returned and nothing is computed. If it was
    interrupted, it is resumed with the same model.

    Args:
        directory: the study's folder, whose `final` holds `model.keras`.
        development: the development set; the view-only baseline takes its prevalences from it.
        holdout: the sealed set.
        epoch: the epoch that the cross-validation chose, from 0; it is only recorded.
        protocol: gives the union threshold; `Protocol.study()` if None. The predicted total
            from which on the model predicts union is chosen on the out-of-fold predictions of
            `final/cross_validation`, never on the hold-out set.
        look_again: the reason for another look; None for the first.
        progress: where to report; nowhere by default.

    Returns:
        The content of `holdout.json`. `metrics` has the figures of the most likely scores, then
        AUROC of all labels and of visible cortices, precision, recall and F1 at 0.5; `labels` has
        these for each label; `figures` has all figures that are not of one label.

    Raises:
        SearchError: for anything but a hold-out set.
        ResumeError: if there is no model, or it does not match its record; if the study has
            not been prepared; for a look after the first one without a reason.
    """
    folder = Path(directory) / FINAL
    if not isinstance(holdout, HoldOut):
        raise SearchError(f"got {type(holdout).__name__}, expected HoldOut, from split_holdout")
    seen = known_evaluation(directory, reason=look_again)
    if seen is not None:
        return seen
    card = read_card(folder / MODEL_FILE)
    file = StudyFile(Path(directory))
    if not file.is_there:
        raise ResumeError(
            f"{directory} has no study.json to note the look in; run `rust-tuner prepare` first"
        )
    look = file.begin_look(card.model_sha256, look_again)
    radiographs = holdout.radiographs
    image_size = card.input.image_size
    # Loaded first: if the model cannot be loaded, no sealed image is read.
    model = load_final_model(folder / MODEL_FILE, image_size=image_size)
    images = decode_images(
        radiographs,
        image_size=image_size,
        resize=card.input.resize,
        framing=card.input.framing,
        progress=progress,
    )
    answers = predict_probabilities(model, images)
    names = [name for name in (*COLUMNS, "site") if name in radiographs.table]
    table = radiographs.written[names].reset_index(drop=True)
    # In float64: pandas writes too few digits of float32, and figures computed from the file would
    # differ from ours by up to a relative 1e-7.
    named = pd.DataFrame(
        answers.astype(np.float64), columns=[f"probability_{label}" for label in LABELS]
    )
    predictions = pd.concat([table, named], axis=1)
    union = chosen_union_cutoff(Path(directory), protocol or Protocol.study())
    noted = UnionRecord.of(union.to_json())
    if card.union != noted:
        # The model was fitted by an earlier version, or for another threshold.
        write_card(folder, card.with_changes(union=noted))
    figures = figures_table(
        as_predictions(predictions), union_threshold=union.threshold, union_cutoff=union.value
    )
    write_text(folder / PREDICTIONS_FILE, csv_text(predictions))
    write_text(folder / FIGURES_FILE, csv_text(figures))
    metrics, alone, labels = holdout_figures(development, holdout, figures)
    assert look.date is not None
    record = Holdout(
        format=1,
        kind="estimate: from patients that played no part in any choice",
        date=look.date,
        looks=[
            LookNote(date=one.date, model_sha256=one.model_sha256, reason=one.reason)
            for one in file.looks
        ],
        radiographs=len(radiographs),
        patients=len(set(radiographs.patient_ids)),
        threshold=THRESHOLD,
        union_threshold=union.threshold,
        union_cutoff=noted,
        epoch=epoch,
        model_sha256=card.model_sha256,
        metrics=metrics,
        view_only_baseline=alone,
        labels=labels,
        figures=[
            {str(name): _plain(value) for name, value in row.items()}
            for row in overall_figures(figures).to_dict("records")
        ],
        predictions_sha256=sha256_of_file(folder / PREDICTIONS_FILE),
    )
    write_holdout(directory, record)
    file.finish_look(record.metrics.by_name)
    return record


def holdout_figures(
    development: Development, holdout: HoldOut, figures: pd.DataFrame
) -> tuple[HoldoutMetrics, TwoFigures, list[LabelFigures]]:
    """What `holdout.json` has in addition to the list of all figures.

    Args:
        development: the view-only baseline takes its prevalences from it.
        holdout: the sealed set.
        figures: from `figures_table`, of its predictions.

    Returns:
        Its `metrics`, `view_only_baseline` and `labels`; None if a figure is undefined.
    """
    radiographs = holdout.radiographs
    labels, visible = radiographs.labels, radiographs.visible
    metrics = {name: _value(figures, name, CORTEX_GROUP) for name in SCORE_FIGURES}
    for scope in SCOPES:
        metrics |= {
            f"{scope.prefix}{name}": _value(figures, name, scope.key) for name in _LABEL_FIGURES
        }
    alone = view_only_scores(development.radiographs.labels, labels)
    of_labels = label_figures(figures)
    rows = of_labels[of_labels["counted"] == EVERY_ROW].to_dict("records")
    baseline = {
        scope.metric: _number(macro_average(auroc(*scope.problem(labels, alone, visible))).value)
        for scope in SCOPES
    }
    of_each = [
        LabelFigures(
            label=row["label"],
            positives=int(labels[:, LABELS.index(row["label"])].sum()),
            rows=len(labels),
            **{name: _number(row[name]) for name in _LABEL_FIGURES},
        )
        for row in rows
    ]
    return HoldoutMetrics.of(metrics), TwoFigures.of(baseline), of_each


def _value(figures: pd.DataFrame, name: str, of: str) -> float | None:
    """The value of a figure; None if it is undefined or missing."""
    row = find_figure(figures, name, of)
    return None if row is None else _number(row["value"])


def known_evaluation(directory: str | Path, *, reason: str | None = None) -> Holdout | None:
    """The result of the last look, unless a look is to be made or resumed.

    The same command with the same reason and model returns the same result, as for any step.

    Args:
        directory: the study's folder.
        reason: why the hold-out set is looked at again; None for no further look.

    Returns:
        The content of `final/holdout.json`; None if a look may be made or resumed.

    Raises:
        ProtocolError: for a reason if there was no look yet.
        ResumeError: if there was a look, no reason is given, and its result is missing or was
            changed, or its model is missing so that it cannot be resumed.
    """
    study = Path(directory)
    looks = looks_so_far(study)
    if not looks:
        if reason is not None:
            raise ProtocolError(
                f"look_again={reason!r}; the hold-out set of {study} has not been looked at yet, "
                "so leave out look_again"
            )
        return None
    last, path = looks[-1], study / FINAL / HOLDOUT_FILE
    model = study / FINAL / MODEL_FILE
    sha256 = sha256_of_file(model) if model.is_file() else None
    has_model = sha256 is not None and sha256 == last.model_sha256
    if last.state == "begun":
        if reason is None and not has_model:
            fault = "was replaced" if sha256 else "is missing"
            raise look_refused(study, last, f"{model} {fault}")
        return None
    if is_whole(last, study) and (reason is None or (reason == last.reason and has_model)):
        return read_holdout(study)
    if reason is None:
        fault = "was changed" if path.exists() else "is missing"
        raise look_refused(study, last, f"{path} {fault}")
    return None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(value: Any) -> Any:
    """A cell of a table as a JSON value; None for an empty one."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
