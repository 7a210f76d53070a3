"""`Record`, the base of all state files, and the function that reads them.

A record declares what the package reads from a file, with types and ranges. Any other content is
kept but ignored, so that compatible files of later versions can be read. The files themselves
belong to the other modules of this room, their formats to `formats`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from rust_tuner.errors import RecordError
from rust_tuner.files import read_json, sha256_of_json, write_json
from rust_tuner.records.formats import FORMATS, in_todays_format

RESTORE = "restore or remove it"

# Limits of numbers in files, so that loops over them end; far above anything that is ever run.
MOST_FOLDS = 10_000
_MOST_EPOCHS = 1_000_000
_MOST_TRIALS = 10_000_000

Count = Annotated[int, Field(ge=0, le=_MOST_TRIALS)]
Epochs = Annotated[int, Field(ge=0, le=_MOST_EPOCHS)]
NumFolds = Annotated[int, Field(ge=1, le=MOST_FOLDS)]
FoldNumber = Annotated[int, Field(ge=0, le=MOST_FOLDS)]
Figures = dict[str, float | None]
Curves = dict[str, list[float]]
Json = dict[str, JsonValue]
# The values of KerasTuner's `Int`, `Float`, `Choice`, `Boolean` and `Fixed`.
HyperValue = int | float | str | bool
HyperValues = dict[str, HyperValue]


class Record(BaseModel):
    """A state file, or a part of one: frozen, and without any type conversion.

    In particular, true and false are not numbers. A record is made from the content of a file
    (`of`) or from keywords, in the order in which they are written.

    Attributes:
        file_name: the file's name, if the record is a whole file; the key in `formats`.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", allow_inf_nan=False, protected_namespaces=()
    )
    file_name: ClassVar[str] = ""
    _content: Json = PrivateAttr(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_content(cls, content: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        record = handler(content)
        # Kept unchanged: hashes and bytes of files depend on the order, and differ for 1 and 1.0.
        if isinstance(content, dict):
            record._content = {str(name): _plain(value) for name, value in content.items()}
        return record

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """A record with a content that this program has made.

        Raises:
            pydantic.ValidationError: for invalid content; use `read_record` for files.
        """
        return cls.model_validate({name: _plain(value) for name, value in content.items()})

    def to_json(self) -> Json:
        """The content of the file: JSON values, in their order."""
        return {name: _plain(value) for name, value in self._content.items()}

    def with_changes(self, **changes: Any) -> Self:
        """The record with some values changed; new names come last."""
        return self.of(self.to_json() | changes)

    def __getitem__(self, name: str) -> JsonValue:
        """The value of a name in the file, for scripts that use it as JSON."""
        return _plain(self._content[name])


class HashedRecord(Record):
    """A record that contains the SHA-256 of all else in it, and is refused if it does not match.

    Attributes:
        sha256: of all else in the record.
    """

    sha256: str

    @model_validator(mode="before")
    @classmethod
    def _matches_its_hash(cls, content: Any) -> Any:
        if isinstance(content, dict):
            hashed = {name: value for name, value in content.items() if name != "sha256"}
            if content.get("sha256") != sha256_of_json(hashed):
                raise ValueError("the content does not match its SHA-256")
        return content


class Weights(Record):
    """The backbone weights that were used.

    Attributes:
        asked: what was requested: `imagenet`, `random` or a path.
        file: the file that was read; None for random weights.
        sha256: of the weights.
    """

    asked: str
    file: str | None = None
    sha256: str


AnyRecord = TypeVar("AnyRecord", bound=Record)


def write_record(path: Path, record: Record) -> None:
    """Write a record to its file, atomically."""
    write_json(path, record.to_json())


def read_record(path: Path, kind: type[AnyRecord], *, mend: str = RESTORE) -> AnyRecord:
    """Read and validate a state file.

    Args:
        path: the file.
        kind: the type of its record.
        mend: what to do if it is damaged.

    Raises:
        FileNotFoundError: if there is none.
        RecordError: with the file, its first invalid part, and what to do about it.
    """
    try:
        content = read_json(path)
    except RecordError as error:
        if mend == RESTORE:
            raise
        raise RecordError(f"{str(error).rpartition(';')[0]}; {mend}") from error
    return parse_record(content, kind, path=path, mend=mend)


def read_if_whole(path: Path, kind: type[AnyRecord]) -> AnyRecord | None:
    """A state file, or None if there is none or it is damaged.

    For records of a step that is resumed: the step itself reports what is wrong with them.
    """
    try:
        return read_record(path, kind)
    except (FileNotFoundError, RecordError):
        return None


def read_content(path: Path) -> dict[str, Any] | None:
    """The JSON object of a state file as it was written, unchecked.

    For comparing with the record that would be written now; None if there is none, or it cannot be
    read.
    """
    try:
        content = read_json(path)
    except (OSError, RecordError):
        return None
    return content if isinstance(content, dict) else None


def parse_record(
    content: Any, kind: type[AnyRecord], *, path: Path, mend: str = RESTORE
) -> AnyRecord:
    """The content of a file as a record; see `read_record`."""
    if not isinstance(content, dict):
        raise RecordError.of(path, "is not a JSON object", mend=mend)
    if kind.file_name in FORMATS:
        content = in_todays_format(content, kind.file_name, path=path, mend=mend)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RecordError.of(path, f"is damaged ({_first(error)})", mend=mend) from error


def _plain(value: Any) -> JsonValue:
    """A value as JSON has it: records as their content, and tuples as lists."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    scalar: JsonValue = value
    return scalar


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    location = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    more = error.error_count() - 1
    also = f", and {more} more" if more else ""
    return f"{location}: {message}{also}" if location else f"{message}{also}"
