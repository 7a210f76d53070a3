"""Options that commands share: declared once, and given to every command that prepares a study."""

import dataclasses
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from rust_tuner.cli.app import app
from rust_tuner.cli.options import Grid, Preparing, Ranges, Running
from rust_tuner.cli.with_options import with_options

PREPARING = ("prepare", "baselines", "regime1", "regime2", "nested", "study")
RUNNING = ("baselines", "regime1", "regime2", "nested", "final", "study")


def options_of(command: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return {item.name: item for item in group.commands[command].params}


def names(group: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(group)}


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        (Preparing, PREPARING),
        (Running, RUNNING),
        (Ranges, ("regime1", "nested")),
        (Grid, ("regime2", "nested")),
    ],
)
def test_every_command_that_shares_a_group_of_options_has_all_of_it(
    group: type[Any], commands: tuple[str, ...]
) -> None:
    for command in commands:
        options = options_of(command)
        assert names(group) <= set(options), command
        first = options_of(commands[0])
        for name in names(group):
            assert (options[name].opts, options[name].help) == (first[name].opts, first[name].help)


def test_nested_has_the_options_that_it_had_lost() -> None:
    assert {"folds_by", "union_threshold", "tensorboard"} <= set(options_of("nested"))


def test_a_field_that_is_added_is_an_option_of_its_commands() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Shared:
        colour: Annotated[str | None, typer.Option(help="Of all.")] = None
        count: int = 1

    seen = []
    program = typer.Typer()

    @program.command()
    @with_options
    def draw(place: Annotated[str, typer.Argument()], *, shared: Shared, size: int = 2) -> None:
        """Draw."""
        seen.append((place, shared, size))

    done = CliRunner().invoke(program, ["here", "--colour", "red", "--count", "3", "--size", "5"])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(program, ["there"]).exit_code == 0
    assert seen == [("here", Shared(colour="red", count=3), 5), ("there", Shared(), 2)]
    assert "Of all." in CliRunner().invoke(program, ["--help"]).output
