"""What KerasTuner's guides and integration tests do, written anew for this tuner.

Each usage is a function; the table of `docs/how-to/from-kerastuner.md` has a row for each, which
says that it works, or why it is refused.
"""

import re
from pathlib import Path

import pytest
import usages_of_data
import usages_of_guides
import usages_of_models
from usages import REFUSED, WORKS

from rust_tuner.errors import RustTunerError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-kerastuner.md"
# They enter their usages when they are imported.
PARTS = (usages_of_guides, usages_of_data, usages_of_models)

# The pre-made model takes long to build; the others are also what a quick test of their own is of.
_SLOW = {
    "A pre-made HyperModel of keras_tuner.applications",
    "Loop of units_{i} and Boolean dropout",
    "Hyperparameters of fit in HyperModel.fit",
    "get_best_models",
    "run_trial overridden",
    "max_model_size",
    "max_retries_per_trial and max_consecutive_failed_trials",
    "epochs and batch_size as hyperparameters",
    "A model with its own train_step",
    "Convolutions on images",
    "A recurrent model",
    "Embedding of integers",
    "Text as input",
    "Two inputs in a list",
    "steps_per_execution",
    "keras_tuner.oracles.GridSearchOracle",
    "keras_tuner.oracles.BayesianOptimizationOracle",
    "sample_weight",
    "EarlyStopping and ReduceLROnPlateau",
    "ModelCheckpoint and TensorBoard",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in _SLOW else []) for name in WORKS],
)
def test_a_usage_of_keras_tuner_works(name: str, tmp_path: Path) -> None:
    WORKS[name](tmp_path)


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_usage_that_is_refused_says_what_to_do_instead(name: str, tmp_path: Path) -> None:
    usage, message = REFUSED[name]
    with pytest.raises(RustTunerError, match=f"(?is){message}"):
        usage(tmp_path)


def test_the_page_lists_every_usage() -> None:
    rows = re.findall(r"^\| (.+?) \| (works|refused)", PAGE.read_text(), flags=re.MULTILINE)
    listed = {name.replace("`", ""): kind for name, kind in rows}
    assert listed == dict.fromkeys(WORKS, "works") | dict.fromkeys(REFUSED, "refused")
