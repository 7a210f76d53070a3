"""Writes DICOM files of every kind that hospitals have, for tests."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def dataset(pixels: npt.NDArray[Any], *, bits: int = 12, **elements: Any) -> FileDataset:
    """A digital radiograph of these stored values, with more elements by keyword."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DX  # type: ignore[assignment]
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["rust_tuner"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = DX, meta.MediaStorageSOPInstanceUID
    file.Modality = "DX"
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = 8 * pixels.dtype.itemsize
    file.BitsStored, file.HighBit = bits, bits - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    return file


def table(entries: npt.NDArray[np.uint16], *, first: int, bits: int, name: str = "") -> Dataset:
    """An item of a LUT sequence."""
    item = Dataset()
    item.add_new(0x00283002, "US" if first >= 0 else "SS", [len(entries) % 65536, first, bits])
    item.LUTExplanation = name
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item


def tables(*items: Dataset) -> Sequence:
    """A LUT sequence."""
    return Sequence(items)


def as_bytes(file: Dataset) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def write(folder: Path, file: Dataset, name: str = "image.dcm") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(as_bytes(file))
    return path


def ramp(bits: int = 12, *, size: tuple[int, int] = (48, 64)) -> npt.NDArray[np.uint16]:
    """Values from 0 to the largest of so many bits, with some noise."""
    count = size[0] * size[1]
    values = np.linspace(0, (1 << bits) - 1, count) + np.random.default_rng(0).normal(0, 3, count)
    clipped: npt.NDArray[np.uint16] = np.clip(values, 0, (1 << bits) - 1).astype(np.uint16)
    return clipped.reshape(size)
