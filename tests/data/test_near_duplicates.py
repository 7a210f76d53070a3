"""Similar pictures: altered copies are found, and legs that only look alike are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from studies import first_patients

from experiments.near_duplicates import CHANGES, MOVED, as_image, framed, grey, only, together
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import (
    SIMILARITY_THRESHOLD,
    Fingerprints,
    SimilarPair,
    fingerprint,
    similar_pairs,
)
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.errors import ManifestError

ORIGINAL = 4


@pytest.fixture(scope="module")
def radiographs(phantom_manifest: Path) -> Radiographs:
    return load_manifest(phantom_manifest)


@pytest.fixture(scope="module")
def prints(radiographs: Radiographs) -> Fingerprints:
    return fingerprint(radiographs)


@pytest.fixture(scope="module")
def few(prints: Fingerprints) -> Fingerprints:
    """The first six, no two of which are of one view and one patient."""
    return only(prints, np.arange(6))


def with_copy(radiographs: Radiographs, prints: Fingerprints, path: Path) -> Fingerprints:
    """The set and one more radiograph, of a patient of its own."""
    table = radiographs.table.iloc[[0]].assign(image=str(path), patient_id="another")
    return together(prints, fingerprint(Radiographs(table)))


@pytest.mark.slow
def test_no_two_phantoms_are_the_same_picture(
    radiographs: Radiographs, prints: Fingerprints
) -> None:
    assert len(prints) == 28
    assert similar_pairs(prints, owners=radiographs.patient_ids) == ()


def pairs_of_copies(
    folder: Path,
    radiographs: Radiographs,
    prints: Fingerprints,
    changes: dict[
        str, tuple[Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], int, str]
    ],
) -> tuple[SimilarPair, ...]:
    """The pairs between the set and one copy of each kind, each of another radiograph."""
    copies = []
    for position, (alter, quality, _flip) in enumerate(changes.values()):
        copies.append(folder / f"copy_{position}.jpg")
        image = as_image(alter(grey(radiographs.images[position])))
        image.save(copies[-1], quality=quality)
    table = radiographs.table.iloc[: len(copies)].assign(image=list(map(str, copies)))
    # Visits of one phantom patient may lie upon one another, so a copy keeps its owner's name.
    pairs = similar_pairs(together(prints, fingerprint(Radiographs(table))))
    owners = np.append(radiographs.patient_ids, table["patient_id"])
    assert all(owners[pair.first] == owners[pair.second] for pair in pairs)
    return pairs


def is_of(pair: SimilarPair, original: int, count: int) -> bool:
    """Whether it is a radiograph and its own copy."""
    return (pair.first, pair.second) == (original, count + original)


@pytest.fixture(scope="module")
def of_altered(
    tmp_path_factory: pytest.TempPathFactory, radiographs: Radiographs, prints: Fingerprints
) -> tuple[SimilarPair, ...]:
    return pairs_of_copies(tmp_path_factory.mktemp("altered"), radiographs, prints, CHANGES)


@pytest.fixture(scope="module")
def of_moved(
    tmp_path_factory: pytest.TempPathFactory, radiographs: Radiographs, prints: Fingerprints
) -> tuple[SimilarPair, ...]:
    return pairs_of_copies(tmp_path_factory.mktemp("moved"), radiographs, prints, MOVED)


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_copy_is_found_and_nothing_else(
    of_altered: tuple[SimilarPair, ...], prints: Fingerprints, change: str
) -> None:
    original = list(CHANGES).index(change)
    (pair,) = [pair for pair in of_altered if is_of(pair, original, len(prints))]
    assert pair.flip == CHANGES[change][2]
    assert not pair.equal
    assert pair.change == ""
    assert SIMILARITY_THRESHOLD <= pair.similarity <= 1 + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("change", MOVED)
def test_a_copy_that_was_cropped_turned_framed_or_slanted_is_found(
    of_moved: tuple[SimilarPair, ...], prints: Fingerprints, change: str
) -> None:
    original = list(MOVED).index(change)
    (pair,) = [pair for pair in of_moved if is_of(pair, original, len(prints))]
    assert pair.flip == MOVED[change][2]
    assert SIMILARITY_THRESHOLD <= pair.similarity <= 1 + 1e-6


@pytest.mark.slow
def test_a_pair_says_what_was_done_to_the_copy(
    of_moved: tuple[SimilarPair, ...], prints: Fingerprints
) -> None:
    text = {
        change: pair.change
        for position, change in enumerate(MOVED)
        for pair in of_moved
        if is_of(pair, position, len(prints))
    }
    assert "turned by 1.0 degrees" in text["turn 1"]
    assert text["crop 10 %"] == "cropped or framed"
    assert text["crop 5 %, inverted"] == "cropped or framed"
    assert "turned by 2.0 degrees" in text["turn 2, half, quality 30"]
    assert any("in perspective" in change for change in text.values())


@pytest.mark.slow
def test_a_second_exposure_of_a_leg_is_no_copy_but_betrays_a_second_id(
    radiographs: Radiographs, prints: Fingerprints
) -> None:
    """Phantoms of one patient have one geometry, and a grain of their own in each exposure."""
    owners = radiographs.patient_ids
    assert similar_pairs(prints, owners=owners) == ()
    one, other = similar_pairs(prints)
    assert owners[one.first] == owners[one.second]
    assert owners[other.first] == owners[other.second]


@pytest.mark.parametrize("tone", (0.0, 1.0))
def test_a_wide_frame_is_taken_off(
    tmp_path: Path, radiographs: Radiographs, few: Fingerprints, tone: float
) -> None:
    path = tmp_path / "copy.jpg"
    as_image(framed(grey(radiographs.images[ORIGINAL]), 0.25, tone)).save(path, quality=85)
    (pair,) = similar_pairs(with_copy(radiographs, few, path))
    assert (pair.first, pair.second) == (ORIGINAL, len(few))


def test_a_copy_with_the_same_pixels_is_equal_whatever_its_format(
    tmp_path: Path, radiographs: Radiographs, few: Fingerprints
) -> None:
    image = Image.open(radiographs.images[ORIGINAL])
    path = tmp_path / "copy.png"
    image.save(path, compress_level=9)
    assert path.read_bytes() != radiographs.images[ORIGINAL].read_bytes()
    (pair,) = similar_pairs(with_copy(radiographs, few, path))
    assert (pair.first, pair.second, pair.equal) == (ORIGINAL, len(few), True)
    assert pair.similarity == 1


def test_pictures_without_detail_are_like_no_other(
    tmp_path: Path, radiographs: Radiographs, few: Fingerprints
) -> None:
    paths = []
    for number, value in enumerate((10, 200)):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.full((90, 60), value, dtype=np.uint8)).save(paths[-1])
    blank = with_copy(radiographs, with_copy(radiographs, few, paths[0]), paths[1])
    assert similar_pairs(blank) == ()


def test_pairs_do_not_depend_on_the_order_of_the_set(
    tmp_path: Path, radiographs: Radiographs, few: Fingerprints
) -> None:
    path = tmp_path / "copy.jpg"
    as_image(grey(radiographs.images[ORIGINAL])[:, ::-1]).save(path, quality=75)
    whole = with_copy(radiographs, few, path)
    backwards = Fingerprints(
        whole.thumbnails[::-1], whole.content_sha256[::-1], whole.file_sha256[::-1]
    )
    (pair,) = similar_pairs(whole)
    (other,) = similar_pairs(backwards)
    last = len(whole) - 1
    assert (other.first, other.second) == (last - pair.second, last - pair.first)
    assert other.similarity == pytest.approx(pair.similarity, abs=0.01)


def test_a_file_that_cannot_be_decoded_is_named_with_its_row(
    tmp_path: Path, radiographs: Radiographs
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(radiographs.images[0].read_bytes()[:200])
    table = pd.concat(
        [radiographs.table.iloc[:1], radiographs.table.iloc[1:2].assign(image=str(broken))]
    )
    with pytest.raises(ManifestError, match=r"row 3: image=.*broken\.png: damaged"):
        fingerprint(Radiographs(table))


def test_one_picture_and_none_have_no_pairs(prints: Fingerprints) -> None:
    for count in (0, 1):
        assert similar_pairs(only(prints, np.arange(count))) == ()


@pytest.mark.slow
def test_hundreds_of_legs_that_look_alike_raise_no_alarm(many_phantoms: Path) -> None:
    radiographs = first_patients(load_manifest(many_phantoms), 90)
    prints = fingerprint(radiographs)
    assert len(prints) > 200
    assert similar_pairs(prints, owners=radiographs.patient_ids) == ()
