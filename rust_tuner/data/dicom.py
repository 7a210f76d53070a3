"""Renders DICOM radiographs as their viewers do: DICOM PS3.3, C.11.1 and C.11.2, in that order.

    stored values, overlay bits removed -> modality LUT or rescale -> VOI LUT, window or percentiles
    -> inverted once if MONOCHROME1 -> [0, 1]

Which files are DICOM is decided by `pictures`. It needs the package `pydicom` (the extra `dicom`),
which decodes the pixels; only the elements in `_ELEMENTS` are read, none of which identifies a
person.
"""

import contextlib
import importlib.util
import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.grey_levels import WINDOWS, LookUpTable
from rust_tuner.errors import ExtraError, ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FloatImage = npt.NDArray[np.float32]

# "DICM" follows a preamble of 128 bytes.
PREAMBLE = 128
DICOM_START = b"DICM"
# Where a file gives no window: this share of the pixels at either end is black or white.
_TAILS = (0.5, 99.5)
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_JPEG_12_BIT = "1.2.840.10008.1.2.4.51"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_EXPORT = "export the radiograph again, uncompressed and for presentation"
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


@dataclass(frozen=True, eq=False)
class DicomImage:
    """A rendered DICOM image.

    Attributes:
        pixels: (rows, columns) float32 in [0, 1]: black 0, white 1, bone bright.
        steps: what was applied, in order, such as `window 2048/4096 (linear)`.
        notes: what a person should know, such as several windows of which the first was used.
    """

    pixels: FloatImage
    steps: tuple[str, ...]
    notes: tuple[str, ...]


def is_dicom(content: bytes, path: Path) -> bool:
    """Whether a file is DICOM, by its first bytes; some archives drop them but keep the suffix."""
    start = content[PREAMBLE : PREAMBLE + len(DICOM_START)]
    return start == DICOM_START or path.suffix.lower() in (".dcm", ".dicom")


def open_dicom(content: bytes, *, errors: FileErrors) -> "DicomFile":
    """Read the header of a DICOM file, and refuse what is no single greyscale radiograph.

    Args:
        content: the file.
        errors: makes the errors.

    Raises:
        ImageError: naming file, element and what to do: for no pixels, colour, several frames,
            ultrasound, a size above the limit, and damage.
        ExtraError: where pydicom is missing.
    """
    _require_pydicom(errors)
    with _as_image_errors(errors):
        return DicomFile(_parse(content, errors), errors)


def _parse(content: bytes, errors: FileErrors) -> "Dataset":
    """The elements that are needed, and no others."""
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if _DEFLATED.encode() in content[: PREAMBLE + 1024]:
        # It would be inflated before its size is known.
        raise errors.error(f"TransferSyntaxUID (0002,0010) is deflated; {_EXPORT}")
    return pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=list(_ELEMENTS))


def read_tags(path: Path) -> dict[str, str]:
    """What a DICOM file says about whose radiograph it is, as text; empty where it says nothing.

    Only for joining images with scores: nothing else in the package reads these elements.

    Raises:
        ImageError: where the file cannot be read as DICOM.
        ExtraError: where pydicom is missing.
    """
    errors = FileErrors(path, None)
    _require_pydicom(errors)
    with _as_image_errors(errors):
        import pydicom

        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        dataset = pydicom.dcmread(
            path, force=True, stop_before_pixels=True, specific_tags=list(_TAGS)
        )
        return {name: str(dataset.get(name) or "").strip() for name in _TAGS}


def _require_pydicom(errors: FileErrors) -> None:
    if importlib.util.find_spec("pydicom") is None:
        raise ExtraError(
            f"{errors.path} is a DICOM file, and pydicom is not installed; install rust-tuner with "
            "its extra (python -m pip install 'rust-tuner[dicom]'), or export it as 16-bit PNG"
        )


@contextlib.contextmanager
def _as_image_errors(errors: FileErrors) -> Iterator[None]:
    """Pydicom and its decoders raise whatever occurs in damaged data."""
    try:
        yield
    except (ImageError, ExtraError):
        raise
    except MemoryError as error:
        raise errors.error("not enough memory to decode it; free some") from error
    except Exception as error:
        raise errors.damaged(_first_line(error)) from error


class DicomFile:
    """A DICOM file whose header was read and accepted; its pixels are still encoded.

    Attributes:
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, dataset: "Dataset", errors: FileErrors) -> None:
        """Check the header.

        Raises:
            ImageError: for what is no single greyscale radiograph.
        """
        self._dataset = dataset
        self._errors = errors
        self._steps: list[str] = []
        self._notes: list[str] = []
        self._refuse_other_kinds()
        self.width, self.height = self._integer("Columns"), self._integer("Rows")

    def render(self) -> DicomImage:
        """Decode the pixels, and apply all steps in the order of the standard.

        Raises:
            ImageError: for a compression that cannot be decoded, and damage.
        """
        with _as_image_errors(self._errors):
            return self._render()

    def _render(self) -> DicomImage:
        stored = self._stored_values(self._decoded())
        padding = self._padding(stored)
        values = self._modality(stored)
        shown = self._values_of_interest(values, padding)
        if self._text("PhotometricInterpretation") == "MONOCHROME1":
            # PresentationLUTShape INVERSE says the same once more.
            shown = 1 - shown
            self._steps.append("inverted (MONOCHROME1)")
        elif self._text("PresentationLUTShape") == "INVERSE":
            self._notes.append(
                "PresentationLUTShape (2050,0020) is INVERSE, but PhotometricInterpretation "
                "(0028,0004) is MONOCHROME2, which was followed: look at the picture"
            )
        if padding is not None:
            shown[padding] = 0
            self._steps.append("padding black")
        return DicomImage(shown, tuple(self._steps), tuple(self._notes))

    def _refuse_other_kinds(self) -> None:
        """Refuse what is no single greyscale radiograph, before anything is decoded."""
        if "PixelData" not in self._dataset:
            raise self._errors.error(
                f"no PixelData (7FE0,0010): a report or a reference to an image; {_EXPORT}"
            )
        modality = self._text("Modality")
        if modality in ("US", "IVUS"):
            raise self._errors.error(
                f"Modality (0008,0060) is {modality}, an ultrasound image; remove its row"
            )
        self._errors.check_size(self._integer("Columns"), self._integer("Rows"))
        frames = self._integer("NumberOfFrames", default=1)
        if frames > 1:
            raise self._errors.error(
                f"NumberOfFrames (0028,0008) is {frames}; expected one image, export the frame "
                "that was scored"
            )
        kind = self._text("PhotometricInterpretation")
        samples = self._integer("SamplesPerPixel", default=1)
        if samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
            raise self._errors.error(
                f"PhotometricInterpretation (0028,0004) is {kind or 'missing'} with {samples} "
                "samples per pixel; expected MONOCHROME1 or MONOCHROME2, export the radiograph "
                "again in greyscale"
            )
        if self._text("PresentationIntentType") == "FOR PROCESSING":
            self._notes.append(
                "PresentationIntentType (0008,0068) is FOR PROCESSING: raw values of the detector, "
                "which look unlike the radiograph that was scored; export it FOR PRESENTATION if "
                "you can"
            )
        burned = self._text("BurnedInAnnotation")
        if burned and burned != "NO":
            self._notes.append(
                f"BurnedInAnnotation (0028,0301) is {burned}: look for names in the picture"
            )
        self._check_shape()

    def _check_shape(self) -> None:
        ratio = self._numbers("PixelAspectRatio") or self._numbers("PixelSpacing")
        if len(ratio) == 2 and min(ratio) > 0 and abs(ratio[0] / ratio[1] - 1) > 0.01:
            self._notes.append(
                f"pixels are not square ({ratio[0]:g} by {ratio[1]:g}); the picture is distorted"
            )

    def _decoded(self) -> npt.NDArray[Any]:
        """The stored values as the file's compression gives them."""
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        syntax = self._transfer_syntax()
        self._check_codestream(syntax)
        # Of two that read JPEG 2000, the one that damaged data does not crash.
        plugin = "pylibjpeg" if syntax in _JPEG_2000 else ""
        try:
            decoder = get_decoder(UID(syntax))
            values, _ = decoder.as_array(self._dataset, index=0, raw=True, decoding_plugin=plugin)
        except MemoryError:
            raise
        except Exception as error:
            raise self._errors.error(_undecodable(syntax, error)) from error
        if values.shape != (self.height, self.width):
            raise self._errors.damaged(
                f"a picture of {values.shape}, expected {self.height} rows of {self.width}"
            )
        return values

    def _transfer_syntax(self) -> str:
        syntax = getattr(getattr(self._dataset, "file_meta", None), "TransferSyntaxUID", None)
        if syntax:
            return str(syntax)
        # Some archives drop the header; the standard's default is then the only guess.
        bits = self._integer("BitsAllocated")
        expected = self.height * self.width * bits // 8
        if len(self._dataset.PixelData) not in (expected, expected + 1):
            raise self._errors.error(
                "TransferSyntaxUID (0002,0010) is missing, and the pixels are compressed; "
                f"{_EXPORT}"
            )
        self._notes.append(
            "TransferSyntaxUID (0002,0010) is missing; read as uncompressed, little endian"
        )
        return _IMPLICIT

    def _check_codestream(self, syntax: str) -> None:
        """Refuse a compressed picture whose own header announces another size."""
        size = _codestream_size(bytes(self._dataset.PixelData[: 1 << 16]), syntax)
        if size is not None and size != (self.width, self.height):
            raise self._errors.damaged(
                f"compressed pixels of {size[0]} by {size[1]}, but Columns and Rows are "
                f"{self.width} by {self.height}"
            )

    def _stored_values(self, decoded: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """The bits that hold pixels, without overlays in the others; signed where they are."""
        bits = self._integer("BitsStored", default=self._integer("BitsAllocated"))
        high = self._integer("HighBit", default=bits - 1)
        shift = high - bits + 1
        if not 1 <= bits <= 16 or shift < 0 or shift + bits > 8 * decoded.dtype.itemsize:
            raise self._errors.damaged(
                f"BitsStored (0028,0101) {bits} and HighBit (0028,0102) {high} in "
                f"{8 * decoded.dtype.itemsize} bits"
            )
        # In the byte order of the file, which may not be this machine's.
        kind = f"{decoded.dtype.byteorder}u{decoded.dtype.itemsize}"
        unsigned = decoded.view(kind).astype(np.int32)
        values: npt.NDArray[np.int32] = (unsigned >> shift) & ((1 << bits) - 1)
        if self._integer("PixelRepresentation", default=0) == 1:
            values[values >= 1 << (bits - 1)] -= 1 << bits
        return values

    def _padding(self, stored: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
        """Where the picture is only padded; None without padding, or if it were everywhere."""
        first = self._integer("PixelPaddingValue", default=None)
        if first is None:
            return None
        last = self._integer("PixelPaddingRangeLimit", default=first)
        # Some files write the 16 bits with the wrong sign.
        is_signed = self._integer("PixelRepresentation", default=0) == 1
        first, last = (_as_stored(value, is_signed=is_signed) for value in (first, last))
        padding: npt.NDArray[np.bool_] = (stored >= min(first, last)) & (stored <= max(first, last))
        if not padding.any() or padding.all():
            return None
        return padding

    def _modality(self, stored: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Stored values to those of the modality: a table, or a slope and an intercept."""
        table = self._table("ModalityLUTSequence")
        if table is not None:
            self._steps.append("modality LUT")
            return table.apply(stored)
        slope = self._number("RescaleSlope", 1.0)
        intercept = self._number("RescaleIntercept", 0.0)
        if slope == 0:
            raise self._errors.error(f"RescaleSlope (0028,1053) is 0; {_EXPORT}")
        if (slope, intercept) != (1.0, 0.0):
            self._steps.append(f"rescaled by {slope:g} and {intercept:+g}")
        return stored.astype(np.float64) * slope + intercept

    def _values_of_interest(
        self, values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_] | None
    ) -> FloatImage:
        """Values of the modality to [0, 1]: by a table, a window or percentiles, in this order."""
        table = self._table("VOILUTSequence")
        if table is not None:
            self._steps.append(f"VOI LUT {table.name}".rstrip())
            return (table.apply(values) / table.highest).astype(np.float32)
        window = self._window()
        if window is not None:
            centre, width, function = window
            self._steps.append(f"window {centre:g}/{width:g} ({function.lower()})")
            return WINDOWS[function](values, centre, width).astype(np.float32)
        counted = values if padding is None else values[~padding]
        low, high = np.percentile(counted, _TAILS)
        if high <= low:
            low, high = float(counted.min()), float(counted.max())
        self._steps.append(f"percentiles {_TAILS[0]:g} and {_TAILS[1]:g}: {low:g} to {high:g}")
        span = high - low if high > low else 1.0
        shown: FloatImage = np.clip((values - low) / span, 0, 1).astype(np.float32)
        return shown

    def _window(self) -> tuple[float, float, str] | None:
        """Centre, width and function of the first window; None without a valid one."""
        centres, widths = self._numbers("WindowCenter"), self._numbers("WindowWidth")
        if not centres or not widths:
            return None
        function = self._text("VOILUTFunction") or "LINEAR"
        if function not in WINDOWS or widths[0] < (1 if function == "LINEAR" else 1e-9):
            self._notes.append(
                f"WindowWidth (0028,1051) {widths[0]:g} with VOILUTFunction (0028,1056) {function} "
                "is not valid; percentiles were used"
            )
            return None
        if len(centres) > 1:
            names = self._texts("WindowCenterWidthExplanation")
            named = f" ({', '.join(names)})" if names else ""
            self._notes.append(
                f"{len(centres)} windows{named} in WindowCenter (0028,1050); the first was used"
            )
        return centres[0], widths[0], function

    def _table(self, keyword: str) -> "LookUpTable | None":
        """The first table of a sequence."""
        items = self._dataset.get(keyword)
        if not items:
            return None
        names = [str(item.get("LUTExplanation") or "") for item in items]
        if len(names) > 1:
            self._notes.append(
                f"{len(names)} tables ({', '.join(names)}) in {keyword}; the first was used"
            )
        item = items[0]
        count, first, bits = (int(value) for value in item.LUTDescriptor)
        count = count or 1 << 16
        # As pydicom reads it: US, or OW as bytes.
        raw = item["LUTData"].value
        if isinstance(raw, bytes):
            order = ">" if self._is_big_endian() else "<"
            data = np.frombuffer(raw[: len(raw) // 2 * 2], dtype=f"{order}u2")
        else:
            data = np.atleast_1d(np.asarray(raw, dtype=np.int64))
        if not 1 <= bits <= 16 or len(data) < count:
            raise self._errors.damaged(
                f"{keyword} with {len(data)} values of {bits} bits, its LUTDescriptor (0028,3002) "
                f"says {count}"
            )
        if first >= 1 << 15 and self._is_signed():
            first -= 1 << 16
        return LookUpTable(names[0], first, data[:count].astype(np.float64), (1 << bits) - 1)

    def _is_big_endian(self) -> bool:
        meta = getattr(self._dataset, "file_meta", None)
        return getattr(meta, "TransferSyntaxUID", None) == _BIG_ENDIAN

    def _is_signed(self) -> bool:
        is_signed = self._integer("PixelRepresentation", default=0) == 1
        return is_signed or self._number("RescaleIntercept", 0.0) < 0

    def _text(self, keyword: str) -> str:
        value = self._dataset.get(keyword)
        return str(value).strip().upper() if value is not None else ""

    def _texts(self, keyword: str) -> list[str]:
        return [str(value) for value in _as_list(self._dataset.get(keyword))]

    def _numbers(self, keyword: str) -> list[float]:
        values = [float(value) for value in _as_list(self._dataset.get(keyword))]
        return values if np.isfinite(values).all() else []

    def _number(self, keyword: str, default: float) -> float:
        values = self._numbers(keyword)
        return values[0] if values else default

    def _integer(self, keyword: str, *, default: Any = 0) -> Any:
        value = self._dataset.get(keyword)
        return default if value is None or value == "" else int(value)


def _as_stored(value: int, *, is_signed: bool) -> int:
    """A value of 16 bits as the pixels count: signed or not."""
    if is_signed:
        return value - (1 << 16) if 1 << 15 <= value < 1 << 16 else value
    return value + (1 << 16) if -(1 << 15) <= value < 0 else value


def _codestream_size(content: bytes, syntax: str) -> tuple[int, int] | None:
    """(width, height) in the header of compressed pixels; None where it has none."""
    if syntax in _JPEG_2000:
        start = content.find(b"\xff\x4f\xff\x51")
        if start < 0 or len(content) < start + 24:
            return None
        x, y, left, top = struct.unpack(">4I", content[start + 8 : start + 24])
        return x - left, y - top
    if not syntax.startswith(_JPEG_FAMILY):
        return None
    start = content.find(b"\xff\xd8\xff")
    position = start + 2
    while start >= 0 and position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        is_frame = (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7
        if is_frame:
            height, width = struct.unpack(">2H", content[position + 5 : position + 9])
            return width, height
        position += 2 + length
    return None


def _undecodable(syntax: str, error: Exception) -> str:
    from pydicom.uid import UID

    name = UID(syntax).name
    if syntax == _JPEG_12_BIT:
        return (
            f"TransferSyntaxUID (0002,0010) is {name}; no freely licensed decoder reads its 12-bit "
            f"pixels; {_EXPORT}"
        )
    if isinstance(error, NotImplementedError | RuntimeError) and "plugin" in str(error):
        return (
            f"TransferSyntaxUID (0002,0010) is {name}, which the installed decoders cannot read; "
            f"install rust-tuner with its extra (rust-tuner[dicom]), or {_EXPORT}"
        )
    return f"pixels of {name} cannot be decoded ({_first_line(error)}); {_EXPORT}"


def _as_list(value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return []
    return value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
