"""What the commands share: numbers separated by commas, and the choices of a started study."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.cli.option_texts import parse_batch_sizes, parse_numbers
from rust_tuner.cli.option_values import Choices, Precisions, Views
from rust_tuner.cli.support import open_study
from rust_tuner.protocol import PUBLISHED_VIEWS, SMALL_SCALE


@pytest.mark.parametrize(
    ("text", "kind", "count", "numbers"),
    [
        (None, int, 2, None),
        ("16,2048", int, 2, (16, 2048)),
        ("0.1,1e-7", float, None, (0.1, 1e-7)),
        ("0.1", float, None, (0.1,)),
    ],
)
def test_numbers_stand_with_commas(
    text: str | None,
    kind: type[int] | type[float],
    count: int | None,
    numbers: tuple[float, ...] | None,
) -> None:
    assert parse_numbers("--epsilons", text, kind, count=count) == numbers


@pytest.mark.parametrize(
    ("text", "sizes"), [(None, None), ("published", (16, 2048)), ("8,64", (8, 64))]
)
def test_batch_sizes_are_two_numbers_or_the_published_ones_by_name(
    text: str | None, sizes: tuple[int, int] | None
) -> None:
    assert parse_batch_sizes(text) == sizes


def test_batch_sizes_that_are_given_are_not_fitted_and_the_default_is(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"protocol": None, "views": None}
    given = open_study(tmp_path, None, batch_size_range=(16, 2048), **shared)
    assert given.protocol.batch_sizes(40).highest == 2048
    assert open_study(tmp_path, None, **shared).protocol.batch_sizes(40).highest == 40


@pytest.mark.parametrize("name", ["num_folds", "baseline_folds", "final_folds"])
def test_a_number_of_folds_is_noted_as_without_effect_where_sites_are_left_out(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def notes(**choices: Any) -> str:
        open_study(tmp_path, None, **choices)
        return " ".join(capsys.readouterr().err.split())

    assert "--folds has no effect" in notes(folds_by="site", **{name: 5})
    assert notes(**{name: 5}) == ""
    assert notes(folds_by="site") == ""
    # Nobody has typed the numbers of a scale.
    assert notes(folds_by="site", **SMALL_SCALE) == ""


@pytest.mark.parametrize(
    ("text", "kind", "count"),
    [
        ("", float, None),
        ("a", float, None),
        ("1.5,2", int, 2),
        ("1,2,3", int, 2),
        ("inf", float, 1),
    ],
)
def test_what_are_no_such_numbers_is_a_usage_error_that_quotes_them(
    text: str, kind: type[float] | type[int], count: int | None
) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(f"{text!r}; expected ")):
        parse_numbers("--epsilons", text, kind, count=count)


def test_what_is_given_is_laid_over_the_preset_and_what_is_not_stays(tmp_path: Path) -> None:
    study = open_study(
        tmp_path / "study",
        None,
        protocol=Choices.clinical,
        views=Views.published,
        precision=Precisions.bfloat16,
        folds_by=None,
        seed=5,
    )
    expected = Protocol.clinical(precision="bfloat16", seed=5, view_cortices=PUBLISHED_VIEWS)
    assert study.protocol == expected
    # A record of it is JSON, so an option's own type must not be in it.
    assert type(study.protocol.precision) is str


def test_a_prepared_study_keeps_its_choices_unless_others_are_given(
    finished_study: StudyFolder,
) -> None:
    opened = open_study(finished_study.directory, None, protocol=None, views=None, trials=7)
    prepared = Study(finished_study.directory).protocol
    assert prepared.trials != 7
    assert opened.protocol == dataclasses.replace(prepared, trials=7)
