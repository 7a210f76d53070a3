"""Texts for files name places in a manifest and the last part of a folder, nothing more."""

import html
import shlex
from pathlib import Path

import pytest

from rust_tuner.errors import Fault, ImageError, ManifestError, Message, RustTunerError, private
from rust_tuner.redacted import message_for_files, without_folders


@pytest.mark.parametrize("name", ["Zacharias", "O'Neil & Sons", 'Dr. "K"', "two words"])
def test_no_folder_above_a_study_is_left_however_it_is_quoted(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name / "my study"
    command = f"rust-tuner final {shlex.quote(str(folder))}"
    escaped = html.escape(command).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    text = f"{folder} {command} {html.escape(command)} {escaped} {folder}-2"
    left = without_folders(text, folder)
    assert str(tmp_path) not in left
    assert left.startswith("my study rust-tuner final 'my study' ")
    assert left.endswith(" my study-2")


def test_errors_about_data_give_their_place() -> None:
    faults = [Fault("Miller.csv", row, "medial", f"medial={row}") for row in range(2, 20)]
    text = message_for_files(ManifestError("medial=2 ...", faults))
    assert text.startswith("the manifest has 18 faults: row 2 (medial), row 3 (medial), ")
    assert text.endswith("row 11 (medial), and 8 more")
    assert "Miller" not in message_for_files(ManifestError("Miller.csv: no table"))
    assert "Miller" not in message_for_files(ImageError("/data/Miller.png: damaged"))
    told = f"{private('/home/Miller/w.h5')} holds weights that are not finite"
    assert message_for_files(RustTunerError(Message(told))) == (
        "[hidden] holds weights that are not finite"
    )
    assert message_for_files(FileNotFoundError(2, "No such file", "Miller.png")) == (
        "FileNotFoundError: No such file"
    )
