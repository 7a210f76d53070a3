"""The command line: what it says, where it says it, and with which exit code."""

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from command import run
from studies import StudyFolder

from rust_tuner import Protocol, Study, __version__
from rust_tuner.labels import encode
from rust_tuner.protocol import ANATOMICAL_VIEWS

TINY = ["--folds", "3", "--epochs", "2", "--weights", "random", "--image-size", "75"]
COMMANDS = (
    *(
        "demo",
        "phantoms",
        "manifest",
        "prepare",
        "baselines",
        "regime1",
        "regime2",
        "nested",
        "noise",
    ),
    *("check", "final", "study", "status", "export", "report", "config", "watch", "dashboard"),
    *("tensorboard", "predict", "cache"),
)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, feature_cache: Path) -> Path:
    monkeypatch.setenv("RUST_TUNER_CACHE", str(feature_cache))
    return feature_cache


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            "",
            [
                *COMMANDS,
                "study, or prepare, regime1, regime2, final, report and baselines",
                "Research use only",
            ],
        ),
        ("demo", ["synthetic", "a few minutes", "small backbone", "default: rust-tuner-demo"]),
        ("phantoms", ["--patients", "default: 60", "known RUST scores", "DIR/manifest.csv"]),
        (
            "prepare",
            [
                "image, patient_id, visit, view (ap or lateral), medial, lateral, anterior,",
                "(1-4 or empty)",
                "seal the hold-out set",
                "RUST_TUNER_WEIGHTS",
                "[default: 0.15]",
                "[default: imagenet]",
                "[default: study]",
                "[default: anatomical]",
            ],
        ),
        (
            "regime1",
            [
                "random search over batch size and dropout rate",
                "run the same command again to resume",
                "--manifest",
                "[default: 100]",
                "[default: 6]",
                "[default: 20]",
                "[default: 16,2048]",
                "[default: 0,0.5]",
                "~/.cache/rust_tuner",
            ],
        ),
        (
            "regime2",
            [
                "grid search over Adam's learning rate and epsilon",
                "run the same command again to resume",
                "[default: Regime I's best]",
                "[default: 0.1,0.01,0.001,0.0001]",
                "[default: 1e-1,1e-2,...,1e-8]",
            ],
        ),
        (
            "nested",
            [
                "selection score",
                "an estimate",
                "run the same command again to resume",
                "--outer-folds",
                "Inner folds of a trial. [default: 6]",
                "[default: 5]",
                "[default: 100]",
                "[default: 20]",
            ],
        ),
        ("noise", ["repeat the best configuration", "--repeats", "[default: 10]"]),
        ("status", ["progress of a study", "damaged folder"]),
        ("export", [".json, .yaml, .yml or .csv", "Regime II if it has a completed trial"]),
    ],
)
def test_help_names_what_a_newcomer_needs(command: str, told: list[str]) -> None:
    text = words(run(*command.split(), "--help").stdout)
    for phrase in told:
        assert phrase in text


def test_no_line_of_the_list_of_commands_is_cut() -> None:
    commands = run("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in commands.splitlines()] == list(COMMANDS)
    assert "..." not in commands


def test_the_defaults_that_help_names_are_the_protocols(tiny_protocol: Protocol) -> None:
    study = Protocol.study()
    assert (study.trials, study.num_folds, study.epochs) == (100, 6, 20)
    assert (study.batch_size_range, study.dropout_rate_range) == ((16, 2048), (0, 0.5))
    assert study.learning_rates == (0.1, 0.01, 0.001, 0.0001)
    assert study.epsilons == tuple(float(f"1e-{power}") for power in range(1, 9))
    assert (study.holdout_fraction, study.image_size, study.seed) == (0.15, 299, 0)


@pytest.mark.slow
def test_help_status_and_export_start_neither_tensorflow_nor_keras(
    tmp_path: Path, finished_study: StudyFolder
) -> None:
    calls = [[command, "--help"] for command in COMMANDS]
    calls += [[], ["--help"], ["--version"], ["status", str(finished_study.directory)]]
    calls += [["export", str(finished_study.directory), str(tmp_path / "best.json")]]
    script = (
        "import json, sys\n"
        "from typer.testing import CliRunner\n"
        "from rust_tuner.cli.app import app\n"
        "codes = [CliRunner().invoke(app, call).exit_code for call in json.loads(sys.argv[1])]\n"
        "print(json.dumps([codes, [m for m in sys.modules if m in"
        " ('tensorflow', 'keras', 'keras_tuner')]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(calls)], capture_output=True, text=True
    )
    codes, started = json.loads(done.stdout)
    assert started == []
    # No command at all is a usage error that shows the help.
    assert codes == [2 if call == [] else 0 for call in calls]


def test_version_is_the_packages() -> None:
    assert run("--version").stdout == f"{__version__}\n"


def test_phantoms_are_written_and_the_next_command_can_be_typed(tmp_path: Path) -> None:
    folder = tmp_path / "my phantoms"
    result = run("phantoms", folder, "--patients", 2, "--seed", 0)
    (command,) = re.findall(r"next: rust-tuner (.*)", result.stderr)
    assert shlex.split(command) == ["prepare", "STUDY", "--manifest", f"{folder}/manifest.csv"]
    assert result.stdout == ""
    with (folder / "manifest.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["patient_id"] for row in rows} == {"P0001", "P0002"}
    assert all((folder / row["image"]).is_file() for row in rows)


def test_prepare_takes_every_choice_and_says_how_much_is_sealed(
    tmp_path: Path, phantom_manifest: Path
) -> None:
    study = tmp_path / "study"
    options = ["--protocol", "clinical", "--views", "published", "--weights", "random"]
    options += ["--seed", "3", "--holdout-fraction", "0.25", "--image-size", "80"]
    options += ["--folds", "3"]
    result = run("prepare", study, "--manifest", phantom_manifest, *options)
    assert re.search(r"is prepared: \d+ radiographs of 9 patients", result.stderr)
    assert f"next: rust-tuner regime1 {study}" in result.stderr
    expected = Protocol.clinical(
        seed=3,
        num_folds=3,
        weights="random",
        holdout_fraction=0.25,
        image_size=80,
        view_cortices={"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")},
    )
    assert Study(study).protocol == expected
    run("prepare", study)


@pytest.mark.slow
def test_a_preset_changes_only_what_the_presets_differ_in(
    tmp_path: Path, phantom_manifest: Path
) -> None:
    study = tmp_path / "study"
    options = ["--seed", 3, "--folds", 3, "--protocol", "clinical"]
    run("prepare", study, "--manifest", phantom_manifest, *options)
    run("prepare", study, "--protocol", "clinical")
    result = run("prepare", study, "--protocol", "study", code=1)
    assert "objective: was val_cortex_auroc, is val_auroc" in result.stderr
    assert "seed" not in result.stderr


def test_predict_prints_its_table_also_with_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rust_tuner.steps import predict as inference

    for view in ("ap", "lat"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"017_{view}.png").write_bytes(b"")

    def predict_radiographs(
        model: str | Path,
        images: Sequence[Path],
        *,
        pairs: Sequence[tuple[int, int]],
        boxes: Sequence[tuple[int, int, int, int] | None] | None,
        bits: Sequence[int | None] | None,
        say: Callable[[str], None],
    ) -> pd.DataFrame:
        say("1 16-bit image uses 12 bits")
        assert boxes == bits == (None, None)
        assert [path.name for path in images] == ["017_ap.png", "017_lat.png"]
        assert list(pairs) == [(0, 1)]
        answers = 0.05 + 0.9 * encode(["ap", "lateral"], [[1, 2, 3, 4]] * 2)
        table = inference.as_table(images, answers, ANATOMICAL_VIEWS)
        table = table.assign(distance=0.5, unlike=pd.array([False] * 2, dtype="boolean"))
        return inference.with_totals(table, pairs, ANATOMICAL_VIEWS)

    card = SimpleNamespace(input=SimpleNamespace(has_boxes=False))
    monkeypatch.setattr(inference, "predict_radiographs", predict_radiographs)
    monkeypatch.setattr("rust_tuner.records.model_card.read_card", lambda file: card)
    monkeypatch.setattr("rust_tuner.records.novelty.read_novelty", lambda file, card: None)
    (tmp_path / "STUDY").mkdir()
    result = run(
        "predict", tmp_path / "STUDY", tmp_path / "images", "--csv", tmp_path / "scores.csv"
    )
    assert "RUST scores" in result.stdout
    assert "Pairs of views: 1 by name; such as 017_ap.png with 017_lat.png." in result.stdout
    assert "note: 1 16-bit image uses 12 bits" in result.stderr
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["rust_total"].tolist() == [10, 10]
    assert table.columns[-1] == "total_missing"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prepare", "{tmp}/new"], "has not been prepared; give its manifest"),
        (["prepare", "{tmp}/new", "--manifest", "{tmp}/none.csv"], "none.csv"),
        (["prepare", "{tmp}/file.txt", "--manifest", "{manifest}"], "file.txt"),
        (["prepare", "{study}", "--seed", "5"], "seed: was 0, is 5"),
        (["regime1", "{study}", "--image-size", "80"], "image_size: was 75, is 80"),
        (["regime2", "{study}"], "Regime I has not been run here; run it first, or give"),
        (["noise", "{study}"], "has no search with a completed trial; run regime1 or regime2"),
        (["nested", "{study}", "--seed", "5"], "seed: was 0, is 5"),
        (["export", "{study}", "{tmp}/best.json"], "has no search with a completed trial; run"),
        (["phantoms", "{tmp}/file.txt"], "file.txt"),
    ],
)
def test_an_error_is_a_line_on_stderr_and_code_1(
    tmp_path: Path, prepared: Path, phantom_manifest: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "file.txt").write_text("not a folder")
    places = {"tmp": tmp_path, "study": prepared, "manifest": phantom_manifest}
    result = run(*(argument.format(**places) for argument in arguments), code=1)
    assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr
    assert told in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--batch-sizes", "9,3", "batch_size_range=(9, 3)"),
        ("--dropout-rates", "0,1", "dropout_rate_range=(0.0, 1.0)"),
        ("--crop", "centre:0", "crop='centre:0'"),
        ("--image-size", "100000", "image_size=100000"),
        ("--holdout-fraction", "nan", "holdout_fraction=nan"),
        ("--epochs", str(10**30), "expected an integer from 1 to 1000000"),
        ("--trials", str(10**20), "expected an integer from 1 to 1000000"),
    ],
)
def test_a_choice_out_of_its_range_is_code_2_with_its_option_and_touches_nothing(
    option: str, value: str, told: str, tmp_path: Path, phantom_manifest: Path
) -> None:
    study = tmp_path / "study"
    result = run("regime1", study, "--manifest", phantom_manifest, option, value, code=2)
    text = " ".join(result.stderr.replace("│", " ").split())
    assert f"Invalid value for {option}: " in text
    assert told in text
    assert not study.exists()


def test_a_faulty_manifest_is_told_by_row(tmp_path: Path, phantom_manifest: Path) -> None:
    lines = phantom_manifest.read_text().splitlines()
    cells = lines[4].split(",")
    cells[lines[0].split(",").index("medial")] = "5"
    (tmp_path / "images").symlink_to(phantom_manifest.parent / "images")
    (tmp_path / "m.csv").write_text("\n".join([*lines[:4], ",".join(cells), *lines[5:]]))
    result = run("prepare", tmp_path / "study", "--manifest", tmp_path / "m.csv", code=1)
    assert re.search(r"error: .*m\.csv.*row 5.*medial=5", result.stderr, re.DOTALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ["regime3", "study"],
        ["regime1"],
        ["regime1", "study", "--folds", "1"],
        ["regime1", "study", "--trials", "0"],
        ["regime1", "study", "--epochs", "many"],
        ["regime1", "study", "--batch-sizes", "16"],
        ["regime1", "study", "--batch-sizes", "1.5,2"],
        ["regime1", "study", "--dropout-rates", "low,high"],
        ["regime2", "study", "--learning-rates", ""],
        ["regime2", "study", "--learning-rates", "0.1,inf"],
        ["regime2", "study", "--epsilons", "0.1;0.2"],
        ["regime2", "study", "--dropout-rate", "1"],
        ["regime2", "study", "--dropout-rate", "nan"],
        ["regime2", "study", "--batch-size", "0"],
        ["prepare", "study", "--seed", "-1"],
        ["prepare", "study", "--image-size", "74"],
        ["prepare", "study", "--protocol", "mine"],
        ["phantoms", "folder", "--patients", "0"],
        ["nested", "study", "--outer-folds", "1"],
        ["nested", "study", "--folds", "1"],
        ["noise", "study", "--repeats", "1"],
    ],
)
def test_a_usage_error_is_code_2_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, code=2)
    assert "Usage: " in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
