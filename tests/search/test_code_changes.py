"""A search goes on only with the model that it was begun with, at the defaults and elsewhere."""

import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import keras_tuner
import pytest
from notes import Notes
from search_problems import arrays

from rust_tuner import CrossValidationTuner, GridSearchOracle
from rust_tuner.errors import ResumeError
from rust_tuner.files import read_json, sha256_of_json, write_json
from rust_tuner.search.code_changes import UsersModel

CHOICES = SimpleNamespace(
    rate=1e-3, activation="relu", dropout=0.1, regularizer=None, metrics=("mae",), wide=5, narrow=2
)


class Users(keras_tuner.HyperModel):  # type: ignore[misc]
    """The defaults do not reach the wide branch."""

    def __init__(self, **changes: Any) -> None:
        super().__init__()
        self.choices = SimpleNamespace(**vars(CHOICES) | changes)
        self.built = 0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        self.built += 1
        choices = self.choices
        units = choices.wide if hp.Boolean("wide") else choices.narrow
        model = keras.Sequential(
            [
                keras.layers.Dense(
                    units, choices.activation, kernel_regularizer=choices.regularizer
                ),
                keras.layers.Dropout(choices.dropout),
                keras.layers.Dense(2, "sigmoid"),
            ]
        )
        model.compile(
            keras.optimizers.SGD(choices.rate),
            "binary_crossentropy",
            metrics=list(choices.metrics),
            run_eagerly=True,
        )
        return model


def search(folder: Path, hypermodel: Users | None = None, **options: Any) -> CrossValidationTuner:
    tuner = CrossValidationTuner(
        hypermodel or Users(),
        GridSearchOracle(keras_tuner.Objective("val_loss", "min")),
        cv=2,
        directory=folder,
        project_name="search",
        **options,
    )
    tuner.search(*arrays(), epochs=1, batch_size=48)
    return tuner


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    search(folder)
    return folder


@pytest.fixture
def begun(searched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(searched, tmp_path / "begun")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 1.0}, r"at the default values differs:\n.*learning_rate: was 0\.001, is 1\.0"),
        ({"activation": "linear"}, r"activation: was relu, is linear"),
        ({"dropout": 0.9}, r"layers\.dropout\.rate: was 0\.1, is 0\.9"),
        ({"regularizer": "l2"}, r"kernel_regularizer: was absent, is L2"),
        ({"metrics": ("mse",)}, r"metrics\.0: was mae, is mse"),
        ({"wide": 7}, r"the model of trial 0001 differs:\n.*units: was 5, is 7"),
    ],
    ids=["learning rate", "activation", "dropout", "regularizer", "metric", "branch"],
)
def test_changed_code_is_refused_with_what_differs(
    changes: dict[str, str | tuple[str] | float], message: str, begun: Path
) -> None:
    before = {path: path.read_bytes() for path in begun.rglob("*.json")}
    with pytest.raises(ResumeError, match=message):
        search(begun, Users(**changes))
    assert {path: path.read_bytes() for path in begun.rglob("*.json")} == before


def test_unchanged_code_goes_on_with_one_build_a_trial_more(begun: Path) -> None:
    hypermodel = Users()
    search(begun, hypermodel)
    # One to declare the space, one at the defaults, and one for each recorded trial.
    assert hypermodel.built == 4


@pytest.mark.slow
def test_the_users_own_version_of_the_code_is_compared(tmp_path: Path) -> None:
    search(tmp_path, code_version="a")
    search(tmp_path, code_version="a")
    with pytest.raises(ResumeError, match="code_version: was a, is b"):
        search(tmp_path, code_version="b")
    with pytest.raises(ResumeError, match="code_version: was a, is absent"):
        search(tmp_path)


@pytest.mark.slow
def test_what_differs_from_build_to_build_is_no_change_of_the_code(tmp_path: Path) -> None:
    class Dated(Users):
        number = itertools.count()

        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            model = super().build(hp)
            model.layers[0].name = f"built_at_{next(self.number)}"
            return model

    first = search(tmp_path, Dated()).results()
    assert search(tmp_path, Dated()).results().equals(first)


def search_as_an_earlier_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record what was recorded before models were described."""
    begin = UsersModel.__init__

    def begin_as_before(self: UsersModel, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self.identity = {"model": self.defaults.shapes}

    with monkeypatch.context() as patch:
        patch.setattr(UsersModel, "__init__", begin_as_before)
        search(folder)
    for path in folder.rglob("model.json"):
        path.unlink()


@pytest.mark.slow
def test_a_search_of_an_earlier_version_goes_on_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_as_an_earlier_version(tmp_path, monkeypatch)
    before = (tmp_path / "search" / "search.json").read_bytes()
    layers = [["Dense", [[4, 2], [2]]], ["Dropout", []], ["Dense", [[2, 2], [2]]]]
    shapes = sha256_of_json([layers, "SGD", "binary_crossentropy"])
    assert json.loads(before)["subject"]["model"] == shapes
    notes = Notes()
    search(tmp_path, progress=notes)
    assert (tmp_path / "search" / "search.json").read_bytes() == before
    (note,) = [text for text in notes.said if "earlier version" in text]
    assert "whether anything else in the code has changed since its 2 trials" in note
    # What that version compared is compared still.
    with pytest.raises(ResumeError, match=r"subject\.model: was"):
        search(tmp_path, Users(narrow=3))


def test_a_damaged_description_is_said_and_made_again(begun: Path) -> None:
    path = begun / "search" / "trial_0001" / "model.json"
    content = path.read_bytes()
    path.write_bytes(content[:50])
    (begun / "search" / "model.json").write_bytes(b"")
    notes = Notes()
    search(begun, progress=notes)
    assert [text for text in notes.said if "no readable model.json" in text] == [
        "trial 0001 has no readable model.json; whether its code has changed cannot be checked"
    ]
    assert path.read_bytes() == content
    assert (begun / "search" / "model.json").exists()


@pytest.mark.slow
def test_code_may_be_mended_where_nothing_is_recorded_yet(begun: Path) -> None:
    trial = begun / "search" / "trial_0001"
    state = read_json(trial / "trial.json")
    write_json(trial / "trial.json", state | {"status": "RUNNING", "score": None})
    for path in [*trial.glob("fold_*"), trial / "out_of_fold.npz"]:
        path.unlink()
    search(begun, Users(wide=7))
    with pytest.raises(ResumeError, match="trial 0001 differs"):
        search(begun, Users(wide=5))
