"""No log may contain a patient id or the name of an image."""

from collections.abc import Iterator

import pytest

from rust_tuner.data.private_words import (
    forget_private_words,
    names_private_words,
    remember_private_words,
)


@pytest.fixture(autouse=True)
def words() -> Iterator[None]:
    forget_private_words()
    remember_private_words(
        ["Müller-77", "17", "0012345", "A", "Anna Maria Smith"],
        ["/data/Smith/leg 017 ap.png", "case9.dcm", "Smith/lateral.png"],
        manifest="/data/Anna Smith.csv",
    )
    yield
    forget_private_words()


@pytest.mark.parametrize(
    "text",
    [
        "patient müller-77 is on both sides",
        "0012345 has two visits",
        "patients 16, 17 and 18",
        "row 3: patient A",
        "id=17",
        "'17' and 'b' read alike",
        "(patient: 17)",
        "of Anna Maria Smith.",
        "leg 017 ap cannot be decoded",
        "leg 017 ap.png",
        "see case9.dcm",
        "(case9)",
        "Anna Smith.csv: 3 of 4 radiographs score lateral",
    ],
)
def test_a_text_that_names_a_patient_or_an_image_is_recognised(text: str) -> None:
    assert names_private_words(text)


@pytest.mark.parametrize(
    "text",
    [
        "trial 0017 val_auroc 0.17, 17 of 100 trials",
        "A search of 10012345 steps",
        "Anna Maria",
        "no radiograph has lateral cortex, score 1",
        "17 patients and 17 trials: a note of 17 radiographs",
        "leg 0170 apart",
        "",
    ],
)
def test_a_text_that_names_none_is_not_withheld(text: str) -> None:
    assert not names_private_words(text)
