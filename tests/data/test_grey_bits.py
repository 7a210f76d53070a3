"""How many bits of 16-bit files are used: decided by their source, never by one dark image."""

from pathlib import Path

import pytest

from rust_tuner.data.grey_bits import DeepImage, grey_bits, smallest_depth


def images(folder: str, *maxima: int, patients: bool = True, site: str = "") -> list[DeepImage]:
    return [
        DeepImage(
            Path(folder, f"{number}.png"),
            highest,
            patient=f"{folder}{number}" if patients else folder,
            site=site,
        )
        for number, highest in enumerate(maxima)
    ]


@pytest.mark.parametrize(
    ("highest", "bits"),
    [(1, 8), (255, 8), (256, 10), (1024, 12), (4095, 12), (16383, 14), (16384, 16), (65535, 16)],
)
def test_the_fewest_bits_that_hold_all_images_are_used(highest: int, bits: int) -> None:
    assert smallest_depth(highest) == bits
    assert grey_bits(images("a", highest, highest // 2)).bits == (bits, bits)


def test_a_dark_image_is_read_as_the_others_of_its_folder() -> None:
    decided = grey_bits(images("a", 4095, 4000, 900, 60, 4095, 4095, 4090, 4095, 4095, 4095))
    assert set(decided.bits) == {12}
    assert (
        "use 12 bits" in decided.notes[0]
        and "1 16-bit image uses at most 8 bits" in (decided.notes[1])
    )


def test_a_dark_image_among_full_ones_is_not_brightened() -> None:
    decided = grey_bits(images("a", *[65535] * 9, 3000))
    assert set(decided.bits) == {16}
    assert "`bits`" in decided.notes[0]


def test_two_sources_in_one_folder_are_told_apart_by_a_factor_of_16() -> None:
    assert (
        grey_bits(images("a", 65535, 60000, 65000, 4095, 4000, 3900)).bits == (16,) * 3 + (12,) * 3
    )


def test_each_folder_of_several_patients_is_a_source() -> None:
    decided = grey_bits([*images("a", 4095, 4000), *images("b", 16383, 9000)])
    assert decided.bits == (12, 12, 14, 14)


def test_folders_of_one_patient_each_are_one_source() -> None:
    dark = images("x/p1", 900, 800, patients=False)
    bright = [item for n in range(2, 9) for item in images(f"x/p{n}", 4095, 3000, patients=False)]
    assert set(grey_bits([*dark, *bright]).bits) == {12}


def test_each_site_is_a_source() -> None:
    decided = grey_bits([*images("a", 4095, 4000, site="A"), *images("a", 16000, 900, site="B")])
    assert decided.bits == (12, 12, 14, 14)


def test_bits_that_a_file_states_are_used_whatever_the_others_have() -> None:
    stated = DeepImage(Path("a/s.png"), 900, stated=12, patient="s")
    assert grey_bits([stated, *images("a", 1000, 900, 800)]).bits == (12, 10, 10, 10)


def test_images_that_are_all_black_tell_nothing() -> None:
    assert grey_bits(images("a", 0, 0)).bits == (16, 16)
    assert grey_bits(images("a", 0, 4095)).bits == (12, 12)
    assert grey_bits([]).bits == ()


@pytest.mark.parametrize(("highest", "bits"), [(900, 12), (4095, 12), (9000, 14), (65535, 16)])
def test_a_new_image_is_read_as_those_of_the_study(highest: int, bits: int) -> None:
    assert grey_bits(images("new", highest), known=[12]).bits == (bits,)


def test_the_order_of_images_does_not_matter() -> None:
    mixed = [*images("a", 65535, 60000, 65000, 4095, 4000, 3900), *images("b", 4095, 100)]
    forward, backward = grey_bits(mixed).bits, grey_bits(mixed[::-1]).bits
    assert forward == backward[::-1]
