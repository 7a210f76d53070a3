"""The options that several commands of `rust-tuner` share: their types, names and help.

Options that belong together form a dataclass; `with_options` adds its fields to a command.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner.cli.option_texts import (
    checked,
    parse_batch_sizes,
    parse_numbers,
    parse_time_budget,
    parse_workers,
)
from rust_tuner.cli.option_values import (
    Choices,
    Extractors,
    FoldsBy,
    Precisions,
    Scales,
    Skippable,
    Views,
)
from rust_tuner.rust_scores import HIGHEST_TOTAL, LOWEST_TOTAL

# Options whose text is numbers separated by commas; a configuration file may have a list.
NUMBER_LISTS = ("batch_sizes", "dropout_rates", "learning_rates", "epsilons")
_of_study = functools.partial(
    typer.Option, rich_help_panel="Options of the study, for its first command"
)
_of_run = functools.partial(typer.Option, rich_help_panel="Options of this run")


StudyDirectory = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study's folder; created if missing.")
]
Manifest = Annotated[
    Path | None,
    _of_study(
        help="CSV file with image, patient_id, visit, view (ap or lateral), medial, lateral, "
        "anterior, posterior (1-4 or empty), and optionally site. Image paths are relative to the "
        "file. Needed only the first time.",
        metavar="FILE",
    ),
]
DistinctPatients = Annotated[
    bool,
    _of_study(
        "--distinct-patients",
        help="Accept patient ids that look alike, such as P1 and p-001, as different people; "
        "otherwise such a manifest is refused.",
    ),
]
PlainIds = Annotated[
    bool,
    typer.Option(
        "--plain-ids",
        help="Write patient ids, visits and image paths as they are in the manifest; otherwise a "
        "new study writes keyed hashes, and STUDY/private has the id of each hash.",
    ),
]
ProtocolOption = Annotated[
    Choices | None,
    _of_study(
        "--protocol",
        help="study: as published. clinical: trained and scored on visible cortices only, aspect "
        "ratio kept, horizontal flips only.  [default: study]",
    ),
]
ViewsOption = Annotated[
    Views | None,
    _of_study(
        "--views",
        help="Which cortices each view should show when the manifest is checked: anatomical (AP "
        "shows medial and lateral) or published (the other way round).  [default: anatomical]",
    ),
]
Weights = Annotated[
    str | None,
    _of_study(
        help="imagenet (downloaded, or the file that RUST_TUNER_WEIGHTS names), random, or the "
        "path of an InceptionV3 .h5 or .keras file without top.  [default: imagenet]",
        metavar="NAME|FILE",
    ),
]
Seed = Annotated[
    int | None, _of_study(min=0, help="Seed of every random choice.  [default: 0]", metavar="N")
]
Holdout = Annotated[
    float | None,
    _of_study(
        "--holdout-fraction",
        help="Share of patients in the hold-out set.  [default: 0.15]",
        metavar="SHARE",
    ),
]
ImageSize = Annotated[
    int | None,
    _of_study(
        min=75, help="Side of the model's input, in pixels.  [default: 299]", metavar="PIXELS"
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        metavar="centre:MM",
        help="Use only the square of this many millimetres in the middle of each DICOM radiograph, "
        "such as centre:150. Columns crop_left, crop_top, crop_right, crop_bottom of the manifest "
        "override it.  [default: none]",
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
    _of_study(
        "--precision",
        help="Precision of the matrix products. bfloat16 is faster if the processor supports it; "
        "its figures differ in the third digit.  [default: float32]",
    ),
]
ExtractorOption = Annotated[
    Extractors | None,
    _of_study(
        "--extractor",
        help="Library that runs the frozen backbone on the radiographs: keras, or onnxruntime, "
        "which needs the extra onnx and may be faster on a processor.  [default: keras]",
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
        parser=checked(parse_batch_sizes),
    ),
]
DropoutRates = Annotated[
    str | None,
    typer.Option(
        help="Lowest and highest dropout rate.  [default: 0,0.5]",
        metavar="LOW,HIGH",
        parser=checked(lambda text: parse_numbers("--dropout-rates", text, float, count=2)),
    ),
]
LearningRates = Annotated[
    str | None,
    typer.Option(
        help="Learning rates of Adam, separated by commas.  [default: 0.1,0.01,0.001,0.0001]",
        metavar="NUMBERS",
        parser=checked(lambda text: parse_numbers("--learning-rates", text, float)),
    ),
]
Epsilons = Annotated[
    str | None,
    typer.Option(
        help="Epsilons of Adam, separated by commas.  [default: 1e-1,1e-2,...,1e-8]",
        metavar="NUMBERS",
        parser=checked(lambda text: parse_numbers("--epsilons", text, float)),
    ),
]
FoldsByOption = Annotated[
    FoldsBy | None,
    _of_study(
        "--folds-by",
        help="patient: each fold leaves out random patients. site: each fold leaves out one site, "
        "in every cross-validation; the manifest needs a site column.  [default: patient]",
    ),
]
UnionThreshold = Annotated[
    float | None,
    _of_study(
        "--union-threshold",
        min=LOWEST_TOTAL,
        max=HIGHEST_TOTAL,
        help="A RUST total of at least this counts as union.  [default: 13]",
        metavar="TOTAL",
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
    _of_run(
        help="Folder for the features that studies share.  [default: RUST_TUNER_CACHE, or "
        "~/.cache/rust_tuner]",
        metavar="DIR",
    ),
]
TensorBoard = Annotated[
    bool,
    _of_run(
        "--tensorboard",
        help="Write TensorBoard logs to STUDY/tensorboard as trials end; needs the tensorboard "
        "extra.",
    ),
]
TimeBudget = Annotated[
    float | None,
    _of_run(
        "--time-budget",
        metavar="TIME",
        parser=parse_time_budget,
        help="Stop between trials once this time has passed, such as 30m, 8h, 90s or 1h30m, and "
        "write a report of the finished part. Run the same command again to resume.",
    ),
]
StopHopeless = Annotated[
    bool | None,
    _of_run(
        "--stop-hopeless/--no-stop-hopeless",
        help="Stop a trial once it is significantly worse than the best one so far, at the same "
        "epoch and two epochs in a row.  [default: on with --protocol clinical, else off]",
    ),
]
Workers = Annotated[
    str | None,
    _of_run(
        metavar="N",
        parser=checked(parse_workers),
        help="Run trials in this many processes of this machine, which share its cores; or in a "
        "Ray cluster: ray, ray:8 or ray://host:10001; or in SLURM jobs, at most 8 at a time: "
        "slurm:8. Trials and scores are those of one process.  [default: 1]",
    ),
]
Slurm = Annotated[
    list[str] | None,
    _of_run(
        metavar="KEY=VALUE",
        help="Options of each job of --workers slurm:N, such as partition=gpu, time=4:00:00, "
        "mem=8G, gpus=1 or setup='module load cuda'; can be repeated.",
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
    extractor: ExtractorOption = None
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
    slurm: Slurm = None


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
