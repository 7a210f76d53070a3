"""The commands of a report make the same study again, and the command line takes them."""

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from narrowing import not_none
from report_searches import change_json, write_json, write_project, write_regime_1, write_regime_2
from report_studies import study_record

from rust_tuner import Protocol
from rust_tuner.analysis.reproduction import reproduction
from rust_tuner.cli.app import app
from rust_tuner.cli.options import Preparing
from rust_tuner.files import read_json
from rust_tuner.protocol import PUBLISHED_VIEWS
from rust_tuner.records.folder import read_study
from rust_tuner.records.private import KEY_PATH
from rust_tuner.search.hopeless import StopRule


def options(line: str) -> dict[str, str]:
    words = shlex.split(line)
    return dict(zip(words[3::2], words[4::2], strict=True))


def test_the_commands_say_what_was_searched(study: Path) -> None:
    text = reproduction(read_study(study)).commands
    assert [line.split()[1] for line in text] == [
        "prepare",
        "baselines",
        "regime1",
        "regime2",
        "nested",
        "noise",
        "final",
        "report",
    ]
    assert options(text[0]) == {
        "--manifest": "manifest.csv",
        "--protocol": "study",
        "--views": "anatomical",
        "--weights": "imagenet",
        "--seed": "0",
        "--holdout-fraction": "0.15",
        "--image-size": "299",
        "--precision": "float32",
    }
    assert options(text[1]) == {"--folds": "4", "--epochs": "5"}
    run = not_none(read_study(study).cross_validation).run
    assert options(text[6]) == {"--folds": str(run.subject.num_folds), "--epochs": str(run.epochs)}
    assert options(text[2]) == {
        "--trials": "12",
        "--folds": "3",
        "--epochs": "5",
        "--batch-sizes": "16,2048",
        "--dropout-rates": "0.0,0.5",
    }
    assert options(text[3])["--learning-rates"] == "0.1,0.01,0.001,0.0001"
    assert "--batch-size" not in options(text[3])
    assert options(text[4]) == {
        "--outer-folds": "3",
        "--trials": "12",
        "--folds": "3",
        "--epochs": "5",
        "--batch-sizes": "16,2048",
        "--dropout-rates": "0.0,0.5",
        "--learning-rates": "0.1,0.01,0.001,0.0001",
        "--epsilons": "0.1,0.01,0.001,0.0001,1e-05,1e-06,1e-07,1e-08",
    }
    assert options(text[5]) == {"--repeats": "4"}


@pytest.mark.parametrize("name", ["regime_1/search.json", "nested/nested.json"])
def test_batch_sizes_that_were_fitted_are_fitted_again(name: str, study: Path) -> None:
    change_json(study / name, fit_batch_sizes=True)
    command = {"regime_1/search.json": 2, "nested/nested.json": 4}[name]
    text = options(reproduction(read_study(study)).commands[command])
    assert "--batch-sizes" not in text
    assert text["--dropout-rates"] == "0.0,0.5"


def test_the_commands_are_those_of_the_command_line(study: Path) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    protocol = Protocol.study(scale="small").to_json()
    lines = list(reproduction(read_study(study)).commands)
    change_json(study / "regime_2" / "trial_0000" / "trial.json", status="RUNNING")
    lines += reproduction(read_study(study)).commands
    change_json(study / "study.json", protocol=protocol)
    lines += reproduction(read_study(study)).commands
    for line in lines:
        _, command, _, *_ = shlex.split(line)
        accepted = {name for option in known[command].params for name in option.opts}
        assert set(options(line)) <= accepted, line


def test_values_fixed_by_hand_are_in_the_command(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    write_regime_2(tmp_path / "regime_2")
    (line,) = [x for x in reproduction(read_study(tmp_path)).commands if "regime2" in x]
    assert options(line)["--batch-size"] == "16"
    assert options(line)["--dropout-rate"] == "0.0"


def test_a_manifest_with_an_odd_name_cannot_break_a_command(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record(manifest="../a b; rm -rf $HOME.csv"))
    (line,) = [x for x in reproduction(read_study(tmp_path)).commands if "prepare" in x]
    assert options(line)["--manifest"] == "a b; rm -rf $HOME.csv"


def test_choices_without_an_option_are_named(tmp_path: Path) -> None:
    protocol = Protocol.study(score_epoch="last", flips="none").to_json()
    write_json(tmp_path / "study.json", study_record(protocol=protocol))
    expected = " ".join(reproduction(read_study(tmp_path)).notes)
    assert "flips, masked_loss, score_epoch cannot be set" in expected
    usual = Protocol.study(seed=7, image_size=75).to_json()
    write_json(tmp_path / "study.json", study_record(protocol=usual))
    assert "cannot be set" not in " ".join(reproduction(read_study(tmp_path)).notes)


CHANGED: dict[str, Any] = {
    "protocol": "clinical",
    "views": "published",
    "weights": "own.h5",
    "seed": 7,
    "holdout_fraction": 0.2,
    "image_size": 75,
    "crop": "centre:150",
    "remove_borders": True,
    "precision": "bfloat16",
    "extractor": "onnxruntime",
    "folds_by": "site",
    "union_threshold": 12,
    "distinct_patients": True,
    "plain_ids": True,
}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Preparing)])
def test_every_choice_of_a_study_is_in_its_commands(name: str, tmp_path: Path) -> None:
    if name == "manifest":
        return
    value = CHANGED[name]
    protocol = Protocol.study()
    changes: dict[str, Any] = {}
    if name == "protocol":
        protocol = Protocol.clinical()
    elif name == "views":
        protocol = Protocol.study(view_cortices=PUBLISHED_VIEWS)
    elif name == "distinct_patients":
        changes["distinct_patients"] = [["P1", "p-001"]]
    elif name == "plain_ids":
        changes["patient_ids"] = "plain"
    else:
        protocol = Protocol.study(**{name: value})
    record = study_record(protocol=protocol.to_json(), **changes)
    write_json(tmp_path / "study.json", record)
    (line,) = [x for x in reproduction(read_study(tmp_path)).commands if "prepare" in x]
    option = f"--{name.replace('_', '-')}"
    assert f"{option} {value}" in line or (value is True and option in line.split())


def test_whether_hopeless_trials_were_stopped_is_in_the_commands(study: Path) -> None:
    assert "stop-hopeless" not in " ".join(reproduction(read_study(study)).commands)
    for name in ("regime_1/search.json", "regime_2/search.json", "nested/nested.json"):
        change_json(study / name, stop_hopeless=StopRule().to_json())
    lines = reproduction(read_study(study)).commands
    stopping = [line.split()[1] for line in lines if line.endswith(" --stop-hopeless")]
    assert stopping == ["regime1", "regime2", "nested"]


def test_nested_folds_of_sites_have_no_number(study: Path) -> None:
    def nested() -> str:
        lines = reproduction(read_study(study)).commands
        return next(line for line in lines if line.split()[1] == "nested")

    assert " --folds " in nested()
    assert " --outer-folds " in nested()
    protocol = read_json(study / "nested" / "nested.json")["protocol"]
    change_json(study / "nested" / "nested.json", protocol=protocol | {"folds_by": "site"})
    assert "folds " not in nested()


def test_the_commands_of_a_study_with_keyed_names_do_not_name_the_key(tmp_path: Path) -> None:
    record = study_record(protocol=Protocol.study().to_json(), manifest=KEY_PATH)
    write_json(tmp_path / "study.json", record)
    text = " ".join(reproduction(read_study(tmp_path)).commands)
    assert "--manifest MANIFEST " in text
    assert "key.json" not in text


def test_a_study_of_small_scale_is_one_command(study: Path) -> None:
    change_json(study / "study.json", protocol=Protocol.study(scale="small", seed=3).to_json())
    line, *more = reproduction(read_study(study)).commands
    assert [other.split()[1] for other in more] == ["nested", "noise"]
    assert line.startswith("rust-tuner study STUDY --scale small --manifest manifest.csv ")
    assert options(line)["--seed"] == "3"


@pytest.mark.parametrize("scale", ["full", "small"])
def test_whoever_repeats_a_study_with_a_sealed_hold_out_set_does_not_unseal_it(
    scale: str, study: Path
) -> None:
    change_json(study / "study.json", protocol=Protocol.study(scale=scale).to_json())
    whole = reproduction(read_study(study)).commands
    assert any("final" in line.split() for line in whole) == (scale == "full")
    assert "--skip final" not in " ".join(whole)
    # Its cross-validation comes before the look.
    (study / "final" / "holdout.json").unlink()
    (study / "final" / "predictions.csv").unlink()
    assert (study / "final" / "cross_validation").is_dir()
    record = read_json(study / "study.json")
    write_json(study / "study.json", record | {"looks": []})
    sealed = reproduction(read_study(study)).commands
    assert not any(line.startswith("rust-tuner final") for line in sealed)
    assert (" --skip final" in sealed[0]) == (scale == "small")


def test_radimagenet_is_cited_where_it_was_used(tmp_path: Path) -> None:
    write_project(tmp_path / "baselines" / "inceptionv3_radimagenet", [{"batch_size": 128}])
    assert any("RadImageNet" in line for line in reproduction(read_study(tmp_path)).cite)
    write_regime_1(tmp_path / "other" / "regime_1", count=1)
    cite = reproduction(read_study(tmp_path / "other")).cite
    assert not any("RadImageNet" in line for line in cite)
    assert cite[0] == "Software: python 3.11.7, rust-tuner 0.1.0, keras 3.15.1."
