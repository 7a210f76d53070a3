"""What a checker of a user's own code sees of the public names."""

import ast
import inspect
from pathlib import Path

import mypy.api
import pytest

import rust_tuner
from rust_tuner import Study

ROOT = Path(rust_tuner.__file__).parents[1]
ATTRIBUTES = ("directory", "cache", "progress", "protocol")


def test_checkers_know_every_name_that_is_imported_on_first_use() -> None:
    tree = ast.parse(Path(rust_tuner.__file__).read_text())
    typed = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for item in node.body:
                assert isinstance(item, ast.ImportFrom)
                for alias in item.names:
                    assert alias.asname == alias.name
                    typed[alias.name] = "" if item.module == "rust_tuner" else item.module
    assert typed == rust_tuner._HOMES


def public(kind: type[Study]) -> list[str]:
    return [name for name, _ in inspect.getmembers(kind) if not name.startswith("_")]


@pytest.fixture(scope="module")
def revealed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says of `Study`, and of all that is public of it, by expression."""
    asked = ["rust_tuner.Study"]
    asked += [f"study.{name}" for name in (*ATTRIBUTES, *public(Study))]
    path = tmp_path_factory.mktemp("user") / "script.py"
    lines = ["import rust_tuner", 'study = rust_tuner.Study("STUDY")']
    path.write_text("\n".join([*lines, *(f"reveal_type({item})" for item in asked)]) + "\n")
    # The project's own cache: what its own check has seen already is not read again.
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir"]
    out, err, _ = mypy.api.run([*options, str(ROOT / ".mypy_cache"), str(path)])
    text = [line.partition("note: Revealed type is ")[2] for line in out.splitlines()]
    text = [line for line in text if line]
    assert len(text) == len(asked), out + err
    return dict(zip(asked, text, strict=True))


@pytest.mark.slow
def test_nothing_of_a_study_is_of_any_type(revealed: dict[str, str]) -> None:
    assert "study.final" in revealed
    assert {item: text for item, text in revealed.items() if "Any" in text} == {}


@pytest.mark.slow
def test_a_step_returns_what_its_file_holds(revealed: dict[str, str]) -> None:
    assert "rust_tuner.records.holdout.Holdout" in revealed["study.final"]
    assert "rust_tuner.records.nested.NestedSummary" in revealed["study.nested"]
    assert "rust_tuner.search.tuner.CrossValidationTuner" in revealed["study.regime_1"]
