"""Scopes: all labels or visible cortices, by one description of each."""

import ast
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import rust_tuner
from rust_tuner.labels import NUM_LABELS, NUM_VIEWS
from rust_tuner.metrics import macro_auroc, view_only_baseline
from rust_tuner.protocol import Objective, Protocol
from rust_tuner.scope import AUROCS, CORTEX_SCOPE, LABEL_SCOPE, SCOPES
from rust_tuner.words import METRICS


def test_the_objectives_are_the_protocols() -> None:
    assert tuple(scope.objective for scope in SCOPES) == get_args(Objective)
    assert Protocol.study().objective == LABEL_SCOPE.objective
    assert Protocol.clinical().objective == CORTEX_SCOPE.objective


def test_names_and_words_are_those_of_records_and_tables() -> None:
    assert AUROCS == ("auroc", "cortex_auroc")
    assert [METRICS[name] for name in AUROCS] == ["AUROC, 18 labels", "AUROC, visible cortices"]
    assert [scope.short for scope in SCOPES] == ["18 labels", "cortices"]


def test_cortices_count_where_they_are_visible_and_all_labels_everywhere() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((30, NUM_LABELS)) < 0.4).astype(np.float32)
    scores = rng.random((30, NUM_LABELS))
    visible = rng.random((30, NUM_LABELS - NUM_VIEWS)) < 0.7
    whole = LABEL_SCOPE.problem(labels, scores, visible)
    assert macro_auroc(*whole) == macro_auroc(labels, scores)
    truth, score, mask = CORTEX_SCOPE.problem(labels, scores, visible)
    assert mask is visible
    assert truth.shape == score.shape == visible.shape
    expected = macro_auroc(labels[:, NUM_VIEWS:], scores[:, NUM_VIEWS:], visible)
    assert macro_auroc(truth, score, mask) == expected
    alone = view_only_baseline(labels, labels, visible)
    assert 0 <= alone.cortex_auroc <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["18 labels", "val_cortex_auroc"])
def test_no_other_module_spells_a_scope(name: str) -> None:
    package = Path(rust_tuner.__file__).parent
    spelled = {
        path.name
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == name
    }
    # A type checker reads the names of the objectives where the protocol's type stands.
    assert spelled <= {"protocol.py"}
