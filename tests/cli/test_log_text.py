"""What a log may contain: no path above the study, no file of an image, no value that is free."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rust_tuner.cli.log_text import WITHHELD, log_error, log_options, log_text
from rust_tuner.cli.option_values import Precisions
from rust_tuner.data.private_words import forget_private_words, remember_private_words
from rust_tuner.errors import ManifestError, ResumeError, StorageError

STUDY = Path("/data/Anna Smith/Klinik 7/study")


@pytest.fixture(autouse=True)
def no_words() -> Iterator[None]:
    forget_private_words()
    yield
    forget_private_words()


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        (f"report -> {STUDY}/report/index.html", "report -> STUDY/report/index.html"),
        (f"{STUDY} is in use", "STUDY is in use"),
        ("see /home/Anna Maria Smith/x y/m.csv, then go on", "see <path>, then go on"),
        ("cannot read C:\\Users\\Anna Smith\\a.png", "cannot read <path>"),
        ("../Anna Smith/scores.xlsx is missing", "<path> is missing"),
        ("~/Smith/a b/c failed", "<path> failed"),
        ("017_ap.PNG has 12 bits", "<file> has 12 bits"),
        ("manifest.csv row 3", "<file> row 3"),
        ("two\nlines\tand \x1b[31mred", "two lines and \\x1b[31mred"),
        ("12 of 100 trials, 0.81 ± 0.02", "12 of 100 trials, 0.81 ± 0.02"),
    ],
)
def test_paths_and_files_are_replaced_and_the_study_is_named_by_its_role(
    text: str, logged: str
) -> None:
    assert log_text(text, STUDY) == logged


def test_a_short_name_of_the_study_is_replaced_in_paths_only() -> None:
    text = log_text("the study study/regime_1 of this study", Path("study"))
    assert text == "the study STUDY/regime_1 of this study"


def test_a_text_that_names_a_patient_is_withheld_as_a_whole() -> None:
    remember_private_words(["P-0815"], [])
    assert log_text("patient P-0815 has two visits", STUDY) == WITHHELD


def test_a_long_text_is_cut() -> None:
    assert len(log_text("word " * 9999, STUDY)) < 2100


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_error_has_its_place_and_a_message_only_if_that_may_be_logged() -> None:
    line = log_error(raised(ResumeError(f"{STUDY}/regime_1 was begun with 3 folds")), STUDY)
    assert line.startswith("ResumeError: STUDY/regime_1 was begun with 3 folds; raised in ")
    assert " raised" in line and ":" in line.rpartition("raised in ")[2]
    assert str(Path(__file__).parent) not in line
    for error in (
        ManifestError("m.csv row 3: Smith"),
        ValueError("could not convert 'Smith'"),
        KeyError("Smith"),
        FileNotFoundError(2, "No such file or directory", "/data/Smith.png"),
    ):
        assert "Smith" not in log_error(raised(error), STUDY)


def test_the_causes_of_an_error_are_named() -> None:
    try:
        try:
            raise OSError(28, "No space left on device", "/data/Smith")
        except OSError as cause:
            raise StorageError(f"{STUDY}/x cannot be written") from cause
    except StorageError as error:
        line = log_error(error, STUDY)
    assert "caused by OSError: No space left on device" in line
    assert "Smith" not in line


def test_only_values_that_cannot_be_private_are_logged() -> None:
    given = [
        ("--folds", 3, False),
        ("--holdout-fraction", 0.15, True),
        ("--precision", Precisions.bfloat16, False),
        ("--tensorboard", True, False),
        ("--epsilons", "0.1,1e-7", False),
        ("--weights", "imagenet", False),
        ("--manifest", Path("/data/Smith.csv"), False),
        ("--look-again", "Smith was wrong", False),
    ]
    assert log_options(given) == (
        "--folds 3 --holdout-fraction 0.15 (configuration file) --precision bfloat16 --tensorboard "
        "--epsilons 0.1,1e-7 --weights imagenet --manifest PATH --look-again TEXT"
    )
