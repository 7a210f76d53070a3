"""A page with every image beside its scores, for a person to look at before anything is trained."""

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.grey_bits import grey_bits
from rust_tuner.data.images import load_image
from rust_tuner.data.matching import Pair, Unmatched
from rust_tuner.data.pictures import DECODING_THREADS, open_picture
from rust_tuner.data.reading import ALL_BITS, WHOLE, Framing, Reading
from rust_tuner.data.survey import deep_images
from rust_tuner.data.used_part import used_box
from rust_tuner.errors import ImageError, Message, marked
from rust_tuner.files import write_text
from rust_tuner.labels import CORTICES
from rust_tuner.report.templating import environment

_SIDE = 180
# The brightness of what is not used, and the colour of the edge.
_UNUSED, _EDGE = 0.4, (230, 159, 0)


def write_contact_sheet(
    path: Path,
    pairs: Sequence[Pair],
    *,
    scores: Sequence[Unmatched] = (),
    images: Sequence[Unmatched] = (),
    framing: Framing = WHOLE,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write one HTML file with a small picture of each image beside its scores.

    Args:
        path: the file; it holds everything and needs no network.
        pairs: what was joined.
        scores: rows of the table that were not.
        images: images that were not.
        framing: which part of each image a study would use; the rest is shown darker.
        on_progress: called with the number of pictures drawn and their total.

    Returns:
        How many bits 16-bit files use; and the errors of images that cannot be decoded, which their
        place on the page says too.

    Raises:
        StorageError: if the file cannot be written.
    """
    cards = []
    readings, said = _readings(pairs, framing)
    paths = [pair.image.path for pair in pairs]
    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for done, (pair, picture) in enumerate(
            zip(pairs, pool.map(_picture, paths, readings), strict=True), 1
        ):
            if isinstance(picture, ImageError):
                said.append(Message(marked(picture)))
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
    shows_part = framing != WHOLE
    write_text(
        path,
        page.render(cards=cards, scores=scores, images=images, side=_SIDE, shows_part=shows_part),
    )
    return said


def _readings(pairs: Sequence[Pair], framing: Framing) -> tuple[list[Reading], list[str]]:
    """How a study would read each image, and notes on it."""
    deep = deep_images(
        [pair.image.path for pair in pairs], patients=[pair.scores.patient_id for pair in pairs]
    )
    decided = grey_bits(list(deep.values()))
    bits = dict(zip(deep, decided.bits, strict=True))
    readings = [
        Reading(bits.get(position, ALL_BITS), framing=framing) for position in range(len(pairs))
    ]
    return readings, list(decided.notes)


def _picture(path: Path, reading: Reading) -> str | ImageError:
    """A small JPEG as text, or the error of an image that cannot be decoded."""
    try:
        box = None
        if reading.framing != WHOLE:
            with open_picture(path) as picture:
                box = used_box(picture, reading, FileErrors(path, None))
                width, height = picture.width, picture.height
        pixels = load_image(
            path, size=_SIDE, resize="letterbox", reading=replace(reading, framing=WHOLE)
        )
    except ImageError as error:
        return error
    small = Image.fromarray(np.rint((pixels + 1) * 127.5).astype(np.uint8))
    if box is not None:
        scale = _SIDE / max(width, height)
        left, top = (_SIDE - round(width * scale)) // 2, (_SIDE - round(height * scale)) // 2
        edges = [round(edge * scale) for edge in box]
        used = (left + edges[0], top + edges[1], left + edges[2], top + edges[3])
        darker = small.point([round(_UNUSED * level) for level in range(256)] * 3)
        darker.paste(small.crop(used), used[:2])
        ImageDraw.Draw(darker).rectangle(
            (used[0], used[1], used[2] - 1, used[3] - 1), outline=_EDGE
        )
        small = darker
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=75)
    return base64.b64encode(stream.getvalue()).decode()
