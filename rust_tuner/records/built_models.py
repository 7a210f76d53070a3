"""`model.json`: what a search's model was at some values, so that changed code can be shown.

One stands in the project folder, for the defaults, and one beside each trial. Whether a search may
be resumed belongs to `search.code_changes`.
"""

from pathlib import Path

from rust_tuner.errors import RecordError
from rust_tuner.files import sha256_of_json
from rust_tuner.records.model import HashedRecord, Json, read_record, write_record

MODEL_FILE = "model.json"


class BuiltModel(HashedRecord):
    """`model.json`: a model as `models.described` describes it.

    Attributes:
        key: SHA-256 of what the record belongs to.
        model: the description.
    """

    key: str
    model: Json


def write_built_model(folder: Path, key: str, description: Json) -> None:
    """Write the description of a model to a folder."""
    content = {"key": key, "model": description}
    record = BuiltModel.of(content | {"sha256": sha256_of_json(content)})
    write_record(folder / MODEL_FILE, record)


def read_built_model(folder: Path, key: str | None = None) -> Json | None:
    """The description in a folder; None if it is missing, damaged, or has another key."""
    try:
        record = read_record(folder / MODEL_FILE, BuiltModel)
    except (FileNotFoundError, RecordError):
        return None
    return record.model if key in (None, record.key) else None
