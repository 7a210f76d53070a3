"""Joining scores and images: what may be meant twice is left out, and nothing is guessed."""

import datetime
from pathlib import Path

import pytest

from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.matching import match
from rust_tuner.data.sheet_scores import ScoredView

FOLDER = Path("/archive")


def image(name: str, patient: str | None = None, **fields: object) -> FoundImage:
    return FoundImage(FOLDER / name, patient, view="ap", folder=FOLDER, **fields)  # type: ignore[arg-type]


def entry(row: int, patient: str, visit: str | None = "6w", **fields: object) -> ScoredView:
    return ScoredView(row, patient, visit, None, "ap", **fields)  # type: ignore[arg-type]


def joined(scored: list[ScoredView], images: list[FoundImage]) -> dict[int, str]:
    """The name of each row's image."""
    return {pair.scores.row: pair.image.path.name for pair in match(scored, images).pairs}


def test_ids_that_read_alike_are_joined_exactly_where_both_are_written_so() -> None:
    images = [image("a.png", "P1", visit="6w"), image("b.png", "P01", visit="6w")]
    assert joined([entry(2, "P01"), entry(3, "P1")], images) == {2: "b.png", 3: "a.png"}


def test_an_id_is_joined_with_another_spelling_only_if_no_other_id_reads_like_it() -> None:
    only = [image("a.png", "007", visit="6w")]
    assert joined([entry(2, "7")], only) == {2: "a.png"}
    assert match([entry(2, "7")], only).notes == ("patient 7 of the table is 007 of the images",)
    two_rows = match([entry(2, "7"), entry(3, "07")], only)
    assert not two_rows.pairs
    assert "reads like 07 of row 3" in two_rows.scores[0].reason
    two_images = match([entry(2, "7")], [*only, image("b.png", "07", visit="6w")])
    assert not two_images.pairs
    assert "007 and 07" in two_images.scores[0].reason


@pytest.mark.parametrize(
    ("table", "name", "is_same"),
    [
        ("1.0", "1", True),
        ("1.0", "10", False),
        ("1.5", "15", False),
        ("6 W", "06w", True),
        ("Follow up", "follow-up", True),
        ("followup", "follow_up", True),
    ],
)
def test_a_visit_is_known_however_it_is_written_and_not_taken_for_another(
    table: str, name: str, is_same: bool
) -> None:
    found = joined([entry(2, "P1", table)], [image("a.png", "P1", visit=name)])
    assert bool(found) is is_same


def test_visits_with_numbers_are_taken_in_their_order_not_the_tables() -> None:
    days = [datetime.date(2021, month, 1) for month in (1, 2, 3)]
    images = [image(f"{day}.png", "P1", date=day) for day in days]
    scored = [entry(2, "P1", "12w"), entry(3, "P1", "24w"), entry(4, "P1", "6w")]
    assert joined(scored, images) == {4: "2021-01-01.png", 2: "2021-02-01.png", 3: "2021-03-01.png"}


def test_a_row_never_gets_the_image_of_another_subfolder() -> None:
    images = [image("P2/ap.png"), image("P3/ap.png")]
    assert joined([entry(2, "P1", image="P1/ap.png")], images[:1]) == {}
    assert joined([entry(2, "P2", image="Z:\\scans\\P2\\AP.png")], images) == {2: "ap.png"}
    assert joined([entry(2, "P2", image="ap.png")], images[:1]) == {2: "ap.png"}
    two = match([entry(2, "P2", image="ap.png")], images).scores
    assert "2 images of this name" in two[0].reason


def test_a_named_image_of_the_other_side_is_refused() -> None:
    left = image("a.png", side="left")
    (refused,) = match([entry(2, "P1", image="a.png", side="right")], [left]).scores
    assert "of the left side by its own tags" in refused.reason


def test_links_to_images_keep_their_names_and_may_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "images").mkdir()
    for number in (1, 2):
        (tmp_path / "store" / f"{number}f3a").write_bytes(b"")
        link = tmp_path / "images" / f"P{number}_6w_ap.png"
        link.symlink_to(tmp_path / "store" / f"{number}f3a")
    found = find_images(tmp_path / "images", pattern="{patient_id}_{visit}_{view}.png")
    assert [each.patient_id for each in found] == ["P1", "P2"]
