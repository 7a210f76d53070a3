"""A model that is missing is named with the command that writes it."""

from pathlib import Path

import pytest

from rust_tuner.errors import ResumeError
from rust_tuner.records.looks import HOLDOUT_FILE, MODEL_FILE
from rust_tuner.records.model_card import read_card


def test_a_model_that_was_not_made_yet_is_made_by_final(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"not exist; `rust-tuner final` writes model\.keras"):
        read_card(tmp_path / MODEL_FILE)


def test_a_model_that_was_lost_after_its_look_needs_another_look(tmp_path: Path) -> None:
    (tmp_path / HOLDOUT_FILE).write_text("{}")
    with pytest.raises(ResumeError, match='STUDY --look-again "The first model file'):
        read_card(tmp_path / MODEL_FILE)
