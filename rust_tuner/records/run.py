"""`search.json` of a project folder: space, data, choices and versions of a search.

It is written before the first trial, and a search is resumed only if it is the same.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from rust_tuner.records.model import (
    Count,
    Epochs,
    Figures,
    HyperValue,
    HyperValues,
    Json,
    NumFolds,
    Record,
    Weights,
    read_if_whole,
    read_record,
)

# Hyperparameters that set the number of epochs, in the order in which they count; the first is that
# of KerasTuner's own oracles.
EPOCHS = ("tuner/epochs", "epochs")
RUN_FILE = "search.json"
# The name of several objectives together, as KerasTuner has it.
MULTI_OBJECTIVE = "multi_objective"


class Objective(Record):
    """What a search optimises.

    Attributes:
        name: of the metric, such as `val_auroc`; `multi_objective` where there are several.
        direction: what is best.
        objectives: by whose mean rank trials are compared; None where there is one objective.
    """

    name: str
    direction: Literal["max", "min"]
    objectives: list["Objective"] | None = None

    @property
    def parts(self) -> list["Objective"]:
        """The objectives of several, or the only one."""
        return self.objectives or [self]


class Units(Record):
    """How many independent units each fold trains on and is scored on.

    Attributes:
        kind: `patients`, `groups` or `rows`.
    """

    kind: str | None = None
    training: list[float]
    validation: list[float]


class Subject(Record):
    """The data of a search; hashes are SHA-256.

    Attributes:
        inputs: of the features, images or arrays.
        targets: of the labels.
        rows: of `rows.csv`; None for arrays, and in records of earlier versions.
        folds: of the rows of all folds.
        num_folds: how many there are.
        units: None in records of earlier versions.
        weights: of the backbone; None if there is none.
        stratified: `classes` or `labels` where a number of folds was divided by them; None if
            not, and in records of earlier versions.
        num_replicas: devices that shared each batch; None if it was one.
        classes: output -> the names of its classes, if targets were text; "" is the only output.
        description: of a user's model at the default values, see `built_models`; None for our own
            models, and in records of earlier versions.
    """

    inputs: str | None = None
    targets: str | None = None
    rows: str | None = None
    folds: str | None = None
    num_folds: NumFolds
    stratified: str | None = None
    units: Units | None = None
    weights: Weights | None = None
    num_replicas: int | None = None
    classes: dict[str, list[str]] | None = None
    description: str | None = None


class HyperparameterConfig(Record):
    """How a hyperparameter may vary.

    Attributes:
        name: its name.
        values: those of a `Choice`.
        value: that of a `Fixed`.
        conditions: of other hyperparameters, under which it has a value.
    """

    name: str
    values: list[HyperValue] | None = None
    value: HyperValue | None = None
    conditions: list[JsonValue] | None = None


class Hyperparameter(Record):
    """One hyperparameter of a space, as KerasTuner describes it."""

    class_name: str
    config: HyperparameterConfig


class RunManifest(Record):
    """`search.json`: space, data, choices and versions of a search.

    Attributes:
        oracle_arguments: what its proposals follow from beside the seed; None if nothing.
        space: by the hyperparameters' names.
        max_trials: None if the search ends with the space.
        num_trials: how many trials the search will have when it is finished, as far as that is
            known; the number of a space that grows is revised while the search runs.
        batch_size: None if it is a hyperparameter.
        onednn: whether TensorFlow used oneDNN; None if that is not known.
        protocol: the choices that are compared when a search of a study is resumed.
        fit_batch_sizes: whether batch sizes were fitted to the folds.
        steps: `exact` if `Float` hyperparameters reach the end of their range.
        epochs_hyperparameter: the hyperparameter that sets the number of epochs of a trial; None
            if `epochs` does, and in records of earlier versions.
        run_trial: SHA-256 of the code of a tuner that overrides `run_trial`; its trials may have no
            fold records. None if it does not.
        stop_hopeless: when a trial was stopped as hopeless, see `search.hopeless.StopRule`; None
            if none was.
        arrays_together: whether folds of arrays are trained together where the model allows it;
            absent in searches that earlier versions began, which never did.
        code_version: the user's own name for what the model's code does; None if not given.
        lag: an oracle that learns leaves out the results of so many trials before the one that it
            proposes, since they may run at the same time.
        grown_space: what models have asked for beyond the space, by name; it follows from the
            records of the trials.
        tune_new_entries: whether hyperparameters are tuned that are not in the oracle's.
        keras_epsilon: `keras.config.epsilon()`, which some losses and metrics add to denominators;
            None in records of earlier versions.
    """

    file_name: ClassVar[str] = RUN_FILE

    format: Literal[1]
    oracle: str | None = None
    oracle_arguments: Json | None = None
    objective: Objective
    space: dict[str, Hyperparameter]
    max_trials: Count | None = None
    num_trials: Count
    seed: Annotated[int, Field(ge=0)]
    oracle_seed: int | None = None
    score_epoch: str | int | None = None
    epochs: Epochs
    batch_size: int | None = None
    subject: Subject
    view_only_baseline: Figures | None = None
    versions: dict[str, str]
    onednn: bool | None = None
    protocol: Json | None = None
    fit_batch_sizes: bool = False
    steps: str | None = None
    epochs_hyperparameter: str | None = None
    run_trial: str | None = None
    code_version: str | int | None = None
    arrays_together: bool = False
    stop_hopeless: Json | None = None
    tune_new_entries: bool = True
    keras_epsilon: float | None = None
    lag: Count = 0
    grown_space: Annotated[dict[str, Hyperparameter], Field(default_factory=dict)]

    @property
    def whole_space(self) -> dict[str, Hyperparameter]:
        """The space with what models asked for beyond it, by name."""
        return self.space | self.grown_space

    def epochs_of(self, values: HyperValues) -> int:
        """The number of epochs that a trial with these values has, unless it is stopped."""
        # A search of an earlier version may have such a name and not read it.
        always = [n for n in EPOCHS if n in self.space and not self.space[n].config.conditions]
        is_read = self.epochs_hyperparameter is not None or not always
        own = next((values[name] for name in EPOCHS if name in values), None) if is_read else None
        return self.epochs if isinstance(own, bool) or not isinstance(own, int) else own

    @property
    def lower_is_better(self) -> bool:
        """Whether the objective is minimised."""
        return self.objective.direction == "min"

    @property
    def view_only(self) -> dict[str, float]:
        """The recorded view-only baseline, if defined, by metric such as `val_auroc`."""
        recorded = self.view_only_baseline or {}
        return {name: value for name, value in recorded.items() if value is not None}


def read_run(folder: Path) -> RunManifest:
    """The run manifest of a project folder.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: if it is damaged.
    """
    return read_record(folder / RUN_FILE, RunManifest)


def run_if_whole(folder: Path) -> RunManifest | None:
    """The run manifest of a project folder; None if there is none or it is damaged."""
    return read_if_whole(folder / RUN_FILE, RunManifest)
