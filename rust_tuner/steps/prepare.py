"""Preparing a study: what is checked and sealed before `study.json` is written."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from rust_tuner.batch_range import BatchSizes
from rust_tuner.data.folds import (
    Folds,
    folds_asked_for,
    make_site_folds,
    rows_trained_on,
    sites_alike,
)
from rust_tuner.data.images import survey_content
from rust_tuner.data.label_warnings import (
    note_of_unscored,
    require_different_scores,
    split_warnings,
)
from rust_tuner.data.radiographs import Radiographs, check_views
from rust_tuner.data.reading import Framing
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.data.survey import SurveyedImage, bits_of_radiographs
from rust_tuner.errors import Message, SplitError, marked
from rust_tuner.models.onnx_packages import require_onnx
from rust_tuner.models.weights import NAMED_WEIGHTS, check_architecture, find_local_weights
from rust_tuner.progress import Progress
from rust_tuner.protocol import Protocol
from rust_tuner.records.model import Weights
from rust_tuner.records.pixels import write_pixels
from rust_tuner.records.private import (
    PRIVATE,
    StudyKey,
    keeping_key,
    make_key,
    read_key,
    write_name_tables,
)
from rust_tuner.records.split import SPLIT_FILE, load_or_make_split, split_sha256
from rust_tuner.records.study import StudyFile
from rust_tuner.steps.small_data import Need, final_note, notes, require_enough

_WARNINGS_SHOWN = 3
_ROWS_SHOWN = 10


def write_study_file(
    file: StudyFile,
    radiographs: Radiographs,
    *,
    manifest: Path,
    protocol: Protocol,
    needs: Sequence[Need],
    progress: Progress,
    key: StudyKey | None = None,
) -> BatchSizes | None:
    """Check radiographs and weights, make the split and write `study.json`; the lock must be held.

    Args:
        file: `study.json`, which does not exist yet.
        radiographs: all of them.
        manifest: where they were read from.
        protocol: the study's choices.
        needs: the cross-validations of the next steps, for which there must be enough patients.
        progress: where to report.
        key: of the names that the radiographs are written under; None for their own ids.

    Returns:
        The batch sizes of Regime I that were reported; None if its folds cannot be made.

    Raises:
        ManifestError: with all faults of the images.
        SplitError: if the split or the folds cannot be made.
        WeightsError: if a file of weights is missing or not of an InceptionV3.
        ExtraError: if the package that computes the features is missing.
    """
    # A mistyped path must not be recorded.
    weights = find_local_weights(protocol.weights)
    if weights is not None:
        check_architecture(weights)
    if protocol.extractor == "onnxruntime":
        require_onnx()
    require_different_scores(radiographs)
    require_enough(radiographs, protocol, needs)
    if protocol.folds_by == "site":
        # Faults are reported now, not when the first search begins.
        make_site_folds(radiographs)
    say_warnings(progress, check_views(radiographs, protocol.view_cortices))
    for note in radiographs.notes:
        progress.say(Message(f"note: {marked(note)}"))
    if unscored := note_of_unscored(radiographs):
        progress.say(f"note: {unscored}")
    alike = sites_alike(radiographs)
    if alike and protocol.folds_by == "site":
        raise SplitError(
            f"{radiographs.source}: {alike}; one site would be on both sides of a fold, so write "
            "its name in one way, or two names that differ in more than case and spaces"
        )
    if alike:
        progress.say(f"note: {alike}; they count as two sites, so write one site's name in one way")
    with progress.task("reading images", len(radiographs)) as task:
        surveyed = survey_content(
            radiographs,
            framing=Framing.of(protocol.crop, protocol.remove_borders),
            on_progress=lambda done, total: task.advance(),
        )
    bits, notes = bits_of_radiographs(radiographs, surveyed)
    empty = _notes_of_uniform(radiographs, surveyed)
    for note in (*notes, *_notes_of_files(radiographs, surveyed), *empty):
        progress.say(Message(f"note: {marked(note)}"))
    if key is not None and weights is not None and weights.asked not in NAMED_WEIGHTS:
        key = key.with_changes(weights={weights.sha256: str(weights.path)})
    # Before study.json is written: a study without a split is not prepared.
    with keeping_key(file.directory, key):
        development, holdout = load_or_make_split(
            file.directory / SPLIT_FILE, radiographs, protocol.holdout_fraction, protocol.seed
        )
    say_warnings(progress, split_warnings(development.radiographs, holdout.radiographs))
    sizes = _say_batch_sizes(development, protocol, progress)
    with contextlib.suppress(SplitError):
        folds = folds_asked_for(development, protocol, protocol.num_folds)
        say_small_data(progress, development, holdout, protocol, folds)
    if note := final_note(radiographs, protocol, development):
        progress.say(f"note: {note}")
    if key is not None:
        write_name_tables(file.directory, radiographs)
        _say_names(radiographs, file.directory, progress)
    file.create(
        radiographs,
        development.radiographs,
        manifest=manifest,
        protocol=protocol,
        image_hashes=[image.file_sha256 for image in surveyed],
        split_sha256=split_sha256(file.directory),
        pixels_sha256=write_pixels(file.directory, radiographs, surveyed, bits),
        weights=None if weights is None else Weights.of(weights.to_json()),
        key=key,
    )
    return sizes


def begin_key(file: StudyFile, manifest: Path, *, plain_ids: bool) -> StudyKey | None:
    """The key of a study that is prepared now, or None for plain ids; nothing is written.

    A split that an earlier version made has plain ids, and is kept.
    """
    is_begun = (file.directory / SPLIT_FILE).exists() and read_key(file.directory) is None
    if plain_ids or is_begun:
        return None
    return make_key(file.directory, file.relative(manifest))


def _say_names(radiographs: Radiographs, directory: Path, progress: Progress) -> None:
    """Say that patients have other names in the study, and which visits have."""
    names = radiographs.pseudonyms
    assert names is not None
    progress.say(
        f"note: the study has keyed hashes instead of patient ids; {directory / PRIVATE} has the "
        "id of each hash, so keep that folder, and leave it out when you share the study"
    )
    if names.changed_visits:
        progress.say(
            f"note: {names.changed_visits} visits are numbered within their patient, as their "
            "names may be dates or say who the patient is (6 weeks, 3 months or 2 would be kept)"
        )


def say_small_data(
    progress: Progress,
    development: Development,
    holdout: HoldOut | None,
    protocol: Protocol,
    folds: Folds | int,
) -> None:
    """Say what the hold-out set will tell, and what a search can resolve."""
    for note in notes(development, holdout, protocol, folds):
        progress.say(f"note: {note}")


def say_warnings(progress: Progress, warnings: Sequence[str]) -> None:
    """Report warnings; if there are many of a kind, only the first one."""
    if len(warnings) > _WARNINGS_SHOWN:
        progress.say(f"note: {warnings[0]} ({len(warnings) - 1} more notes of this kind)")
        return
    for warning in warnings:
        progress.say(f"note: {warning}")


def _notes_of_files(radiographs: Radiographs, surveyed: Sequence[SurveyedImage]) -> list[str]:
    """What DICOM files made us assume, each note once, with how many files it is of."""
    rows: dict[str, list[int]] = {}
    for row, image in zip(radiographs.rows, surveyed, strict=True):
        for note in image.notes:
            rows.setdefault(note, []).append(row)
    return [
        f"{len(of_note)} DICOM files, such as that of row {of_note[0]}: {note}"
        if len(of_note) > 1
        else f"the DICOM file of row {of_note[0]}: {note}"
        for note, of_note in rows.items()
    ]


def _notes_of_uniform(radiographs: Radiographs, surveyed: Sequence[SurveyedImage]) -> list[str]:
    """Which pictures show nothing, as where a DICOM window lies beside all values."""
    uniform = [
        (row, image)
        for row, image in zip(radiographs.rows, surveyed, strict=True)
        if image.is_uniform
    ]
    if not uniform:
        return []
    rows = ", ".join(str(row) for row, _ in uniform[:_ROWS_SHOWN])
    more = f" and {len(uniform) - _ROWS_SHOWN} more" if len(uniform) > _ROWS_SHOWN else ""
    steps = uniform[0][1].steps
    how = f" (row {uniform[0][0]}: {'; '.join(steps)})" if steps else ""
    return [
        f"all pixels of the picture have one value in row{'s' if len(uniform) > 1 else ''} {rows}"
        f"{more}{how}; look at the files, and leave out what shows nothing"
    ]


def _say_batch_sizes(
    development: Development, protocol: Protocol, progress: Progress
) -> BatchSizes | None:
    """Report how many radiographs a fold trains on, and which batch sizes hold all of them.

    Nothing is reported if there are too few patients for the folds: the search raises an error,
    and may be run with fewer folds.
    """
    sizes = None
    with contextlib.suppress(SplitError):
        rows = rows_trained_on(development, protocol, protocol.num_folds)
        sizes = protocol.batch_sizes(rows)
        progress.say(sizes.note("a fold of Regime I"))
    with contextlib.suppress(SplitError):
        rows = rows_trained_on(development, protocol, protocol.baseline_folds)
        if protocol.baseline_batch_size >= rows:
            progress.say(
                f"note: a fold of the first models trains on up to {rows} radiographs, so "
                f"their batch size of {protocol.baseline_batch_size} makes an epoch one step"
            )
    return sizes
