"""Labels: encoding and decoding are inverse, and what is out of range is named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from rust_tuner.errors import LabelError
from rust_tuner.labels import (
    CORTEX_LABELS,
    LABELS,
    NUM_LABELS,
    NUM_VIEWS,
    VIEWS,
    decode,
    decode_probabilities,
    encode,
    visible_mask,
)

NAN = np.nan
rows = st.lists(
    st.tuples(
        st.sampled_from(VIEWS),
        st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, NAN]), min_size=4, max_size=4),
    ),
    min_size=1,
    max_size=20,
)


def test_the_18_labels_stand_in_the_published_order() -> None:
    assert LABELS == (
        "view_ap",
        "view_lateral",
        *("medial_1", "medial_2", "medial_3", "medial_4"),
        *("lateral_1", "lateral_2", "lateral_3", "lateral_4"),
        *("anterior_1", "anterior_2", "anterior_3", "anterior_4"),
        *("posterior_1", "posterior_2", "posterior_3", "posterior_4"),
    )
    assert NUM_LABELS == 18
    assert NUM_VIEWS == 2
    assert LABELS[NUM_VIEWS:] == CORTEX_LABELS


def test_a_radiograph_is_encoded_as_its_labels_say() -> None:
    vectors = encode(["ap", "lateral"], [[1, 4, NAN, NAN], [NAN, NAN, 2, 3]])
    named = [{LABELS[i] for i in np.flatnonzero(vector)} for vector in vectors]
    assert named == [
        {"view_ap", "medial_1", "lateral_4"},
        {"view_lateral", "anterior_2", "posterior_3"},
    ]
    assert vectors.dtype == np.float32
    assert vectors.shape == (2, 18)


@settings(deadline=None)
@given(rows)
def test_decode_inverts_encode(drawn: list[tuple[str, list[float]]]) -> None:
    views, scores = [view for view, _ in drawn], np.array([score for _, score in drawn])
    vectors = encode(views, scores)
    views_back, scores_back = decode(vectors)
    assert views_back == views
    np.testing.assert_array_equal(scores_back, scores)
    np.testing.assert_array_equal(encode(views_back, scores_back), vectors)


@settings(deadline=None)
@given(rows)
def test_a_vector_has_one_view_and_one_score_for_each_visible_cortex(
    drawn: list[tuple[str, list[float]]],
) -> None:
    views, scores = [view for view, _ in drawn], np.array([score for _, score in drawn])
    vectors, visible = encode(views, scores), visible_mask(scores)
    blocks = vectors[:, NUM_VIEWS:].reshape(-1, 4, 4)
    assert (vectors[:, :NUM_VIEWS].sum(axis=1) == 1).all()
    np.testing.assert_array_equal(blocks.sum(axis=2), ~np.isnan(scores))
    np.testing.assert_array_equal(visible.reshape(-1, 4, 4).all(axis=2), ~np.isnan(scores))
    np.testing.assert_array_equal(visible.reshape(-1, 4, 4).any(axis=2), ~np.isnan(scores))
    assert not vectors[:, NUM_VIEWS:][~visible].any()


def test_no_rows_are_encoded_as_no_rows() -> None:
    assert encode([], np.empty((0, 4))).shape == (0, 18)
    assert decode(np.empty((0, 18)))[1].shape == (0, 4)
    assert visible_mask(np.empty((0, 4))).shape == (0, 16)


@pytest.mark.parametrize(
    ("views", "scores", "message"),
    [
        (["ap"], [[5, 1, NAN, NAN]], "row 0: medial=5; a RUST score is 1-4 or empty"),
        (["ap"], [[1, 0, NAN, NAN]], "row 0: lateral=0; a RUST score"),
        (["ap"], [[1, 1.5, NAN, NAN]], r"row 0: lateral=1\.5; a RUST score"),
        (["ap"], [[1, 1, NAN, np.inf]], "row 0: posterior=inf; a RUST score"),
        (["ap", "ap"], [[NAN] * 4, [1, 1, -2, 9]], "row 1: anterior=-2; a RUST score"),
        (["ap", "AP"], [[NAN] * 4] * 2, "unknown view 'AP'; a view is one of ap, lateral"),
        (["ap"], [[NAN] * 4] * 2, "1 views for 2 rows of scores; give one view per row"),
        (["ap"], [[1, 2]], r"scores of shape \(1, 2\); expected \(n, 4\)"),
        (["ap"], [1, 2, 3, 4], r"scores of shape \(4,\); expected \(n, 4\)"),
    ],
)
def test_what_cannot_be_encoded_is_named(views: list[str], scores: list[Any], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        encode(views, scores)


@pytest.mark.parametrize("scores", [[[1, 2]], [[5, 1, 1, 1]]])
def test_the_mask_refuses_what_encode_refuses(scores: list[list[int]]) -> None:
    with pytest.raises(LabelError, match="score"):
        visible_mask(scores)


@pytest.mark.parametrize(
    "change",
    [{"view_lateral": 1}, {"view_ap": 0}, {"medial_2": 1}, {"anterior_1": 0.5}, {"medial_1": NAN}],
)
def test_what_is_no_label_vector_is_named_by_its_row(change: dict[str, float]) -> None:
    vectors = encode(["ap"] * 3, [[1, 2, NAN, NAN]] * 3)
    for label, value in change.items():
        vectors[1, LABELS.index(label)] = value
    with pytest.raises(LabelError, match="row 1 is not a label vector; expected zeros and ones"):
        decode(vectors)


@pytest.mark.parametrize("shape", [(18,), (2, 17), (1, 2, 18)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    for function in (decode, decode_probabilities):
        with pytest.raises(LabelError, match=r"label vectors of shape .*; expected \(n, 18\)"):
            function(np.zeros(shape))


@settings(deadline=None)
@given(rows)
def test_probabilities_that_are_certain_decode_to_the_scores(
    drawn: list[tuple[str, list[float]]],
) -> None:
    views, scores = [view for view, _ in drawn], np.array([score for _, score in drawn])
    decoded = decode_probabilities(encode(views, scores))
    assert decoded.views == views
    np.testing.assert_array_equal(decoded.expected, scores)
    scored = ~np.isnan(scores)
    np.testing.assert_array_equal(decoded.most_likely[scored], scores[scored])


@settings(deadline=None)
@given(stn.arrays(np.float64, (5, 18), elements=st.one_of(st.just(0.0), st.floats(1e-6, 1.0))))
def test_expected_scores_are_the_mean_under_the_normalised_probabilities(
    probabilities: np.ndarray,
) -> None:
    decoded = decode_probabilities(probabilities)
    for row, vector in enumerate(probabilities):
        for column in range(4):
            block = vector[2 + 4 * column : 6 + 4 * column]
            expected = decoded.expected[row, column]
            if not block.any():
                assert np.isnan(expected)
                continue
            assert expected == pytest.approx(np.average([1, 2, 3, 4], weights=block), rel=1e-12)
            assert block[decoded.most_likely[row, column] - 1] == block.max()


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN, np.inf])
def test_what_is_no_probability_is_refused(value: float) -> None:
    probabilities = np.full((2, 18), 0.5)
    probabilities[1, 7] = value
    with pytest.raises(LabelError, match=r"probabilities outside \[0, 1\]; .*18 sigmoids"):
        decode_probabilities(probabilities)
