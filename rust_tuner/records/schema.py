"""The form of every JSON file of a study, as typed models, and the one way to hold a file to it.

A model names what the package reads of a file, with its type and range; what stands there besides
is kept and not looked at, so that files of later versions can be read where they agree. Where the
files lie and what they mean belongs to the modules beside this one.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rust_tuner.errors import RecordError
from rust_tuner.files import read_json, sha256_of_json

FORMAT = 1

# Loops over what a file says are bounded by these; nothing that was ever run comes near them.
_MOST_FOLDS = 10_000
_MOST_EPOCHS = 1_000_000
_MOST_TRIALS = 10_000_000

Count = Annotated[int, Field(ge=0, le=_MOST_TRIALS)]
Epochs = Annotated[int, Field(ge=0, le=_MOST_EPOCHS)]
NumFolds = Annotated[int, Field(ge=1, le=_MOST_FOLDS)]
Figures = dict[str, float | None]
Curves = dict[str, list[float]]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Form(BaseModel):
    """A part of a file: numbers are numbers, true and false are none, nothing is converted."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", allow_inf_nan=False, protected_namespaces=()
    )


class Weights(Form):
    """Which backbone weights were really used."""

    asked: str
    file: str | None = None
    sha256: str


class Objective(Form):
    """What a search optimises."""

    name: str
    direction: Literal["max", "min"]


class Subject(Form):
    """What a search is run on."""

    num_folds: NumFolds
    rows: str | None = None
    weights: Weights | None = None


class Hyperparameter(Form):
    """One hyperparameter of a space, as KerasTuner describes it."""

    class_name: str
    config: dict[str, Any]


class RunForm(Form):
    """`search.json`: what is searched, on what, with which versions."""

    format: Literal[1]
    objective: Objective
    space: dict[str, Hyperparameter]
    max_trials: Count | None = None
    num_trials: Count
    seed: Annotated[int, Field(ge=0)]
    epochs: Epochs
    subject: Subject
    view_only_baseline: Figures | None = None
    versions: dict[str, str]
    protocol: dict[str, Any] | None = None


class FoldForm(Form):
    """`fold_0.json`: histories of one fold, under a key of everything they depend on."""

    key: str
    fold: Annotated[int, Field(ge=0, le=_MOST_FOLDS)]
    steps_per_epoch: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0)]
    training: Curves
    validation: Curves
    sha256: str

    @model_validator(mode="after")
    def _of_one_length(self) -> "FoldForm":
        lengths = {len(curve) for curve in self.validation.values()}
        if len(lengths) > 1:
            raise ValueError("validation curves of different lengths")
        return self


class Observation(Form):
    """The values of a metric at one step, as KerasTuner keeps them."""

    value: Annotated[list[float], Field(min_length=1)]
    step: int


class MetricHistory(Form):
    """A metric's observations, as KerasTuner keeps them."""

    observations: Annotated[list[Observation], Field(min_length=1)]


class Metrics(Form):
    """The metrics of a trial."""

    metrics: dict[str, MetricHistory]


class Values(Form):
    """The hyperparameter values of a trial."""

    values: dict[str, Any]


class TrialForm(Form):
    """`trial.json`: KerasTuner's trial."""

    trial_id: Annotated[str, Field(pattern=r"^\d{4,12}$")]
    status: Literal["RUNNING", "COMPLETED", "FAILED"]
    hyperparameters: Values
    metrics: Metrics
    score: float | None
    best_step: int | None
    message: str | None

    @model_validator(mode="after")
    def _scored_where_completed(self) -> "TrialForm":
        unscored = self.score is None or self.best_step is None or self.best_step < 0
        if self.status == "COMPLETED" and unscored:
            raise ValueError("a completed trial without score or epoch")
        return self


class StudyForm(Form):
    """`study.json`: what a study was prepared with."""

    format: Literal[1]
    manifest: str
    protocol: dict[str, Any]
    radiographs: Count
    patients: Count
    radiographs_sha256: str
    images_sha256: str
    development_sha256: str
    weights: Weights | None
    versions: dict[str, str] | None = None
    environments: dict[str, list[dict[str, Any]]] | None = None


class FoldsForm(Form):
    """The fold of each patient."""

    seed: int
    patients: dict[str, int]


class SplitForm(Form):
    """`split.json`: the patients of each side, and the folds."""

    version: Literal[1]
    development: list[str]
    holdout: list[str]
    folds: dict[str, FoldsForm]
    sha256: str

    @model_validator(mode="before")
    @classmethod
    def _matches_its_hash(cls, content: Any) -> Any:
        return _with_right_hash(content)


class NoiseForm(Form):
    """`noise.json`: which configuration is repeated, and how."""

    format: Literal[1]
    regime: str
    trial: str
    configuration: dict[str, Any]
    objective: str
    selection_score: Figures
    repeats: Annotated[int, Field(ge=0, le=_MOST_FOLDS)]
    assignments: Annotated[int, Field(ge=0, le=_MOST_FOLDS)]


class NestedSubject(Form):
    """What a nested cross-validation is run on."""

    weights: Weights


class NestedForm(Form):
    """`nested.json`: what is nested, on what, with which versions."""

    format: Literal[1]
    objective: str
    seed: int
    outer_folds: NumFolds
    trials: dict[str, Count]
    subject: NestedSubject
    protocol: dict[str, Any]
    versions: dict[str, str]


class Counted(Form):
    """One side of an outer fold."""

    radiographs: Count
    patients: Count
    sha256: str


class OuterForm(Form):
    """`outer.json`: what one outer fold gave."""

    format: Literal[1]
    key: str
    outer_fold: Annotated[int, Field(ge=0, le=_MOST_FOLDS)]
    trials: dict[str, str]
    hyperparameters: dict[str, Any]
    epoch: Epochs
    selection_score: dict[str, float]
    inner_estimate: dict[str, float]
    estimate: dict[str, float]
    view_only_baseline: dict[str, float]
    training: Counted
    validation: Counted
    predictions_sha256: str
    sha256: str

    @model_validator(mode="before")
    @classmethod
    def _matches_its_hash(cls, content: Any) -> Any:
        return _with_right_hash(content)


class SummaryForm(Form):
    """`summary.json`: what came out of a nested cross-validation."""

    format: Literal[1]
    key: str
    patients: Count


class VerdictForm(Form):
    """What one check found."""

    check: str
    title: str
    status: Literal["passed", "warning", "failed", "not_run"]
    reason: str
    mend: str
    findings: list[str]
    figures: Figures


class ChecksForm(Form):
    """`checks.json`: a verdict for each check, and which searches they saw."""

    format: Literal[1]
    date: str
    searches: dict[str, dict[str, Any]]
    verdicts: list[VerdictForm]


def read_record(
    path: Path, form: type[Form], *, mend: str = "restore or remove it"
) -> dict[str, Any]:
    """A JSON file of a study, held to its form.

    Args:
        path: the file.
        form: the model of its content.
        mend: what to do where it is damaged.

    Returns:
        The content as it stands in the file.

    Raises:
        FileNotFoundError: where there is none.
        RecordError: naming the file, the first part of it that is at fault, and the cure.
    """
    try:
        content = read_json(path)
    except RecordError as error:
        if mend == "restore or remove it":
            raise
        raise RecordError(f"{str(error).rpartition(';')[0]}; {mend}") from error
    return checked(content, form, path=path, mend=mend)


def read_if_whole(path: Path, form: type[Form] = Form) -> dict[str, Any] | None:
    """A JSON file of a study, or None where there is none or it is damaged.

    For records that a step is resumed with: what is wrong with them, the step itself says.
    """
    try:
        return read_record(path, form)
    except (FileNotFoundError, RecordError):
        return None


def checked(
    content: Any, form: type[Form], *, path: Path, mend: str = "restore or remove it"
) -> dict[str, Any]:
    """The content of a file, held to its form; see `read_record`."""
    if not isinstance(content, dict):
        raise RecordError.of(path, "is no JSON object", mend=mend)
    if "format" in form.model_fields and content.get("format") != FORMAT:
        raise RecordError.of(path, "is of no format that this version knows", mend=mend)
    try:
        form.model_validate(content)
    except ValidationError as error:
        raise RecordError.of(path, f"is damaged ({_first(error)})", mend=mend) from error
    known: dict[str, Any] = content
    return known


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    more = error.error_count() - 1
    also = f", and {more} more" if more else ""
    return f"{place}: {message}{also}" if place else f"{message}{also}"


def _with_right_hash(content: Any) -> Any:
    if isinstance(content, dict):
        own = {name: value for name, value in content.items() if name != "sha256"}
        if content.get("sha256") != sha256_of_json(own):
            raise ValueError("the content does not match its SHA-256")
    return content
