"""The record of each row and image of a study, so that a change can be located.

It holds digests of rows as the study writes them, no patient data; whether anything changed is
decided by the hashes of all rows (`radiographs_sha256`) and of all images, which belong to
`images`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rust_tuner.data.cells import PIXEL_COLUMNS
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.files import sha256_of_json
from rust_tuner.labels import CORTICES

_DIGITS = 16
_SHOWN = 10


def radiographs_sha256(radiographs: Radiographs) -> str:
    """The SHA-256 of patients, visits, views, scores and, if there are any, sites and crops.

    Row order and paths do not matter. Patients and visits count as they are written, so that the
    hashes of a few patients do not give away their ids.
    """
    rows = row_values(radiographs)
    return sha256_of_json(sorted(rows, key=lambda row: [str(value) for value in row]))


def row_record(
    radiographs: Radiographs, development: Radiographs, image_hashes: Sequence[str]
) -> dict[str, list[Any]]:
    """The rows of a manifest as JSON values, in their order.

    Args:
        radiographs: n radiographs.
        development: those of them that are not sealed.
        image_hashes: the n SHA-256 of the image files.

    Returns:
        Four lists of n: `row` (as a spreadsheet numbers it), `digest` (of patient, visit, view,
        scores, site, crop and bits), `image_sha256`, and `sealed` (whether it is in the hold-out
        set).
    """
    kept = set(development.written_patients)
    return {
        "row": list(radiographs.rows),
        "digest": row_digests(radiographs),
        "image_sha256": list(image_hashes),
        "sealed": [patient not in kept for patient in radiographs.written_patients],
    }


def row_digests(radiographs: Radiographs) -> list[str]:
    """A digest of the values of each of n rows."""
    return [sha256_of_json(row)[:_DIGITS] for row in row_values(radiographs)]


def row_values(radiographs: Radiographs) -> list[list[Any]]:
    """Patient, visit, view, scores and, if there are any, site, crop and bits of n rows."""
    table = radiographs.written
    texts = ["patient_id", "visit", "view", *(["site"] if "site" in table else [])]
    numbers = [*CORTICES, *(name for name in PIXEL_COLUMNS if name in table)]
    return [
        [*words, *(None if np.isnan(value) else int(value) for value in values)]
        for words, values in zip(
            table[texts].itertuples(index=False, name=None),
            table[numbers].itertuples(index=False, name=None),
            strict=True,
        )
    ]


def prepared_order(
    radiographs: Radiographs, record: Mapping[str, Any]
) -> tuple[list[int], list[int]] | None:
    """How to bring a manifest's rows into the order that they were prepared in.

    Folds, features and predictions follow the order of the rows.

    Args:
        radiographs: of the manifest as it is now.
        record: what `row_record` returned; empty for a study that has none.

    Returns:
        Positions in the prepared order, and the row numbers of that time; None if the rows are not
        the prepared ones, or the record is not readable.
    """
    if not _is_readable(record):
        return None
    positions: dict[str, list[int]] = {}
    for position, digest in reversed(list(enumerate(row_digests(radiographs)))):
        positions.setdefault(digest, []).append(position)
    if Counter({digest: len(found) for digest, found in positions.items()}) != Counter(
        record["digest"]
    ):
        return None
    # Rows that are alike in all of this keep their order.
    return [positions[digest].pop() for digest in record["digest"]], list(record["row"])


def prepared_hashes(radiographs: Radiographs, record: Mapping[str, Any]) -> list[str | None]:
    """The SHA-256 that each image file had when it was prepared; None where that is not known.

    Args:
        radiographs: n radiographs.
        record: what `row_record` returned; empty for a study that has none.
    """
    if not _is_readable(record):
        return [None] * len(radiographs)
    count = Counter(record["digest"])
    of_row = dict(zip(record["digest"], record["image_sha256"], strict=True))
    return [of_row[digest] if count[digest] == 1 else None for digest in row_digests(radiographs)]


def changed_rows(radiographs: Radiographs, record: Mapping[str, Any]) -> list[str]:
    """The rows that differ from the prepared ones, one line each; empty if unknown.

    Args:
        radiographs: of the manifest as it is now.
        record: what `row_record` returned; empty for a study that has none.
    """
    if not _is_readable(record):
        return []
    digests = row_digests(radiographs)
    removed = Counter(record["digest"]) - Counter(digests)
    added = Counter(digests) - Counter(record["digest"])
    lines = []
    # A row that keeps its number is named once; from the last, since new rows are at the end.
    prepared = {
        row: digest
        for row, digest in zip(record["row"], record["digest"], strict=True)
        if removed[digest]
    }
    for position in reversed(range(len(digests))):
        digest, row = digests[position], radiographs.rows[position]
        if not added[digest]:
            continue
        added[digest] -= 1
        what = "changed" if prepared.pop(row, None) is not None else "is new or changed"
        lines.append((row, f"{_named(radiographs, position)} {what}"))
    lines += [(row, f"row {row} of the prepared manifest is missing") for row in prepared]
    return _first([text for _, text in sorted(lines)])


def changed_images(
    radiographs: Radiographs, hashes: Sequence[str], record: Mapping[str, Any]
) -> list[str]:
    """The image files that differ from the prepared ones, one line each; empty if unknown.

    Args:
        radiographs: n radiographs, whose rows equal the prepared ones.
        hashes: the n SHA-256 of their image files now.
        record: what `row_record` returned; empty for a study that has none.
    """
    if not _is_readable(record):
        return []
    expected = Counter(zip(record["digest"], record["image_sha256"], strict=True))
    owners = dict(zip(record["image_sha256"], record["row"], strict=True))
    lines = []
    for position, pair in enumerate(zip(row_digests(radiographs), hashes, strict=True)):
        if expected[pair]:
            expected[pair] -= 1
            continue
        owner = owners.get(pair[1])
        what = "changed" if owner is None else f"is the image that row {owner} had"
        lines.append(f"{_named(radiographs, position)}: {what}")
    return _first(lines)


def sealed_images(record: Mapping[str, Any]) -> frozenset[str]:
    """The SHA-256 of the image files of the hold-out set; empty if they are unknown."""
    if not _is_readable(record):
        return frozenset()
    pairs = zip(record["image_sha256"], record["sealed"], strict=True)
    return frozenset(str(digest) for digest, is_sealed in pairs if is_sealed)


def _named(radiographs: Radiographs, position: int) -> str:
    row = radiographs.written.iloc[position]
    return f"row {radiographs.rows[position]} ({row['image']}, patient {row['patient_id']})"


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return lines if more <= 0 else [*lines[:_SHOWN], f"and {more} more"]


def _is_readable(record: Mapping[str, Any]) -> bool:
    """Whether it has the lists; a damaged record only makes messages less specific."""
    columns = [record.get(name) for name in ("row", "digest", "image_sha256", "sealed")]
    if not all(isinstance(column, list) for column in columns):
        return False
    sizes = {len(column) for column in columns if isinstance(column, list)}
    texts = [*(record["digest"]), *(record["image_sha256"])]
    return len(sizes) == 1 and all(isinstance(text, str) for text in texts)
