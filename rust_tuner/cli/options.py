"""The options that several commands of `rust-tuner` share: their types, names and help.

Options that belong together form a dataclass; `with_options` adds its fields to a command.
"""

import dataclasses
import functools
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner.batch_range import PUBLISHED_BATCH_SIZES
from rust_tuner.rust_scores import HIGHEST_TOTAL, LOWEST_TOTAL

_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_LONGEST_BUDGET = 366 * 24 * 3600.0
# Options whose text is numbers separated by commas; a configuration file may have a list.
NUMBER_LISTS = ("batch_sizes", "dropout_rates", "learning_rates", "epsilons")
_STUDY = "Options of the study, for its first command"
_RUN = "Options of this run"


class Choices(StrEnum):
    """Which set of scientific choices a study starts from."""

    study = "study"
    clinical = "clinical"


class Precisions(StrEnum):
    """Precision of the matrix products."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Views(StrEnum):
    """Which cortices the two views are expected to show."""

    anatomical = "anatomical"
    published = "published"


class FoldsBy(StrEnum):
    """What a fold leaves out."""

    patient = "patient"
    site = "site"


class FirstModels(StrEnum):
    """The study's first models, `records.baselines.BASELINES`."""

    lenet1998 = "lenet1998"
    inceptionv3_end2end = "inceptionv3_end2end"
    inceptionv3_radimagenet = "inceptionv3_radimagenet"
    inceptionv3_imagenet = "inceptionv3_imagenet"


class Scales(StrEnum):
    """How much a study does."""

    full = "full"
    small = "small"


class Skippable(StrEnum):
    """Which steps of a whole study can be left out."""

    final = "final"
    report = "report"
    baselines = "baselines"


def parse_time_budget(text: str) -> float:
    """Seconds of a time such as `30m`, `8h`, `90s` or `1h30m`.

    Raises:
        BadParameter: for anything else, or for no time at all.
    """
    match = _TIME.fullmatch(text.replace(" ", "").lower())
    seconds = 0.0
    if match is not None:
        parts = zip(match.groups(), (3600, 60, 1), strict=True)
        seconds = sum(float(part) * unit for part, unit in parts if part is not None)
    # A time that no clock reaches is a slip of the keyboard.
    if not 0 < seconds < _LONGEST_BUDGET:
        raise typer.BadParameter(
            f"{text!r}; expected a time such as 30m, 8h, 90s or 1h30m", param_hint="--time-budget"
        )
    return seconds


def parse_numbers(
    option: str, text: str | None, kind: type[int] | type[float], count: int | None = None
) -> tuple[Any, ...] | None:
    """Numbers separated by commas; None if no text was given."""
    if text is None:
        return None
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    finite = all(math.isfinite(value) for value in values)
    if not values or not finite or (count is not None and len(values) != count):
        expected = "numbers" if count is None else f"{count} numbers"
        message = f"{text!r}; expected {expected} separated by commas"
        raise typer.BadParameter(message, param_hint=option)
    return values


def parse_batch_sizes(text: str | None) -> tuple[int, int] | None:
    """A range of batch sizes: two numbers separated by a comma, or `published`."""
    if text == "published":
        return PUBLISHED_BATCH_SIZES
    values = parse_numbers("--batch-sizes", text, int, count=2)
    return None if values is None else (values[0], values[1])


def _checked_batch_sizes(text: str) -> str:
    parse_batch_sizes(text)
    return text


def _checked_rates(text: str) -> str:
    parse_numbers("--dropout-rates", text, float, count=2)
    return text


def _checked_learning_rates(text: str) -> str:
    parse_numbers("--learning-rates", text, float)
    return text


def _checked_epsilons(text: str) -> str:
    parse_numbers("--epsilons", text, float)
    return text


StudyDirectory = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study's folder; created if missing.")
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        help="CSV file with image, patient_id, visit, view (ap or lateral), medial, lateral, "
        "anterior, posterior (1-4 or empty), and optionally site. Image paths are relative to the "
        "file. Needed only the first time.",
        metavar="FILE",
        rich_help_panel=_STUDY,
    ),
]
DistinctPatients = Annotated[
    bool,
    typer.Option(
        "--distinct-patients",
        help="Accept patient ids that look alike, such as P1 and p-001, as different people; "
        "otherwise such a manifest is refused.",
        rich_help_panel=_STUDY,
    ),
]
PlainIds = Annotated[
    bool,
    typer.Option(
        "--plain-ids",
        help="Write patient ids, visits and image paths as they are in the manifest; otherwise a "
        "new study has keyed hashes, and STUDY/private says which is which.",
    ),
]
ProtocolOption = Annotated[
    Choices | None,
    typer.Option(
        "--protocol",
        help="study: as published. clinical: trained and scored on visible cortices only, aspect "
        "ratio kept, horizontal flips only.  [default: study]",
        rich_help_panel=_STUDY,
    ),
]
ViewsOption = Annotated[
    Views | None,
    typer.Option(
        "--views",
        help="Which cortices each view should show when the manifest is checked: anatomical (AP "
        "shows medial and lateral) or published (the other way round).  [default: anatomical]",
        rich_help_panel=_STUDY,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="imagenet (downloaded, or the file that RUST_TUNER_WEIGHTS names), random, or the "
        "path of an InceptionV3 .h5 or .keras file without top.  [default: imagenet]",
        metavar="NAME|FILE",
        rich_help_panel=_STUDY,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Seed of every random choice.  [default: 0]",
        metavar="N",
        rich_help_panel=_STUDY,
    ),
]
Holdout = Annotated[
    float | None,
    typer.Option(
        "--holdout-fraction",
        help="Share of patients in the hold-out set.  [default: 0.15]",
        metavar="SHARE",
        rich_help_panel=_STUDY,
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        min=75,
        help="Side of the model's input, in pixels.  [default: 299]",
        metavar="PIXELS",
        rich_help_panel=_STUDY,
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="centre:MM",
        help="Use only the square of so many millimetres in the middle of each DICOM radiograph, "
        "such as centre:150. Columns crop_left, crop_top, crop_right, crop_bottom of the manifest "
        "replace it.  [default: none]",
    ),
]
RemoveBorders = Annotated[
    bool | None,
    typer.Option(
        "--remove-borders/--keep-borders",
        help="Remove uniform borders, such as those outside the collimation; look at the contact "
        "sheet of rust-tuner manifest first.  [default: keep]",
    ),
]
PrecisionOption = Annotated[
    Precisions | None,
    typer.Option(
        "--precision",
        help="Precision of the matrix products. bfloat16 is faster if the processor supports it; "
        "its figures differ in the third digit.  [default: float32]",
        rich_help_panel=_STUDY,
    ),
]
Trials = Annotated[
    int | None, typer.Option(min=1, help="Number of configurations.  [default: 100]", metavar="N")
]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-sizes",
        "--batch-size-range",
        help="Lowest and highest batch size, or published (16,2048). A range that you give is used "
        "as it is. The default range ends at the number of radiographs that a fold trains on if "
        "that is smaller, and is then sampled logarithmically.  [default: 16,2048]",
        metavar="LOW,HIGH",
        parser=_checked_batch_sizes,
    ),
]
DropoutRates = Annotated[
    str | None,
    typer.Option(
        help="Lowest and highest dropout rate.  [default: 0,0.5]",
        metavar="LOW,HIGH",
        parser=_checked_rates,
    ),
]
LearningRates = Annotated[
    str | None,
    typer.Option(
        help="Learning rates of Adam, separated by commas.  [default: 0.1,0.01,0.001,0.0001]",
        metavar="NUMBERS",
        parser=_checked_learning_rates,
    ),
]
Epsilons = Annotated[
    str | None,
    typer.Option(
        help="Epsilons of Adam, separated by commas.  [default: 1e-1,1e-2,...,1e-8]",
        metavar="NUMBERS",
        parser=_checked_epsilons,
    ),
]
FoldsByOption = Annotated[
    FoldsBy | None,
    typer.Option(
        "--folds-by",
        help="patient: each fold leaves out random patients. site: each fold leaves out one site, "
        "in every cross-validation; the manifest needs a site column.  [default: patient]",
        rich_help_panel=_STUDY,
    ),
]
UnionThreshold = Annotated[
    float | None,
    typer.Option(
        "--union-threshold",
        min=LOWEST_TOTAL,
        max=HIGHEST_TOTAL,
        help="A RUST total of at least this counts as union.  [default: 13]",
        metavar="TOTAL",
        rich_help_panel=_STUDY,
    ),
]
NumFolds = Annotated[
    int | None,
    typer.Option("--folds", min=2, help="Number of folds of a trial.  [default: 6]", metavar="N"),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Number of epochs of a fold.  [default: 20]", metavar="N")
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the features that studies share.  [default: RUST_TUNER_CACHE, or "
        "~/.cache/rust_tuner]",
        metavar="DIR",
        rich_help_panel=_RUN,
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Write TensorBoard logs to STUDY/tensorboard as trials end; needs the tensorboard "
        "extra.",
        rich_help_panel=_RUN,
    ),
]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        "--time-budget",
        metavar="TIME",
        parser=parse_time_budget,
        help="Stop between trials once this time has passed, such as 30m, 8h, 90s or 1h30m, and "
        "report what is there. Run the same command again to resume.",
        rich_help_panel=_RUN,
    ),
]
StopHopeless = Annotated[
    bool | None,
    typer.Option(
        "--stop-hopeless/--no-stop-hopeless",
        help="Stop a trial once it is significantly worse than the best one so far, at the same "
        "epoch and two epochs in a row.  [default: on with --protocol clinical, else off]",
        rich_help_panel=_RUN,
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Run trials in so many processes of this machine, which share its cores; trials and "
        "scores are those of one process.  [default: 1]",
        rich_help_panel=_RUN,
    ),
]
Skip = Annotated[
    list[Skippable] | None,
    typer.Option(
        help="Leave out a step: baselines, report, or final (the hold-out set then stays sealed); "
        "can be repeated.",
        metavar="STEP",
    ),
]
Scale = Annotated[
    Scales | None,
    typer.Option(
        help="full: as published; needs a GPU or a lot of time. small: fewer trials, folds and "
        "epochs and smaller images, to try everything within minutes.  [default: full]"
    ),
]
RadImageNet = Annotated[
    Path | None,
    typer.Option(
        "--radimagenet-weights",
        help="Path of RadImageNet-InceptionV3_notop.h5; without it that baseline is skipped.",
        metavar="FILE",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Preparing:
    """How a study is prepared; None if the user gave no option."""

    manifest: Manifest = None
    distinct_patients: DistinctPatients = False
    plain_ids: PlainIds = False
    protocol: ProtocolOption = None
    views: ViewsOption = None
    weights: Weights = None
    seed: Seed = None
    holdout_fraction: Holdout = None
    image_size: ImageSize = None
    crop: Crop = None
    remove_borders: RemoveBorders = None
    precision: PrecisionOption = None
    folds_by: FoldsByOption = None
    union_threshold: UnionThreshold = None


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a step that trains is run."""

    tensorboard: TensorBoard = False
    cache: Cache = None


@dataclass(frozen=True, kw_only=True)
class Searching(Running):
    """How a step that searches is run."""

    time_budget: TimeBudget = None


@dataclass(frozen=True, kw_only=True)
class Tuning(Searching):
    """How a step that tries hyperparameters is run."""

    stop_hopeless: StopHopeless = None


@dataclass(frozen=True, kw_only=True)
class TuningInWorkers(Tuning):
    """The same where trials may run in several processes."""

    workers: Workers = None


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The ranges that Regime I draws from."""

    batch_sizes: BatchSizes = None
    dropout_rates: DropoutRates = None

    @property
    def choices(self) -> dict[str, Any]:
        """The same as fields of the protocol."""
        rates = parse_numbers("--dropout-rates", self.dropout_rates, float, count=2)
        sizes = parse_batch_sizes(self.batch_sizes)
        return {"batch_size_range": sizes, "dropout_rate_range": rates}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The grid of Regime II."""

    learning_rates: LearningRates = None
    epsilons: Epsilons = None

    @property
    def choices(self) -> dict[str, Any]:
        """The same as fields of the protocol."""
        return {
            "learning_rates": parse_numbers("--learning-rates", self.learning_rates, float),
            "epsilons": parse_numbers("--epsilons", self.epsilons, float),
        }


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of the dataclasses among its parameters."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    signature = inspect.signature(command)
    for parameter in signature.parameters.values():
        group = parameter.annotation
        if not dataclasses.is_dataclass(group):
            parameters.append(parameter)
            continue
        assert isinstance(group, type)
        groups[parameter.name] = group
        parameters += [
            inspect.Parameter(
                field.name, parameter.kind, default=field.default, annotation=field.type
            )
            for field in dataclasses.fields(group)
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            options = {field.name: given.pop(field.name) for field in dataclasses.fields(group)}
            given[name] = group(**options)
        command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    return run
