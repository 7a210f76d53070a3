"""Draws the gallery of the worst errors: thumbnails with their true and predicted scores."""

from collections.abc import Mapping
from pathlib import PurePath

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rust_tuner.analysis.gallery import Thumbnail
from rust_tuner.figures.style import COLUMN_WIDTH, styled
from rust_tuner.labels import CORTICES
from rust_tuner.words import counted

COLUMNS = 3
# In inches: the heights of the title and of the text below a picture, and the gap between pictures.
_TITLE, _WORDS, _GAP = 0.38, 0.54, 0.06
# Characters of a file's name that fit below a picture.
_LONGEST_NAME = 16


def gallery_height(count: int, *, width: float = COLUMN_WIDTH) -> float:
    """The height in inches that a figure of so many pictures needs."""
    return _TITLE + max(1, -(-count // COLUMNS)) * (_side(width) + _WORDS)


@styled
def draw_gallery(
    errors: pd.DataFrame,
    *,
    figure: Figure,
    thumbnails: Mapping[str, Thumbnail],
    num_radiographs: int,
) -> None:
    """The worst radiographs in rows, with the true and the most likely score of each cortex.

    Args:
        errors: from `gallery.worst_errors`.
        figure: where to draw, as high as `gallery_height` says.
        thumbnails: `image` -> picture; a missing one is drawn as a grey tile.
        num_radiographs: the number of radiographs that they were chosen from.
    """
    width, height = figure.get_size_inches()
    side = _side(width)
    # Pictures of equal size in rows need no layout engine, which would add space for the text.
    figure.set_layout_engine("none")
    for number, row in enumerate(errors.to_dict("records")):
        line, column = divmod(number, COLUMNS)
        left = _GAP + column * (side + _GAP)
        bottom = height - _TITLE - line * (side + _WORDS) - side
        panel = figure.add_axes((left / width, bottom / height, side / width, side / height))
        panel.set_xticks([])
        panel.set_yticks([])
        for spine in panel.spines.values():
            spine.set_visible(False)
        picture = thumbnails.get(row["image"])
        if picture is None:
            panel.set_facecolor("0.5")
            panel.text(0.5, 0.5, "image not\nfound", ha="center", va="center", color="white")
        else:
            # Not resampled, so that the SVG holds the small picture and not a large one.
            panel.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")
        lines = [f"#{row['rank']} {row['view']}: off by {row['error']:.0f}"]
        lines.append(_short_name(row["image"]))
        lines += [
            f"{cortex} {row[f'{cortex}_true']:.0f} → {row[f'{cortex}_predicted']:.0f}"
            for cortex in CORTICES
            if not np.isnan(row[f"{cortex}_true"])
        ]
        figure.text(
            left / width, (bottom - 0.03) / height, "\n".join(lines), va="top", linespacing=1.15
        )
    figure.suptitle(
        f"Worst {len(errors)} of n = {counted(num_radiographs, 'radiograph')} by summed error;\n"
        "where visible: true → most likely score",
        ha="left",
        va="top",
        x=_GAP / width,
        y=1 - 0.04 / height,
    )


def _short_name(image: str) -> str:
    """The name of an image's file, or its end if it is long."""
    name = PurePath(image.replace("\\", "/")).name
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _side(width: float) -> float:
    return (width - (COLUMNS + 1) * _GAP) / COLUMNS
