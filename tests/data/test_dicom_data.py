"""DICOM files of many makers, from pydicom-data: values equal those of pydicom's own functions."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pydicom = pytest.importorskip("pydicom")
data_store = pytest.importorskip("data_store", reason="pydicom-data is not installed")
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut  # noqa: E402

from rust_tuner.data.bare_image import FileErrors  # noqa: E402
from rust_tuner.data.dicom import DicomImage, open_dicom  # noqa: E402
from rust_tuner.errors import ImageError  # noqa: E402

pytestmark = pytest.mark.slow

FOLDERS = [Path(data_store.__file__).parent, Path(pydicom.__file__).parent / "data" / "test_files"]
FILES = sorted(path for folder in FOLDERS for path in folder.rglob("*.dcm"))

# Uncompressed and JPEG 2000, each reversible and not.
FORMS = ("UNCR", "UNCI", "J2KR", "J2KI")


def rendered(path: Path) -> DicomImage:
    return open_dicom(path.read_bytes(), errors=FileErrors(Path(path.name), 3)).render()


def expected(path: Path) -> npt.NDArray[np.float64]:
    """In [0, 1], upright; what a window or a table shows, else percentiles."""
    file: Any = pydicom.dcmread(path)
    values = apply_modality_lut(file.pixel_array, file).astype(float)
    if "VOILUTSequence" in file:
        bits = file.VOILUTSequence[0].LUTDescriptor[2]
        shown = apply_voi_lut(file.pixel_array, file) / (2**bits - 1)
    elif "WindowWidth" in file:
        ends = (apply_voi_lut(np.array([[end]]), file)[0, 0] for end in (-1e9, 1e9))
        low, high = ends
        shown = (apply_voi_lut(values, file) - low) / (high - low)
    else:
        low, high = np.percentile(values, [0.5, 99.5])
        shown = np.clip((values - low) / (high - low), 0, 1)
    shown = np.asarray(shown)
    return 1 - shown if file.PhotometricInterpretation == "MONOCHROME1" else shown


def test_every_file_is_read_or_refused_with_a_message() -> None:
    read = []
    for path in FILES:
        try:
            pixels = rendered(path).pixels
        except ImageError as error:
            assert len(str(error)) > 40, path.name
            continue
        assert pixels.min() >= 0, path.name
        assert pixels.max() <= 1, path.name
        read.append(path.name)
    assert len(FILES) > 100
    assert len(read) > 30


RADIOGRAPHS = [f"RG{number}_{form}" for number in (1, 3) for form in FORMS]
OTHERS = [
    "CT_small",
    "J2K_pixelrep_mismatch",
    "JPEG-LL",
    "MR-SIEMENS-DICOM-WithOverlays",
    "MR2_UNCI",
    "MR_small_bigendian",
    "MR_small_jpeg_ls_lossless",
    "mlut_18",
    "vlut_04",
]


@pytest.mark.parametrize("name", [*RADIOGRAPHS, *OTHERS])
def test_values_are_those_of_pydicom(name: str) -> None:
    (path,) = (path for path in FILES if path.stem == name)
    image = rendered(path)
    np.testing.assert_allclose(image.pixels, expected(path), atol=2e-6)
    if name in RADIOGRAPHS:
        assert "inverted (MONOCHROME1)" in image.steps
