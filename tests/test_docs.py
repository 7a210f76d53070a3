"""The site and the README: code runs, commands exist, every public name is in the reference.

The site itself is built by `mkdocs build --strict`, which checks its links and anchors.
"""

import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from report_studies import unrendered

import rust_tuner
from rust_tuner.cli.app import app
from rust_tuner.protocol import Protocol

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXTS = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))]
TEST_COMMAND = 'python -m pip install -e ".[test]" && python -m pytest'
# Where a machine's own folders begin, such as those of a home directory.
PLACES = re.compile(r"(?<![\w./:~<*-])/(?:[\w.~-]+/)+[\w.-]+|[A-Z]:\\|file://|localhost")
# What the pages ask for is made small: how much work it is changes nothing that they show.
AMOUNTS = re.compile(r"\b(trials|max_trials|epochs|cv|patients|max_workers)=\d+")
SMALL = {"trials": 2, "max_trials": 2, "epochs": 2, "cv": 2, "patients": 8, "max_workers": 1}
# What a page's code has where it trains, or reads a study.
STUDIES = re.compile(r"\bregime_\d\(|\.search\(|\bStudy\(|\"STUDY")
LESS: dict[str, Any] = {
    # The bundled network, which is built and computed sooner than InceptionV3.
    "weights": "phantoms",
    "image_size": 75,
    "num_folds": 2,
    "epochs": 2,
    "trials": 1,
    "batch_size_range": (4, 16),
    "learning_rates": (1e-3,),
    "epsilons": (1e-7,),
    "final_folds": 2,
    "final_epochs": 2,
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return fence.findall(page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every `rust-tuner` command of a page's shell blocks."""
    for line in "".join(blocks(page, "bash")).splitlines():
        words = shlex.split(line, comments=True)
        for start, word in enumerate(words):
            if word == "rust-tuner":
                end = words.index("&&", start) if "&&" in words[start:] else len(words)
                yield words[start + 1 : end]


def test_the_pages_show_code_and_commands() -> None:
    # The tests below would pass on pages whose blocks are not recognised.
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 12
    assert sum(1 for page in PAGES for _ in commands(page)) >= 40


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=name_of)
def test_every_command_of_a_page_is_one_of_the_command_line(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    parent = group.make_context("rust-tuner", [], resilient_parsing=True)
    for name, *words in commands(page):
        if name.startswith("--"):
            assert name in {option for item in group.get_params(parent) for option in item.opts}
            continue
        assert name in group.commands, f"{page.name}: rust-tuner {name}"
        # It fails on an option that is not there, a value out of range, and a missing argument.
        group.commands[name].make_context(name, words, parent=parent)


def pages_of_code(*, of_studies: bool) -> list[Path]:
    """The pages with Python code: those that train or read a study, or the others."""
    coded = [page for page in PAGES if blocks(page, "python")]
    return [
        page for page in coded if of_studies == any(map(STUDIES.search, blocks(page, "python")))
    ]


@pytest.fixture
def here(phantom_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages assume it, with radiographs.csv and its images; the current one."""
    folder = tmp_path / "here"
    shutil.copytree(phantom_manifest.parent, folder)
    (folder / phantom_manifest.name).rename(folder / "radiographs.csv")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_of_code(of_studies=False), ids=name_of)
def test_the_python_code_of_a_page_runs(page: Path, here: Path) -> None:
    run(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_of_code(of_studies=True), ids=name_of)
def test_the_python_code_of_a_page_that_trains_or_reads_a_study_runs(
    page: Path, here: Path, finished_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_study.directory, here / "STUDY")
    monkeypatch.setenv("RUST_TUNER_CACHE", str(finished_study.cache))
    for maker in ("study", "clinical"):
        made = getattr(Protocol, maker)

        def small(cls: type, *, made: Any = made, **changes: Any) -> Protocol:
            protocol: Protocol = made(**(changes | LESS))
            return protocol

        monkeypatch.setattr(Protocol, maker, classmethod(small))  # type: ignore[arg-type]
    with unrendered():
        run(page)


def run(page: Path) -> None:
    """Execute the blocks of a page one after another, as a reader would."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(blocks(page, "python")):
        code = AMOUNTS.sub(_smaller, block)
        exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)


def _smaller(match: re.Match[str]) -> str:
    return f"{match[1]}={SMALL[match[1]]}"


def test_every_public_name_is_in_the_reference() -> None:
    shown = {
        line.rpartition(".")[2]
        for page in (DOCS / "reference").glob("*.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("::: ")
    }
    # These two have pages that are generated from the package while the site is built.
    assert set(rust_tuner.__all__) - shown == {"RustTunerError", "metrics"}
    assert "<!-- errors -->" in (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    assert "<!-- metrics -->" in (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")


def test_the_reference_names_where_each_public_name_is() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("::: "):
                home, _, name = line.removeprefix("::: ").rpartition(".")
                assert getattr(rust_tuner, name).__module__ == home


def test_every_public_name_of_the_errors_and_metrics_is_generated() -> None:
    hooks: Mapping[str, Any] = _run_hooks()
    assert all(f".{name}\n" in hooks["metrics"]() for name in rust_tuner.metrics.__all__)
    assert "::: rust_tuner.errors.ManifestError" in hooks["errors"]()
    text = hooks["commands"]()
    group: Any = typer.main.get_command(app)
    named = [
        (f"{name} {inner}" if inner else name, item)
        for name, command in group.commands.items()
        for inner, item in getattr(command, "commands", {"": command}).items()
    ]
    for name, command in named:
        assert f"## {name}\n" in text
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        options = [word for parameter in command.params for word in parameter.opts]
        assert [word for word in options if word.startswith("--") and word not in section] == []


def _run_hooks() -> Mapping[str, Any]:
    import runpy

    return runpy.run_path(str(DOCS / "hooks.py"))


def test_every_page_is_in_the_navigation() -> None:
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(page.relative_to(DOCS).as_posix()) for page in DOCS.rglob("*.md")}
    assert {name for name in pages if name not in configuration} == set()


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_second_block_of_the_quick_start_is_the_test_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Quick start\n")[2].partition("\n## ")[0]
    fenced = re.findall(r"^```bash\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert fenced[1].strip() == TEST_COMMAND


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_no_text_names_a_place_of_a_machine(page: Path) -> None:
    assert PLACES.findall(page.read_text(encoding="utf-8")) == []


def test_pictures_are_small() -> None:
    figures = sorted((DOCS / "figures").glob("*.png"))
    assert 0 < len(figures) <= 6
    assert [figure.name for figure in figures if figure.stat().st_size >= 150_000] == []
