"""Joining scores and images: what may be meant twice is left out, and nothing is guessed."""

import datetime
import itertools
from pathlib import Path

import pytest

from rust_tuner.data.image_folder import FoundImage, find_images
from rust_tuner.data.matching import match
from rust_tuner.data.sheet_scores import ScoredView

FOLDER = Path("/archive")


def image(name: str, patient: str | None = None, **fields: object) -> FoundImage:
    return FoundImage(FOLDER / name, patient, view="ap", folder=FOLDER, **fields)  # type: ignore[arg-type]


def dated(view: str, month: int, side: str | None = None) -> FoundImage:
    """A radiograph of P1 on the first of a month, as DICOM tags tell it."""
    day = datetime.date(2021, month, 1)
    return FoundImage(FOLDER / f"{view}_{side}_{month}.dcm", "P1", None, day, view, side)


def visit_rows(*visits: str, side: str | None = None, first_row: int = 2) -> list[ScoredView]:
    """Both views of each visit of P1, one row a visit."""
    return [
        ScoredView(row, "P1", visit, None, view, side)
        for row, visit in enumerate(visits, first_row)
        for view in ("ap", "lateral")
    ]


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


def test_the_two_views_of_a_visit_are_never_joined_from_different_dates() -> None:
    three_dates = [dated("ap", 1), dated("ap", 2), dated("lateral", 2), dated("lateral", 3)]
    refused = match(visit_rows("6 weeks", "12 weeks"), three_dates)
    assert refused.pairs == ()
    assert {item.reason for item in refused.scores} == {
        "visits in the table: 2, dates of this patient's images: 3; give dates in both, or the "
        "visit in the images' names"
    }
    one_visit = match(visit_rows("6 weeks"), [dated("ap", 1), dated("lateral", 2)])
    assert one_visit.pairs == ()
    as_many = match(visit_rows("6 weeks", "12 weeks", "24 weeks"), three_dates)
    assert {(pair.visit, pair.image.path.name) for pair in as_many.pairs} == {
        ("6 weeks", "ap_None_1.dcm"),
        ("12 weeks", "ap_None_2.dcm"),
        ("12 weeks", "lateral_None_2.dcm"),
        ("24 weeks", "lateral_None_3.dcm"),
    }


def test_an_image_whose_view_is_unknown_counts_as_a_date_of_the_patient() -> None:
    images = [dated(view, month) for view in ("ap", "lateral") for month in (1, 3)]
    scored = visit_rows("6 weeks", "12 weeks")
    assert len(match(scored, images).pairs) == 4
    unknown = FoundImage(FOLDER / "x.dcm", "P1", date=datetime.date(2021, 2, 1), problem="no view")
    assert match(scored, [*images, unknown]).pairs == ()


def test_dates_and_visits_are_those_of_the_side_that_was_scored() -> None:
    left = [dated(view, month, "left") for view in ("ap", "lateral") for month in (1, 3)]
    right = [dated(view, 2, "right") for view in ("ap", "lateral")]
    scored = visit_rows("6 weeks", "12 weeks", side="left")
    scored += visit_rows("3 months", side="right", first_row=4)
    pairs = match(scored, [*left, *right]).pairs
    assert [(pair.visit, pair.image.date) for pair in pairs] == [
        (visit, datetime.date(2021, month, 1))
        for visit, month in (("6 weeks", 1), ("12 weeks", 3), ("3 months", 2))
        for _ in ("ap", "lateral")
    ]


def test_views_of_different_sides_are_not_joined_as_one_visit() -> None:
    images = [dated("ap", 1, "left"), dated("lateral", 1, "right")]
    refused = match(visit_rows("6 weeks"), images)
    assert refused.pairs == ()
    assert {item.reason for item in refused.scores} == {
        "images of both sides; add a column with the side that was scored"
    }


@pytest.mark.parametrize(
    "visits",
    [
        ("baseline", "6 weeks", "3 months"),
        ("6 weeks", "3 months", "1 year"),
        ("1", "2", "10"),
        ("first", "second", "third"),
        ("week 6", "week 12", "week 24"),
        ("1st visit", "2nd visit", "3rd visit"),
        ("1 month", "1.5 months", "2 months"),
    ],
)
def test_visits_are_taken_in_the_order_of_time_however_the_table_is_sorted(
    visits: tuple[str, ...],
) -> None:
    images = [dated("ap", month) for month in (1, 2, 3)]
    for rows in itertools.permutations(enumerate(visits, 1)):
        scored = [entry(row, "P1", visit) for row, (_, visit) in enumerate(rows, 2)]
        months = {f"ap_None_{month}.dcm" for month, _ in rows}
        found = joined(scored, images)
        assert set(found.values()) == months
        for row, (month, _) in enumerate(rows, 2):
            assert found[row] == f"ap_None_{month}.dcm"


@pytest.mark.parametrize(
    "visits",
    [
        ("baseline", "last seen"),
        ("pre-op", "post-op"),
        ("injury", "surgery"),
        ("6w", "06w"),
        ("12 months", "1 year"),
        ("baseline", "2"),
        ("6 Wochen", "3 Monate"),
    ],
)
def test_visits_whose_names_do_not_say_their_order_are_refused(visits: tuple[str, str]) -> None:
    images = [dated("ap", 1), dated("ap", 2)]
    scored = [entry(row, "P1", visit) for row, visit in enumerate(visits, 2)]
    refused = match(scored, images)
    assert refused.pairs == ()
    assert refused.scores[0].reason == (
        f"the names of the visits ({visits[0]}, {visits[1]}) do not say their order; add a column "
        "with the date of each visit to the table"
    )


def test_a_visit_at_which_both_sides_were_scored_is_named_with_the_side() -> None:
    images = [
        image(f"{side}_{visit}.png", "P1", visit=visit, side=side)
        for side, visit in (("left", "6w"), ("right", "6w"), ("left", "12w"))
    ]
    scored = [
        entry(2, "P1", "6w", side="left"),
        entry(3, "P1", "6w", side="right"),
        entry(4, "P1", "12w", side="left"),
    ]
    matching = match(scored, images)
    assert [pair.visit for pair in matching.pairs] == ["6w left", "6w right", "12w"]
    (note,) = matching.notes
    assert "both sides of a patient at one visit" in note


def test_two_radiographs_of_one_view_of_a_visit_are_both_refused() -> None:
    images = [image("a.png"), image("b.png"), image("c.png")]
    scored = [entry(row, "P1", image=f"{name}.png") for row, name in ((2, "a"), (3, "b"))]
    scored.append(entry(4, "P2", image="c.png"))
    matching = match(scored, images)
    assert [pair.scores.row for pair in matching.pairs] == [4]
    assert {item.reason for item in matching.scores} == {
        "rows 2, 3 are of one patient, visit and view; keep one radiograph, or give the visits "
        "different names, or the side of each"
    }


def test_two_links_to_one_image_are_one_image(tmp_path: Path) -> None:
    (tmp_path / "1f3a.png").write_bytes(b"")
    for name in ("P1_6w_ap.png", "P2_6w_ap.png"):
        (tmp_path / name).symlink_to(tmp_path / "1f3a.png")
    images = find_images(tmp_path, pattern="{patient_id}_{visit}_{view}.png")
    refused = match([entry(2, "P1"), entry(3, "P2")], images)
    assert refused.pairs == ()
    assert "would belong to rows 2, 3" in refused.scores[0].reason


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
