"""The view-only baseline: what knowing the view alone scores on the published labels."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from rust_tuner import load_onehot_manifest, metrics
from rust_tuner.errors import MetricError
from rust_tuner.labels import CORTICES, NUM_VIEWS, encode, visible_mask
from rust_tuner.metrics import view_only_baseline

Array = npt.NDArray[np.float64]

# The published label table: radiographs by view, patients by how many radiographs they have, scores
# of each cortex, and the joint scores of the two cortices of a view where both are scored.
NUM_OF_VIEW = {"ap": 1493, "lateral": 1443}
PATIENTS_BY_SIZE = {1: 45, 2: 944, 3: 17, 4: 123, 5: 8, 6: 70}
SCORES_OF_CORTICES = {
    "medial": np.array([149, 404, 478, 251]),
    "lateral": np.array([121, 365, 498, 257]),
    "anterior": np.array([169, 378, 464, 265]),
    "posterior": np.array([115, 376, 551, 285]),
}
PUBLISHED_PAIRS = {"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")}
JOINT_SCORES = {
    "lateral": ((81, 37, 22, 4), (27, 258, 75, 10), (7, 56, 379, 16), (3, 3, 10, 216)),
    "ap": ((79, 49, 28, 7), (17, 254, 89, 9), (11, 42, 392, 11), (1, 3, 11, 235)),
}


def published_table() -> tuple[list[str], Array]:
    """Views and scores of 2,936 radiographs with exactly the published table's joint counts."""
    views: list[str] = []
    scores: list[list[float]] = []

    def add(view: str, given: dict[str, int], count: int = 1) -> None:
        views.extend([view] * count)
        scores.extend([[given.get(cortex, np.nan) for cortex in CORTICES]] * count)

    for view, (first, second) in PUBLISHED_PAIRS.items():
        joint = np.array(JOINT_SCORES[view])
        for one, other in np.ndindex(joint.shape):
            add(view, {first: one + 1, second: other + 1}, int(joint[one, other]))
        # Of the other radiographs of the view, one cortex is scored, or none.
        for cortex, of_both in ((first, joint.sum(axis=1)), (second, joint.sum(axis=0))):
            for score, count in enumerate(SCORES_OF_CORTICES[cortex] - of_both):
                add(view, {cortex: score + 1}, count)
        add(view, {}, NUM_OF_VIEW[view] - views.count(view))
    return views, np.array(scores, dtype=np.float64)


def simulated_study() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Label vectors and visibility of the published table."""
    views, scores = published_table()
    return encode(views, scores), visible_mask(scores)


def write_onehot(folder: Path) -> tuple[Path, Path]:
    """The published table as the published files are laid out; rows in a random order."""
    views, scores = published_table()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(views))
    sizes = np.repeat(list(PATIENTS_BY_SIZE), list(PATIENTS_BY_SIZE.values()))
    columns: dict[str, object] = {
        "index": np.arange(len(order)),
        "study_id": 1,
        "record_id": np.repeat(np.arange(len(sizes)), sizes),
        "event_arm": "baseline",
        "view_antpr": [int(views[row] == "ap") for row in order],
        "view_later": [int(views[row] == "lateral") for row in order],
    }
    for place, cortex in enumerate(CORTICES):
        for score in (1, 2, 3, 4):
            columns[f"{cortex}_cortex_{score}"] = (scores[order, place] == score).astype(int)
    labels, names = folder / "labels.csv", folder / "filenames.csv"
    pd.DataFrame(columns).to_csv(labels, index=False)
    names.write_text("\n".join(f"{number}.png" for number in range(len(order))))
    return labels, names


def test_knowing_the_view_alone_scores_what_the_published_labels_let_it(tmp_path: Path) -> None:
    radiographs = load_onehot_manifest(*write_onehot(tmp_path), tmp_path)
    labels, visible = radiographs.labels, radiographs.visible
    assert len(labels) == 2936
    assert len(set(radiographs.patient_ids)) == 1207
    scored = visible.reshape(-1, len(CORTICES), 4)[:, :, 0].sum(axis=1)
    assert np.bincount(scored).tolist() == [252, 242, 2442]
    baseline = view_only_baseline(labels, labels, visible)
    assert round(baseline.auroc, 4) == 0.8057
    # Where a cortex is visible all rows are of one view here, so all scores are ties.
    assert baseline.cortex_auroc == 0.5


def test_the_view_only_baseline_is_what_its_definition_says() -> None:
    labels, visible = simulated_study()
    rng = np.random.default_rng(1)
    order = rng.permutation(len(labels))
    training, validation = order[:2000], order[2000:]
    score = np.empty((len(validation), labels.shape[1]))
    for position, row in enumerate(validation):
        same_view = labels[training, 0] == labels[row, 0]
        score[position] = labels[training][same_view].mean(axis=0, dtype=np.float64)
    baseline = view_only_baseline(labels[training], labels[validation], visible[validation])
    areas = [roc_auc_score(labels[validation, i], score[:, i]) for i in range(labels.shape[1])]
    assert baseline.auroc == pytest.approx(np.mean(areas), abs=1e-12)
    assert areas[:NUM_VIEWS] == [1.0, 1.0]
    assert baseline.cortex_auroc == 0.5


def test_a_view_that_was_not_trained_on_is_answered_with_the_overall_prevalence() -> None:
    training = encode(["ap"] * 3, [[1, 2, np.nan, np.nan], [1, 3, np.nan, np.nan], [np.nan] * 4])
    scores = [[1, 2, np.nan, np.nan], [2, 3, np.nan, np.nan]]
    validation = encode(["ap", "lateral"], scores)
    baseline = view_only_baseline(training, validation, visible_mask(scores))
    # Both views are answered alike, so nothing is told apart.
    assert baseline == metrics.ViewOnlyBaseline(auroc=0.5, cortex_auroc=0.5)


def test_a_baseline_that_is_undefined_names_its_fold() -> None:
    labels = encode(["ap"], [[1, 2, np.nan, np.nan]])
    with pytest.raises(MetricError, match=r"^fold 5: AUROC is undefined for all 18 labels"):
        view_only_baseline(labels, labels, np.ones((1, 16), dtype=bool), where="fold 5")
