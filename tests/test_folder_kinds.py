"""What a folder is that is no study, and the command that fits it."""

from pathlib import Path

import pytest

from rust_tuner.folder_kinds import describe_folder, has_study_parts, studies_in


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("names", "asked", "told"),
    [
        ([], "none", "There is no such folder. To make a study there: rust-tuner prepare {}/none "),
        (["a/study.json"], "none", "There is no such folder. Studies beside it: {}/a"),
        ([], "", "It is empty. To make a study in it: rust-tuner prepare {} --manifest M.csv"),
        (["study/study.json"], "", "contains the study study. Type: rust-tuner status {}/study"),
        (["a/study.json", "b/study.json"], "", "contains 2 studies: a, b. Type: rust-tuner status"),
        (["s/study.json", "s/regime_1/search.json"], "s/regime_1", "a part of the study {}/s: "),
        (["s/study.json", "s/report/index.html"], "s/report", "rust-tuner status {}/s"),
        (["search.json"], "", "It is a search, without a study around it: rust-tuner status {}"),
        (["study.json"], "", "It is a study: rust-tuner status {}"),
        (["manifest.csv", "a.csv"], "", "prepare STUDY --manifest {}/manifest.csv"),
        (["scores.csv"], "scores.csv", "CSV file. If it is a manifest: rust-tuner prepare STUDY "),
        (["a.png", "b.JPG", "notes.txt"], "", "It contains 2 images and no manifest."),
        (["model.keras"], "model.keras", "It is a model: rust-tuner predict {}/model.keras IMAGE"),
        (["notes.txt"], "notes.txt", "It is a file, not a folder"),
        (["notes.txt", "more/a"], "", "It contains other files and folders, such as more, and "),
    ],
)
def test_a_folder_is_named_with_a_command_that_fits(
    tmp_path: Path, names: list[str], asked: str, told: str
) -> None:
    folder = write(tmp_path / "here", *names)
    assert told.format(*[folder] * told.count("{}")) in describe_folder(folder / asked)


def test_commands_can_be_copied_whatever_the_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "my studies", "it's/study.json")
    assert """'"'"'s'""" in describe_folder(folder)
    assert [path.name for path in studies_in(folder)] == ["it's"]


def test_a_study_that_lost_its_study_json_still_has_parts(tmp_path: Path) -> None:
    assert not has_study_parts(write(tmp_path / "empty"))
    assert has_study_parts(write(tmp_path / "study", "regime_1/search.json"))
