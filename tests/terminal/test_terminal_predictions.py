"""The table of predicted scores: readable names, and notes that name images."""

import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table

from rust_tuner.labels import encode
from rust_tuner.protocol import ANATOMICAL_VIEWS
from rust_tuner.records.novelty import Novelty
from rust_tuner.steps.image_list import ImageList
from rust_tuner.steps.predict import as_table, with_totals
from rust_tuner.terminal.predictions import image_names, pairing_note, predictions_table


def predicted(
    names: list[Any],
    views: list[str],
    pairs: Sequence[tuple[int, int]] = (),
    distances: list[float] | None = None,
) -> pd.DataFrame:
    scores = [[2, 3, 1, 4]] * len(names)
    table = as_table(names, 0.05 + 0.9 * encode(views, scores), ANATOMICAL_VIEWS)
    distances = [0.5] * len(names) if distances is None else distances
    unlike = pd.array([distance > 1 for distance in distances], dtype="boolean")
    table = table.assign(distance=distances, unlike=unlike)
    return with_totals(table, pairs, ANATOMICAL_VIEWS)


def novelty() -> Novelty:
    ones = np.ones(18)
    return Novelty(np.ones((1, 4), np.float16), 1.0, ones, np.eye(18), 1.0, 20, 49, 1)


def shown(table: Table, width: int = 80) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width)
    console.print(table)
    return written.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "name",
    [
        "017_{}.png",
        "hospital_a-2021.03.04-patient_000017-visit_2-{}.png",
        "1.2.840.113619.2.55.3.604688119868.{}.png",
        "a" * 60 + "_{}.png",
    ],
)
def test_names_and_numbers_are_whole_in_80_columns(name: str, width: int) -> None:
    names = [name.format(view) for view in ("ap", "lat")]
    text = shown(predictions_table(predicted(names, ["ap", "lateral"], [(0, 1)])), width)
    assert max(map(len, text.splitlines())) <= width
    for number in ("ap (0.95)", "2 (0.86)", "4 (0.86)"):
        assert number in text
    assert len(re.findall(r" 10 *$", text, re.MULTILINE)) == 2
    for piece in re.findall(r"[^_.-]+(?:[_-]|\.png|\.)", names[0]):
        assert piece in text


def test_each_reason_for_a_missing_total_is_given_once_and_names_the_view() -> None:
    names = [f"{number}.png" for number in range(7)]
    table = predicted(names, ["ap"] * 5 + ["lateral"] * 2, [(0, 1)])
    text = " ".join(shown(predictions_table(table, novelty())).split())
    hidden = "no lateral view, which shows anterior and posterior"
    assert f"No total (2 images): both images look like AP views, {hidden}: 0.png, 1.png" in text
    assert f"No total (3 images): {hidden}: 2.png, 3.png, 4.png." in text
    assert "No total (2 images): no AP view, which shows medial and lateral: 5.png, 6.png." in text


def test_unlike_images_are_named_with_the_rate_of_false_alarms() -> None:
    table = predicted(["a.png", "noise.png"], ["ap", "ap"], distances=[0.5, 4.25])
    text = " ".join(shown(predictions_table(table, novelty())).split())
    assert "!noise.png" in text
    assert "! WARNING: 1 image is unlike the development set" in text
    assert "noise.png (4.2)" in text
    assert "1 of the 49 development radiographs" in text
    assert "up to a third" not in text


def test_few_patients_to_compare_with_make_the_mark_doubtful() -> None:
    table = predicted(["a.png", "noise.png"], ["ap", "ap"], distances=[0.5, 4.25])
    few = dataclasses.replace(novelty(), patients=19)
    text = " ".join(shown(predictions_table(table, few)).split())
    assert "With only 19 patients to compare with, up to a third of ordinary images" in text


def test_a_model_without_the_record_says_that_it_cannot_be_checked() -> None:
    table = predicted(["a.png"], ["ap"], distances=[float("nan")])
    table["unlike"] = pd.array([None], dtype="boolean")
    assert "cannot be checked" in " ".join(shown(predictions_table(table)).split())


def test_names_that_repeat_keep_their_folders() -> None:
    assert image_names(["/d/ap/1.png", "/d/lat/1.png"]) == ["ap/1.png", "lat/1.png"]
    assert image_names(["/d/ap/1.png", "/d/lat/2.png"]) == ["1.png", "2.png"]


def test_the_pairing_is_explained_with_an_example() -> None:
    listed = ImageList(("d/017_ap.png", "d/017_lat.png"), ((0, 1),))  # type: ignore[arg-type]
    assert pairing_note(listed) == "Pairs of views: 1 by name; such as 017_ap.png with 017_lat.png."
    assert "No AP and lateral view" in pairing_note(ImageList(("a.png",), ()))  # type: ignore[arg-type]
