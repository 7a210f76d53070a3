"""How an image file is read where that differs from its stored values and its whole picture.

Detecting the bits belongs to `grey_bits`, finding borders to `borders`, decoding to `pictures`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rust_tuner.errors import ImageError
from rust_tuner.files import sha256_of_json

# Of a 16-bit file whose values are used as they are stored.
ALL_BITS = 16

Box = tuple[int, int, int, int]

_CENTRE = re.compile(r"centre:(\d+(?:\.\d+)?)")
# Raised whenever `borders` finds other borders: features of the earlier ones are then computed
# again.
_BORDERS_VERSION = 1


@dataclass(frozen=True)
class Framing:
    """Which part of the picture is used, by one rule for all images of a study.

    Attributes:
        centre_mm: side of the square in the middle that is used, in millimetres; None for all.
        remove_borders: whether uniform borders are removed.
    """

    centre_mm: float | None = None
    remove_borders: bool = False

    @classmethod
    def of(cls, crop: str | None, remove_borders: bool | None) -> "Framing":
        """The framing of a protocol or of a model's card.

        Args:
            crop: `none` or `centre:150`, as `Protocol.crop`; None where an earlier version wrote
                none.
            remove_borders: as `Protocol.remove_borders`.

        Raises:
            ImageError: for another text.
        """
        if crop is None or crop == "none":
            return cls(None, bool(remove_borders))
        match = _CENTRE.fullmatch(crop)
        if match is None or float(match[1]) <= 0:
            raise ImageError(
                f"crop={crop!r}; expected none, or centre: and millimetres: centre:150"
            )
        return cls(float(match[1]), bool(remove_borders))

    def to_json(self) -> dict[str, Any]:
        """What decides the picture, for hashes; empty for the whole picture."""
        parts: dict[str, Any] = {}
        if self.centre_mm is not None:
            parts["centre_mm"] = self.centre_mm
        if self.remove_borders:
            parts["remove_borders"] = _BORDERS_VERSION
        return parts


WHOLE = Framing()


@dataclass(frozen=True)
class Reading:
    """How one file is read.

    Attributes:
        bits: how many bits of a 16-bit greyscale PNG or TIFF are used, 1 to 16: white is the
            largest value of so many bits.
        box: left, top, right and bottom of the part that is used, in pixels of the upright
            picture; right and bottom are the first column and row after it. None for all of it.
        framing: the rule for all images; a `box` replaces its crop.
        sha256: of the file when it was checked or hashed; another content is refused. None to
            accept any.
    """

    bits: int = ALL_BITS
    box: Box | None = None
    framing: Framing = WHOLE
    sha256: str | None = None

    def key(self, file_sha256: str) -> str:
        """What identifies a file as it is read; the file's own SHA-256 if it is read as stored.

        The framing is left out: it is the same for all images.
        """
        if self.bits == ALL_BITS and self.box is None:
            return file_sha256
        return sha256_of_json([file_sha256, {"bits": self.bits, "box": self.box}])


AS_STORED = Reading()


def framed(readings: Sequence[Reading], framing: Framing) -> tuple[Reading, ...]:
    """The same readings with a framing."""
    return tuple(replace(reading, framing=framing) for reading in readings)
