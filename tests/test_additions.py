"""What is added often is added in few places: a hyperparameter in four, a final figure in two."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rust_tuner

PACKAGE = Path(rust_tuner.__file__).parent
TESTS = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of a file before which something is put."""

    file: str
    before: str
    text: str


# All that adding Adam's second moment to the grid of Regime II takes.
HYPERPARAMETER = (
    Place(
        "protocol.py",
        "    baseline_folds: int = field(",
        "    betas: tuple[float, ...] = field("
        'default=(0.99, 0.999), metadata=choice("regime_2"))\n',
    ),
    Place(
        "models/space.py",
        '    batch_size_sampling: Sampling = "linear"',
        "    betas: tuple[float, ...] = field(\n"
        '        default=(0.999,), metadata=_declares("beta", "Adam\'s beta 2", is_grid=True)\n'
        "    )\n",
    ),
    Place(
        "models/hypermodels.py",
        '            learning_rate=hp.get("learning_rate"), epsilon=hp.get("epsilon")',
        '            beta_2=hp.get("beta"),\n',
    ),
    Place(
        "cli/options.py",
        '            "epsilons": parse_numbers("--epsilons", self.epsilons, float),',
        '            "betas": parse_numbers("--betas", self.betas, float),\n',
    ),
)
SEEN = """
from rust_tuner.cli.options import Grid
from rust_tuner.figures.value_axes import axis_name
from rust_tuner.models.space import SearchSpace
from rust_tuner.protocol import Protocol
from rust_tuner.search.regimes import recorded_protocol
from rust_tuner.steps.plan import plan_study
from rust_tuner.steps.refit import HYPERPARAMETERS, tuned_hypermodel
import keras_tuner

protocol = Protocol.study()
assert HYPERPARAMETERS[4] == "beta"
assert axis_name("beta") == "Adam's beta 2"
assert "betas" in protocol.noted_by("final") and "betas" in recorded_protocol(protocol)
values = dict(batch_size=8, dropout_rate=0.1, learning_rate=0.1, epsilon=1e-7, beta=0.9)
hypermodel = tuned_hypermodel(Protocol.study(weights="random"), values)
hp = keras_tuner.HyperParameters()
head = hypermodel.build_head(hp)
assert hp.values == values, hp.values
assert float(head.optimizer.beta_2) == 0.9
grid = SearchSpace(8, 0.1, **SearchSpace.grid_of(protocol))
grid.declare(hp := keras_tuner.HyperParameters())
assert hp.space[4].values == [0.99, 0.999]
assert any("64" in step.what for step in plan_study(protocol, 100, []))
"""


def changed_package(folder: Path, places: tuple[Place, ...]) -> Path:
    copy = folder / "rust_tuner"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for place in places:
        path = copy / place.file
        text = path.read_text()
        assert text.count(place.before) == 1, place
        path.write_text(text.replace(place.before, place.text + place.before))
    return folder


def run(folder: Path, code: str) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{TESTS}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_hyperparameter_is_added_in_four_places(tmp_path: Path) -> None:
    option = Place(
        "cli/options.py",
        "    epsilons: Epsilons = None",
        "    betas: Annotated[str | None, typer.Option()] = None\n",
    )
    # The option and its parsing stand together: one place.
    places = (*HYPERPARAMETER, option)
    assert len({place.file for place in places}) == 4
    run(changed_package(tmp_path, places), SEEN)


FIGURE = (
    Place(
        "metrics/assessment.py",
        "    figures = _with_counts(figures)",
        '        figures += with_intervals(scope.figures("misses"), brier, patient_ids)\n',
    ),
    Place("words.py", '    "brier": "Brier score",', '    "misses": "squared misses",\n'),
)
FIGURE_SEEN = """
from report_studies import make_predictions
from rust_tuner.analysis.assessment import (
    as_predictions, figures_table, label_figures, overall_figures
)
from rust_tuner.words import figure_name

table = figures_table(as_predictions(make_predictions(rows=80)))
rows = table[table["figure"] == "misses"]
assert {"labels", "cortices", "medial_1"} <= set(rows["of"])
assert rows["low"].notna().any()
assert "misses" in set(overall_figures(table)["figure"])
assert figure_name("misses") == "squared misses"
"""


@pytest.mark.slow
def test_a_final_figure_is_added_in_two_places(tmp_path: Path) -> None:
    run(changed_package(tmp_path, FIGURE), FIGURE_SEEN)
