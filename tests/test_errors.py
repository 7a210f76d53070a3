"""Errors: one tree, drawn as it is."""

import copy
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from rust_tuner import RustTunerError as PublicRoot
from rust_tuner import errors
from rust_tuner.errors import Fault, ManifestError, Message, RustTunerError, marked, private
from rust_tuner.search.executors.shipping import packed, unpacked

CLASSES = {
    name: value
    for name, value in inspect.getmembers(errors, inspect.isclass)
    if value.__module__ == errors.__name__ and issubclass(value, Exception)
}


def drawn_parents() -> dict[str, str | None]:
    """Each class of the drawing with the class that it hangs from."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        match = re.match(r"(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)", line)
        if match is None:
            continue
        depth = len(match["branches"]) // 4
        path[depth:] = [match["name"]]
        parents[match["name"]] = path[depth - 1] if depth else None
    return parents


def test_the_drawing_names_every_class_with_its_parent() -> None:
    real = {
        name: next((base.__name__ for base in value.__bases__ if base.__name__ in CLASSES), None)
        for name, value in CLASSES.items()
    }
    assert drawn_parents() == real


def test_every_error_stands_under_the_one_root() -> None:
    assert len(CLASSES) > 10
    assert all(issubclass(value, RustTunerError) for value in CLASSES.values())
    assert [name for name, value in CLASSES.items() if value.__bases__ == (Exception,)] == [
        "RustTunerError"
    ]


def test_every_other_error_is_also_one_of_pythons_own() -> None:
    others = [value for value in CLASSES.values() if value is not RustTunerError]
    for value in others:
        kinds = [
            kind
            for kind in (ValueError, RuntimeError, OSError, ImportError)
            if issubclass(value, kind)
        ]
        assert len(kinds) == 1, value


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_carries_its_message_and_says_what_it_is(name: str) -> None:
    assert str(CLASSES[name]("row 17: medial=5")) == "row 17: medial=5"
    assert (inspect.getdoc(CLASSES[name]) or "").endswith(".")


def test_the_root_is_public() -> None:
    assert PublicRoot is RustTunerError


@pytest.mark.parametrize("name", sorted(CLASSES))
@pytest.mark.parametrize(
    "carry",
    [
        lambda error: error,
        copy.copy,
        # As a worker sends it.
        lambda error: unpacked(packed(error, Path("no large arrays")), Path("no large arrays")),
    ],
)
def test_every_error_knows_its_private_values_and_says_them_to_scripts(
    name: str, carry: Any
) -> None:
    error = carry(CLASSES[name](f"row 17: patient {private('Miller')}; write one id"))
    assert str(error) == "row 17: patient Miller; write one id"
    assert error.without_values == "row 17: patient [hidden]; write one id"


def test_a_message_inside_another_one_still_hides_its_values() -> None:
    inner = ManifestError(f"{private('a.png')}: damaged")
    outer = Message(f"image={marked(inner)}, row {marked('5')}")
    assert outer == "image=a.png: damaged, row 5"
    assert outer.hiding_values() == "image=[hidden]: damaged, row 5"
    assert outer.hiding_values({"a.png": "./a.png"}.get) == "image=./a.png: damaged, row 5"


@pytest.mark.parametrize("value", ["", "x" * 10_000, "a\ufdd1b\ufdd0", 7, "line\nline"])
def test_no_value_can_end_its_own_mark(value: object) -> None:
    message = Message(f"before {private(value)} after")
    assert message.hiding_values() == "before [hidden] after"
    assert len(message) < 5000 and "\ufdd0" not in message and "\ufdd1" not in message


def test_a_fault_has_its_value_in_the_message_only() -> None:
    fault = Fault("m.csv", 17, "visit", Message(f"visit={private('2021-03-04')} twice"))
    assert str(fault) == "m.csv row 17: visit=2021-03-04 twice"
    assert fault.without_values == "m.csv row 17: visit=[hidden] twice"
