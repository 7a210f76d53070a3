"""What the package leans on inside KerasTuner; a failure here names what a new version changed."""

import importlib.metadata
import inspect
import json
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

OBJECTIVE = keras_tuner.Objective("val_auroc", "max")


def new_oracle(folder: Path, **options: Any) -> keras_tuner.Oracle:
    oracle = keras_tuner.Oracle(objective=OBJECTIVE, **options)
    oracle._set_project_dir(str(folder), "project")
    return oracle


def conditional_space() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Choice("model", ["linear", "deep"])
    with hp.conditional_scope("model", ["deep"]):
        hp.Int("layers", 1, 3)
    return hp


class Branching(keras_tuner.HyperModel):  # type: ignore[misc]
    """Has three branches, one of them inside another; builds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.built: list[dict[str, Any]] = []

    def build(self, hp: keras_tuner.HyperParameters) -> None:
        model = hp.Choice("model", ["linear", "deep"])
        with hp.conditional_scope("model", ["deep"]):
            if model == "deep":
                kind = hp.Choice("kind", ["dense", "conv"])
                with hp.conditional_scope("kind", ["conv"]):
                    if kind == "conv":
                        hp.Int("filters", 8, 16)
        self.built.append(dict(hp.values))


def test_the_version_is_below_the_cap_of_the_package_metadata() -> None:
    (cap,) = [
        text for text in importlib.metadata.requires("rust-tuner") or [] if "keras-tuner" in text
    ]
    assert "<1.5" in cap
    major, minor = importlib.metadata.version("keras-tuner").split(".")[:2]
    assert (int(major), int(minor)) < (1, 5)


# ---------------------------------------------------------------------------------------- oracles


def test_oracle_takes_the_keywords_that_ours_pass_on() -> None:
    for kind in (
        keras_tuner.Oracle,
        keras_tuner.oracles.RandomSearchOracle,
        keras_tuner.oracles.GridSearchOracle,
    ):
        names = set(inspect.signature(kind.__init__).parameters)
        assert {"objective", "max_trials", "hyperparameters", "seed"} <= names


def test_oracle_starts_with_empty_records(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    assert (oracle.trials, oracle.ongoing_trials) == ({}, {})
    assert (oracle.start_order, oracle.end_order, oracle._retry_queue) == ([], [], [])
    assert oracle._tried_so_far == set()
    assert oracle.objective.name == "val_auroc"
    assert oracle.objective.direction == "max"


def test_oracle_keeps_its_seed_in_two_places_that_can_be_replaced(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path, seed=5)
    assert oracle.seed == oracle._seed_state == 5
    oracle.seed = oracle._seed_state = 0
    assert oracle.get_state()["seed"] == oracle.get_state()["seed_state"] == 0


def test_oracle_verbosity_can_be_silenced(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    oracle.verbose = 0
    assert oracle.verbose == 0


def test_oracle_state_has_the_fields_that_a_reload_reads(tmp_path: Path) -> None:
    state = new_oracle(tmp_path, seed=3).get_state()
    assert set(state) == {
        "ongoing_trials",
        "hyperparameters",
        "start_order",
        "end_order",
        "run_times",
        "retry_queue",
        "seed",
        "seed_state",
        "tried_so_far",
        "id_to_hash",
        "display",
    }
    json.dumps(state)


def test_oracle_state_names_ongoing_trials_by_their_id(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    oracle.ongoing_trials = {"tuner0": Trial(keras_tuner.HyperParameters(), trial_id="0003")}
    assert oracle.get_state()["ongoing_trials"] == {"tuner0": "0003"}


def test_oracle_files_are_where_stock_tools_look_for_them(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    assert Path(oracle._get_oracle_fname()) == tmp_path / "project" / "oracle.json"
    folder = Path(oracle._get_trial_dir("0007"))
    assert folder == tmp_path / "project" / "trial_0007"
    assert folder.is_dir()


def test_oracle_hashes_values_whatever_their_order(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    digest = oracle._compute_values_hash({"a": 1, "b": 0.5})
    assert digest == oracle._compute_values_hash({"b": 0.5, "a": 1})
    assert digest != oracle._compute_values_hash({"a": 1, "b": 0.25})


def test_oracle_takes_values_for_tried_by_their_hash(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    oracle._tried_so_far.add(oracle._compute_values_hash({"a": 1}))
    assert oracle._duplicate({"a": 1})
    assert not oracle._duplicate({"a": 2})
    assert oracle._id_to_hash["0000"] is None


def test_oracle_refuses_metrics_without_the_objective(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    oracle._check_objective_found({"val_auroc": 0.5, "val_loss": 1.0})
    with pytest.raises(ValueError, match=r"Objective value missing.*val_auroc"):
        oracle._check_objective_found({"val_loss": 1.0})


def test_oracle_scores_a_trial_by_the_objective_and_its_step(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    trial = Trial(keras_tuner.HyperParameters(), trial_id="0000")
    trial.metrics.register("val_auroc", direction="max")
    trial.metrics.update("val_auroc", 0.75, step=4)
    oracle.score_trial(trial)
    assert (trial.score, trial.best_step) == (0.75, 4)


def test_oracle_space_grows_by_what_is_new_and_is_given_out_as_a_copy(tmp_path: Path) -> None:
    oracle = new_oracle(tmp_path)
    oracle.update_space(conditional_space())
    oracle.update_space(conditional_space())
    assert [hp.name for hp in oracle.hyperparameters.space] == ["model", "layers"]
    oracle.get_space().Boolean("norm")
    assert [hp.name for hp in oracle.hyperparameters.space] == ["model", "layers"]


# -------------------------------------------------------------------------------- hyperparameters


def test_a_hyperparameter_exists_by_its_name_and_conditions() -> None:
    hp = conditional_space()
    model, layers = hp.space
    assert hp._exists("model", model.conditions)
    assert hp._exists("layers", layers.conditions)
    assert not hp._exists("layers", [])
    assert not hp._exists("units", [])


def test_a_space_keeps_the_order_of_declaration_and_its_conditions() -> None:
    model, layers = conditional_space().space
    assert (model.name, model.conditions) == ("model", [])
    assert layers.name == "layers"
    (condition,) = layers.conditions
    assert condition.is_active({"model": "deep"})
    assert not condition.is_active({"model": "linear"})
    assert not condition.is_active({})


def test_merging_a_hyperparameter_gives_it_its_default_where_it_is_active() -> None:
    model, layers = conditional_space().space
    merged = keras_tuner.HyperParameters()
    merged.merge([model])
    merged.merge([layers])
    assert merged.values == {"model": "linear"}
    assert not merged.is_active(layers)
    merged.values["model"] = "deep"
    assert merged.is_active(layers)


def test_a_sample_is_a_function_of_its_seed() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 1, 10**6)
    hp.Float("rate", 0.0, 1.0)
    hp.Choice("kind", list("abcdefgh"))
    hp.Boolean("norm")
    hp.Fixed("batch_size", 32)
    drawn = [[p.random_sample(seed) for seed in range(30)] for p in hp.space]
    assert drawn == [[p.random_sample(seed) for seed in range(30)] for p in hp.space]
    units, rates, kinds, norms, fixed = drawn
    assert len(set(units)) == len(set(rates)) == 30
    assert len(set(kinds)) > 4 and set(norms) == {True, False} and set(fixed) == {32}


def test_candidates_of_each_kind_are_in_its_values() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 1, 7, step=3)
    hp.Float("rate", 0.0, 1.0, step=0.5)
    hp.Choice("kind", ["b", "a"], default="a")
    hp.Boolean("norm")
    hp.Fixed("batch_size", 32)
    hp.Float("free", 0.0, 1.0)
    found = [(list(p.values), p.default) for p in hp.space]
    assert found[:5] == [
        ([1, 4, 7], 1),
        ([0.0, 0.5, 1.0], 0.0),
        (["b", "a"], "a"),
        ([True, False], False),
        ([32], 32),
    ]
    assert len(found[5][0]) == 10


def test_free_ranges_are_told_by_their_step_and_sampling() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("linear", 1, 7)
    hp.Int("log", 1, 7, sampling="log")
    hp.Float("free", 0.0, 1.0)
    linear, log, free = hp.space
    assert [type(p).__name__ for p in hp.space] == ["Int", "Int", "Float"]
    assert (linear.step, linear.sampling) == (1, "linear")
    assert (log.step, log.sampling) == (None, "log")
    assert free.step is None


def test_a_space_has_a_json_form_with_conditions() -> None:
    config = conditional_space().get_config()
    assert json.loads(json.dumps(config)) == config
    assert set(config) == {"space", "values"}
    assert [entry["config"]["name"] for entry in config["space"]] == ["model", "layers"]
    assert "deep" in json.dumps(config["space"][1]["config"]["conditions"])


def test_a_copy_of_a_space_is_independent() -> None:
    hp = conditional_space()
    copy = hp.copy()
    copy.values["model"] = "deep"
    copy.Boolean("norm")
    assert hp.values == {"model": "linear"}
    assert len(hp.space) == 2


def test_declared_hyperparameters_give_their_values_in_build() -> None:
    hp = conditional_space()
    hp.values = {"model": "deep", "layers": 3}
    assert hp.Choice("model", ["linear", "deep"]) == "deep"
    with hp.conditional_scope("model", ["deep"]):
        assert hp.Int("layers", 1, 3) == 3
    assert hp.get("layers") == 3
    assert len(hp.space) == 2


# ----------------------------------------------------------------------------------------- trials


def test_trial_statuses_are_the_strings_of_the_files() -> None:
    assert TrialStatus.RUNNING == "RUNNING"
    assert TrialStatus.COMPLETED == "COMPLETED"
    assert TrialStatus.FAILED == "FAILED"
    assert TrialStatus.STOPPED == "STOPPED"


def test_a_new_trial_runs_and_has_neither_score_nor_metrics() -> None:
    trial = Trial(hyperparameters=conditional_space(), trial_id="0004")
    assert (trial.trial_id, trial.status) == ("0004", TrialStatus.RUNNING)
    assert (trial.score, trial.message, trial.metrics.metrics) == (None, None, {})
    stopped = Trial(hyperparameters=conditional_space(), trial_id="1", status=TrialStatus.STOPPED)
    assert stopped.status == TrialStatus.STOPPED


def test_a_trial_survives_the_way_through_its_state() -> None:
    trial = Trial(hyperparameters=conditional_space(), trial_id="0004")
    trial.hyperparameters.values = {"model": "deep", "layers": 2}
    trial.metrics.register("val_auroc", direction="max")
    trial.metrics.update("val_auroc", 0.75, step=4)
    trial.score, trial.best_step, trial.status, trial.message = 0.75, 4, "COMPLETED", "note"
    state = json.loads(json.dumps(trial.get_state()))
    again = Trial.from_state(state)
    assert again.get_state() == trial.get_state()
    assert again.hyperparameters.values == {"model": "deep", "layers": 2}
    assert (again.score, again.best_step) == (0.75, 4)
    assert (again.trial_id, again.status, again.message) == ("0004", "COMPLETED", "note")


def test_a_trials_state_has_the_fields_that_records_read() -> None:
    trial = Trial(hyperparameters=conditional_space(), trial_id="0004")
    trial.metrics.register("val_auroc", direction="max")
    trial.metrics.update("val_auroc", 0.75, step=4)
    assert set(trial.get_state()) == {
        "trial_id",
        "hyperparameters",
        "metrics",
        "score",
        "best_step",
        "status",
        "message",
    }
    assert trial.get_state()["hyperparameters"]["values"] == {"model": "linear"}
    assert trial.get_state()["metrics"] == {
        "metrics": {
            "val_auroc": {"direction": "max", "observations": [{"value": [0.75], "step": 4}]}
        }
    }


def test_a_damaged_state_is_an_error_that_recovery_catches() -> None:
    state = Trial(hyperparameters=conditional_space(), trial_id="0004").get_state()
    caught = (KeyError, TypeError, AttributeError, ValueError)
    for damaged in ({}, [], None, state | {"hyperparameters": None}, state | {"metrics": 3}):  # type: ignore[var-annotated]
        with pytest.raises(caught):
            Trial.from_state(damaged)


def test_a_metric_can_be_taken_back_and_registered_again() -> None:
    metrics = Trial(hyperparameters=conditional_space(), trial_id="0").metrics
    assert not metrics.exists("val_auroc")
    metrics.register("val_auroc", direction="max")
    metrics.update("val_auroc", 0.9, step=7)
    assert metrics.exists("val_auroc")
    metrics.metrics.pop("val_auroc")
    assert not metrics.exists("val_auroc")
    metrics.register("val_auroc", direction="max")
    metrics.update("val_auroc", 0.4, step=2)
    assert metrics.get_best_value("val_auroc") == 0.4
    assert metrics.get_best_step("val_auroc") == 2


def test_a_metrics_value_is_kept_as_a_python_float() -> None:
    metrics = Trial(hyperparameters=conditional_space(), trial_id="0").metrics
    metrics.register("val_auroc", direction="max")
    metrics.update("val_auroc", np.float32(0.5), step=0)
    (observation,) = metrics.get_config()["metrics"]["val_auroc"]["observations"]
    assert type(observation["value"][0]) is float


# ----------------------------------------------------------------------------------------- tuners


def test_tuner_looks_for_the_space_while_it_is_made(tmp_path: Path) -> None:
    calls = []

    class Noted(keras_tuner.Tuner):  # type: ignore[misc]
        def _populate_initial_space(self) -> None:
            calls.append(self.hypermodel)

    hypermodel = Branching()
    tuner = Noted(
        new_oracle(tmp_path),
        hypermodel,
        directory=str(tmp_path),
        project_name="search",
        overwrite=False,
    )
    assert calls == [hypermodel]
    assert hypermodel.built == []
    assert Path(tuner.project_dir) == tmp_path / "search"
    assert Path(tuner.oracle._get_oracle_fname()) == tmp_path / "search" / "oracle.json"


def test_tuner_reloads_instead_where_its_own_file_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    class Noted(keras_tuner.Tuner):  # type: ignore[misc]
        def _populate_initial_space(self) -> None:
            calls.append("space")

        def reload(self) -> None:
            calls.append("reload")

    def make() -> keras_tuner.Tuner:
        return Noted(
            new_oracle(tmp_path), Branching(), directory=str(tmp_path), project_name="search"
        )

    tuner = make()
    assert tuner.tuner_id == "tuner0"
    assert Path(tuner._get_tuner_fname()) == tmp_path / "search" / "tuner0.json"
    Path(tuner._get_tuner_fname()).write_text(json.dumps(tuner.get_state()))
    make()
    assert calls == ["space", "reload"]
    assert "Reloading Tuner" in capsys.readouterr().out


def test_tuner_deletes_its_folder_where_it_may_overwrite(tmp_path: Path) -> None:
    old = tmp_path / "search" / "trial_0000" / "trial.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    keras_tuner.Tuner(
        new_oracle(tmp_path),
        Branching(),
        directory=str(tmp_path),
        project_name="search",
        overwrite=True,
    )
    assert not old.exists()


def test_a_build_shows_which_scopes_it_reached_and_values_can_activate_another() -> None:
    hp = keras_tuner.HyperParameters()
    Branching().build(hp)
    (scope,) = hp.inactive_scopes
    assert [(condition.name, condition.values) for condition in scope] == [("model", ["deep"])]
    again = keras_tuner.HyperParameters()
    again.merge(hp.space)
    again.values["model"] = "deep"
    again.ensure_active_values()
    Branching().build(again)
    assert again.values["kind"] == "dense"
    assert scope in again.active_scopes


def test_keras_keeps_what_a_model_was_compiled_with_and_all_its_layers() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    arguments = model._compile_config.config
    assert (arguments["loss"], list(arguments["metrics"])) == ("mse", ["mae"])
    assert isinstance(arguments["optimizer"], keras.optimizers.SGD)
    assert [type(layer).__name__ for layer in model._layers] == ["InputLayer", "Dense"]
    assert keras.losses.Huber(0.5)._fn_kwargs["delta"] == 0.5


def test_tuner_calls_around_a_search_exist_and_do_nothing(tmp_path: Path) -> None:
    tuner = keras_tuner.Tuner(
        new_oracle(tmp_path), Branching(), directory=str(tmp_path), project_name="search"
    )
    before = sorted(path.name for path in tmp_path.rglob("*"))
    tuner.on_search_begin()
    tuner.on_trial_begin(Trial(conditional_space(), trial_id="0000"))
    tuner.on_search_end()
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_tuner_asks_its_oracle_for_the_best(tmp_path: Path) -> None:
    tuner = keras_tuner.Tuner(
        new_oracle(tmp_path), Branching(), directory=str(tmp_path), project_name="search"
    )
    asked = []
    trial = Trial(conditional_space(), trial_id="0000")
    tuner.oracle.get_best_trials = lambda number: asked.append(number) or [trial]  # type: ignore[func-returns-value]
    assert tuner.get_best_hyperparameters(3) == [trial.hyperparameters]
    assert asked == [3]


def test_hypermodel_declares_nothing_and_fits_by_itself_unless_told() -> None:
    hp = keras_tuner.HyperParameters()
    keras_tuner.HyperModel().declare_hyperparameters(hp)
    assert hp.space == []
    assert Branching.fit is keras_tuner.HyperModel.fit


def test_a_trial_can_be_failed_by_keras_tuners_own_error() -> None:
    assert issubclass(keras_tuner.errors.FailedTrialError, Exception)
