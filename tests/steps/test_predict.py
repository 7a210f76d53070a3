"""Scores of new radiographs: those of the model, with totals only for true pairs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from report_searches import write_json
from report_studies import study_record

from rust_tuner.data.images import load_image
from rust_tuner.data.reading import Reading
from rust_tuner.errors import ImageError, RecordError, ResumeError, SplitError
from rust_tuner.files import sha256_of_file
from rust_tuner.labels import CORTICES, LABELS, encode
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS
from rust_tuner.records.looks import Look
from rust_tuner.records.model_card import ModelCard
from rust_tuner.steps import predict as inference
from rust_tuner.steps.predict import model_file, predict_radiographs

if TYPE_CHECKING:
    import keras


@pytest.fixture
def images(phantom_manifest: Path) -> list[Any]:
    table = pd.read_csv(phantom_manifest)
    return [phantom_manifest.parent / name for name in table["image"][:4]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[npt.NDArray[np.float32]]]:
    """Stands for a model with given answers; the images are really decoded."""

    def answer(
        probabilities: Any, views: dict[str, tuple[str, str]] = ANATOMICAL_VIEWS, **more: Any
    ) -> list[npt.NDArray[np.float32]]:
        card = ModelCard.of(CARD | {"view_cortices": views, "model_sha256": "cd" * 32} | more)
        seen = []

        def predict(
            model: "keras.Model", given: npt.NDArray[np.float32]
        ) -> npt.NDArray[np.float32]:
            seen.append(given)
            return np.asarray(probabilities, dtype=np.float32)

        monkeypatch.setattr(inference, "read_card", lambda model: card)
        monkeypatch.setattr(inference, "load_final_model", lambda model, image_size: None)
        monkeypatch.setattr(inference, "predict_probabilities", predict)
        return seen

    return answer


def probabilities(views: list[str], scores: list[list[int]]) -> npt.NDArray[np.floating]:
    """Answers near certainty for the given views and scores."""
    return 0.05 + 0.9 * encode(views, scores)


def test_sealed_images_are_not_scored_by_a_model_that_has_not_looked_at_them(
    answering: Callable[..., list[npt.NDArray[np.float32]]], images: list[Any], tmp_path: Path
) -> None:
    digests = [sha256_of_file(path) for path in images]
    rows = {"row": [2, 3, 4, 5], "digest": list("abcd"), "image_sha256": digests}
    study = study_record(rows=rows | {"sealed": [False, True, False, True]})
    write_json(tmp_path / "study.json", study)
    model = tmp_path / "final" / "model.keras"
    answering(np.full((1, len(LABELS)), 0.5), model_sha256="ab" * 32)
    with pytest.raises(SplitError, match=r"is in the sealed hold-out set of .* \(1 of 2 images"):
        predict_radiographs(model, images[:2])
    assert len(predict_radiographs(model, images[:1])) == 1
    # What this model has found there is known.
    look = Look(date="2026-01-02", model_sha256="ab" * 32, state="finished")
    write_json(tmp_path / "study.json", study | {"looks": [look.to_json()]})
    assert len(predict_radiographs(model, images[1:2])) == 1
    answering(np.full((1, len(LABELS)), 0.5), model_sha256="cd" * 32)
    with pytest.raises(SplitError, match="`rust-tuner final` looks at it once, and records"):
        predict_radiographs(model, images[1:2])


def test_all_images_that_cannot_be_decoded_are_reported_by_position(
    answering: Callable[..., list[npt.NDArray[np.float32]]],
    images: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "PART", 2)
    seen = answering(np.full((2, len(LABELS)), 0.5))
    cut, text = tmp_path / "cut.png", tmp_path / "text.png"
    cut.write_bytes(images[0].read_bytes()[:200])
    text.write_text("no image")
    with pytest.raises(ImageError) as raised:
        predict_radiographs("model.keras", [*images[:2], cut, images[2], text])
    first, second = str(raised.value).splitlines()
    assert first.startswith(f"image 3 of 5: {cut}: ")
    assert second.startswith(f"image 5 of 5: {text}: ")
    assert str(tmp_path) not in raised.value.without_values
    # What cannot be answered as a whole is not computed.
    assert len(seen) == 1


SCORES = [[2, 3, 1, 1], [1, 1, 4, 2]]


def test_each_image_gets_its_view_and_its_four_scores(
    answering: Callable[..., list[npt.NDArray[np.float32]]], images: list[Any]
) -> None:
    answers = probabilities(["ap", "lateral"], SCORES)
    seen = answering(answers)
    found = predict_radiographs("model.keras", images[:2])
    assert seen[0].shape == (2, 75, 75, 3)
    assert found["image"].tolist() == [str(path) for path in images[:2]]
    assert found["view"].tolist() == ["ap", "lateral"]
    assert found[list(CORTICES)].to_numpy().tolist() == SCORES
    np.testing.assert_allclose(found["medial_probability"], 0.95 / (0.95 + 3 * 0.05), rtol=1e-6)
    np.testing.assert_allclose(found[list(LABELS[2:])], answers[:, 2:], rtol=1e-6)
    assert found["medial_shown"].tolist() == [True, False]
    assert "rust_total" not in found


def test_16_bit_images_are_read_with_the_bits_that_are_given(
    answering: Callable[..., list[npt.NDArray[np.float32]]], tmp_path: Path
) -> None:
    pixels = np.linspace(0, 4095, 40 * 30).astype(np.uint16).reshape(40, 30)
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        Image.fromarray(pixels).save(path)
    read_as = {"shape": [75, 75, 3], "resize": "squash", "grey_bits": [16]}
    seen = answering(probabilities(["ap", "ap"], SCORES), input=read_as)
    predict_radiographs("model.keras", paths, bits=[12, 16])
    for picture, bits in zip(seen[0], (12, 16), strict=True):
        expected = load_image(paths[0], size=75, reading=Reading(bits))
        np.testing.assert_array_equal(picture, expected)
    assert seen[0][0].mean() > seen[0][1].mean() + 0.5


@pytest.mark.parametrize(
    ("views", "total"), [(ANATOMICAL_VIEWS, 2 + 3 + 4 + 2), (PUBLISHED_VIEWS, 1 + 1 + 1 + 1)]
)
def test_the_total_takes_each_cortex_from_the_view_that_shows_it(
    answering: Callable[..., list[npt.NDArray[np.float32]]],
    images: list[Any],
    views: dict[str, tuple[str, str]],
    total: int,
) -> None:
    answering(probabilities(["ap", "lateral"], SCORES), views)
    found = predict_radiographs("model.keras", images[:2], pairs=True)
    assert found["rust_total"].tolist() == [total, total]


def test_two_images_of_one_view_have_no_total(
    answering: Callable[..., list[npt.NDArray[np.float32]]], images: list[Any]
) -> None:
    answering(probabilities(["ap", "ap", "lateral", "ap"], SCORES * 2))
    found = predict_radiographs("model.keras", images, pairs=True)
    assert found["rust_total"].isna().tolist() == [True, True, False, False]


def test_pairs_may_be_named_and_a_missing_total_has_a_reason(
    answering: Callable[..., list[npt.NDArray[np.float32]]], images: list[Any]
) -> None:
    answering(probabilities(["ap", "lateral", "lateral", "ap"], [SCORES[0], SCORES[1]] * 2))
    found = predict_radiographs("model.keras", images, pairs=[(1, 0)])
    assert found["rust_total"].fillna(0).tolist() == [11, 11, 0, 0]
    assert found["pair"].fillna(0).tolist() == [1, 1, 0, 0]
    assert found["total_missing"].tolist() == [
        "",
        "",
        "no AP view, which shows medial and lateral",
        "no lateral view, which shows anterior and posterior",
    ]
    both = predict_radiographs("model.keras", images, pairs=[(0, 3)])["total_missing"].iloc[0]
    assert both.startswith("both images look like AP views, no lateral view, which shows anterior")


def test_without_its_record_a_model_cannot_compare_images(
    answering: Callable[..., list[npt.NDArray[np.float32]]], images: list[Any]
) -> None:
    answering(probabilities(["ap", "lateral"], SCORES))
    found = predict_radiographs("model.keras", images[:2])
    assert found["distance"].isna().all()
    assert found["unlike"].isna().all()


def test_unlike_images_are_marked(
    answering: Callable[..., list[npt.NDArray[np.float32]]],
    images: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Compared:
        def distances(
            self, features: npt.NDArray[np.float32], statistics: npt.NDArray[np.float64]
        ) -> npt.NDArray[np.float64]:
            assert statistics.shape == (2, 18)
            return np.array([0.5, 1.5])

    answering(probabilities(["ap", "lateral"], SCORES))
    answers = probabilities(["ap", "lateral"], SCORES)
    monkeypatch.setattr(inference, "read_novelty", lambda model, card: Compared())
    monkeypatch.setattr(inference, "predict_with_features", lambda *_: (np.ones((2, 4)), answers))
    found = predict_radiographs("model.keras", images[:2])
    assert found["unlike"].tolist() == [False, True]
    assert found["distance"].tolist() == [0.5, 1.5]


def test_many_images_are_read_in_parts(
    answering: Callable[..., list[npt.NDArray[np.float32]]],
    images: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "PART", 3)
    answering([])
    sizes = []

    def predict(model: "keras.Model", given: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        sizes.append(len(given))
        return np.full((len(given), len(LABELS)), 0.5, dtype=np.float32)

    monkeypatch.setattr(inference, "predict_probabilities", predict)
    assert len(predict_radiographs("model.keras", images)) == 4
    assert sizes == [3, 1]


def test_a_studys_folder_stands_for_its_final_model(tmp_path: Path) -> None:
    assert model_file(tmp_path) == tmp_path / "final" / "model.keras"
    assert model_file(tmp_path / "model.keras") == tmp_path / "model.keras"


def test_an_odd_image_is_no_pair(images: list[Any]) -> None:
    with pytest.raises(ImageError, match="3 images; expected an even number"):
        predict_radiographs("model.keras", images[:3], pairs=True)
    with pytest.raises(ImageError, match="0 images; expected at least one"):
        predict_radiographs("model.keras", [])


def test_a_model_without_its_record_is_refused_by_name(tmp_path: Path, images: list[Any]) -> None:
    with pytest.raises(ResumeError, match=r"model\.keras does not exist"):
        predict_radiographs(tmp_path / "model.keras", images)
    (tmp_path / "model.keras").write_bytes(b"model")
    with pytest.raises(ResumeError, match=r"model\.json is missing"):
        predict_radiographs(tmp_path / "model.keras", images)


CARD = {
    "format": 1,
    "key": "ab" * 32,
    "input": {"shape": [75, 75, 3], "resize": "squash"},
    "view_cortices": {"ap": ["medial", "lateral"], "lateral": ["anterior", "posterior"]},
}


def write_card(model: Path, **changes: Any) -> Path:
    """The record beside a model's file, of just this file."""
    card = CARD | {"model_sha256": sha256_of_file(model)} | changes
    model.with_suffix(".json").write_text(json.dumps(card))
    return model


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_no_model_is_refused_by_name(
    content: bytes, tmp_path: Path, images: list[Any]
) -> None:
    model = tmp_path / "model.keras"
    model.write_bytes(content)
    with pytest.raises(ResumeError, match=r"model\.keras cannot be loaded as a Keras model"):
        predict_radiographs(write_card(model), images[:1])


def test_code_inside_a_model_is_refused_and_not_run(tmp_path: Path, images: list[Any]) -> None:
    import keras

    inputs = keras.Input((75, 75, 3))
    outputs = keras.layers.Lambda(lambda x: x[:, 0, :18, 0], output_shape=(18,))(inputs)
    model = tmp_path / "model.keras"
    keras.Model(inputs, outputs).save(model)
    with pytest.raises(ResumeError, match="such as a Lambda layer, is never run"):
        predict_radiographs(write_card(model), images[:1])


@pytest.mark.parametrize(("side", "outputs"), [(64, 18), (75, 17)])
def test_a_model_that_does_not_fit_its_record_is_refused(
    side: int, outputs: int, tmp_path: Path, images: list[Any]
) -> None:
    import keras

    layers = [keras.Input((side, side, 3)), keras.layers.Flatten(), keras.layers.Dense(outputs)]
    model = tmp_path / "model.keras"
    keras.Sequential(layers).save(model)
    with pytest.raises(ResumeError, match=r"input shape \(None, .* expected \(None, 75, 75, 3\)"):
        predict_radiographs(write_card(model), images[:1])


@pytest.mark.parametrize(
    "changes",
    [
        {"input": {"shape": [1_000_000, 1_000_000, 3], "resize": "squash"}},
        {"input": {"shape": [75, 75], "resize": "squash"}},
        {"input": {"shape": [75, 75, 3], "resize": "guess"}},
        {"input": None},
        {"view_cortices": {"ap": ["medial"]}},
        {"view_cortices": {"ap": ["medial"], "lateral": ["femur"]}},
        {"model_sha256": None},
        {"format": 2},
    ],
)
def test_a_damaged_record_of_a_model_is_refused_before_any_work(
    changes: dict[str, Any], tmp_path: Path, images: list[Any]
) -> None:
    model = tmp_path / "model.keras"
    model.write_bytes(b"model")
    with pytest.raises(RecordError, match=r"model\.json (is|has) .*(;|or) restore it"):
        predict_radiographs(write_card(model, **changes), images[:1])


@pytest.mark.parametrize("missing", [*CARD, "model_sha256"])
def test_a_record_of_a_model_that_lacks_something_is_refused(
    missing: str, tmp_path: Path, images: list[Any]
) -> None:
    model = tmp_path / "model.keras"
    model.write_bytes(b"model")
    card = json.loads(write_card(model).with_suffix(".json").read_text())
    del card[missing]
    model.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(RecordError, match=r"model\.json (is|has) "):
        predict_radiographs(model, images[:1])
