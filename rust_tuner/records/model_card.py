"""`model.json`, the card of a saved model.

It describes the model's input and output, how it was trained, and has the SHA-256 of its file.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from rust_tuner.data.reading import Framing
from rust_tuner.errors import ResumeError
from rust_tuner.files import sha256_of_file
from rust_tuner.labels import CORTICES, VIEWS
from rust_tuner.records.holdout import UnionRecord
from rust_tuner.records.looks import HOLDOUT_FILE, MODEL_FILE
from rust_tuner.records.model import (
    Count,
    Epochs,
    HyperValues,
    Record,
    Weights,
    read_record,
    write_record,
)

CARD_FILE = "model.json"

_LARGEST_IMAGE = 8_192

Side = Annotated[int, Field(ge=1, le=_LARGEST_IMAGE)]
CortexName = Annotated[str, Field(pattern=f"^({'|'.join(CORTICES)})$")]
ViewName = Annotated[str, Field(pattern=f"^({'|'.join(VIEWS)})$")]


class CardInput(Record):
    """The input of a model.

    Attributes:
        shape: height, width and channels of an image.
        dtype: of its pixels.
        range: of their values.
        preprocessing: how an image is decoded, by its version.
        resize: how an image is made square.
        crop: which part of an image is used; None in cards of earlier versions, which used all.
        remove_borders: whether uniform borders are removed.
        grey_bits: the bits that the 16-bit files of the study were read with; None in cards of
            earlier versions, which read them as stored.
        has_boxes: whether the manifest gave the part of some images that is used.
    """

    shape: Annotated[tuple[Side, Side, Literal[3]], Field(strict=False)]
    dtype: str | None = None
    range: list[float] | None = None
    preprocessing: JsonValue = None
    resize: Literal["squash", "letterbox"]
    crop: str | None = None
    remove_borders: bool | None = None
    grey_bits: list[Annotated[int, Field(ge=1, le=16)]] | None = None
    has_boxes: bool | None = None

    @property
    def framing(self) -> Framing:
        """Which part of an image is used."""
        return Framing.of(self.crop, self.remove_borders)

    @property
    def image_size(self) -> int:
        """The side of the images, in pixels."""
        return self.shape[0]


class ModelCard(Record):
    """`final/model.json`: the card of a saved model.

    Attributes:
        key: SHA-256 of everything that the training depends on.
        model_sha256: of the model's file.
        union: None in records of earlier versions.
    """

    file_name: ClassVar[str] = CARD_FILE

    format: Literal[1]
    key: str
    model_sha256: str
    input: CardInput
    output: list[str] | None = None
    view_cortices: dict[ViewName, list[CortexName]]
    hyperparameters: HyperValues | None = None
    epochs: Epochs | None = None
    radiographs: Count | None = None
    patients: Count | None = None
    weights: Weights | None = None
    union: UnionRecord | None = None
    seed: int | None = None
    versions: dict[str, str] | None = None
    onednn: bool | None = None
    use: str | None = None

    @model_validator(mode="after")
    def _names_both_views(self) -> "ModelCard":
        if len(self.view_cortices) != len(VIEWS):
            raise ValueError(f"view_cortices names {', '.join(self.view_cortices) or 'no view'}")
        return self


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `model.json` next to a model, atomically."""
    write_record(folder / CARD_FILE, card)


def how_to_make(model: Path) -> str:
    """The command that writes a model that is missing, as the end of a sentence."""
    if not (model.parent / HOLDOUT_FILE).is_file():
        return f"`rust-tuner final` writes {MODEL_FILE}"
    return (
        "it has looked at the hold-out set, so a new one means another look: `rust-tuner final "
        'STUDY --look-again "The first model file was lost."`'
    )


def read_card(model: Path) -> ModelCard:
    """Read the card of a model.

    Raises:
        ResumeError: if the model or its card is missing, or they do not match.
        RecordError: if the record is damaged.
    """
    path = model.with_suffix(".json")
    if not model.is_file():
        raise ResumeError(f"{model} does not exist; {how_to_make(model)}")
    try:
        card = read_record(path, ModelCard, mend="restore it")
        actual = sha256_of_file(model)
    except FileNotFoundError as error:
        raise ResumeError(
            f"{error.filename} is missing; a model is {MODEL_FILE} together with {CARD_FILE}, as "
            "written by `rust-tuner final`"
        ) from error
    if card.model_sha256 != actual:
        raise ResumeError(
            f"{path} was written for another model (SHA-256 {card.model_sha256[:12]}) than "
            f"{model.name} ({actual[:12]}); restore one of them"
        )
    return card
