"""The command that usually follows: what is missing, in the order of a study."""

import shutil
from pathlib import Path

import pytest
from report_searches import write_json
from studies import StudyFolder

from rust_tuner.analysis.next_step import another_folder, command, next_command
from rust_tuner.files import read_json
from rust_tuner.protocol import PUBLISHED_VIEWS


def follows(study: Path, after: str) -> str:
    """The command's name, without `rust-tuner` and the folder."""
    return next_command(study, after=after).split()[1]


def test_the_steps_follow_each_other_in_the_order_of_a_study(study: Path, tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    for name in ("regime_1", "regime_2", "final", "baselines", "checks.json"):
        shutil.move(study / name, aside / name)
    for after, name, expected in (  # type: ignore[assignment]
        ("prepare", None, "regime1"),
        ("regime1", "regime_1", "regime2"),
        ("regime2", "regime_2", "final"),
        ("final", "final", "report"),
        ("report", None, "baselines"),
        ("baselines", "baselines", "report"),
        ("report", None, "check"),
        ("check", "checks.json", "report"),
    ):
        if name is not None:
            shutil.move(aside / name, study / name)
        assert follows(study, after) == expected, (after, name)


@pytest.mark.parametrize("after", ["nested", "noise", "check"])
def test_further_results_are_shown_by_a_report(finished_copy: StudyFolder, after: str) -> None:
    assert follows(finished_copy.directory, after) == "report"


def test_the_folder_is_quoted(study: Path) -> None:
    named = study.rename(study.with_name("my study"))
    assert next_command(named, after="final") == f"rust-tuner report '{named}'"


@pytest.mark.parametrize(
    ("given", "other"),
    [(".", "../study-2"), ("..", "../../{up}-2"), ("a/..", "../study-2"), ("-x", "-x-2")],
)
def test_another_folder_lies_beside_a_study_however_it_is_named(
    given: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a").mkdir()
    monkeypatch.chdir(tmp_path / "study")
    assert str(another_folder(Path(given))) == other.format(up=tmp_path.name)


def test_a_study_whose_name_begins_with_a_dash_is_no_option() -> None:
    assert command("final", Path("-x")) == "rust-tuner final ./-x"
    assert command("final", Path("a b")) == "rust-tuner final 'a b'"


def test_another_study_keeps_the_choices_that_belong_to_the_manifest(study: Path) -> None:
    record = read_json(study / "study.json")
    protocol = record["protocol"] | {"scale": "small", "folds_by": "site"}
    views = {view: list(names) for view, names in PUBLISHED_VIEWS.items()}
    write_json(
        study / "study.json",
        record | {"protocol": protocol | {"view_cortices": views}, "distinct_patients": True},
    )
    options = next_command(study, after="report").split("--scale full")[1]
    assert options == " --views published --folds-by site --distinct-patients"
