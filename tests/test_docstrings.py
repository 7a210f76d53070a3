"""The examples of docstrings: each gives what it says."""

import doctest
import importlib
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from studies import StudyFolder

import rust_tuner

PACKAGE = Path(rust_tuner.__file__).parent
# Its example is of a study that has been searched.
OF_A_STUDY = "rust_tuner.analysis.export"
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def run(module: ModuleType) -> None:
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0


def test_modules_with_examples_are_found() -> None:
    assert len(MODULES) > 15
    assert OF_A_STUDY in MODULES


@pytest.mark.parametrize("name", [name for name in MODULES if name != OF_A_STUDY])
def test_the_examples_of_a_module_hold(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(importlib.import_module(name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_example_of_the_export_holds(
    tmp_path: Path, finished_study: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_study.directory, tmp_path / "STUDY")
    monkeypatch.chdir(tmp_path)
    run(importlib.import_module(OF_A_STUDY))
    assert (tmp_path / "best.yaml").is_file()
