"""Images unlike the development set are noticed; those of other patients are not."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from narrowing import not_none

from rust_tuner.data.images import load_image
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.picture_statistics import NEGLIGIBLE, NUM_STATISTICS, picture_statistics
from rust_tuner.records.model_card import ModelCard
from rust_tuner.records.novelty import NOVELTY_FILE, read_novelty, write_novelty
from rust_tuner.steps.novelty import fit_novelty

CARD = ModelCard.of(
    {
        "format": 1,
        "key": "ab" * 32,
        "model_sha256": "cd" * 32,
        "input": {"shape": [75, 75, 3], "resize": "squash"},
        "view_cortices": {"ap": ["medial"], "lateral": ["anterior"]},
    }
)


def drawn(
    rng: np.random.Generator, count: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.str_]]:
    """Features and statistics as of radiographs, and their patients."""
    features = rng.random((count, 32))
    statistics = rng.normal(size=(count, NUM_STATISTICS))
    return features, statistics, np.arange(count).astype(str)


@pytest.fixture(scope="module")
def phantoms(phantom_manifest: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    radiographs = load_manifest(phantom_manifest)
    images = [load_image(path, size=96) for path in radiographs.images]
    return np.stack([picture_statistics(image) for image in images]), radiographs.patient_ids


def test_noise_blank_images_and_colour_photographs_are_unlike_phantoms(
    phantoms: tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]],
) -> None:
    from sklearn.datasets import load_sample_images

    statistics, patients = phantoms
    novelty = fit_novelty(np.eye(len(patients)), statistics, patients)
    rng = np.random.default_rng(0)
    shape = (96, 96, 1)
    others = {
        "uniform": np.broadcast_to(rng.uniform(-1, 1, shape), (96, 96, 3)),
        "normal": np.broadcast_to(np.clip(rng.normal(0, 0.3, shape), -1, 1), (96, 96, 3)),
        "colour": rng.uniform(-1, 1, (96, 96, 3)),
        "white": np.ones((96, 96, 3)),
        "grey": np.zeros((96, 96, 3)),
    }
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        others[name] = photograph[::4, ::6][:96, :96] / 127.5 - 1
    # Features as near as can be, so that the pictures alone decide.
    for name, image in others.items():
        (distance,) = not_none(novelty).distances(
            np.eye(len(patients))[:1],
            [picture_statistics(image)],  # type: ignore[arg-type]
        )
        assert distance > 1, name
    same = not_none(novelty).distances(np.eye(len(patients)), statistics)
    assert (same > 1).mean() <= 0.05


def test_the_rate_of_false_alarms_is_that_of_new_patients() -> None:
    rng = np.random.default_rng(1)
    novelty = fit_novelty(*drawn(rng, 200))
    features, statistics, _ = drawn(rng, 500)
    alarms = (not_none(novelty).distances(features, statistics) > 1).mean()
    assert alarms <= 0.01
    assert not_none(novelty).false_alarms <= 2


def test_an_image_is_not_compared_with_others_of_its_patient() -> None:
    rng = np.random.default_rng(2)
    features, statistics, patients = drawn(rng, 20)
    alone = fit_novelty(features, statistics, patients)
    twice = fit_novelty(
        np.repeat(features, 2, axis=0), np.repeat(statistics, 2, axis=0), np.repeat(patients, 2)
    )
    assert not_none(twice).feature_threshold == pytest.approx(
        not_none(alone).feature_threshold, rel=1e-3
    )
    assert not_none(twice).feature_threshold > 0


def test_references_are_few_and_of_as_many_patients_as_possible() -> None:
    rng = np.random.default_rng(3)
    # Five patients have 21 images each, and those chosen without regard to patients miss many.
    patients = np.repeat(np.arange(500), np.where(np.arange(500) < 5, 21, 1)).astype(str)
    features, statistics, _ = drawn(rng, len(patients))
    features[:, 0] = patients.astype(int)
    novelty = fit_novelty(features, statistics, patients)
    assert not_none(novelty).reference.shape == (512, 32)
    assert len(np.unique(not_none(novelty).reference[:, 0])) == 500


@pytest.mark.parametrize("patients", [["a"], ["a", "a"], ["a", "b"]])
def test_too_few_or_equal_images_have_no_record(patients: list[str]) -> None:
    count = len(patients)
    assert fit_novelty(np.ones((count, 4)), np.zeros((count, 18)), np.array(patients)) is None


def test_a_difference_without_meaning_is_not_noticed() -> None:
    # Development images that are all alike, and one that was saved as JPEG.
    rng = np.random.default_rng(4)
    features, _, patients = drawn(rng, 30)
    statistics = rng.normal(scale=1e-6, size=(30, NUM_STATISTICS))
    statistics += rng.normal(scale=0.1 * NEGLIGIBLE, size=statistics.shape)
    novelty = fit_novelty(features, statistics, patients)
    assert not_none(novelty).distances(features[:1], statistics[:1] + 0.1 * NEGLIGIBLE)[0] < 1


def test_the_record_is_read_as_written_and_only_with_its_model(tmp_path: Path) -> None:
    novelty = fit_novelty(*drawn(np.random.default_rng(5), 20))
    model = tmp_path / "model.keras"
    assert read_novelty(model, CARD) is None
    write_novelty(tmp_path, not_none(novelty), model_sha256=CARD.model_sha256)
    found = read_novelty(model, CARD)
    for name, value in vars(novelty).items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert type(getattr(found, name)) is type(value)
    assert read_novelty(model, CARD.with_changes(model_sha256="ef" * 32)) is None
    content = (tmp_path / NOVELTY_FILE).read_bytes()
    for damaged in (content[:100], content[:-1], b""):
        (tmp_path / NOVELTY_FILE).write_bytes(damaged)
        assert read_novelty(model, CARD) is None
