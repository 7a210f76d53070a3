"""A page with every image beside its scores, for a person to look at before anything is trained."""

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from rust_tuner.data.images import load_image
from rust_tuner.data.matching import Pair, Unmatched
from rust_tuner.data.pictures import DECODING_THREADS
from rust_tuner.errors import ImageError
from rust_tuner.files import write_text
from rust_tuner.labels import CORTICES
from rust_tuner.report.templating import environment

_SIDE = 180


def write_contact_sheet(
    path: Path,
    pairs: Sequence[Pair],
    *,
    scores: Sequence[Unmatched] = (),
    images: Sequence[Unmatched] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write one HTML file with a small picture of each image beside its scores.

    Args:
        path: the file; it holds everything and needs no network.
        pairs: what was joined.
        scores: rows of the table that were not.
        images: images that were not.
        on_progress: called with the number of pictures drawn and their total.

    Returns:
        The errors of images that cannot be decoded; their place on the page says so too.

    Raises:
        StorageError: if the file cannot be written.
    """
    cards, errors = [], []
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for done, (pair, picture) in enumerate(
            zip(pairs, pool.map(_picture, (pair.image.path for pair in pairs)), strict=True), 1
        ):
            if isinstance(picture, ImageError):
                errors.append(str(picture))
            cards.append(
                {
                    "patient": pair.scores.patient_id,
                    "visit": pair.visit,
                    "view": pair.scores.view,
                    "row": pair.scores.row,
                    "name": pair.image.path.name,
                    "scores": [
                        (cortex, pair.scores.scores.get(cortex))
                        for cortex in CORTICES
                        if cortex in pair.scores.scores
                    ],
                    "picture": None if isinstance(picture, ImageError) else picture,
                    "error": str(picture) if isinstance(picture, ImageError) else "",
                }
            )
            if on_progress is not None:
                on_progress(done, len(pairs))
    page = environment().get_template("contact_sheet.html")
    write_text(path, page.render(cards=cards, scores=scores, images=images, side=_SIDE))
    return errors


def _picture(path: Path) -> str | ImageError:
    """A small JPEG as text, or the error of an image that cannot be decoded."""
    try:
        pixels = load_image(path, size=_SIDE, resize="letterbox")
    except ImageError as error:
        return error
    grey = np.rint((pixels.mean(axis=2) + 1) * 127.5).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, format="JPEG", quality=75)
    return base64.b64encode(stream.getvalue()).decode()
