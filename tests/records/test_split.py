"""The split file: what is written comes back, and what has changed is noticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rust_tuner.data.folds import make_folds
from rust_tuner.data.manifest import Radiographs
from rust_tuner.data.row_record import radiographs_sha256
from rust_tuner.data.splits import Development, HoldOut, split_holdout
from rust_tuner.errors import SplitError
from rust_tuner.files import sha256_of_json
from rust_tuner.records.model import write_record
from rust_tuner.records.split import SplitRecord, load_or_make_folds, load_or_make_split, read_split


def table(num_patients: int = 12, **changes: Any) -> Radiographs:
    owners = np.repeat(np.arange(num_patients), 2)
    columns: dict[str, Any] = {
        "image": [f"{n}.png" for n in range(len(owners))],
        "patient_id": [f"p{owner:02d}" for owner in owners],
        "visit": "1",
        "view": ["ap", "lateral"] * num_patients,
        "medial": owners % 4 + 1,
        "lateral": None,
        "anterior": None,
        "posterior": owners % 3 + 1.0,
    }
    return Radiographs(pd.DataFrame(columns | changes))


def made(folder: Path) -> tuple[Path, Development]:
    path = folder / "split.json"
    development, _ = load_or_make_split(path, table(), 0.25, 0)
    load_or_make_folds(path, development, 3, 0)
    return path, development


def change(path: Path, edit: Callable[[dict[str, Any]], object], *, sealed: bool) -> None:
    content = json.loads(path.read_text())
    del content["sha256"]
    before = sha256_of_json(content)
    edit(content)
    content["sha256"] = sha256_of_json(content) if sealed else before
    path.write_text(json.dumps(content))


def test_the_second_call_gives_what_the_first_gave(tmp_path: Path) -> None:
    path = tmp_path / "study" / "split.json"
    first = load_or_make_split(path, table(), 0.25, 0)
    written = path.read_bytes()
    second = load_or_make_split(path, table(), 0.25, 0)
    assert path.read_bytes() == written
    for one, other, plain in zip(first, second, split_holdout(table(), 0.25, 0), strict=True):
        assert type(one) is type(other) is type(plain)
        assert one.radiographs.rows == other.radiographs.rows == plain.radiographs.rows  # type: ignore[attr-defined]


def test_folds_come_back_and_stand_beside_each_other(tmp_path: Path) -> None:
    path, development = made(tmp_path)
    four = load_or_make_folds(path, development, 4, 1)
    three = load_or_make_folds(path, development, 3, 0)
    plain = make_folds(development, 3, 0)
    np.testing.assert_array_equal(three.assignment, plain.assignment)
    assert (three.seed, three.num_folds, three.warnings) == (0, 3, plain.warnings)
    again = load_or_make_folds(path, development, 4, 1)
    np.testing.assert_array_equal(four.assignment, again.assignment)
    split = read_split(path, table())
    assert sorted(split.folds) == ["3", "4"]
    assert split.folds["4"].seed == 1


def test_a_split_survives_writing_and_reading(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    split = read_split(path, table())
    write_record(tmp_path / "copy.json", split)
    assert read_split(tmp_path / "copy.json", table()) == split
    assert json.loads(path.read_text())["sha256"] == split.sha256
    assert isinstance(split, SplitRecord)


def test_order_and_place_of_the_radiographs_do_not_matter(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    moved = table(image=[f"/elsewhere/{n}.png" for n in range(24)]).subset(np.arange(24)[::-1])
    development, holdout = load_or_make_split(path, moved, 0.25, 0)
    assert len(development) + len(holdout) == 24
    assert load_or_make_folds(path, development, 3, 0).num_folds == 3
    assert radiographs_sha256(moved) == radiographs_sha256(table())


def test_another_seed_or_fraction_is_refused(tmp_path: Path) -> None:
    path, development = made(tmp_path)
    with pytest.raises(
        SplitError, match=r"split\.json: made with seed 0, but seed 5 was requested; use"
    ):
        load_or_make_split(path, table(), 0.25, 5)
    with pytest.raises(SplitError, match=r"fraction 0\.25, but fraction 0\.3 was"):
        load_or_make_split(path, table(), 0.3, 0)
    with pytest.raises(SplitError, match="the 3 folds were made with seed 0, not 5"):
        load_or_make_folds(path, development, 3, 5)


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    with pytest.raises(SplitError, match="patient p12 is in the manifest, but on no side"):
        load_or_make_split(path, table(13), 0.25, 0)
    with pytest.raises(SplitError, match="patient p11 is not in the manifest any more"):
        load_or_make_split(path, table(11), 0.25, 0)
    with pytest.raises(SplitError, match=r"patient p07, p08, p09 \(and 2 more\) is not in the man"):
        load_or_make_split(path, table(7), 0.25, 0)
    with pytest.raises(SplitError, match="views or scores of the manifest have changed"):
        load_or_make_split(path, table(lateral=3), 0.25, 0)
    with pytest.raises(SplitError, match="views or scores of the manifest have changed"):
        load_or_make_split(path, table().subset(np.arange(23)), 0.25, 0)


def test_folds_of_another_development_set_are_refused(tmp_path: Path) -> None:
    path, development = made(tmp_path)
    seen = development.radiographs
    with pytest.raises(SplitError, match="is sealed, but in the development set given"):
        load_or_make_folds(path, Development(table()), 3, 0)
    with pytest.raises(SplitError, match="is not in the development set given"):
        load_or_make_folds(path, Development(seen.subset(np.arange(4))), 3, 0)
    with pytest.raises(SplitError, match="is in the development set given, but not in the file"):
        strangers = Radiographs(pd.concat([seen.table, table(14).table.iloc[-2:]]))
        load_or_make_folds(path, Development(strangers), 3, 0)
    with pytest.raises(SplitError, match="scores of the development set have changed"):
        changed = Radiographs(seen.table.assign(medial=4.0))
        load_or_make_folds(path, Development(changed), 3, 0)
    with pytest.raises(SplitError, match="the sealed hold-out set cannot be used"):
        load_or_make_folds(path, HoldOut(seen), 3, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda c: c["holdout"].append(c["development"][0]),
            r"patient p\d\d is on both sides of the split; restore the file, or start a new study",
        ),
        (
            lambda c: c["folds"]["3"]["patients"].update({c["holdout"][0]: 1}),
            r"patient p\d\d is not in the development set, but in one of the 3 folds",
        ),
        (
            lambda c: c["folds"]["3"]["patients"].pop(c["development"][0]),
            r"patient p\d\d is in none of the 3 folds",
        ),
        (
            lambda c: c["folds"]["3"]["patients"].update(dict.fromkeys(c["development"], 7)),
            r"the 3 folds are numbered \[7\], expected 0 to 2",
        ),
        (lambda c: c["development"].append("stranger") or c["folds"].clear(), "stranger is not in"),
        (lambda c: c["holdout"].pop() and c["folds"].clear(), "on no side of the split"),
        (lambda c: c.pop("holdout"), r"damaged \(holdout: field required\)"),
        (lambda c: c.update(folds=3), r"damaged \(folds: "),
        (lambda c: c.update(seed="zero"), r"damaged \(seed: "),
        (lambda c: c["folds"].update(three=c["folds"]["3"]), r"damaged \(folds\.three"),
    ],
)
def test_a_split_that_contradicts_itself_is_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    path, _ = made(tmp_path)
    whole = path.read_text()
    change(path, edit, sealed=True)
    with pytest.raises(SplitError, match=message):
        load_or_make_split(path, table(), 0.25, 0)
    path.write_text(whole)
    change(path, edit, sealed=False)
    with pytest.raises(SplitError, match=r"does not match its SHA-256\); restore the file"):
        load_or_make_split(path, table(), 0.25, 0)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_split_of_a_later_version_of_the_package_is_named(sealed: bool, tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    change(path, lambda c: c.update(version=9), sealed=sealed)
    with pytest.raises(SplitError, match=r"format 9 belongs to a later version.*install that"):
        load_or_make_split(path, table(), 0.25, 0)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(seed=1),
        lambda c: c.update(fraction=0.2),
        lambda c: c.update(note="by hand"),
        lambda c: c["folds"].pop("3"),
        lambda c: c["folds"]["3"].update(seed=4),
        lambda c: c["holdout"].append(c["development"].pop()) or c["folds"].clear(),
        lambda c: c["development"].reverse(),
    ],
)
def test_any_change_by_hand_is_noticed(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object]
) -> None:
    path, development = made(tmp_path)
    change(path, edit, sealed=False)
    with pytest.raises(SplitError, match=r"does not match its SHA-256\); restore the file"):
        load_or_make_split(path, table(), 0.25, 0)
    with pytest.raises(SplitError, match=r"does not match its SHA-256\); restore the file"):
        load_or_make_folds(path, development, 3, 0)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"version": 1}', "\x00", '{"version": 1, "fraction": NaN}']
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(
        SplitError, match=r"split\.json is (not|damaged).*; restore the file, or remove it: it is"
    ):
        load_or_make_split(path, table(), 0.25, 0)


def test_a_fraction_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    path.write_text(path.read_text().replace('"fraction": 0.25', '"fraction": NaN'))
    with pytest.raises(SplitError, match=r"not valid JSON \(NaN is not a finite number\); restore"):
        load_or_make_split(path, table(), 0.25, 0)


def test_folds_without_a_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"split\.json: no such file; prepare the study first"):
        load_or_make_folds(tmp_path / "split.json", Development(table()), 3, 0)
