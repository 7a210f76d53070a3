"""Lines break between words, and names at their separators."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from rust_tuner.terminal.wrapping import fold_name, print_lines, wrap_words


def test_a_path_breaks_after_its_separators() -> None:
    path = "/data/hospital_a/radiographs/2021-03-04_patient_000017_lateral.png"
    assert fold_name(path, 24) == [
        "/data/hospital_a/",
        "radiographs/2021-03-04_",
        "patient_000017_",
        "lateral.png",
    ]


@given(st.text(alphabet="ab/_-. 1", max_size=200), st.integers(1, 40))
def test_nothing_is_lost_and_no_line_is_too_long(text: str, width: int) -> None:
    lines = wrap_words(text, width).split("\n")
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [20, 40, 78])
def test_no_word_that_fits_is_broken(width: int) -> None:
    text = "WARNING, cortices: 0.544 against 0.500, gain +0.044 (-0.088 to +0.175)."
    assert " ".join(wrap_words(text, width).split()) == text
    assert set(wrap_words(text, width).split()) == set(text.split())


@pytest.mark.parametrize("width", range(12, 40))
def test_a_number_keeps_its_per_cent_and_its_deviation(width: int) -> None:
    lines = wrap_words("gain +0.039 (95 % over 20) and 0.544 ± 0.154 here", width).split("\n")
    assert any("95 %" in line for line in lines)
    assert width < 13 or any("0.544 ± 0.154" in line for line in lines)


def test_later_lines_are_indented_as_the_first() -> None:
    assert wrap_words("  - one two three", 12).split("\n") == ["  - one two", "    three"]


@pytest.mark.parametrize(("is_terminal", "lines"), [(True, 2), (False, 1)])
def test_lines_are_wrapped_on_a_terminal_only(is_terminal: bool, lines: int) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=20, force_terminal=is_terminal, color_system=None)
    print_lines(console, [Text("one two three four five", style="red")])
    assert len(shown.getvalue().splitlines()) == lines


def test_a_long_name_is_on_a_line_of_its_own_and_whole() -> None:
    name = "P" + "0" * 29
    assert wrap_words(f"no file {name} here", 32).split("\n") == ["no file", name, "here"]
