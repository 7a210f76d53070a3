"""Scores of new radiographs: those of the model, with totals only for true pairs."""

import numpy as np
import pandas as pd
import pytest
from report_studies import study_record, write_json

from rust_tuner.steps import predict as inference
from rust_tuner.data.pipeline import DecodedImages
from rust_tuner.errors import ImageError, ResumeError, SplitError
from rust_tuner.files import sha256_of_file
from rust_tuner.steps.predict import predict_radiographs
from rust_tuner.labels import CORTICES, LABELS, encode
from rust_tuner.looks import Look
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS


@pytest.fixture
def images(phantom_manifest):
    table = pd.read_csv(phantom_manifest)
    return [phantom_manifest.parent / name for name in table["image"][:4]]


@pytest.fixture
def answering(monkeypatch):
    """Stands for a model with given answers; the images are really decoded."""

    def answer(probabilities, views=ANATOMICAL_VIEWS, **more):
        card = {"input": {"shape": [75, 75, 3], "resize": "squash"}, "view_cortices": views}
        card |= more
        seen = []

        def predict(model, given: DecodedImages):
            seen.append(given.values)
            return np.asarray(probabilities, dtype=np.float32)

        monkeypatch.setattr(inference, "read_card", lambda model: card)
        monkeypatch.setattr(inference, "predict_probabilities", predict)
        return seen

    return answer


def probabilities(views, scores):
    """Answers near certainty for the given views and scores."""
    return 0.05 + 0.9 * encode(views, scores)


def test_sealed_images_are_not_scored_by_a_model_that_has_not_looked_at_them(
    answering, images, tmp_path
):
    digests = [sha256_of_file(path) for path in images]
    rows = {"row": [2, 3, 4, 5], "digest": list("abcd"), "image_sha256": digests}
    study = study_record(rows=rows | {"sealed": [False, True, False, True]})
    write_json(tmp_path / "study.json", study)
    model = tmp_path / "final" / "model.keras"
    answering(np.full((1, len(LABELS)), 0.5), model_sha256="ab" * 32)
    with pytest.raises(SplitError, match=r"is of the sealed hold-out set of .* \(1 of 2 images"):
        predict_radiographs(model, images[:2])
    assert len(predict_radiographs(model, images[:1])) == 1
    # What this model has found there is known.
    look = Look(date="2026-01-02", model_sha256="ab" * 32, state="finished")
    write_json(tmp_path / "study.json", study | {"looks": [look.to_json()]})
    assert len(predict_radiographs(model, images[1:2])) == 1
    answering(np.full((1, len(LABELS)), 0.5), model_sha256="cd" * 32)
    with pytest.raises(SplitError, match="`rust-tuner final` looks at it once, and notes that"):
        predict_radiographs(model, images[1:2])


SCORES = [[2, 3, 1, 1], [1, 1, 4, 2]]


def test_each_image_gets_its_view_and_its_four_scores(answering, images):
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


@pytest.mark.parametrize(
    ("views", "total"), [(ANATOMICAL_VIEWS, 2 + 3 + 4 + 2), (PUBLISHED_VIEWS, 1 + 1 + 1 + 1)]
)
def test_the_total_takes_each_cortex_from_the_view_that_shows_it(answering, images, views, total):
    answering(probabilities(["ap", "lateral"], SCORES), views)
    found = predict_radiographs("model.keras", images[:2], pairs=True)
    assert found["rust_total"].tolist() == [total, total]


def test_two_images_of_one_view_have_no_total(answering, images):
    answering(probabilities(["ap", "ap", "lateral", "ap"], SCORES * 2))
    found = predict_radiographs("model.keras", images, pairs=True)
    assert found["rust_total"].isna().tolist() == [True, True, False, False]


def test_an_odd_image_is_no_pair(images):
    with pytest.raises(ImageError, match="3 images; expected an even number"):
        predict_radiographs("model.keras", images[:3], pairs=True)
    with pytest.raises(ImageError, match="0 images; expected at least one"):
        predict_radiographs("model.keras", [])


def test_a_model_without_its_record_is_refused_by_name(tmp_path, images):
    with pytest.raises(ResumeError, match=r"model\.keras is not there"):
        predict_radiographs(tmp_path / "model.keras", images)
    (tmp_path / "model.keras").write_bytes(b"model")
    with pytest.raises(ResumeError, match=r"model\.json is missing"):
        predict_radiographs(tmp_path / "model.keras", images)
