"""A configuration file: what it may hold, what wins over it, and how its faults are named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command import run
from typer.testing import CliRunner

from rust_tuner.cli.app import app
from rust_tuner.cli.command import App
from rust_tuner.cli.config import CONFIG_FILE, load_config
from rust_tuner.cli.config_entry import ConfigError
from rust_tuner.cli.consoles import err
from rust_tuner.cli.options import Preparing, Ranges, Running
from rust_tuner.cli.with_options import with_options


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    err.quiet = False


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    return folder


def root() -> Any:
    return typer.Context(typer.main.get_command(app), info_name="rust-tuner")


def values_of(text: str, folder: Path, command: str) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    path.write_text(text)
    return {name: value for name, (value, _) in load_config(path, root()).of(command).items()}


def test_options_of_all_commands_and_of_one_are_read_as_they_are_typed(study: Path) -> None:
    text = """
# a comment
folds: 3
seed: 010
weights: random
manifest: ../radiographs.csv
epsilons: [1e-1, 1e-7]
tensorboard: yes
time-budget: 1h30m
regime1:
  folds: 4
  batch-sizes: 16, 64
study:
  skip: [baselines, final]
  stop-hopeless: off
cache:
  clear:
    older-than: 90
"""
    assert values_of(text, study, "regime1") == {
        "folds": "4",
        "seed": "010",
        "weights": "random",
        "manifest": str(study / "../radiographs.csv"),
        "tensorboard": True,
        "time_budget": "1h30m",
        "batch_sizes": "16, 64",
    }
    regime2 = values_of(text, study, "regime2")
    assert (regime2["folds"], regime2["epsilons"]) == ("3", "1e-1,1e-7")
    whole = values_of(text, study, "study")
    assert (whole["skip"], whole["stop_hopeless"]) == (("baselines", "final"), False)
    assert values_of(text, study, "cache clear") == {"older_than": "90"}
    assert values_of(text, study, "status") == {}
    assert values_of("cache: features\n", study, "check") == {"cache": str(study / "features")}
    weights = values_of("weights: ~/w.h5\n", study, "prepare")["weights"]
    assert weights == str(Path("~/w.h5").expanduser())


@pytest.mark.parametrize(
    "text",
    [
        *("", "# only a comment\n", "---\n", "{}\n", "\ufeff\n"),
        *("regime1:\n#  folds: 3\n", "study: ~\n", "cache:\nregime1: {}\n"),
    ],
)
def test_an_empty_file_gives_nothing(study: Path, text: str) -> None:
    assert values_of(text, study, "regime1") == {}


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ("\nfold: 3\n", 2, "fold is not an option of any command; did you mean folds?"),
        ("regime1: 40\n", 1, "regime1 is a command; put its options below it"),
        ("study: []\n", 1, "study is a command; put its options below it"),
        ("folds_by: site\n", 1, "folds_by is not an option of any command; did you mean folds-by?"),
        ("zzzz: 1\n", 1, "zzzz is not an option of any command; see rust-tuner COMMAND --help"),
        (
            "regime1:\n  batch-size: 3\n",
            2,
            "regime1: batch-size is not an option of regime1; it is one of regime2",
        ),
        (
            "regime1:\n  trial: 3\n",
            2,
            "regime1: trial is not an option of regime1; did you mean tri",
        ),
        ("regime9:\n  folds: 3\n", 1, "regime9 is not a command; did you mean regime"),
        ("cache:\n  empty:\n    yes: no\n", 2, "cache: empty is not a command of cache"),
        ("folds: 3\n\nfolds: 3\n", 3, "folds is also in line 1; remove one of them"),
        (
            "batch-sizes: 8,16\nbatch-size-range: 8,16\n",
            2,
            "batch-size-range is another name of the option in line 1; remove one of them",
        ),
        ("check:\n  cache: a\ncheck:\n  cache: b\n", 3, "check is also in line 1"),
        ("folds: 1\n", 1, "folds: '1'; "),
        ("folds: many\n", 1, "folds: 'many'; "),
        ("folds: 2.5\n", 1, "folds: '2.5'; "),
        ("folds:\n", 1, "folds has no value"),
        ("folds: [3, 4]\n", 1, "folds: [3, 4]; expected one value, not a list"),
        ("folds: {a: 1}\n", 1, "folds is not a command"),
        ("skip: [final, bogus]\n", 1, "skip: 'bogus' is not one of 'final'"),
        ("precision: float16\n", 1, "precision: 'float16' is not one of 'float32'"),
        ("tensorboard: 1\n", 1, "tensorboard: '1'; expected yes or no"),
        ("time-budget: late\n", 1, "time-budget: 'late'; expected a time such as 30m"),
        ("learning-rates: low\n", 1, "learning-rates: 'low'; expected numbers separated by commas"),
        ("dropout-rates: 0.5\n", 1, "dropout-rates: '0.5'; expected 2 numbers"),
        ("no-stop-hopeless: yes\n", 1, "no-stop-hopeless is the opposite of stop-hopeless; write"),
        ("final:\n  look-again: again\n", 2, "final: look-again does not belong in a file"),
        ("cache:\n  clear:\n    yes: true\n", 3, "cache clear: yes does not belong in a file"),
        ("- folds\n", 1, "expected lines such as `folds: 3`"),
        ("[a]: 3\n", 1, "expected the name of an option"),
        ("folds: {b: 3\n", 2, "is not valid YAML"),
        ("folds: !!python/object/apply:os.system [x]\n", 1, "folds: expected a value"),
        ("a: &a [*a]\n", 1, "a: expected a value"),
        ("folds: [" * 5000, None, "is not valid YAML"),
        ("folds: 3\x00\n", None, "is not valid YAML"),
        ("a: " + "x" * 70_000, None, "has 70,003 bytes"),
    ],
)
def test_a_fault_is_named_with_file_line_and_key(
    study: Path, text: str, line: int | None, fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        values_of(text, study, "regime1")
    place = f"{study / CONFIG_FILE}" + ("" if line is None else f" line {line}")
    assert caught.value.format_message().startswith(f"{place}: {fault}")


def test_a_fault_in_a_section_of_another_command_is_refused_too(study: Path) -> None:
    (study / CONFIG_FILE).write_text("final:\n  folds: 1\n")
    shown = run("regime1", study, code=2).stderr
    assert f"Error: {study / CONFIG_FILE} line 2: final: folds: '1'; " in shown


def shown_by(arguments: list[str], seen: list[Any]) -> Any:
    program = App(rich_markup_mode=None)

    @program.command()
    def other(study: Path, *, colour: str = "red") -> None:
        """Do nothing."""

    @program.command()
    @with_options
    def regime1(
        study: Path, *, folds: int | None = None, ranges: Ranges, preparing: Preparing, run: Running
    ) -> None:
        """Note the options."""
        seen.append((folds, ranges.dropout_rates, preparing.seed, run.tensorboard))

    return CliRunner().invoke(program, arguments)


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(study: Path) -> None:
    (study / CONFIG_FILE).write_text(
        "folds: 3\nseed: 5\ntensorboard: yes\nother:\n  colour: blue\n"
    )
    seen: list[Any] = []
    done = shown_by(["regime1", str(study), "--folds", "4"], seen)
    assert done.exit_code == 0, done.output
    assert seen == [(4, None, 5, True)]
    # What is taken is said, and nothing else.
    assert f"from {study / CONFIG_FILE}: --seed 5 --tensorboard\n" in done.stderr
    done = shown_by(["regime1", str(study), "--folds", "4", "-q"], seen)
    assert (done.exit_code, done.stderr) == (0, "")


def test_a_file_that_is_named_replaces_that_of_the_study(study: Path, tmp_path: Path) -> None:
    (study / CONFIG_FILE).write_text("folds: 3\nseed: 5\n")
    other = tmp_path / "other.yaml"
    other.write_text("dropout-rates: [0, 0.3]\n")
    seen: list[Any] = []
    shown_by(["regime1", str(study), "--config", str(other)], seen)
    assert seen == [(None, "0,0.3", None, False)]
    missing = shown_by(["regime1", str(study), "--config", str(tmp_path / "none.yaml")], seen)
    assert missing.exit_code == 2
    assert "no such file; check --config" in missing.stderr


def test_a_file_with_nearly_the_name_is_not_ignored(study: Path) -> None:
    (study / "rust-tuner.yml").write_text("folds: 3\n")
    assert "rename it to rust-tuner.yaml" in run("regime1", study, code=2).stderr


def test_help_and_status_do_not_need_a_file_without_faults(study: Path) -> None:
    (study / CONFIG_FILE).write_text("fold: 3\n")
    run("regime1", study, "--help")
    assert "did you mean folds?" in run("status", study).stderr
    run("status", study, "--config", study / CONFIG_FILE, code=2)


def test_what_a_file_says_is_shown_with_its_lines(study: Path) -> None:
    assert "has no rust-tuner.yaml" in run("config", study).stderr
    (study / CONFIG_FILE).write_text("seed: 5\nregime1:\n  trials: 7\n  tensorboard: no\n")
    rows = [line.split() for line in run("config", study).stdout.splitlines()]
    assert ["seed", "5", "1", "demo,", "phantoms,", "prepare,"] in [row[:6] for row in rows]
    assert ["trials", "7", "3", "regime1"] in rows
    rows = [line.split() for line in run("config", study, "regime1").stdout.splitlines()]
    assert ["trials", "7", "rust-tuner.yaml", "line", "3"] in rows
    assert ["tensorboard", "no", "rust-tuner.yaml", "line", "4"] in rows
    assert ["folds", "6", "default"] in rows
    assert "expected one of demo" in run("config", study, "regime9", code=2).stderr


@pytest.mark.parametrize("typed", [("status", "{}", "--quiet"), ("--quiet", "status", "{}")])
def test_quiet_on_the_command_line_wins_over_verbose_in_the_file(
    typed: tuple[str, ...], study: Path
) -> None:
    (study / CONFIG_FILE).write_text("verbose: yes\n")
    shown = run(*(word.format(study) for word in typed))
    assert "exclude each other" not in shown.output


def test_a_path_that_cannot_be_looked_at_is_named() -> None:
    shown = run("regime1", "a" * 300, code=2)
    assert "cannot be looked for (File name too long)" in " ".join(shown.output.split())
