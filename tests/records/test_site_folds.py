"""Folds that leave one site out: made, written down, taken up again, refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none

from rust_tuner import Protocol
from rust_tuner.data.folds import folds_asked_for, make_site_folds, sites_alike
from rust_tuner.data.phantoms import phantom_table
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.data.splits import Development, HoldOut
from rust_tuner.errors import SplitError
from rust_tuner.files import sha256_of_json
from rust_tuner.records.split import load_or_make_folds, load_or_make_site_folds, load_or_make_split


def radiographs(sites: int = 3, patients: int = 24, **columns: Any) -> Radiographs:
    table = phantom_table(patients=patients, seed=0, sites=sites)
    return Radiographs(table.assign(**columns), source="m.csv")


def test_each_fold_validates_one_site_and_trains_on_all_the_others() -> None:
    data = radiographs()
    folds = make_site_folds(data)
    assert folds.sites == ("S1", "S2", "S3")
    assert len(folds) == 3
    for site, (training, validation) in zip(folds.sites, folds, strict=True):
        assert set(not_none(data.sites)[validation]) == {site}
        assert set(not_none(data.sites)[training]) == set(folds.sites) - {site}
        assert sorted([*training, *validation]) == list(range(len(data)))
        assert not set(data.patient_ids[training]) & set(data.patient_ids[validation])


def test_folds_follow_the_names_of_the_sites_whatever_the_order_of_rows() -> None:
    data = radiographs()
    order = np.random.default_rng(0).permutation(len(data))
    one, other = make_site_folds(data), make_site_folds(data.subset(order))
    np.testing.assert_array_equal(one.assignment[order], other.assignment)


def test_a_label_that_a_site_lacks_is_told() -> None:
    table = phantom_table(patients=24, seed=0, sites=2)
    table.loc[(table["site"] == "S2") & (table["medial"] == 3), "medial"] = None
    folds = make_site_folds(Radiographs(table))
    assert any(
        "medial cortex, score 3" in warning and "folds [1]" in warning for warning in folds.warnings
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (radiographs(sites=1), "m.csv has no column 'site', so no site can be left out"),
        (radiographs(site="Oslo"), r"all patients are from 1 site \(Oslo\); .* at least two"),
        (radiographs(site=""), r"the site is empty in 5\d rows \(2, 3, 4, 5, 6, ...\)"),
    ],
)
def test_where_no_site_can_be_left_out_it_is_refused(data: Radiographs, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_site_folds(data)


@pytest.mark.parametrize(
    ("first", "other"),
    [("S1", "s1"), ("Zürich", "Zu\u0308rich"), ("Site 1", " site  1"), ("Oslo", "\uff2fslo")],
)
def test_a_site_that_is_written_in_two_ways_is_named(
    first: str, other: str, tmp_path: Path
) -> None:
    table = phantom_table(patients=24, seed=0, sites=3)
    table["site"] = table["site"].replace({"S1": first, "S3": other})
    data = Radiographs(table, source="m.csv")
    assert re.search(r"the site .* \(row \d+\) reads like .* \(row 2\)", str(sites_alike(data)))
    # A study that is begun goes on; `prepare` refuses a new one.
    assert any("reads like" in warning for warning in make_site_folds(data).warnings)


@pytest.mark.parametrize(
    ("first", "other"), [("Ward A+", "Ward A-"), ("1", "-1"), ("1", "1.0"), ("B", "\u03b2")]
)
def test_sites_that_differ_in_more_than_spelling_are_two(first: str, other: str) -> None:
    table = phantom_table(patients=24, seed=0, sites=3)
    table["site"] = table["site"].replace({"S1": first, "S3": other})
    assert sites_alike(Radiographs(table)) is None
    assert sites_alike(Radiographs(table.drop(columns="site"))) is None


def test_a_patient_of_two_sites_is_named() -> None:
    table = phantom_table(patients=24, seed=0, sites=2)
    table.loc[table.index[1], "site"] = "S2"
    with pytest.raises(SplitError, match="patient P0001 has radiographs from the sites S1 and S2"):
        make_site_folds(Radiographs(table))


def test_the_hold_out_set_is_refused() -> None:
    with pytest.raises(SplitError, match="got HoldOut, expected Development"):
        make_site_folds(HoldOut(radiographs()))  # type: ignore[arg-type]


def test_a_protocol_decides_what_a_fold_leaves_out() -> None:
    development = Development(radiographs())
    by_site = folds_asked_for(development, Protocol(folds_by="site", seed=3), 6)
    assert not isinstance(by_site, int)
    assert by_site.sites == ("S1", "S2", "S3")
    assert by_site.seed == 3
    assert folds_asked_for(development, Protocol(seed=3), 6) == 6


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Development]:
    path = tmp_path / "split.json"
    development, _ = load_or_make_split(path, radiographs(), 0.25, 0)
    return path, development


def test_they_are_written_beside_the_others_and_come_back(made: tuple[Path, Development]) -> None:
    path, development = made
    first = load_or_make_site_folds(path, development, 0)
    by_patient = load_or_make_folds(path, development, 3, 0)
    written = path.read_bytes()
    again = load_or_make_site_folds(path, development, 0)
    assert path.read_bytes() == written
    np.testing.assert_array_equal(first.assignment, again.assignment)
    assert again.sites == first.sites == ("S1", "S2", "S3")
    assert again.warnings == first.warnings
    np.testing.assert_array_equal(
        load_or_make_folds(path, development, 3, 0).assignment, by_patient.assignment
    )
    content = json.loads(path.read_text())
    assert content["site_folds"]["sites"] == ["S1", "S2", "S3"]
    assert set(content["folds"]) == {"3"}


def test_a_split_without_them_is_written_as_before(made: tuple[Path, Development]) -> None:
    path, development = made
    load_or_make_folds(path, development, 3, 0)
    assert "site_folds" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folds: folds["patients"].popitem(), "is in none of the folds by site"),
        (lambda folds: folds["patients"].update(X=0), "but in one of the folds by site"),
        (lambda folds: folds["sites"].pop(), "the folds by site are numbered"),
        (lambda folds: folds.pop("sites"), "damaged"),
    ],
)
def test_what_was_changed_is_noticed(
    made: tuple[Path, Development], edit: Callable[[Any], object], message: str
) -> None:
    path, development = made
    load_or_make_site_folds(path, development, 0)
    content = json.loads(path.read_text())
    del content["sha256"]
    edit(content["site_folds"])
    path.write_text(json.dumps(content | {"sha256": sha256_of_json(content)}))
    with pytest.raises(SplitError, match=message):
        load_or_make_site_folds(path, development, 0)


def test_a_change_without_its_hash_and_another_seed_are_refused(
    made: tuple[Path, Development],
) -> None:
    path, development = made
    load_or_make_site_folds(path, development, 0)
    with pytest.raises(SplitError, match="folds by site were made with seed 0, not 1"):
        load_or_make_site_folds(path, development, 1)
    path.write_text(path.read_text().replace('"S2"', '"S9"'))
    with pytest.raises(SplitError, match="the content does not match its SHA-256"):
        load_or_make_site_folds(path, development, 0)


def test_another_site_is_another_set_of_radiographs() -> None:
    data = radiographs()
    table = data.table.copy()
    table["site"] = table["site"].replace("S3", "S4")
    assert radiographs_sha256(Radiographs(table)) != radiographs_sha256(data)
    without = Radiographs(pd.DataFrame(data.table.drop(columns="site")))
    assert radiographs_sha256(without) != radiographs_sha256(data)
    assert radiographs_sha256(data.subset(np.arange(len(data))[::-1])) == radiographs_sha256(data)
