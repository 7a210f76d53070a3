"""What a search trains on, from the data that the user gave it: radiographs, or arrays.

How each becomes a subject belongs to `subjects` and `array_subject`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy.typing as npt

from rust_tuner.data.splits import Development, require_development
from rust_tuner.errors import SearchError
from rust_tuner.progress import Progress
from rust_tuner.records.private import named_within_study
from rust_tuner.search.array_subject import arrays_subject, notes_about
from rust_tuner.search.compile_arguments import CompileArguments
from rust_tuner.search.fit_options import FitOptions
from rust_tuner.search.groups import by_row_note
from rust_tuner.search.subjects import (
    Subject,
    images_subject,
    is_radiographs,
    radiographs_subject,
    takes_radiographs,
)


def subject_of(
    hypermodel: keras_tuner.HyperModel,
    x: Any,
    y: Any,
    groups: npt.ArrayLike | None,
    options: FitOptions,
    *,
    compiling: CompileArguments,
    cv: Any,
    seed: int,
    objectives: Sequence[str],
    folder: Path,
    cache: str | Path | None,
    progress: Progress,
) -> Subject:
    """The subject of a search, and what the user must know about the data, reported.

    Args:
        hypermodel: makes compiled models.
        x: as `CrossValidationTuner.search` takes them, but no dataset; `y` and `groups` likewise.
        y: the targets.
        groups: such as patients.
        options: what else was given to `search`.
        compiling: what models are compiled with, where the tuner was given that.
        cv: number of folds, `Folds`, or a scikit-learn splitter.
        seed: for folds that are made from a number.
        objectives: the metrics to optimise.
        folder: the project folder.
        cache: folder of the feature cache; the default one where None.
        progress: where to report.

    Raises:
        SearchError: where data, folds and model do not match.
    """
    if is_radiographs(x) or (y is None and takes_radiographs(hypermodel)):
        development = named_within_study(require_development(x), folder)
        if y is not None or groups is not None:
            raise SearchError(
                "y and groups are for arrays only; a development set has its own labels and "
                "patients"
            )
        options.refuse("radiographs")
        if compiling.is_given:
            raise SearchError(
                "optimizer, loss, metrics and max_model_size are for arrays only; the hypermodels "
                "of radiographs compile their models themselves"
            )
        return _of_radiographs(
            hypermodel, development, cv, seed=seed, cache=cache, progress=progress
        )
    subject = arrays_subject(
        hypermodel,
        x,
        y,
        groups,
        cv,
        seed=seed,
        objectives=objectives,
        folder=folder,
        options=options,
    )
    if groups is None and (note := by_row_note(cv, subject.data.num_rows)):
        progress.say(note)
    for note in notes_about(subject):
        progress.say(note)
    return subject


def _of_radiographs(
    hypermodel: keras_tuner.HyperModel, development: Development, cv: Any, **shared: Any
) -> Subject:
    """Radiographs as the hypermodel takes them: frozen features once, or images."""
    if hasattr(hypermodel, "feature_recipe"):
        return radiographs_subject(hypermodel, development, cv, **shared)
    if hasattr(hypermodel, "image_recipe"):
        return images_subject(hypermodel, development, cv, **shared)
    raise SearchError(
        f"{type(hypermodel).__name__} has no frozen backbone and no recipe for images; with "
        "radiographs, use TransferLearningHyperModel or ImageHyperModel; with arrays, any "
        "HyperModel"
    )
