"""Scores of new radiographs by a saved model: the view, four cortices, and the total of a visit.

Research use only: it is not a medical device, and no treatment may depend on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rust_tuner.data.faults import MAX_FAULTS_SHOWN
from rust_tuner.data.images import load_image
from rust_tuner.data.picture_statistics import picture_statistics
from rust_tuner.data.reading import Box
from rust_tuner.data.row_record import sealed_images
from rust_tuner.data.survey import readings_of_new
from rust_tuner.errors import ImageError, SplitError, marked, private
from rust_tuner.files import sha256_of_file
from rust_tuner.labels import CORTICES, NUM_VIEWS, SCORES, VIEWS, decode_probabilities
from rust_tuner.records.looks import FINAL, MODEL_FILE
from rust_tuner.records.model_card import read_card
from rust_tuner.records.novelty import read_novelty
from rust_tuner.records.private import predicted_names
from rust_tuner.records.study import StudyFile
from rust_tuner.steps.final import load_final_model, predict_probabilities, predict_with_features

NOTICE = "Research use only; not a medical device."

PART = 32


def predict_radiographs(
    model: str | Path,
    images: Sequence[str | Path],
    *,
    pairs: bool | Sequence[tuple[int, int]] = False,
    boxes: Sequence[Box | None] | None = None,
    bits: Sequence[int | None] | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> pd.DataFrame:
    """Read RUST scores from radiographs.

    Args:
        model: a study's folder, or its `model.keras`, with `model.json` beside it.
        images: PNG, JPEG, TIFF or DICOM files, which are read as those of the study were;
            `steps.image_list.list_images` lists those of folders and manifests.
        pairs: which images are the two views of one visit, as pairs of positions; True for every
            two consecutive images.
        boxes: left, top, right and bottom of the part of each image that is used, as the
            manifest's crop columns; whole images if None.
        bits: how many bits of each 16-bit image are used, as the manifest's column `bits`; what the
            images themselves tell if None.
        say: called with each note on how 16-bit images were read.

    Returns:
        One row per image: `image`, `view` and `view_probability`; for each cortex its most likely
        score, that score's normalised probability among the four (`medial_probability`), whether
        the image's view is expected to show the cortex (`medial_shown`), and the four
        probabilities of the model (`medial_1` to `medial_4`). `distance` says how unlike the
        development images it is, see `Novelty.distances`; above 1 `unlike` is true. Both are
        missing for a model without `novelty.npz`. With `pairs` also `pair` (from 1), `rust_total`
        (4-16), with each cortex from the view that shows it, and `total_missing`, which says why
        there is no total.

    Raises:
        ImageError: for no images, an odd number of them with `pairs=True`, or files that cannot
            be decoded, with the position of each.
        SplitError: for an image of the hold-out set of the model's study, if this model has not
            looked at that set; only `Study.final` looks at it, and records the look.
        ResumeError: if the model or its record is missing, or they do not match.
    """
    paths = [Path(image) for image in images]
    if not paths or (pairs is True and len(paths) % 2):
        expected = "an even number" if pairs is True else "at least one"
        raise ImageError(f"{len(paths)} images; expected {expected}")
    file = model_file(model)
    card = read_card(file)
    _refuse_sealed(file, card.model_sha256, paths)
    novelty = read_novelty(file, card)
    readings = readings_of_new(
        paths, known=card.input.grey_bits, given=bits, framing=card.input.framing, say=say
    )
    if boxes is not None:
        readings = tuple(replace(one, box=box) for one, box in zip(readings, boxes, strict=True))
    loaded = None
    answers, distances = [], []
    faults: dict[int, ImageError] = {}
    # In parts, so that a folder of any size fits into memory.
    for start in range(0, len(paths), PART):
        decoded = []
        for position in range(start, min(start + PART, len(paths))):
            try:
                decoded.append(
                    load_image(
                        paths[position],
                        size=card.input.image_size,
                        resize=card.input.resize,
                        reading=readings[position],
                    )
                )
            except ImageError as error:
                faults[position] = error
        if faults:
            # The other images are read only to report the faults of all of them.
            continue
        values = np.stack(decoded)
        # After the first images: TensorFlow takes seconds to start, and a faulty image needs none.
        if loaded is None:
            loaded = load_final_model(file, image_size=card.input.image_size)
        if novelty is None:
            answers.append(predict_probabilities(loaded, values))
            distances.append(np.full(len(values), np.nan))
        else:
            features, part = predict_with_features(loaded, values)
            answers.append(part)
            statistics = np.stack([picture_statistics(image) for image in values])
            distances.append(novelty.distances(features, statistics))
    if faults:
        raise _error_of_all(faults, len(paths))
    table = as_table(paths, np.concatenate(answers), card.view_cortices)
    table["distance"] = np.concatenate(distances)
    table["unlike"] = (table["distance"] > 1).astype("boolean").mask(table["distance"].isna())
    if pairs is True:
        pairs = [(start, start + 1) for start in range(0, len(table), 2)]
    return table if pairs is False else with_totals(table, pairs, card.view_cortices)


def _error_of_all(faults: Mapping[int, ImageError], num_images: int) -> ImageError:
    """One error for all images that cannot be decoded."""
    if num_images == 1:
        return faults[0]
    lines = [
        f"image {position + 1} of {num_images}: {marked(error)}"
        for position, error in list(faults.items())[:MAX_FAULTS_SHOWN]
    ]
    hidden = len(faults) - len(lines)
    return ImageError("\n".join(lines + [f"and {hidden} more"] * bool(hidden)))


def model_file(model: str | Path) -> Path:
    """The file of a model: of a study's folder its final one, anything else as it is."""
    path = Path(model)
    return path / FINAL / MODEL_FILE if path.is_dir() else path


def written_names(model: Path, images: list[str]) -> list[str] | None:
    """The names under which a model's study writes new images; None for their paths.

    Args:
        model: a model's file.
        images: the paths of images that it has read.
    """
    folder = model.resolve().parent
    return predicted_names(folder.parent, images) if folder.name == FINAL else None


def _refuse_sealed(model: Path, sha256: str | None, images: Sequence[Path]) -> None:
    """Refuse to score sealed images with a model that has not looked at them.

    They are recognised by their bytes, and only if the model is in its study's folder.
    """
    folder = model.resolve().parent
    if folder.name != FINAL:
        return
    file = StudyFile(folder.parent)
    if not file.is_there:
        return
    if any(look.state == "finished" and look.model_sha256 == sha256 for look in file.looks):
        return
    sealed = sealed_images(file.rows)
    refused = [path for path in images if path.is_file() and sha256_of_file(path) in sealed]
    if refused:
        raise SplitError(
            f"{private(refused[0])} is in the sealed hold-out set of {file.directory} "
            f"({len(refused)} of "
            f"{len(images)} images are); `rust-tuner final` looks at it once, and records the look"
        )


def as_table(
    paths: Sequence[Path], answers: Any, view_cortices: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """One row an image: its view, and each cortex's most likely score with all probabilities."""
    decoded = decode_probabilities(answers)
    blocks = answers[:, NUM_VIEWS:].reshape(len(answers), len(CORTICES), len(SCORES))
    totals = np.maximum(blocks.sum(axis=2), np.finfo(np.float32).tiny)
    rows = []
    for index, path in enumerate(paths):
        view = decoded.views[index]
        row: dict[str, Any] = {
            "image": str(path),
            "view": view,
            "view_probability": float(answers[index, VIEWS.index(view)]),
        }
        for column, cortex in enumerate(CORTICES):
            score = int(decoded.most_likely[index, column])
            share = blocks[index, column, score - SCORES[0]] / totals[index, column]
            row |= {
                cortex: score,
                f"{cortex}_probability": float(share),
                f"{cortex}_shown": cortex in view_cortices[view],
            }
            for offset, value in enumerate(SCORES):
                row[f"{cortex}_{value}"] = float(blocks[index, column, offset])
        rows.append(row)
    return pd.DataFrame(rows)


def with_totals(
    table: pd.DataFrame,
    pairs: Sequence[tuple[int, int]],
    view_cortices: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Add each pair's total to both of its rows, and the reason if there is none."""
    groups = list(pairs)
    paired = {position for pair in pairs for position in pair}
    singles = [(position,) for position in range(len(table)) if position not in paired]
    numbers: list[int | None] = [None] * len(table)
    totals: list[int | None] = [None] * len(table)
    reasons = [""] * len(table)
    for number, positions in enumerate([*groups, *singles], start=1):
        rows = table.iloc[list(positions)]
        scores = [rows.loc[rows[f"{cortex}_shown"], cortex] for cortex in CORTICES]
        # Of two different views, exactly one shows a cortex; of two equal ones, both or neither.
        is_whole = all(len(shown) == 1 for shown in scores)
        total = sum(int(shown.iloc[0]) for shown in scores) if is_whole else None
        reason = "" if is_whole else _why_no_total(rows["view"].tolist(), view_cortices)
        for position in positions:
            numbers[position] = number if len(positions) == 2 else None
            totals[position], reasons[position] = total, reason
    return table.assign(
        pair=pd.array(numbers, dtype="Int64"),
        rust_total=pd.array(totals, dtype="Int64"),
        total_missing=reasons,
    )


def _why_no_total(views: Sequence[str], view_cortices: Mapping[str, Sequence[str]]) -> str:
    """Which view is missing, and the cortices that only it shows."""
    names = {"ap": "AP", "lateral": "lateral"}
    missing = [view for view in VIEWS if view not in views]
    hidden = [cortex for view in missing for cortex in view_cortices[view]]
    both = f"both images look like {names[views[0]]} views, " if len(views) == 2 else ""
    return (
        f"{both}no {' or '.join(names[view] for view in missing)} view, which shows "
        f"{' and '.join(hidden)}"
    )
