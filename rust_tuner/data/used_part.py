"""Which part of a picture is used: its crop, and what borders of collimation leave of it."""

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.borders import SIDE, inner_box
from rust_tuner.data.picture import Picture
from rust_tuner.data.reading import Box, Reading


def used_box(picture: Picture, reading: Reading, errors: FileErrors) -> Box | None:
    """The part of a whole picture that a reading uses; None for all of it.

    Raises:
        ImageError: if the picture has no such part, or no spacing to crop it by.
    """
    box = _asked_box(picture, reading, errors)
    if not reading.framing.remove_borders:
        return box
    asked = picture if box is None else picture.cropped(box)
    left, top = (0, 0) if box is None else box[:2]
    inner = inner_box(asked.thumbnail(SIDE), width=asked.width, height=asked.height)
    return left + inner[0], top + inner[1], left + inner[2], top + inner[3]


def _asked_box(picture: Picture, reading: Reading, errors: FileErrors) -> Box | None:
    """The part of a picture that is asked for; None for all of it."""
    width, height = picture.width, picture.height
    if reading.box is not None:
        left, top, right, bottom = reading.box
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise errors.error(
                f"crop_left={left}, crop_top={top}, crop_right={right}, crop_bottom={bottom} of "
                f"{width} by {height} pixels; expected left below right and top below bottom, in "
                "pixels of the upright picture"
            )
        return reading.box
    side = reading.framing.centre_mm
    if side is None:
        return None
    if picture.spacing is None:
        what = (
            "PixelSpacing (0028,0030) and ImagerPixelSpacing (0018,1164) are missing or 0"
            if picture.kind == "DICOM"
            else f"a {picture.kind} file has no pixel spacing"
        )
        raise errors.error(
            f"cannot be cropped to {side:g} mm, since {what}; give its crop_left, crop_top, "
            "crop_right and crop_bottom in the manifest, or do not crop"
        )
    down, across = picture.spacing
    # Not beyond the picture: where it is smaller, all of it is used.
    wide, high = min(width, round(side / across)), min(height, round(side / down))
    if min(wide, high) < 1:
        raise errors.error(
            f"pixels of {across:g} by {down:g} mm, so {side:g} mm are less than a pixel; check "
            "PixelSpacing (0028,0030)"
        )
    left, top = (width - wide) // 2, (height - high) // 2
    return left, top, left + wide, top + high
