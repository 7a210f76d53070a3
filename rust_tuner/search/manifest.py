"""The run manifest of a search, as this process would begin it."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rust_tuner.files import sha256_of_json
from rust_tuner.models.code_identity import method_code
from rust_tuner.models.runtime import onednn_enabled, versions
from rust_tuner.records.run import RunManifest, run_if_whole
from rust_tuner.search.halving import SuccessiveHalving
from rust_tuner.search.hopeless import StopRule
from rust_tuner.search.objectives import recorded_objective
from rust_tuner.search.oracles import ResumableOracle
from rust_tuner.search.points import plain
from rust_tuner.search.reserved_names import epochs_name
from rust_tuner.search.runs import recorded_steps
from rust_tuner.search.subjects import Subject


def describe_run(
    subject: Subject,
    oracle: ResumableOracle,
    model: Mapping[str, str | None],
    *,
    seed: int,
    score_epoch: str | int,
    epochs: int,
    batch_size: int,
    about: Mapping[str, object],
) -> RunManifest:
    """Everything that decides the scores of a search.

    Args:
        subject: data, folds and weights.
        oracle: its space must be declared.
        model: what identifies the user's model; empty where the model is ours.
        seed: of folds and training.
        score_epoch: the rule of the score.
        epochs: of each fold.
        batch_size: for spaces without a hyperparameter of that name.
        about: further values, such as a protocol.
    """
    declared = oracle.declared
    described = plain(
        {
            "format": 1,
            "oracle": type(oracle).__name__,
            "objective": recorded_objective(oracle.objective),
            "space": declared_space(oracle),
            "max_trials": oracle.max_trials,
            "num_trials": oracle.num_trials(),
            "seed": seed,
            "oracle_seed": oracle.seed,
            "score_epoch": score_epoch,
            "epochs": epochs,
            "batch_size": None if "batch_size" in declared.values else batch_size,
            "subject": subject.identity | dict(model),
            "view_only_baseline": subject.view_only,
            "versions": versions() | {name: version(name) for name in oracle.packages},
            "onednn": onednn_enabled(),
        }
    )
    grown = grown_space(oracle)
    more = recorded_steps(oracle) | dict(about) | ({"grown_space": grown} if grown else {})
    return RunManifest.of(described | plain(oracle.describe()) | more)


def declared_space(oracle: ResumableOracle) -> dict[str, Any]:
    """The hyperparameters that are declared before the first trial, by name, in their order."""
    named: dict[str, Any] = plain(_by_name(oracle.declared.get_config()["space"]))
    return named


def grown_space(oracle: ResumableOracle) -> dict[str, Any]:
    """What the models of the trials have asked for beyond what is declared, by name."""
    declared, whole = oracle.declared.get_config(), oracle.get_space().get_config()
    names = list(_by_name(declared["space"]))
    hyperparameters = _by_name(whole["space"])
    return {name: plain(item) for name, item in hyperparameters.items() if name not in names}


def together_of(folder: Path, subject: Subject) -> dict[str, object]:
    """What a manifest records of folds of arrays that train together; nothing for other subjects.

    A search of an earlier version continues one fold after another, under the key that it was begun
    with.
    """
    begun = run_if_whole(folder)
    on_arrays = not subject.keeps_running and isinstance(subject.data.inputs, np.ndarray)
    is_new = begun is None or begun.arrays_together
    return {"arrays_together": True} if on_arrays and is_new else {}


def _by_name(space: list[dict[str, Any]]) -> dict[str, Any]:
    """A space by the names of its hyperparameters, so that a difference can be reported by name."""
    named: dict[str, Any] = {}
    for hyperparameter in space:
        name = hyperparameter["config"]["name"]
        while name in named:
            name = f"{name}'"
        named[name] = hyperparameter
    return named


def own_choices(
    folder: Path,
    oracle: ResumableOracle,
    *,
    code_version: str | int | None,
    run_trial: type | None,
    stop_rule: StopRule | SuccessiveHalving | None,
) -> dict[str, object]:
    """What the manifest records only where a search has it; older searches keep their key.

    Args:
        folder: the project folder.
        oracle: its space must be declared.
        code_version: the user's own name for what the model's code does.
        run_trial: the tuner's class, where it overrides `run_trial`.
        stop_rule: when a trial is stopped; None where none is.
    """
    recorded: dict[str, object] = {}
    if stop_rule is not None:
        recorded["stop_hopeless"] = stop_rule.to_json()
    if code_version is not None:
        recorded["code_version"] = code_version
    begun = run_if_whole(folder)
    # A search of an earlier version continues without it, under the key that it was begun with.
    name = epochs_name({hp.name: hp for hp in oracle.declared.space})
    if name is not None and (begun is None or begun.epochs_hyperparameter):
        recorded["epochs_hyperparameter"] = name
    if oracle.lag:
        recorded["lag"] = oracle.lag
    if not oracle.tune_new_entries:
        recorded["tune_new_entries"] = False
    if begun is None or begun.keras_epsilon is not None:
        recorded["keras_epsilon"] = keras.config.epsilon()
    if run_trial is not None:
        recorded["run_trial"] = sha256_of_json(method_code(run_trial, "run_trial"))
    return recorded
