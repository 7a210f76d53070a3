"""Written names are stable, distinct, and say nothing without the key."""

from pathlib import Path

import pandas as pd
import pytest

from rust_tuner.data import pseudonyms
from rust_tuner.data.pseudonyms import Pseudonyms, keyed_hash
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ManifestError
from rust_tuner.search.executors.shipping import packed, unpacked

KEY = bytes(range(32))


def radiographs(visits: dict[str, list[str]]) -> Radiographs:
    """One AP radiograph of each visit."""
    rows = [
        {"image": f"{patient}-{visit}.png", "patient_id": patient, "visit": visit, "view": "ap"}
        for patient, names in visits.items()
        for visit in names
    ]
    return Radiographs(
        pd.DataFrame(rows).assign(medial=1, lateral=2, anterior=None, posterior=None)
    )


def named(visits: dict[str, list[str]], key: bytes = KEY) -> Radiographs:
    data = radiographs(visits)
    return data.written_as(Pseudonyms.of(data.table, key))


def visits_of(visits: dict[str, list[str]]) -> list[str]:
    return named(visits).written["visit"].tolist()


def test_the_same_key_gives_the_same_names_and_another_one_others() -> None:
    visits = {"P1": ["1", "2"], "P2": ["1"]}
    first, again, other = named(visits), named(visits), named(visits, bytes(32))
    assert first.written.equals(again.written)
    assert not set(first.written_patients) & set(other.written_patients)
    assert not set(first.written["image"]) & set(other.written["image"])


def test_names_do_not_depend_on_the_other_patients_or_the_order() -> None:
    many, few = named({"P1": ["1"], "P2": ["1"]}), named({"P2": ["1"]})
    assert many.written_patients[1] == few.written_patients[0]


def test_hashes_that_collide_get_more_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudonyms, "_DIGITS", 1)
    data = named({f"P{number}": ["1"] for number in range(50)})
    assert len(set(data.written_patients)) == 50
    assert all(len(name) == len("p-") + 5 for name in data.written_patients)


def test_relative_visits_are_kept_and_dates_are_numbered_in_their_order() -> None:
    assert visits_of({"P1": ["baseline", "6 weeks", "3_months_arm_1"]}) == [
        "baseline",
        "6 weeks",
        "3_months_arm_1",
    ]
    assert visits_of({"P1": ["2021-03-04", "2020-11-20"], "P2": ["6 weeks"]}) == [
        "visit 2",
        "visit 1",
        "6 weeks",
    ]
    # A number of a patient's never meets another visit of the same name.
    assert visits_of({"P1": ["visit 1", "seen by Dr. Miller"]}) == ["visit 1", "visit 2"]
    assert visits_of({"P1": ["seen by Dr. Miller", "visit 1"]}) == ["visit 1", "visit 2"]


@pytest.mark.parametrize(
    "name",
    ["2021-03-04", "20210304", "4.3.21", "04/03/2021", "March 2021", "44259", "Miller", "MRN 17-3"],
)
def test_a_visit_that_may_say_more_than_when_it_was_is_not_written(name: str) -> None:
    assert visits_of({"P1": [name]}) == ["visit 1"]


def test_subsets_copies_and_other_processes_keep_the_names(tmp_path: Path) -> None:
    data = named({"P1": ["1"], "P2": ["1"]})
    (part,) = data.subset([1]).written_patients
    assert part == data.written_patients[1]
    assert data.remembering_sealed({"P1"}).subset([1]).written_patients.tolist() == [part]
    assert Radiographs(data.table.iloc[[1]].copy()).written_patients.tolist() == [part]
    assert unpacked(packed(data, tmp_path), tmp_path).written.equals(data.written)


def test_a_radiograph_of_nobody_known_is_never_written_as_it_is() -> None:
    data = named({"P1": ["1"]})
    table = data.table.assign(patient_id="P2")
    with pytest.raises(ManifestError, match="has no name that may be written"):
        _ = Radiographs(table).written


def test_a_written_table_carries_no_own_ids_along(tmp_path: Path) -> None:
    data = named({"P1": ["1"], "P2": ["1"]}).remembering_sealed({"P1"})
    assert data.written.attrs == {}
    assert b"P1" not in packed(data.written, tmp_path)


def test_ids_stay_as_they_are_in_memory_and_without_pseudonyms() -> None:
    assert named({"P1": ["1"]}).patient_ids.tolist() == ["P1"]
    plain = radiographs({"P1": ["2021-03-04"]})
    assert plain.written is plain.table


def test_texts_that_are_divided_otherwise_have_other_hashes() -> None:
    assert keyed_hash(KEY, "ab", "c") != keyed_hash(KEY, "a", "bc")
