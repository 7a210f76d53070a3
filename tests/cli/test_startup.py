"""What commands import: nothing that they do not need, and nothing slow before a wrong option."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_searches import write_regime_1

from rust_tuner.cli.option_values import FirstModels
from rust_tuner.records.baselines import BASELINES

SLOW = (
    "PIL",
    "filelock",
    "h5py",
    "jinja2",
    "keras",
    "keras_tuner",
    "matplotlib",
    "numpy",
    "pandas",
    "scipy",
    "seaborn",
    "sklearn",
    "tensorflow",
    "yaml",
)
# The commands run one after another in one process; each line has what has been imported so far.
SCRIPT = f"""
import contextlib, io, json, sys
import rust_tuner.__main__ as command
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["rust-tuner", *arguments]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            command.main()
            code = 0
        except SystemExit as end:
            code = end.code
    print(json.dumps([arguments, code, sorted(set({SLOW!r}) & set(sys.modules))]))
"""


def imported(*commands: list[str], folder: Path) -> list[tuple[list[str], int, list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"RUST_TUNER_CACHE": str(folder)},
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_commands_import_only_what_they_need(tmp_path: Path) -> None:
    search = write_regime_1(tmp_path / "study" / "regime_1", count=2, num_folds=3)
    (tmp_path / "manifest.csv").write_text("image\n")
    (tmp_path / "empty").mkdir()
    text = imported(
        ["--version"],
        ["--help"],
        ["-h"],
        ["demo", "-h"],
        ["manifest", "--images", "none"],
        ["regime2", "-h"],
        ["regime3", "study"],
        ["regime1", "new"],
        ["regime1", "new", "--folds", "1"],
        ["regime1", "new", "--manifest", "none.csv"],
        ["regime2", "new", "--manifest", "manifest.csv", "--learning-rates", "low"],
        ["baselines", "new", "--model", "vgg"],
        ["prepare", "manifest.csv"],
        ["report", "empty"],
        ["tensorboard", "none"],
        ["export", "empty", "best.json"],
        ["predict", "none.keras", "none.png"],
        ["status", "study"],
        ["regime1", "new", "--manifest", "manifest.csv", "--weights", "none.h5"],
        ["regime1", "new", "--manifest", "manifest.csv", "--batch-sizes", "9,3"],
        ["export", str(search), "best.yaml"],
        folder=tmp_path,
    )
    codes = {" ".join(arguments): code for arguments, code, _ in text}
    assert all(codes[name] == 0 for name in ("--version", "--help", "-h", "regime2 -h"))
    assert all(codes[name] in (1, 2) for name in codes if " new" in name or "none" in name)
    *others, status, weights, choice, export = text
    for arguments, _, slow in others:
        assert slow == [], arguments
    for arguments, _, slow in (status, weights, choice):
        assert slow == ["numpy"], arguments
    assert [status[1], weights[1], choice[1], export[1]] == [0, 1, 2, 0]
    # The gain over the view alone is computed from the predictions of the search.
    assert set(export[2]) <= {"numpy", "scipy", "yaml", "pandas"}
    assert (tmp_path / "best.yaml").is_file()
    assert not (tmp_path / "new").exists()


def test_the_first_models_of_the_option_are_those_of_the_records() -> None:
    assert tuple(FirstModels) == BASELINES
