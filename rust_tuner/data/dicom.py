"""Renders DICOM radiographs as their viewers do: DICOM PS3.3, C.11.1 and C.11.2, in that order.

    stored values, overlay bits removed -> modality LUT or rescale -> VOI LUT, window or percentiles
    -> inverted once if MONOCHROME1 -> [0, 1]

Which files are DICOM is decided by `pictures`. Reading elements belongs to `dicom_elements`,
decoding pixels to `dicom_decoding`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rust_tuner.data.bare_image import FileErrors
from rust_tuner.data.dicom_decoding import stored_values
from rust_tuner.data.dicom_elements import (
    EXPORT,
    PREAMBLE,
    Elements,
    as_image_errors,
    require_pydicom,
)
from rust_tuner.data.grey_levels import WINDOWS

FloatImage = npt.NDArray[np.float32]

# It follows the preamble.
DICOM_START = b"DICM"
# Where a file gives no window: this share of the pixels at either end is black or white.
_TAILS = (0.5, 99.5)


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
    """Read the header of a DICOM file, and refuse what is not a single greyscale radiograph.

    Args:
        content: the file.
        errors: makes the errors.

    Raises:
        ImageError: naming file, element and what to do: for no pixels, colour, several frames,
            ultrasound, a size above the limit, and damage.
        ExtraError: if pydicom is missing.
    """
    require_pydicom(errors)
    with as_image_errors(errors):
        return DicomFile(Elements(content, errors))


class DicomFile:
    """A DICOM file whose header was read and accepted; its pixels are still encoded.

    Attributes:
        width: in pixels.
        height: in pixels.
        spacing: millimetres from row to row and from column to column; None if the file has none.
        bits: of the stored values.
    """

    def __init__(self, elements: Elements) -> None:
        """Check the header.

        Raises:
            ImageError: for what is not a single greyscale radiograph.
        """
        self._elements = elements
        self._steps = elements.steps
        self._refuse_other_kinds()
        self.width, self.height = elements.width, elements.height
        self.spacing = self._spacing()
        self.bits = elements.integer("BitsStored", default=elements.integer("BitsAllocated"))

    def render(self) -> DicomImage:
        """Decode the pixels, and apply all steps in the order of the standard.

        Raises:
            ImageError: for a compression that cannot be decoded, and damage.
        """
        with as_image_errors(self._elements.errors):
            return self._render()

    def _render(self) -> DicomImage:
        stored = stored_values(self._elements)
        padding = self._padding(stored)
        values = self._modality(stored)
        shown = self._values_of_interest(values, padding)
        if self._elements.text("PhotometricInterpretation") == "MONOCHROME1":
            # PresentationLUTShape INVERSE says the same once more.
            shown = 1 - shown
            self._steps.append("inverted (MONOCHROME1)")
        elif self._elements.text("PresentationLUTShape") == "INVERSE":
            self._elements.notes.append(
                "PresentationLUTShape (2050,0020) is INVERSE, but PhotometricInterpretation "
                "(0028,0004) is MONOCHROME2, which was followed: look at the picture"
            )
        if padding is not None:
            shown[padding] = 0
            self._steps.append("padding black")
        return DicomImage(shown, tuple(self._steps), tuple(self._elements.notes))

    def _refuse_other_kinds(self) -> None:
        """Refuse what is not a single greyscale radiograph, before anything is decoded."""
        if "PixelData" not in self._elements.dataset:
            if "Rows" not in self._elements.dataset and not self._elements.is_marked:
                raise self._elements.errors.error(
                    "not a DICOM file, although its name ends like one; check what it is, and "
                    "export the radiograph again"
                )
            raise self._elements.errors.error(
                f"no PixelData (7FE0,0010): a report or a reference to an image; {EXPORT}"
            )
        modality = self._elements.text("Modality")
        if modality in ("US", "IVUS"):
            raise self._elements.errors.error(
                f"Modality (0008,0060) is {modality}, an ultrasound image; remove its row"
            )
        self._elements.errors.check_size(
            self._elements.integer("Columns"), self._elements.integer("Rows")
        )
        frames = self._elements.integer("NumberOfFrames", default=1)
        if frames > 1:
            raise self._elements.errors.error(
                f"NumberOfFrames (0028,0008) is {frames}; expected one image, export the frame "
                "that was scored"
            )
        kind = self._elements.text("PhotometricInterpretation")
        samples = self._elements.integer("SamplesPerPixel", default=1)
        if samples != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
            raise self._elements.errors.error(
                f"PhotometricInterpretation (0028,0004) is {kind or 'missing'} with {samples} "
                "samples per pixel; expected MONOCHROME1 or MONOCHROME2, export the radiograph "
                "again in greyscale"
            )
        if self._elements.text("PresentationIntentType") == "FOR PROCESSING":
            self._elements.notes.append(
                "PresentationIntentType (0008,0068) is FOR PROCESSING: raw values of the detector, "
                "which look unlike the radiograph that was scored; export it FOR PRESENTATION if "
                "you can"
            )
        burned = self._elements.text("BurnedInAnnotation")
        if burned and burned != "NO":
            self._elements.notes.append(
                f"BurnedInAnnotation (0028,0301) is {burned}: look for names in the picture"
            )
        self._check_shape()

    def _spacing(self) -> tuple[float, float] | None:
        """On the patient if it is calibrated, else on the detector, which magnifies a little."""
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            try:
                spacing = self._elements.numbers(keyword)
            except (ValueError, TypeError):
                # Needed for crops only, which then say that there is none.
                continue
            if len(spacing) == 2 and min(spacing) > 0:
                return spacing[0], spacing[1]
        return None

    def _check_shape(self) -> None:
        ratio = self._elements.numbers("PixelAspectRatio") or self._elements.numbers("PixelSpacing")
        if len(ratio) == 2 and min(ratio) > 0 and abs(ratio[0] / ratio[1] - 1) > 0.01:
            self._elements.notes.append(
                f"pixels are not square ({ratio[0]:g} by {ratio[1]:g}); the picture is distorted"
            )

    def _padding(self, stored: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
        """Where the picture is only padded; None without padding, or if it were everywhere."""
        first = self._elements.integer("PixelPaddingValue", default=None)
        if first is None:
            return None
        last = self._elements.integer("PixelPaddingRangeLimit", default=first)
        # Some files write the 16 bits with the wrong sign.
        is_signed = self._elements.integer("PixelRepresentation", default=0) == 1
        first, last = (_as_stored(value, is_signed=is_signed) for value in (first, last))
        padding: npt.NDArray[np.bool_] = (stored >= min(first, last)) & (stored <= max(first, last))
        if not padding.any() or padding.all():
            return None
        return padding

    def _modality(self, stored: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Stored values to those of the modality: a table, or a slope and an intercept."""
        table = self._elements.lookup_table("ModalityLUTSequence")
        if table is not None:
            self._steps.append("modality LUT")
            return table.apply(stored)
        slope = self._elements.number("RescaleSlope", 1.0)
        intercept = self._elements.number("RescaleIntercept", 0.0)
        if slope == 0:
            raise self._elements.errors.error(f"RescaleSlope (0028,1053) is 0; {EXPORT}")
        if (slope, intercept) != (1.0, 0.0):
            self._steps.append(f"rescaled by {slope:g} and {intercept:+g}")
        return stored.astype(np.float64) * slope + intercept

    def _values_of_interest(
        self, values: npt.NDArray[np.float64], padding: npt.NDArray[np.bool_] | None
    ) -> FloatImage:
        """Values of the modality to [0, 1]: by a table, a window or percentiles, in this order."""
        table = self._elements.lookup_table("VOILUTSequence")
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
        centres, widths = (
            self._elements.numbers("WindowCenter"),
            self._elements.numbers("WindowWidth"),
        )
        if not centres or not widths:
            return None
        function = self._elements.text("VOILUTFunction") or "LINEAR"
        if function not in WINDOWS or widths[0] < (1 if function == "LINEAR" else 1e-9):
            self._elements.notes.append(
                f"WindowWidth (0028,1051) {widths[0]:g} with VOILUTFunction (0028,1056) {function} "
                "is not valid; percentiles were used"
            )
            return None
        if len(centres) > 1:
            names = self._elements.texts("WindowCenterWidthExplanation")
            named = f" ({', '.join(names)})" if names else ""
            self._elements.notes.append(
                f"{len(centres)} windows{named} in WindowCenter (0028,1050); the first was used"
            )
        return centres[0], widths[0], function


def _as_stored(value: int, *, is_signed: bool) -> int:
    """A value of 16 bits as the pixels count: signed or not."""
    if is_signed:
        return value - (1 << 16) if 1 << 15 <= value < 1 << 16 else value
    return value + (1 << 16) if -(1 << 15) <= value < 0 else value
