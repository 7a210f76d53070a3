"""Reads the elements of a DICOM file that rendering needs, and the tags that join it with scores.

No other element is read; those for rendering identify no person. It needs the package `pydicom`
(the extra `dicom`).
"""

import contextlib
import importlib.util
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.grey_levels import LookUpTable
from rust_tuner.errors import ExtraError, ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EXPORT = "export the radiograph again, uncompressed and for presentation"
# Of the preamble that "DICM" follows.
PREAMBLE = 128
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_ELEMENTS = (
    "SpecificCharacterSet",
    "Modality",
    "PresentationIntentType",
    "BurnedInAnnotation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelAspectRatio",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "WindowCenterWidthExplanation",
    "VOILUTFunction",
    "PresentationLUTShape",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
)
# Who, when and which view; read only to join images with scores.
_TAGS = (
    "PatientID",
    "StudyDate",
    "AcquisitionDate",
    "ViewPosition",
    "Laterality",
    "ImageLaterality",
)


class Elements:
    """The elements of one file, as the types that they should have.

    Attributes:
        dataset: as pydicom reads it.
        errors: makes the errors of the file.
        notes: what a person should know about it, collected while it is read and rendered.
        steps: how its stored values became pixels, in order.
        is_marked: whether it begins as the standard says; some archives drop that.
    """

    def __init__(self, content: bytes, errors: FileErrors) -> None:
        """Read them.

        Raises:
            ImageError: for a file whose content is deflated.
            ExtraError: if pydicom is missing.
        """
        self.errors = errors
        self.notes: list[str] = []
        self.steps: list[str] = []
        self.is_marked = content[PREAMBLE : PREAMBLE + 4] == b"DICM"
        self.dataset = _parse(content, errors)

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.integer("Columns"))

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.integer("Rows"))

    def lookup_table(self, keyword: str) -> LookUpTable | None:
        """The first table of a sequence."""
        items = self.dataset.get(keyword)
        if not items:
            return None
        names = [str(item.get("LUTExplanation") or "") for item in items]
        if len(names) > 1:
            self.notes.append(
                f"{len(names)} tables ({', '.join(names)}) in {keyword}; the first was used"
            )
        item = items[0]
        count, first, bits = (int(value) for value in item.LUTDescriptor)
        count = count or 1 << 16
        # As pydicom reads it: US, or OW as bytes.
        raw = item["LUTData"].value
        if isinstance(raw, bytes):
            order = ">" if self.is_big_endian() else "<"
            data = np.frombuffer(raw[: len(raw) // 2 * 2], dtype=f"{order}u2")
        else:
            data = np.atleast_1d(np.asarray(raw, dtype=np.int64))
        if not 1 <= bits <= 16 or len(data) < count:
            raise self.errors.damaged(
                f"{keyword} with {len(data)} values of {bits} bits, its LUTDescriptor (0028,3002) "
                f"says {count}"
            )
        if first >= 1 << 15 and self.is_signed():
            first -= 1 << 16
        return LookUpTable(names[0], first, data[:count].astype(np.float64), (1 << bits) - 1)

    def is_big_endian(self) -> bool:
        """Whether the file stores the higher byte first."""
        meta = getattr(self.dataset, "file_meta", None)
        return getattr(meta, "TransferSyntaxUID", None) == _BIG_ENDIAN

    def is_signed(self) -> bool:
        """Whether values of the modality may be negative."""
        is_signed = self.integer("PixelRepresentation", default=0) == 1
        return is_signed or self.number("RescaleIntercept", 0.0) < 0

    def text(self, keyword: str) -> str:
        """A text in capitals; empty if there is none."""
        value = self.dataset.get(keyword)
        return str(value).strip().upper() if value is not None else ""

    def texts(self, keyword: str) -> list[str]:
        """All values as text."""
        return [str(value) for value in _as_list(self.dataset.get(keyword))]

    def numbers(self, keyword: str) -> list[float]:
        """All values; none of them if one is not finite."""
        values = [float(value) for value in _as_list(self.dataset.get(keyword))]
        return values if np.isfinite(values).all() else []

    def number(self, keyword: str, default: float) -> float:
        """The first value."""
        values = self.numbers(keyword)
        return values[0] if values else default

    def integer(self, keyword: str, *, default: Any = 0) -> Any:
        """A whole number."""
        value = self.dataset.get(keyword)
        return default if value is None or value == "" else int(value)


def _parse(content: bytes, errors: FileErrors) -> "Dataset":
    """The elements that are needed, and no others."""
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if _DEFLATED.encode() in content[: PREAMBLE + 1024]:
        # It would be inflated before its size is known.
        raise errors.error(f"TransferSyntaxUID (0002,0010) is deflated; {EXPORT}")
    return pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=list(_ELEMENTS))


def read_tags(path: Path) -> dict[str, str]:
    """What a DICOM file says about whose radiograph it is, as text; empty if it says nothing.

    Only for joining images with scores: nothing else in the package reads these elements.

    Raises:
        ImageError: if the file cannot be read as DICOM.
        ExtraError: if pydicom is missing.
    """
    errors = FileErrors(path, None)
    require_pydicom(errors)
    with as_image_errors(errors):
        import pydicom

        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        dataset = pydicom.dcmread(
            path, force=True, stop_before_pixels=True, specific_tags=list(_TAGS)
        )
        return {name: str(dataset.get(name) or "").strip() for name in _TAGS}


def require_pydicom(errors: FileErrors) -> None:
    """Refuse a DICOM file if pydicom is missing.

    Raises:
        ExtraError: with how to install it.
    """
    if importlib.util.find_spec("pydicom") is None:
        raise ExtraError(
            f"{errors.path} is a DICOM file, and pydicom is not installed; install rust-tuner with "
            "its extra (python -m pip install 'rust-tuner[dicom]'), or export it as 16-bit PNG"
        )


@contextlib.contextmanager
def as_image_errors(errors: FileErrors) -> Iterator[None]:
    """Pydicom and its decoders raise whatever occurs in damaged data."""
    try:
        yield
    except (ImageError, ExtraError):
        raise
    except MemoryError as error:
        raise errors.error("not enough memory to decode it; free some") from error
    except Exception as error:
        raise errors.damaged(first_line(error)) from error


def _as_list(value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return []
    return value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
