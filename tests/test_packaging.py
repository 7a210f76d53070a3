"""What is installed: one version, floors that hold, and a package that is whole."""

import configparser
import datetime
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import rust_tuner

ROOT = Path(__file__).parent.parent
# They ask of every dependency what the package needs of it.
TELLING = [
    "tests/metrics/test_ranking.py",
    "tests/metrics/test_agreement.py",
    "tests/records/test_folds.py",
    "tests/records/test_project.py",
    "tests/records/test_trial_tables.py",
    "tests/records/test_predictions.py",
    "tests/data/test_manifest.py",
    "tests/data/test_published_manifest.py",
    "tests/data/test_pipeline.py",
    "tests/models/test_seeding.py",
    "tests/figures/test_canvas.py",
    "tests/figures/test_style.py",
    "tests/figures/test_regimes_figures.py",
    "tests/figures/test_search_figures.py",
    "tests/search/test_tuner.py",
    "tests/cli/test_app.py",
    "tests/cli/test_status_command.py",
]
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "pingouin"]


def requirements() -> list[str]:
    """What `setup.cfg` needs to run."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings["options"]["install_requires"].split()


def call(*command: object, cwd: Path = ROOT) -> str:
    # Packages that are installed without bytecode are compiled once, not in every process, and the
    # oldest versions are asked about each property a few times.
    left_out = ("PYTHONDONTWRITEBYTECODE", "HYPOTHESIS_PROFILE")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_every_dependency_has_a_floor() -> None:
    assert len(requirements()) > 10
    assert [need for need in requirements() if not re.match(r"[\w-]+>=[\d.]+", need)] == []


def test_changelog_and_citation_name_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.findall(r"^## \[(\d[\d.]*)\] - (\S+)$", changelog, re.MULTILINE)[0]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert version == rust_tuner.__version__
    assert f"\nversion: {version}\n" in citation
    assert f'\ndate-released: "{datetime.date.fromisoformat(date)}"\n' in citation


@pytest.mark.slow
def test_the_package_is_built_whole_and_without_tests(tmp_path: Path) -> None:
    # From a copy: setuptools leaves folders of its own beside what it builds.
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "rust_tuner", source / "rust_tuner", ignore=left_out)
    shutil.copytree(ROOT / "tests", source / "tests", ignore=left_out)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    call(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    assert wheel.name == f"rust_tuner-{rust_tuner.__version__}-py3-none-any.whl"
    data = [path for path in (source / "rust_tuner").rglob("*") if path.is_file()]
    assert {str(path.relative_to(source).as_posix()) for path in data} <= names
    assert {name.split("/")[0] for name in names} == {
        "rust_tuner",
        f"rust_tuner-{rust_tuner.__version__}.dist-info",
    }


@pytest.mark.slow
def test_the_oldest_versions_that_are_allowed_suffice(tmp_path: Path) -> None:
    constraints = tmp_path / "oldest.txt"
    constraints.write_text(
        "\n".join(need.split(",")[0].replace(">=", "==") for need in requirements())
    )
    venv.create(tmp_path / "oldest")
    (python,) = [*tmp_path.glob("oldest/bin/python"), *tmp_path.glob("oldest/Scripts/python.exe")]
    # Python compiles what the tests import, which is a small part of it.
    pip = [sys.executable, "-m", "pip", "--python", python]
    call(*pip, "install", "-q", "--no-compile", "-c", constraints, ROOT, *TOOLS)
    # What an old version warns of in a newer one below it is not of interest.
    options = ["-n0", "-q", "-W", "default", "--disable-warnings", "-m", "not slow"]
    said = call(python, "-m", "pytest", *options, *TELLING)
    assert re.search(r"\d+ passed", said)
