"""The options that several commands of `rust-tuner` share: their types, names and help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rust_tuner.labels import HIGHEST_TOTAL, LOWEST_TOTAL


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


class Scales(StrEnum):
    """How much a study does."""

    full = "full"
    small = "small"


StudyDirectory = Annotated[
    Path, typer.Argument(metavar="STUDY", help="The study's folder, made where it is missing.")
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        help="CSV with image, patient_id, visit, view (ap or lateral), medial, lateral, anterior, "
        "posterior (1-4 or empty), and site if wanted; needed once, image paths are relative to "
        "it."
    ),
]
DistinctPatients = Annotated[
    bool,
    typer.Option(
        "--distinct-patients",
        help="Patient ids that read alike, such as P1 and p-001, are of different people; without "
        "it such a manifest is refused.",
    ),
]
ProtocolOption = Annotated[
    Choices | None,
    typer.Option(
        "--protocol",
        help="study: as published. clinical: trained and scored on visible cortices only, aspect "
        "ratio kept, horizontal flips only.  [default: study]",
    ),
]
ViewsOption = Annotated[
    Views | None,
    typer.Option(
        "--views",
        help="Which cortices a view shows, for the manifest's check: anatomical (AP shows medial "
        "and lateral) or published (the other way round).  [default: anatomical]",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="imagenet (downloaded, or the file that RUST_TUNER_WEIGHTS names), random, or the "
        "path of an InceptionV3 .h5 or .keras file without top.  [default: imagenet]"
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Decides every random choice.  [default: 0]")]
Holdout = Annotated[
    float | None,
    typer.Option("--holdout-fraction", help="Share of patients to seal.  [default: 0.15]"),
]
ImageSize = Annotated[
    int | None, typer.Option(min=75, help="Side of the model's input.  [default: 299]")
]
PrecisionOption = Annotated[
    Precisions | None,
    typer.Option(
        "--precision",
        help="Of the matrix products; bfloat16 is quicker where the processor has it, and its "
        "figures differ in the third digit.  [default: float32]",
    ),
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many configurations.  [default: 100]")]
BatchSizes = Annotated[
    str | None,
    typer.Option(
        "--batch-sizes",
        "--batch-size-range",
        help="Lowest and highest, or published (16,2048). A range that is given is drawn from as "
        "it is; the default ends at the radiographs that a fold trains on where they are fewer, "
        "and is then drawn logarithmically.  [default: 16,2048]",
    ),
]
DropoutRates = Annotated[str | None, typer.Option(help="Lowest and highest.  [default: 0,0.5]")]
LearningRates = Annotated[
    str | None,
    typer.Option(help="Adam's, with commas.  [default: 0.1,0.01,0.001,0.0001]"),
]
Epsilons = Annotated[
    str | None, typer.Option(help="Adam's, with commas.  [default: 1e-1,1e-2,...,1e-8]")
]
FoldsByOption = Annotated[
    FoldsBy | None,
    typer.Option(
        "--folds-by",
        help="patient: folds of patients at random. site: each fold leaves one site out, in every "
        "cross-validation; the manifest needs the column site.  [default: patient]",
    ),
]
UnionThreshold = Annotated[
    float | None,
    typer.Option(
        "--union-threshold",
        min=LOWEST_TOTAL,
        max=HIGHEST_TOTAL,
        help="A RUST total of at least this is union, in the figures of visits.  [default: 13]",
    ),
]
NumFolds = Annotated[
    int | None, typer.Option("--folds", min=2, help="Folds of a trial.  [default: 6]")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs of a fold.  [default: 20]")]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder of features that studies share.  [default: RUST_TUNER_CACHE, or "
        "~/.cache/rust_tuner]"
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        help="Keep TensorBoard logs in STUDY/tensorboard as trials end; needs the extra of that "
        "name.",
    ),
]
Scale = Annotated[
    Scales | None,
    typer.Option(
        help="full: as published, for a GPU or a long wait. small: fewer trials, folds and epochs "
        "and smaller images, to see everything within minutes.  [default: full]"
    ),
]
RadImageNet = Annotated[
    Path | None,
    typer.Option(
        "--radimagenet-weights",
        help="RadImageNet-InceptionV3_notop.h5; without it that baseline is left out.",
    ),
]
