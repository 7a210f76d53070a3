"""What a study was begun with is settled, noted and resumed; other choices are refused."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from narrowing import not_none
from notes import Notes, contents
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.cli.support import open_study
from rust_tuner.data.folds import make_folds
from rust_tuner.data.splits import Development
from rust_tuner.errors import ResumeError, WeightsError
from rust_tuner.files import read_json
from rust_tuner.models.weights import find_local_weights
from rust_tuner.records.study import SEARCH_FIELDS
from rust_tuner.steps.final import fit_final_model


@pytest.fixture(scope="module")
def settled(
    tmp_path_factory: pytest.TempPathFactory, phantom_manifest: Path, tiny_protocol: Protocol
) -> Path:
    """A prepared study; not to be written to."""
    folder = tmp_path_factory.mktemp("settled") / "study"
    Study(folder, phantom_manifest, tiny_protocol).prepare()
    return folder


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("objective", "val_cortex_auroc"),
        ("seed", 1),
        ("holdout_fraction", 0.25),
        ("image_size", 80),
        ("resize", "letterbox"),
        ("flips", "none"),
        ("masked_loss", True),
        ("precision", "bfloat16"),
        ("extractor", "onnxruntime"),
        ("view_cortices", {"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")}),
    ],
)
def test_another_choice_is_refused_with_what_was_and_is(
    settled: Path,
    tiny_protocol: Protocol,
    field: str,
    value: str | dict[str, tuple[str, str]] | float,
) -> None:
    changed = dataclasses.replace(tiny_protocol, **{field: value})  # type: ignore[arg-type]
    was, now = tiny_protocol.to_json()[field], changed.to_json()[field]
    expected = re.escape(f"  {field}: was {was}, is {now}\n")
    with pytest.raises(ResumeError, match=f"prepared with other choices:\n{expected}Restore"):
        Study(settled, protocol=changed)


def test_weights_that_were_found_are_settled_when_the_study_is_prepared(
    settled: Path, finished_study: StudyFolder, tiny_protocol: Protocol
) -> None:
    changed = dataclasses.replace(tiny_protocol, weights="imagenet")
    assert read_json(settled / "study.json")["weights"]["asked"] == "random"
    for folder in (settled, finished_study.directory):
        with pytest.raises(ResumeError, match="weights: was random, is imagenet"):
            Study(folder, protocol=changed)
        with pytest.raises(ResumeError, match="weights: was random, is imagenet"):
            Study(folder, choices={"weights": "imagenet"})


def test_imagenet_weights_that_are_not_on_the_machine_yet_may_still_be_changed(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    asked = dataclasses.replace(tiny_protocol, weights="imagenet")
    Study(tmp_path / "study", radiographs, asked).prepare()
    assert read_json(tmp_path / "study" / "study.json")["weights"] is None
    assert Study(tmp_path / "study", protocol=tiny_protocol).protocol.weights == "random"


@pytest.mark.parametrize("content", [None, b"no HDF5 file"])
def test_a_mistyped_weights_file_is_refused_before_anything_is_written(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol, content: bytes | None
) -> None:
    path = tmp_path / "weights.h5"
    if content is not None:
        path.write_bytes(content)
    asked = dataclasses.replace(tiny_protocol, weights=str(path))
    with pytest.raises(
        WeightsError, match=r"weights\.h5 (does not exist|does not hold the weights)"
    ):
        Study(tmp_path / "study", radiographs, asked).prepare()
    assert contents(tmp_path / "study") == {}
    # So the right ones can be given.
    Study(tmp_path / "study", radiographs, tiny_protocol).prepare()


def test_weights_that_are_replaced_during_a_step_do_not_become_the_final_models(
    finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step checks them as it begins, and reads them again when it has trained for hours."""
    study = finished_copy.open()
    file = finished_copy.directory / "study.json"
    written = read_json(file)
    development = study.prepare()
    written["weights"]["sha256"] = "0" * 64
    file.write_text(json.dumps(written))
    with pytest.raises(ResumeError, match="one backbone"):
        fit_final_model(
            development,
            finished_copy.directory,
            values={"batch_size": 8, "dropout_rate": 0.1, "learning_rate": 0.1, "epsilon": 1e-7},
            epochs=1,
            protocol=study.protocol,
            cache=finished_copy.cache,
        )
    assert not (finished_copy.directory / "final" / "model.keras").exists()


@pytest.mark.parametrize("step", ["baselines", "regime_1", "regime_2", "nested", "noise", "final"])
def test_weights_replaced_under_the_same_name_are_refused_by_every_step(
    step: str, finished_copy: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"first")
    monkeypatch.setattr("rust_tuner.steps.study_weights.check_architecture", lambda weights: None)
    file = finished_copy.directory / "study.json"
    written = read_json(file)
    written["weights"] = not_none(find_local_weights(path)).to_json()
    written["protocol"]["weights"] = str(path)
    file.write_text(json.dumps(written))
    path.write_bytes(b"second")
    before = contents(finished_copy.directory)
    with pytest.raises(ResumeError, match=r"made with the weights weights\.h5 .* one backbone"):
        getattr(finished_copy.open(), step)()
    changed = {n for n, c in contents(finished_copy.directory).items() if before.get(n) != c}
    # The images have been moved, which the table of names follows.
    assert changed <= {"split.json", "private/images.csv"}


@pytest.mark.slow
def test_what_a_step_was_begun_with_is_what_python_resumes_it_with(
    tmp_path: Path, radiographs: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def begin(development: Development, directory: str | Path, **arguments: Any) -> NoReturn:
        asked.append(arguments["protocol"])
        raise KeyboardInterrupt

    monkeypatch.setattr("rust_tuner.search.regimes.regime_1", begin)
    folder = tmp_path / "study"
    Study(folder, radiographs, tiny_protocol).prepare()
    for choices in ({"epochs": 7, "num_folds": 4}, None, {"epochs": 8}, None):
        with pytest.raises(KeyboardInterrupt):
            Study(folder, choices=choices).regime_1()
    assert [protocol.epochs for protocol in asked] == [7, 7, 8, 8]
    assert [protocol.num_folds for protocol in asked] == [4, 4, 4, 4]
    begun = read_json(folder / "study.json")["begun"]["regime_1"]
    assert begun["epochs"] == 8
    assert begun["weights"]["asked"] == "random"
    # A protocol that is given whole is taken as it is.
    with pytest.raises(KeyboardInterrupt):
        Study(folder, protocol=tiny_protocol).regime_1()
    assert asked[-1] == tiny_protocol


def test_a_step_resumes_with_its_own_choices_and_refuses_others_with_a_table(
    finished_copy: StudyFolder,
) -> None:
    file = finished_copy.directory / "study.json"
    written = read_json(file)
    # Prepared for more epochs than the searches were begun with.
    written["protocol"] |= {"epochs": 20, "num_folds": 6, "learning_rates": [0.5]}
    file.write_text(json.dumps(written))
    assert len(finished_copy.open().regime_1().results()) == 2
    assert len(finished_copy.open().regime_2().results()) == 2
    with pytest.raises(
        ResumeError, match=r"contains a search that differs .*\n  epochs: was 2, is 9"
    ):
        finished_copy.open(choices={"epochs": 9}).regime_1()
    assert len(finished_copy.open().regime_1().results()) == 2


def test_a_manifest_that_is_not_where_it_was_is_named_with_the_way_to_give_it(
    prepared: Path, radiographs: Path
) -> None:
    radiographs.rename(radiographs.with_name("moved.csv"))
    expected = r"key\.json names a manifest which does not exist\. .*prepare .* --manifest M\.csv"
    with pytest.raises(ResumeError, match=expected):
        Study(prepared).prepare()
    Study(prepared, radiographs.with_name("moved.csv")).prepare()
    assert Study(prepared).prepare() is not None


def test_a_changed_row_is_named(prepared: Path, radiographs: Path) -> None:
    table = pd.read_csv(radiographs, dtype=str)
    row = table["medial"].first_valid_index()
    table.loc[row, "medial"] = "1" if table.loc[row, "medial"] != "1" else "2"  # type: ignore[index]
    table.to_csv(radiographs, index=False)
    patient = Study(prepared).radiographs().written_patients[row]  # type: ignore[index]
    with pytest.raises(ResumeError, match=rf"row {row + 2} \(.*, patient {patient}\) changed\n"):  # type: ignore[operator]
        Study(prepared).prepare()


def test_every_choice_is_either_settled_or_a_search_field(tiny_protocol: Protocol) -> None:
    settled = {
        "objective",
        "seed",
        "holdout_fraction",
        "image_size",
        "resize",
        "crop",
        "remove_borders",
        "flips",
        "masked_loss",
        "weights",
        "precision",
        "extractor",
        "view_cortices",
        "folds_by",
        "union_threshold",
        "scale",
    }
    names = {field.name for field in dataclasses.fields(tiny_protocol)}
    assert names == settled | set(SEARCH_FIELDS)


def test_preparing_says_what_a_fold_trains_on_and_which_batch_sizes_make_that_one_step(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    notes = Notes()
    fitted = dataclasses.replace(
        tiny_protocol, batch_size_range=(16, 2048), fit_batch_sizes=True, baseline_batch_size=128
    )
    development = Study(tmp_path, phantom_manifest, fitted, progress=notes).prepare()
    rows = max(len(training) for training, _ in make_folds(development, 3, fitted.seed))
    (line,) = [note for note in notes.said if "a fold of Regime I trains on" in note]
    assert f"up to {rows} radiographs, so all batch sizes from that on are equivalent; " in line
    assert "of the batch sizes 16 to 2048 would contain the whole fold (one step per epoch)" in line
    assert f"to {rows}, logarithmically (--batch-sizes 16,2048 draws from all" in line
    (line,) = [note for note in notes.said if "the first models trains on" in note]
    assert "their batch size of 128 makes an epoch one step" in line


@pytest.mark.slow
def test_fitted_batch_sizes_are_recorded_and_resumed_as_they_were(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, feature_cache: Path
) -> None:
    fitted = dataclasses.replace(
        tiny_protocol, batch_size_range=(16, 2048), fit_batch_sizes=True, epochs=1
    )
    notes = Notes()
    shared: dict[str, Any] = {"cache": feature_cache, "progress": notes}
    Study(tmp_path, phantom_manifest, fitted, **shared).regime_1()
    assert len([note for note in notes.said if "contain the whole fold" in note]) == 1
    recorded = read_json(tmp_path / "study.json")
    sizes = recorded["batch_sizes"]
    assert (sizes["asked"], sizes["highest"]) == ([16, 2048], sizes["num_rows"])
    assert recorded["protocol"]["fit_batch_sizes"] is True
    run = read_json(tmp_path / "regime_1" / "search.json")
    space = run["space"]["batch_size"]["config"]
    assert (space["min_value"], space["max_value"]) == (sizes["lowest"], sizes["highest"])
    assert space["sampling"] == sizes["sampling"] == "log"
    # From Python and as the command line opens it, on the same records.
    before = {path: path.read_bytes() for path in (tmp_path / "regime_1").rglob("*.json")}
    Study(tmp_path, **shared).regime_1()
    opened = open_study(tmp_path, None, cache=feature_cache)
    assert opened.protocol_of("regime_1").fit_batch_sizes is True
    opened.regime_1()
    assert {path: path.read_bytes() for path in (tmp_path / "regime_1").rglob("*.json")} == before
    assert len([note for note in notes.said if "contain the whole fold" in note]) == 1


def test_search_fields_may_change_between_calls(prepared: Path, tiny_protocol: Protocol) -> None:
    changed = dataclasses.replace(
        tiny_protocol,
        num_folds=4,
        epochs=9,
        trials=7,
        batch_size_range=(8, 9),
        fit_batch_sizes=True,
        stop_hopeless=True,
        dropout_rate_range=(0.1, 0.2),
        learning_rates=(0.5,),
        epsilons=(0.5,),
        score_epoch="last",
        baseline_folds=4,
        baseline_epochs=9,
        baseline_batch_size=9,
        baseline_dropout_rate=0.1,
        final_folds=4,
        final_epochs=9,
        outer_folds=7,
    )
    assert all(getattr(changed, name) != getattr(tiny_protocol, name) for name in SEARCH_FIELDS)
    study = Study(prepared, protocol=changed)
    study.prepare()
    assert study.protocol == changed
