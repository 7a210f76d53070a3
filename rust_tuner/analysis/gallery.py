"""The radiographs with the largest errors of a model, and their thumbnails.

Thumbnails are pictures of patients: if the radiographs must not be shared, nor must they.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from rust_tuner.data.images import load_image
from rust_tuner.data.manifest import load_manifest
from rust_tuner.errors import ImageError, RustTunerError
from rust_tuner.labels import CORTICES, LABELS, decode_probabilities
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
    table: pd.DataFrame, manifest: Path | None, *, key: StudyKey | None = None
) -> dict[str, Path]:
    """Locate the radiographs of a table, even if a study and its manifest were moved.

    Args:
        table: `image, patient_id, visit, view`.
        manifest: the study's manifest; if it is None or cannot be read, the paths in the table
            are used.
        key: of the study, if the table has the names that it gives; None for plain ids.

    Returns:
        `image` of the table -> file.
    """
    paths: Mapping[tuple[str, ...], str] = {}
    if manifest is not None:
        try:
            # Patient ids were checked when the study was prepared.
            radiographs = named(load_manifest(manifest, distinct_patients=True), key)
            rows = radiographs.written.assign(image=radiographs.table["image"])
        except (RustTunerError, OSError):
            rows = table.iloc[:0]
        paths = {
            tuple(row[name] for name in _KEYS): row["image"] for row in rows.to_dict("records")
        }
    return {
        row["image"]: Path(paths.get(tuple(row[name] for name in _KEYS), row["image"]))
        for row in table.to_dict("records")
    }


def read_thumbnails(images: Mapping[str, Path]) -> dict[str, Thumbnail]:
    """Small grey pictures (128, 128) uint8, aspect ratio kept, from black to the image's brightest.

    Args:
        images: name -> file; one that cannot be read is left out.
    """
    thumbnails = {}
    for name, path in images.items():
        try:
            pixels = load_image(path, size=THUMBNAIL_SIZE, resize="letterbox").mean(axis=2)
        except ImageError:
            continue
        light = (pixels + 1) / max(float(pixels.max()) + 1, 1e-6)
        thumbnails[name] = (255 * light).round().astype(np.uint8)
    return thumbnails
