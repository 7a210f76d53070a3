"""For the type checker: values that a test knows to be there, and records that it reads as JSON."""

from typing import Any, Protocol, TypeVar

Value = TypeVar("Value")


class Json(Protocol):
    """A record, whose values a test takes by their names in the file."""

    def __getitem__(self, name: str, /) -> Any: ...


def not_none(value: Value | None) -> Value:
    """The value, which the test expects to be there."""
    assert value is not None
    return value


def as_json(record: Json | None) -> Json:
    """The record, which the test expects to be there, by the names in its file."""
    assert record is not None
    return record


def is_a(kind: type[Value], value: object) -> Value:
    """The value, which the test expects to be of this class."""
    assert isinstance(value, kind)
    return value
