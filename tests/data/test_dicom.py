"""DICOM: each step of the pixel way, in the standard's order, against pydicom's own functions."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.uid import UID

pydicom = pytest.importorskip("pydicom")
from dicom_files import as_bytes, dataset, ramp, table, tables, write  # noqa: E402
from pydicom.encaps import encapsulate, generate_frames  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # type: ignore[attr-defined]  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from rust_tuner.data.bare_image import FileErrors  # noqa: E402
from rust_tuner.data.dicom import DicomImage, is_dicom, open_dicom  # noqa: E402
from rust_tuner.data.images import load_image  # noqa: E402
from rust_tuner.data.pictures import open_picture  # noqa: E402
from rust_tuner.data.reading import Framing, Reading  # noqa: E402
from rust_tuner.errors import ImageError  # noqa: E402

WINDOW: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 1500}


def rendered(file: Any) -> DicomImage:
    return open_dicom(as_bytes(file), errors=FileErrors(Path("image.dcm"), 3)).render()


def windowed(file: Any) -> npt.NDArray[np.float64]:
    """pydicom's pixels, in [0, 1]."""
    values = apply_modality_lut(file.pixel_array, file)
    shown = apply_voi_lut(values, file)
    low, high = (apply_voi_lut(np.array([[end]]), file)[0, 0] for end in (-1e6, 1e6))
    return np.asarray((shown - low) / (high - low))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2, -1024), (0.5, 10)])
def test_a_window_is_applied_after_the_rescale(function: str, slope: float, intercept: int) -> None:
    file = dataset(
        ramp(), RescaleSlope=slope, RescaleIntercept=intercept, VOILUTFunction=function, **WINDOW
    )
    np.testing.assert_allclose(rendered(file).pixels, windowed(file), atol=1e-6)


def test_a_sigmoid_is_that_of_the_standard() -> None:
    file = dataset(ramp(), VOILUTFunction="SIGMOID", **WINDOW)
    expected = 1 / (1 + np.exp(-4 * (ramp().astype(float) - 2000) / 1500))
    np.testing.assert_allclose(rendered(file).pixels, expected, atol=1e-6)


def test_of_three_tables_the_first_is_used_before_a_window_and_named() -> None:
    entries = np.linspace(0, 1023, 4096).astype(np.uint16)
    items = [
        table(entries, first=0, bits=10, name="NORMAL"),
        table(entries**2 // 1023, first=0, bits=10, name="HARDER"),
        table(entries // 2, first=0, bits=10, name="SOFTER"),
    ]
    file = dataset(ramp(), VOILUTSequence=tables(*items), **WINDOW)
    image = rendered(file)
    np.testing.assert_allclose(image.pixels, apply_voi_lut(ramp(), file) / 1023, atol=1e-6)
    assert image.steps == ("VOI LUT NORMAL",)
    assert "3 tables (NORMAL, HARDER, SOFTER)" in image.notes[0]


def test_of_several_windows_the_first_is_used_and_the_note_says_so() -> None:
    file = dataset(
        ramp(),
        WindowCenter=[2000, 1000],
        WindowWidth=[1500, 400],
        WindowCenterWidthExplanation=["BONE", "SOFT TISSUE"],
    )
    image = rendered(file)
    np.testing.assert_allclose(image.pixels, windowed(file), atol=1e-6)
    assert "2 windows (BONE, SOFT TISSUE)" in image.notes[0]


def test_a_modality_table_comes_before_the_window() -> None:
    entries = (np.arange(4096) // 2).astype(np.uint16)
    file = dataset(
        ramp(),
        ModalityLUTSequence=tables(table(entries, first=0, bits=16)),
        WindowCenter=1000,
        WindowWidth=900,
    )
    expected = np.clip((entries[ramp()] - 999.5) / 899 + 0.5, 0, 1)
    np.testing.assert_allclose(rendered(file).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [None, "INVERSE"])
def test_monochrome_1_is_inverted_once(shape: str | None) -> None:
    elements: dict[str, Any] = WINDOW | ({} if shape is None else {"PresentationLUTShape": shape})
    upright = rendered(dataset(ramp(), **WINDOW))
    image = rendered(dataset(ramp(), PhotometricInterpretation="MONOCHROME1", **elements))
    np.testing.assert_allclose(image.pixels, 1 - upright.pixels, atol=1e-6)
    assert image.steps[-1] == "inverted (MONOCHROME1)"


def test_without_a_window_percentiles_of_what_is_not_padding_are_used() -> None:
    pixels = ramp()
    pixels[:24] = 4095
    padded = rendered(dataset(pixels, PixelPaddingValue=4095))
    inner = pixels[24:].astype(float)
    low, high = np.percentile(inner[inner != 4095], (0.5, 99.5))
    expected = np.clip((inner - low) / (high - low), 0, 1)
    expected[inner == 4095] = 0
    np.testing.assert_allclose(padded.pixels[24:], expected, atol=1e-6)
    assert (padded.pixels[:24] == 0).all()


def test_padding_is_black_in_monochrome_1_too() -> None:
    pixels = ramp()
    pixels[:4] = 0
    image = rendered(
        dataset(pixels, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1", **WINDOW)
    )
    assert (image.pixels[:4] == 0).all()


def test_overlay_bits_above_the_stored_ones_do_not_count() -> None:
    pixels = ramp()
    burnt = pixels | np.uint16(0x8000)
    clean, marked = (rendered(dataset(each, **WINDOW)).pixels for each in (pixels, burnt))
    np.testing.assert_array_equal(clean, marked)


def test_values_of_15_signed_bits_are_negative_below_0() -> None:
    signed = (ramp(14).astype(np.int32) - 8192).astype(np.int16)
    stored = (signed & np.int16(0x7FFF)).astype(np.int16)
    file = dataset(stored, bits=15, WindowCenter=0, WindowWidth=12000)
    expected = np.clip((signed.astype(float) + 0.5) / 11999 + 0.5, 0, 1)
    np.testing.assert_allclose(rendered(file).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [9, 12, 16])
def test_compressed_pixels_are_those_before_compression(syntax: UID, bits: int) -> None:
    window = {"WindowCenter": 1 << (bits - 1), "WindowWidth": 1 << (bits - 1)}
    plain = dataset(ramp(bits), bits=bits, **window)
    packed = dataset(ramp(bits), bits=bits, **window)
    packed.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(rendered(packed).pixels, rendered(plain).pixels)


def test_a_missing_transfer_syntax_is_read_as_uncompressed_with_a_note(tmp_path: Path) -> None:
    file = dataset(ramp(), **WINDOW)
    file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    content = as_bytes(file)
    # Archives that drop the header leave the data set alone.
    start = content.index(b"\x08\x00\x16\x00")
    (tmp_path / "bare.dcm").write_bytes(content[start:])
    with open_picture(tmp_path / "bare.dcm") as picture:
        assert (picture.width, picture.height) == (64, 48)
        assert any("TransferSyntaxUID (0002,0010) is missing" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Modality": "US"}, r"Modality \(0008,0060\) is US"),
        ({"NumberOfFrames": 4}, r"NumberOfFrames \(0028,0008\) is 4"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, r"\(0028,0004\) is RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"Rows": 60000, "Columns": 60000}, "too large for a radiograph"),
        ({"Rows": 0}, "0 pixels"),
        ({"BitsStored": 12, "HighBit": 3}, r"HighBit \(0028,0102\)"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "RescaleSlope"),
    ],
)
def test_what_is_no_greyscale_radiograph_is_refused_with_element_and_cure(
    elements: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        rendered(dataset(ramp(), **elements))
    assert "image.dcm row 3" in str(caught.value)


def test_a_file_without_pixels_is_refused() -> None:
    file = dataset(ramp())
    del file.PixelData
    with pytest.raises(ImageError, match=r"no PixelData \(7FE0,0010\)"):
        rendered(file)


def test_12_bit_jpeg_is_refused_with_the_reason() -> None:
    from pydicom.encaps import encapsulate

    file = dataset(ramp())
    file.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    file["PixelData"].is_undefined_length = True
    file.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    with pytest.raises(ImageError, match="no freely licensed decoder reads its 12-bit"):
        rendered(file)


def test_a_compressed_picture_larger_than_its_header_says_is_refused_before_decoding() -> None:
    file = dataset(ramp())
    file.compress(JPEG2000Lossless, generate_instance_uid=False)
    size = (64).to_bytes(4, "big")
    content = bytes(file.PixelData)
    position = content.index(b"\xff\x4f\xff\x51") + 8
    assert content[position : position + 4] == size
    file.PixelData = content[:position] + (60000).to_bytes(4, "big") + content[position + 4 :]
    with pytest.raises(ImageError, match="compressed pixels of 60000 by 48"):
        rendered(file)


@pytest.mark.parametrize(
    ("elements", "note"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"BurnedInAnnotation": "YES"}, "look for names in the picture"),
        ({"PixelSpacing": [0.1, 0.2]}, "not square"),
        ({"PresentationLUTShape": "INVERSE"}, "look at the picture"),
        ({"WindowCenter": 100, "WindowWidth": 0}, "percentiles were used"),
    ],
)
def test_what_may_mislead_is_noted(elements: dict[str, Any], note: str) -> None:
    assert any(note in text for text in rendered(dataset(ramp(), **elements)).notes)


@pytest.mark.parametrize(
    "elements", [{"PixelSpacing": [0.0, 0.0]}, {"Modality": "RG"}, {"BurnedInAnnotation": "NO"}]
)
def test_what_does_not_matter_is_not_noted(elements: dict[str, Any]) -> None:
    assert rendered(dataset(ramp(), **elements)).notes == ()


def test_a_radiograph_is_loaded_as_its_png_is(tmp_path: Path) -> None:
    from PIL import Image

    file = dataset(ramp(), **WINDOW)
    path = write(tmp_path, file)
    deep = np.rint(rendered(file).pixels * 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "image.png")
    np.testing.assert_allclose(
        load_image(path, size=75), load_image(tmp_path / "image.png", size=75), atol=1e-6
    )


def test_dicom_is_recognised_by_its_first_bytes_or_its_suffix() -> None:
    content = as_bytes(dataset(ramp()))
    assert is_dicom(content, Path("IM0001"))
    assert is_dicom(b"", Path("a.DCM"))
    assert not is_dicom(b"\x89PNG" + bytes(200), Path("a.png"))


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless])
def test_damaged_files_give_only_the_packages_errors(syntax: UID | None, tmp_path: Path) -> None:
    file = dataset(ramp(), VOILUTSequence=tables(table(ramp().ravel(), first=0, bits=12)), **WINDOW)
    if syntax is not None:
        file.compress(syntax, generate_instance_uid=False)
    content = bytearray(as_bytes(file))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 6))):
            damaged[int(rng.integers(128, min(len(damaged), 1200)))] = int(rng.integers(256))
        if rng.random() < 0.3:
            del damaged[int(rng.integers(140, len(damaged))) :]
        path = tmp_path / "damaged.dcm"
        path.write_bytes(damaged)
        try:
            load_image(path, size=75)
        except ImageError as error:
            refused += 1
            assert "damaged.dcm" in str(error)
    assert refused > 10


@pytest.mark.parametrize("signed", [True, False])
def test_padding_written_with_the_wrong_sign_is_padding(signed: bool) -> None:
    kind, value = (np.int16, -2000) if signed else (np.uint16, 63536)
    pixels = ramp().astype(kind)
    pixels[:4] = value
    file = dataset(pixels, bits=16, **WINDOW)
    file.add_new(0x00280120, "US" if signed else "SS", 63536 if signed else -2000)
    image = rendered(file)
    assert "padding black" in image.steps
    assert (image.pixels[:4] == 0).all()


def test_a_table_in_a_big_endian_file_is_read_as_its_pixels_are() -> None:
    from pydicom.uid import ExplicitVRBigEndian

    entries = np.linspace(0, 1023, 4096).astype(np.uint16)
    item = table(entries, first=0, bits=10)
    item.add_new(0x00283006, "OW", entries.astype(">u2").tobytes())
    file = dataset(ramp(), VOILUTSequence=tables(item))
    file.PixelData = ramp().astype(">u2").tobytes()
    file.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, file, enforce_file_format=True, little_endian=False)
    shown = open_dicom(stream.getvalue(), errors=FileErrors(Path("image.dcm"), 3)).render()
    np.testing.assert_allclose(shown.pixels, entries[ramp()] / 1023, atol=1e-6)


@pytest.mark.parametrize(
    ("elements", "box"),
    [
        ({"PixelSpacing": [0.5, 0.5]}, (22, 14, 42, 34)),
        ({"ImagerPixelSpacing": [0.5, 0.25]}, (12, 14, 52, 34)),
        ({"PixelSpacing": [0.0, 0.0], "ImagerPixelSpacing": [1, 1]}, (27, 19, 37, 29)),
        ({"PixelSpacing": [0.01, 0.01]}, (0, 0, 64, 48)),
    ],
)
def test_a_crop_by_millimetres_is_the_middle_by_the_pixel_spacing(
    elements: dict[str, Any], box: tuple[int, int, int, int], tmp_path: Path
) -> None:
    pixels = ramp()
    path = write(tmp_path, dataset(pixels, **WINDOW, **elements))
    framing = Framing.of("centre:10", False)
    left, top, right, bottom = box
    with open_picture(path, reading=Reading(framing=framing)) as part, open_picture(path) as whole:
        assert (part.width, part.height) == (right - left, bottom - top)
        inner = np.concatenate(list(whole.strips()))[top:bottom, left:right]
        np.testing.assert_array_equal(np.concatenate(list(part.strips())), inner)


@pytest.mark.parametrize("elements", [{}, {"PixelSpacing": [0.0, 0.0]}])
def test_a_crop_by_millimetres_without_spacing_names_elements_and_cure(
    elements: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path, dataset(ramp(), **WINDOW, **elements))
    reading = Reading(framing=Framing.of("centre:10", False))
    with pytest.raises(ImageError, match=r"\(0028,0030\).*\(0018,1164\).*crop_left"):
        load_image(path, size=75, reading=reading)


def test_what_was_done_is_listed_in_order() -> None:
    pixels = ramp() | np.uint16(0x8000)
    pixels[:2] = 0
    file = dataset(
        pixels,
        RescaleSlope=2,
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=0,
        **WINDOW,
    )
    assert rendered(file).steps == (
        "bits beside the 12 stored ones removed",
        "rescaled by 2 and +0",
        "window 2000/1500 (linear)",
        "inverted (MONOCHROME1)",
        "padding black",
    )


def test_a_spacing_that_is_no_number_only_prevents_crops(tmp_path: Path) -> None:
    file = dataset(ramp(), **WINDOW)
    file.add_new(0x00181164, "LO", "unknown")
    path = write(tmp_path, file)
    with open_picture(path) as picture:
        assert picture.spacing is None
    with pytest.raises(ImageError, match="are missing or 0"):
        load_image(path, size=75, reading=Reading(framing=Framing.of("centre:10", False)))


@pytest.mark.parametrize("removed", [5, 40])
def test_damaged_run_lengths_give_only_the_packages_errors(removed: int, tmp_path: Path) -> None:
    file = dataset(np.arange(64 * 48, dtype=np.uint16).reshape(64, 48), bits=12)
    file.compress(RLELossless, generate_instance_uid=False)
    frame = bytearray(next(generate_frames(file.PixelData, number_of_frames=1)))
    del frame[64 : 64 + removed]
    file.PixelData = encapsulate([bytes(frame) + b"\x7f" * removed])
    path = write(tmp_path, file)
    # More values than there is room for: some decoders leave Python altogether.
    try:
        assert load_image(path, size=75).shape == (75, 75, 3)
    except ImageError as error:
        assert "cannot be decoded" in str(error)


@pytest.mark.parametrize("bits", [0, 1, 29, 255])
def test_bits_that_no_codestream_has_are_refused_before_decoding(bits: int, tmp_path: Path) -> None:
    frame = bytes.fromhex("ffd8fff7000b10004000300101110 0".replace(" ", ""))
    frame = (
        frame[:6] + bytes([bits]) + frame[7:] + bytes.fromhex("ffda0008010100000000") + bytes(64)
    )
    file = dataset(np.zeros((64, 48), dtype=np.uint16), bits=12)
    file.file_meta.TransferSyntaxUID = JPEGLSLossless
    file.PixelData = encapsulate([frame])
    file["PixelData"].VR = "OB"
    file["PixelData"].is_undefined_length = True
    with pytest.raises(ImageError, match="damaged or truncated"):
        load_image(write(tmp_path, file), size=75)
