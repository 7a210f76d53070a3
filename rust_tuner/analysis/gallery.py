"""The radiographs with the largest errors of a model, and their thumbnails, as the model sees them.

Thumbnails are pictures of patients: if the radiographs must not be shared, nor must they.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.images import load_image
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.reading import AS_STORED, WHOLE, Framing, Reading, framed
from rust_tuner.errors import ImageError, RustTunerError
from rust_tuner.labels import CORTICES, LABELS, decode_probabilities
from rust_tuner.protocol import ANATOMICAL_VIEWS
from rust_tuner.records.pixels import PixelsRecord, read_as_recorded
from rust_tuner.records.private import StudyKey, named

Thumbnail = npt.NDArray[np.uint8]

# Pixels a side: enough for a tile of a third of a column.
THUMBNAIL_SIZE = 128

_KEYS = ("patient_id", "visit", "view")


def worst_errors(predictions: pd.DataFrame, *, count: int = 9) -> pd.DataFrame:
    """The misread radiographs, the worst first.

    A radiograph's error is the sum of the absolute errors, in points, of the most likely scores of
    its visible cortices. Ties are broken by the error of the expected scores (the means under the
    four normalised probabilities).

    Args:
        predictions: from `read_predictions`.
        count: how many at most.

    Returns:
        `rank` (from 1), `image, patient_id, visit, view, error` (points, 1 or more),
        `expected_error`, and of each cortex `<cortex>_true` and `<cortex>_predicted`, NaN where it
        is not visible.
    """
    answers = predictions[[f"probability_{label}" for label in LABELS]].to_numpy(dtype=np.float64)
    decoded = decode_probabilities(answers)
    truth = predictions[list(CORTICES)].to_numpy(dtype=np.float64)
    likeliest = np.where(np.isnan(truth), np.nan, decoded.most_likely)
    table = predictions[["image", *_KEYS]].assign(
        error=np.nansum(np.abs(likeliest - truth), axis=1),
        expected_error=np.nansum(np.abs(decoded.expected - truth), axis=1),
        **{f"{cortex}_true": truth[:, column] for column, cortex in enumerate(CORTICES)},
        **{f"{cortex}_predicted": likeliest[:, column] for column, cortex in enumerate(CORTICES)},
    )
    table = table[table["error"] > 0]
    order = ["error", "expected_error"]
    worst: pd.DataFrame = table.sort_values(order, ascending=False, kind="stable").head(count)
    worst.insert(0, "rank", range(1, len(worst) + 1))
    return worst.reset_index(drop=True)


def find_images(
    table: pd.DataFrame,
    manifest: Path | None,
    *,
    key: StudyKey | None = None,
    pixels: PixelsRecord | None = None,
    framing: Framing = WHOLE,
    view_cortices: Mapping[str, tuple[str, ...]] = ANATOMICAL_VIEWS,
) -> dict[str, tuple[Path, Reading]]:
    """Locate the radiographs of a table, even if a study and its manifest were moved.

    Args:
        table: `image, patient_id, visit, view`.
        manifest: the study's manifest; if it is None or cannot be read, the paths in the table
            are used.
        key: of the study, if the table has the names that it gives; None for plain ids.
        pixels: how the study reads its files; None if they are read as stored.
        framing: which part of each picture the study uses.
        view_cortices: the cortices that each view shows, as `load_manifest` takes them.

    Returns:
        `image` of the table -> file, and how the study reads it.
    """
    images: Mapping[tuple[str, ...], tuple[Path, Reading]] = {}
    if manifest is not None:
        try:
            # Patient ids were checked when the study was prepared.
            radiographs = named(
                load_manifest(manifest, distinct_patients=True, view_cortices=view_cortices), key
            )
            if pixels is not None:
                radiographs = read_as_recorded(radiographs, pixels)
            keys = radiographs.written[list(_KEYS)].itertuples(index=False, name=None)
            readings = framed(radiographs.readings, framing)
            images = dict(zip(keys, zip(radiographs.images, readings, strict=True), strict=True))
        except (RustTunerError, OSError):
            images = {}
    return {
        row["image"]: images.get(
            tuple(row[name] for name in _KEYS),
            (Path(row["image"]), replace(AS_STORED, framing=framing)),
        )
        for row in table.to_dict("records")
    }


def read_thumbnails(images: Mapping[str, tuple[Path, Reading]]) -> dict[str, Thumbnail]:
    """Small grey pictures (128, 128) uint8, aspect ratio kept, from black to the image's brightest.

    Args:
        images: name -> file, and how it is read; one that cannot be read is left out.

    Returns:
        The part of each picture that is used.
    """
    thumbnails = {}
    for name, (path, reading) in images.items():
        try:
            pixels = load_image(
                path, size=THUMBNAIL_SIZE, resize="letterbox", reading=reading
            ).mean(axis=2)
        except ImageError:
            continue
        light = (pixels + 1) / max(float(pixels.max()) + 1, 1e-6)
        thumbnails[name] = (255 * light).round().astype(np.uint8)
    return thumbnails
