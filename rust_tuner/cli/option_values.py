"""The values of options that have a few."""

from enum import StrEnum


class Choices(StrEnum):
    """Which set of scientific choices a study starts from."""

    study = "study"
    clinical = "clinical"


class Precisions(StrEnum):
    """Precision of the matrix products."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Extractors(StrEnum):
    """What computes the features of the frozen backbone."""

    keras = "keras"
    onnxruntime = "onnxruntime"


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
