"""Study: each step is idempotent, refuses what changed, and heals after a kill at any point.

Long because it mirrors one module, and its tests share their fixtures.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from rust_tuner import Protocol, Study
from rust_tuner.cli.support import open_study
from rust_tuner.data.folds import make_folds
from rust_tuner.data.manifest import load_manifest
from rust_tuner.environment import describe_machine
from rust_tuner.errors import (
    LockedError,
    ManifestError,
    ResumeError,
    RustTunerError,
    SearchError,
    SplitError,
    WeightsError,
)
from rust_tuner.files import read_json
from rust_tuner.models.weights import find_local_weights
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_out_of_fold, read_project
from rust_tuner.records.study import SEARCH_FIELDS
from rust_tuner.search.regimes import best_of_regime_1


class Notes(Silent):
    """A progress that keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def contents(folder):
    """Every file of a folder but the locks, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name
    }


@pytest.fixture
def radiographs(tmp_path, phantom_manifest):
    """A manifest with its images that a test may change."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    return tmp_path / "radiographs" / "manifest.csv"


@pytest.fixture
def prepared(tmp_path, radiographs, tiny_protocol):
    Study(tmp_path / "study", radiographs, tiny_protocol).prepare()
    return tmp_path / "study"


def test_prepare_writes_down_protocol_seed_versions_and_hashes(tmp_path, phantom_manifest):
    protocol = Protocol.clinical(seed=3, weights="random", image_size=75, num_folds=3)
    development = Study(tmp_path / "study", phantom_manifest, protocol).prepare()
    written = read_json(tmp_path / "study" / "study.json")
    assert Protocol.from_json(written["protocol"]) == protocol
    assert written["protocol"]["seed"] == 3
    assert set(written["versions"]) == {
        "python",
        "rust-tuner",
        "keras",
        "keras-tuner",
        "numpy",
        "pandas",
        "scikit-learn",
        "scipy",
        "tensorflow",
    }
    assert written["versions"]["numpy"] == np.__version__
    assert (written["radiographs"], written["patients"]) == (28, 12)
    for name in ("radiographs_sha256", "images_sha256"):
        assert re.fullmatch("[0-9a-f]{64}", written[name])
    split = read_json(tmp_path / "study" / "split.json")
    assert split["seed"] == 3
    assert set(split["development"]) == set(development.radiographs.patient_ids)
    assert len(split["holdout"]) == 2
    assert not set(split["development"]) & set(split["holdout"])
    assert split["radiographs_sha256"] == written["radiographs_sha256"]
    assert written["split_sha256"] == split["sha256"]
    assert written["environments"] == {"prepare": [describe_machine()]}


def test_the_record_names_machine_threads_versions_and_split_of_every_step(finished_study):
    written = read_json(finished_study.directory / "study.json")
    assert set(written["environments"]) == {"prepare", "regime_1", "regime_2"}
    for step in ("regime_1", "regime_2"):
        (found,) = written["environments"][step]
        assert found.items() >= describe_machine().items()
        assert found["backend"] == "tensorflow"
        # What makes a trial repeat bitwise.
        assert found["inter_op_threads"] == 1
        assert any(device.startswith("CPU") for device in found["devices"])
        run = read_project(finished_study.directory / step).run
        assert found["versions"] == run["versions"]
        assert isinstance(found["onednn"], bool)
        assert found["onednn"] is run["onednn"]
    split = read_json(finished_study.directory / "split.json")
    assert written["split_sha256"] == split["sha256"]
    assert set(split["folds"]) == {"3"}
    assert written["weights"]["sha256"]


def test_a_step_on_another_machine_is_noted_beside_the_first(finished_copy, monkeypatch):
    before = read_json(finished_copy.directory / "study.json")["environments"]
    finished_copy.open().regime_1()
    assert read_json(finished_copy.directory / "study.json")["environments"] == before
    other = describe_machine() | {"processor": "another one"}
    monkeypatch.setattr("rust_tuner.steps.notes.describe_machine", lambda: other)
    finished_copy.open().regime_1()
    finished_copy.open().regime_1()
    noted = read_json(finished_copy.directory / "study.json")["environments"]
    assert [found["processor"] for found in noted["regime_1"]] == [
        before["regime_1"][0]["processor"],
        "another one",
    ]
    assert noted["regime_2"] == before["regime_2"]


def test_prepare_twice_writes_nothing_new_and_gives_the_same_development_set(
    prepared, radiographs, tiny_protocol
):
    before = contents(prepared)
    first = Study(prepared).prepare()
    second = Study(prepared, radiographs, tiny_protocol).prepare()
    assert contents(prepared) == before
    pd.testing.assert_frame_equal(first.radiographs.table, second.radiographs.table)


def test_no_patient_of_the_holdout_set_is_in_the_development_set(prepared, radiographs):
    development = Study(prepared).prepare()
    sealed = set(read_json(prepared / "split.json")["holdout"])
    everyone = set(load_manifest(radiographs).patient_ids)
    assert sealed | set(development.radiographs.patient_ids) == everyone
    assert not sealed & set(development.radiographs.patient_ids)


def test_a_prepared_study_knows_its_protocol(prepared, tiny_protocol):
    assert Study(prepared).protocol == tiny_protocol


def test_a_study_without_a_manifest_says_what_to_give(tmp_path):
    with pytest.raises(ResumeError, match=r"has not been prepared; give its manifest"):
        Study(tmp_path / "study").prepare()
    assert not (tmp_path / "study").exists()


def test_a_changed_score_is_refused_with_what_was_and_is(prepared, radiographs):
    table = pd.read_csv(radiographs, dtype=str)
    row = table["medial"].first_valid_index()
    table.loc[row, "medial"] = "1" if table.loc[row, "medial"] != "1" else "2"
    table.to_csv(radiographs, index=False)
    before = contents(prepared)
    with pytest.raises(
        ResumeError,
        match=r"radiographs: was 28 of 12 patients \(SHA-256 (\w{12})\), "
        r"is 28 of 12 patients \(SHA-256 (?!\1)\w{12}\)",
    ):
        Study(prepared).prepare()
    assert contents(prepared) == before


def test_a_removed_row_is_refused_with_both_counts(prepared, radiographs):
    lines = radiographs.read_text().splitlines(keepends=True)
    radiographs.write_text("".join(lines[:-1]))
    with pytest.raises(ResumeError, match=r"was 28 of 12 patients .* is 27 of 11 patients"):
        Study(prepared).prepare()


def test_an_image_that_changed_is_refused(prepared, radiographs):
    first, second = load_manifest(radiographs).images[:2]
    shutil.copyfile(first, second)
    with pytest.raises(ResumeError, match=r"image files of .* changed .* was \w{12}, is \w{12}"):
        Study(prepared).prepare()


def test_images_under_new_names_and_rows_in_another_order_are_the_same_study(prepared, radiographs):
    table = pd.read_csv(radiographs, dtype=str).iloc[::-1]
    for name in table["image"]:
        (radiographs.parent / name).rename(radiographs.parent / f"{name[:-4]}_renamed.png")
    table["image"] = table["image"].str.replace(".png", "_renamed.png")
    table.to_csv(radiographs, index=False)
    assert len(Study(prepared).prepare()) == len(read_development(prepared, radiographs))


def read_development(study, manifest):
    table = load_manifest(manifest).table
    return table[table["patient_id"].isin(read_json(study / "split.json")["development"])]


def test_another_manifest_is_refused_and_both_are_named(prepared, radiographs):
    other = radiographs.with_name("other.csv")
    lines = radiographs.read_text().splitlines()
    other.write_text("\n".join(lines[:-2]) + "\n")
    told = f"prepared from {re.escape(str(radiographs))}, and {re.escape(str(other))} has other"
    with pytest.raises(ResumeError, match=told):
        Study(prepared, other).prepare()
    assert Study(prepared).prepare() is not None


def test_the_same_radiographs_elsewhere_are_the_same_study(prepared, radiographs, tmp_path):
    expected = Study(prepared).prepare().radiographs.table["patient_id"]
    moved = tmp_path / "moved"
    radiographs.parent.rename(moved)
    development = Study(prepared, moved / radiographs.name).prepare()
    assert list(development.radiographs.table["patient_id"]) == list(expected)
    # From now on it is known.
    assert list(Study(prepared).prepare().radiographs.table["patient_id"]) == list(expected)


def test_of_two_that_prepare_at_once_the_second_takes_up_the_first(
    tmp_path, radiographs, tiny_protocol
):
    first = Study(tmp_path / "study", radiographs, tiny_protocol)
    second = Study(tmp_path / "study", radiographs, tiny_protocol)
    other = dataclasses.replace(tiny_protocol, objective="val_cortex_auroc")
    third = Study(tmp_path / "study", radiographs, other)
    first.prepare()
    content = (tmp_path / "study" / "study.json").read_bytes()
    second.prepare()
    with pytest.raises(ResumeError, match="objective: was val_auroc, is val_cortex_auroc"):
        third.prepare()
    assert (tmp_path / "study" / "study.json").read_bytes() == content


def test_what_killed_writes_left_aside_is_removed(prepared):
    leftover = prepared / ".1-0123abcd.part"
    leftover.write_bytes(b"half")
    Study(prepared).prepare()
    assert not leftover.exists()


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
        ("view_cortices", {"ap": ("anterior", "posterior"), "lateral": ("medial", "lateral")}),
    ],
)
def test_another_choice_is_refused_with_what_was_and_is(prepared, tiny_protocol, field, value):
    changed = dataclasses.replace(tiny_protocol, **{field: value})
    was, now = tiny_protocol.to_json()[field], changed.to_json()[field]
    told = re.escape(f"  {field}: was {was}, is {now}\n")
    with pytest.raises(ResumeError, match=f"prepared with other choices:\n{told}Restore"):
        Study(prepared, protocol=changed)


def test_weights_that_were_found_are_settled_when_the_study_is_prepared(
    prepared, finished_study, tiny_protocol
):
    changed = dataclasses.replace(tiny_protocol, weights="imagenet")
    assert read_json(prepared / "study.json")["weights"]["asked"] == "random"
    for folder in (prepared, finished_study.directory):
        with pytest.raises(ResumeError, match="weights: was random, is imagenet"):
            Study(folder, protocol=changed)
        with pytest.raises(ResumeError, match="weights: was random, is imagenet"):
            Study(folder, choices={"weights": "imagenet"})


def test_imagenet_weights_that_are_not_on_the_machine_yet_may_still_be_changed(
    tmp_path, radiographs, tiny_protocol, monkeypatch
):
    monkeypatch.delenv("RUST_TUNER_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    asked = dataclasses.replace(tiny_protocol, weights="imagenet")
    Study(tmp_path / "study", radiographs, asked).prepare()
    assert read_json(tmp_path / "study" / "study.json")["weights"] is None
    assert Study(tmp_path / "study", protocol=tiny_protocol).protocol.weights == "random"


@pytest.mark.parametrize("content", [None, b"no HDF5 file"])
def test_a_mistyped_weights_file_is_refused_before_anything_is_written(
    tmp_path, radiographs, tiny_protocol, content
):
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


@pytest.mark.parametrize("step", ["baselines", "regime_1", "regime_2", "nested", "noise", "final"])
def test_weights_replaced_under_the_same_name_are_refused_by_every_step(
    step, finished_copy, tmp_path, monkeypatch
):
    path = tmp_path / "weights.h5"
    path.write_bytes(b"first")
    monkeypatch.setattr("rust_tuner.steps.study_weights.check_architecture", lambda weights: None)
    file = finished_copy.directory / "study.json"
    written = read_json(file)
    written["weights"] = find_local_weights(path).to_json()
    written["protocol"]["weights"] = str(path)
    file.write_text(json.dumps(written))
    path.write_bytes(b"second")
    before = contents(finished_copy.directory)
    with pytest.raises(ResumeError, match=r"made with the weights weights\.h5 .* one backbone"):
        getattr(finished_copy.open(), step)()
    changed = {n for n, c in contents(finished_copy.directory).items() if before.get(n) != c}
    assert changed <= {"split.json"}


def test_what_a_step_was_begun_with_is_what_python_resumes_it_with(
    tmp_path, radiographs, tiny_protocol, monkeypatch
):
    asked = []

    def begin(development, directory, **arguments):
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


def test_a_step_resumes_with_its_own_choices_and_refuses_others_with_a_table(finished_copy):
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
    prepared, radiographs
):
    radiographs.rename(radiographs.with_name("moved.csv"))
    told = (
        r"names the manifest .*manifest\.csv, which does not exist\. .*prepare .* --manifest M\.csv"
    )
    with pytest.raises(ResumeError, match=told):
        Study(prepared).prepare()
    Study(prepared, radiographs.with_name("moved.csv")).prepare()
    assert Study(prepared).prepare() is not None


def test_a_changed_row_is_named(prepared, radiographs):
    table = pd.read_csv(radiographs, dtype=str)
    row = table["medial"].first_valid_index()
    table.loc[row, "medial"] = "1" if table.loc[row, "medial"] != "1" else "2"
    table.to_csv(radiographs, index=False)
    patient = table.loc[row, "patient_id"]
    with pytest.raises(ResumeError, match=rf"row {row + 2} \(.*, patient {patient}\) changed\n"):
        Study(prepared).prepare()


def test_every_choice_is_either_settled_or_a_search_field(tiny_protocol):
    settled = {
        "objective",
        "seed",
        "holdout_fraction",
        "image_size",
        "resize",
        "flips",
        "masked_loss",
        "weights",
        "precision",
        "view_cortices",
        "folds_by",
        "union_threshold",
        "scale",
    }
    names = {field.name for field in dataclasses.fields(tiny_protocol)}
    assert names == settled | set(SEARCH_FIELDS)


def test_preparing_says_what_a_fold_trains_on_and_which_batch_sizes_make_that_one_step(
    tmp_path, phantom_manifest, tiny_protocol
):
    notes = Notes()
    fitted = dataclasses.replace(
        tiny_protocol, batch_size_range=(16, 2048), fit_batch_sizes=True, baseline_batch_size=128
    )
    development = Study(tmp_path, phantom_manifest, fitted, progress=notes).prepare()
    rows = max(len(training) for training, _ in make_folds(development, 3, fitted.seed))
    (told,) = [note for note in notes.said if "a fold of Regime I trains on" in note]
    assert f"up to {rows} radiographs, so from that batch size on all are alike; " in told
    assert "of the batch sizes 16 to 2048 would hold the whole fold (one step an epoch)" in told
    assert f"to {rows}, logarithmically (--batch-sizes 16,2048 draws from all" in told
    (told,) = [note for note in notes.said if "the first models trains on" in note]
    assert "their batch size of 128 makes an epoch one step" in told


def test_fitted_batch_sizes_are_recorded_and_resumed_as_they_were(
    tmp_path, phantom_manifest, tiny_protocol, feature_cache
):
    fitted = dataclasses.replace(
        tiny_protocol, batch_size_range=(16, 2048), fit_batch_sizes=True, epochs=1
    )
    notes = Notes()
    shared = {"cache": feature_cache, "progress": notes}
    Study(tmp_path, phantom_manifest, fitted, **shared).regime_1()
    assert len([note for note in notes.said if "hold the whole fold" in note]) == 1
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
    assert len([note for note in notes.said if "hold the whole fold" in note]) == 1


def test_search_fields_may_change_between_calls(prepared, tiny_protocol):
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


@pytest.mark.parametrize("side", ["development", "holdout"])
def test_a_patient_moved_between_the_sides_of_the_split_is_noticed(prepared, side):
    path = prepared / "split.json"
    split = read_json(path)
    other = "holdout" if side == "development" else "development"
    split[other].append(split[side].pop())
    path.write_text(json.dumps(split))
    with pytest.raises(SplitError, match=r"split\.json"):
        Study(prepared).prepare()


def test_a_missing_split_of_a_prepared_study_is_made_again_and_is_the_same(prepared):
    before = contents(prepared)
    (prepared / "split.json").unlink()
    Study(prepared).prepare()
    assert contents(prepared) == before


def test_a_bad_image_is_found_before_anything_is_written_and_mending_it_helps(
    tmp_path, radiographs, tiny_protocol
):
    bad = load_manifest(radiographs).images[4]
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    study = Study(tmp_path / "study", radiographs, tiny_protocol)
    with pytest.raises(ManifestError, match=rf"row 6: .*{re.escape(bad.name)}.*truncated"):
        study.prepare()
    assert contents(tmp_path / "study") == {}
    bad.write_bytes(whole)
    study.prepare()
    assert set(contents(tmp_path / "study")) == {"study.json", "split.json"}


def test_a_study_that_cannot_be_split_is_not_prepared(tmp_path, radiographs, tiny_protocol):
    too_small = dataclasses.replace(tiny_protocol, holdout_fraction=0.01)
    study = Study(tmp_path / "study", radiographs, too_small)
    for _ in range(2):
        with pytest.raises(SplitError, match="leaves the hold-out set empty"):
            study.prepare()
        assert contents(tmp_path / "study") == {}


@pytest.mark.parametrize("killed_at", ["before study.json", "before split.json"])
def test_a_kill_while_preparing_heals(
    tmp_path, radiographs, tiny_protocol, prepared, monkeypatch, killed_at
):
    def die(*arguments):
        raise KeyboardInterrupt

    places = {
        "before study.json": "records.study.write_record",
        "before split.json": "steps.prepare.load_or_make_split",
    }
    with monkeypatch.context() as patched:
        patched.setattr(f"rust_tuner.{places[killed_at]}", die)
        with pytest.raises(KeyboardInterrupt):
            Study(tmp_path / "killed", radiographs, tiny_protocol).prepare()
    left = {"split.json"} if killed_at == "before study.json" else set()
    assert set(contents(tmp_path / "killed")) == left
    Study(tmp_path / "killed", radiographs, tiny_protocol).prepare()
    assert contents(tmp_path / "killed") == contents(prepared)


def test_a_study_killed_between_its_files_is_not_taken_up_with_another_seed(
    prepared, radiographs, tiny_protocol
):
    (prepared / "study.json").unlink()
    other = dataclasses.replace(tiny_protocol, seed=1)
    with pytest.raises(SplitError, match="made with seed 0, but seed 1 was requested"):
        Study(prepared, radiographs, other).prepare()
    assert not (prepared / "study.json").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"format": 1, "man', "study.json is not valid JSON"),
        ("[]", "study.json is not a JSON object"),
        ('{"format": 2}', "study.json has a format that this version does not know"),
        ('{"format": 1}', r"study.json is damaged \(manifest: field required, and"),
    ],
)
def test_a_damaged_study_file_is_named(prepared, text, told):
    (prepared / "study.json").write_text(text)
    with pytest.raises(RustTunerError, match=told):
        Study(prepared)


def test_a_study_of_a_newer_protocol_is_named(prepared):
    path = prepared / "study.json"
    written = read_json(path)
    written["protocol"]["pooling"] = "mean"
    path.write_text(json.dumps(written))
    with pytest.raises(ResumeError, match=r"study\.json: its protocol .*unknown .*'pooling'"):
        Study(prepared)


def test_another_process_in_the_study_is_named(prepared):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from rust_tuner.locks import hold_lock\n"
        "with hold_lock(Path(sys.argv[1]), 'Regime I'):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(prepared)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(LockedError, match=f"in use by process {holder.pid} .*Regime I"):
                Study(prepared).prepare()
        finally:
            holder.kill()
    Study(prepared).prepare()


def test_a_study_moves_with_its_manifest(tmp_path, radiographs, tiny_protocol):
    Study(tmp_path / "old" / "study", radiographs, tiny_protocol).prepare()
    (tmp_path / "new").mkdir()
    shutil.move(radiographs.parent, tmp_path / "new")
    shutil.move(tmp_path / "old", tmp_path / "new")
    development = Study(tmp_path / "new" / "old" / "study").prepare()
    assert all(image.is_relative_to(tmp_path / "new") for image in development.radiographs.images)


@pytest.mark.parametrize("name", ["with spaces", "[brackets] {} (*?)", "größer 脛骨 é", "-dash"])
def test_any_folder_name_will_do(tmp_path, radiographs, tiny_protocol, name):
    Study(tmp_path / name, radiographs, tiny_protocol).prepare()
    assert set(contents(tmp_path / name)) == {"study.json", "split.json"}
    Study(tmp_path / name).prepare()


def test_regime_2_without_regime_1_and_without_values_says_what_to_do(
    tmp_path, radiographs, tiny_protocol
):
    study = Study(tmp_path / "study", radiographs, tiny_protocol)
    for values in ({}, {"batch_size": 16}, {"dropout_rate": 0.2}):
        with pytest.raises(SearchError, match=r"Regime I has not been run .*give batch size"):
            study.regime_2(**values)


def test_regime_2_after_an_unfinished_regime_1_says_how_far_it_is(finished_copy):
    shutil.rmtree(finished_copy.directory / "regime_2")
    shutil.rmtree(finished_copy.directory / "regime_1" / "trial_0001")
    with pytest.raises(SearchError, match="has 1 of 2 trials; finish Regime I first, or give"):
        finished_copy.open().regime_2()


def test_both_regimes_complete_every_trial(finished_study):
    for regime in ("regime_1", "regime_2"):
        project = read_project(finished_study.directory / regime)
        assert [trial.trial for trial in project.trials] == ["0000", "0001"]
        assert [trial.status for trial in project.trials] == ["COMPLETED", "COMPLETED"]
        assert project.problems == ()


def test_regime_2_takes_the_best_of_regime_1_and_searches_only_adam(finished_study):
    best = best_of_regime_1(finished_study.directory)
    trials = read_project(finished_study.directory / "regime_2").trials
    for trial in trials:
        assert trial.values["batch_size"] == best["batch_size"]
        assert trial.values["dropout_rate"] == best["dropout_rate"]
        assert trial.values["epsilon"] == 1e-7
    assert {trial.values["learning_rate"] for trial in trials} == {1e-2, 1e-3}
    scores = {t.trial: t.score for t in read_project(finished_study.directory / "regime_1").trials}
    best_trial = max(scores, key=scores.get)
    values = {t.trial: t.values for t in read_project(finished_study.directory / "regime_1").trials}
    assert values[best_trial] == best


def test_the_best_hyperparameters_are_written_with_the_weights_really_used(finished_study):
    from rust_tuner.models.backbones import find_weights

    written = read_json(finished_study.directory / "best_hyperparameters.json")
    project = read_project(finished_study.directory / "regime_2")
    assert written["regime"] == "regime_2"
    assert written["hyperparameters"] == project.best.values
    assert written["score"] == max(trial.score for trial in project.trials)
    used = {"asked": "random", "file": None, "sha256": find_weights("random").sha256}
    assert written["weights"] == used
    assert read_json(finished_study.directory / "study.json")["weights"] == used


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, finished_study):
    """Both regimes run again in a copy: what is there before and after, and the tuners."""
    root = tmp_path_factory.mktemp("resumed") / "again"
    shutil.copytree(finished_study.directory.parent, root)
    directory = root / finished_study.directory.name
    before = contents(directory)
    notes = Notes()
    study = Study(directory, cache=finished_study.cache, progress=notes)
    start = time.monotonic()
    tuners = {"regime_1": study.regime_1(), "regime_2": study.regime_2()}
    return before, contents(directory), tuners, notes.said, time.monotonic() - start


def test_running_again_adds_nothing_and_changes_no_byte(resumed):
    before, after, _, said, _ = resumed
    assert sorted(before) == sorted(after)
    # KerasTuner's own state lists trials in the order in which this process met them.
    assert {name for name in before if before[name] != after[name]} <= {
        "regime_1/oracle.json",
        "regime_2/oracle.json",
        "regime_1/tuner0.json",
        "regime_2/tuner0.json",
    }
    assert said == []


def test_results_have_a_row_a_trial_with_score_spread_and_baseline(resumed):
    for tuner in resumed[2].values():
        results = tuner.results()
        assert list(results["trial"]) == ["0000", "0001"]
        assert np.isfinite(results[["score", "score_std", "seconds"]].to_numpy(float)).all()
        assert (results["score"] == results["val_auroc"]).all()
        assert (results["score_std"] == results["val_auroc_std"]).all()
        for name in ("batch_size", "dropout_rate", "learning_rate", "epsilon"):
            assert results[name].notna().all()
        for name in ("view_only_auroc", "view_only_cortex_auroc"):
            assert results[name].nunique() == 1
        assert (results["view_only_cortex_auroc"].between(0.3, 0.7)).all()
        assert results["message"].isna().all()


def test_history_is_tidy_and_complete(resumed):
    for tuner in resumed[2].values():
        history = tuner.history()
        assert list(history.columns) == ["trial", "fold", "epoch", "split", "metric", "value"]
        keys = ["trial", "fold", "epoch", "split", "metric"]
        assert not history.duplicated(keys).any()
        expected = pd.MultiIndex.from_product(
            [
                ["0000", "0001"],
                range(3),
                range(2),
                ["training", "validation"],
                ["auroc", "cortex_auroc", "loss"],
            ],
            names=keys,
        )
        found = history.set_index(keys).index
        assert set(found) == set(expected)
        assert np.isfinite(history["value"]).all()


def test_every_development_row_is_predicted_by_the_fold_that_left_it_out(resumed, finished_study):
    rows = len(finished_study.open().prepare())
    for tuner in resumed[2].values():
        for trial in ("0000", "0001"):
            predictions = read_out_of_fold(tuner.project_folder, trial)
            assert predictions.shape == (rows, 18)
            assert ((predictions > 0) & (predictions < 1)).all()


def test_warnings_about_split_and_folds_come_once_and_many_in_one_line(
    tmp_path, phantom_manifest, tiny_protocol, monkeypatch
):
    monkeypatch.setattr("rust_tuner.search.regimes.regime_1", lambda *_, **__: None)
    monkeypatch.setattr(Study, "_record", lambda *_: None)
    notes = Notes()
    # A seed whose two sealed patients lack some labels, and share others.
    protocol = dataclasses.replace(tiny_protocol, seed=2)
    study = Study(tmp_path / "study", phantom_manifest, protocol, progress=notes)
    study.regime_1()
    *sealed, holdout, resolved, folds = notes.said
    training, _ = zip(*make_folds(study.prepare(), 3, 0), strict=True)
    rows = max(map(len, training))
    sizes = protocol.batch_sizes(rows)
    assert [line.partition(" (")[0] for line in sealed] == [
        "note: no radiograph of the hold-out set",
        "note: every radiograph of the hold-out set",
        f"note: a fold of Regime I trains on up to {rows} radiographs, so from that batch size on "
        f"all are alike; {sizes}".partition(" (")[0],
    ]
    assert holdout.startswith("note: the hold-out set has 2 patients")
    assert "a search can tell trials apart" in resolved
    assert re.match(
        r"note: only \d of \d+ patients \w+ [\w ]+, score \d, fewer than the 3 folds: ", folds
    )
    assert re.search(r" \(\d+ more notes of this kind\)$", folds)
    study.regime_1()
    Study(tmp_path / "study", progress=notes).regime_1()
    assert notes.said[: len(sealed) + 3] == [*sealed, holdout, resolved, folds]
    # A search of another day, which has not begun, says again what the data allow.
    assert notes.said[len(sealed) + 3 :] == [holdout, resolved]


@pytest.mark.parametrize("step", ["regime_1", "regime_2", "final", "nested"])
def test_every_step_takes_the_weights_of_the_study(step, finished_copy):
    study = Study(finished_copy.directory, cache=finished_copy.cache)
    path = finished_copy.directory / "study.json"
    written = read_json(path)
    path.write_text(json.dumps(written | {"weights": written["weights"] | {"sha256": "ab" * 32}}))
    study = Study(finished_copy.directory, cache=finished_copy.cache)
    with pytest.raises(ResumeError, match=r"SHA-256 abababababab.*a study has one backbone"):
        getattr(study, step)()
    assert not (finished_copy.directory / "final").exists()


def test_regime_1_again_leaves_the_best_of_regime_2(finished_copy):
    path = finished_copy.directory / "best_hyperparameters.json"
    before = path.read_bytes()
    assert read_json(path)["regime"] == "regime_2"
    Study(finished_copy.directory, cache=finished_copy.cache).regime_1()
    assert path.read_bytes() == before


@pytest.mark.slow
def test_regime_2_and_final_go_on_without_a_regime_1(
    tmp_path, phantom_manifest, tiny_protocol, feature_cache
):
    shared = {"cache": feature_cache}
    Study(tmp_path, phantom_manifest, tiny_protocol, **shared).regime_2(8, 0.25)
    tuner = Study(tmp_path, **shared).regime_2()
    assert set(tuner.results()["batch_size"]) == {8}
    assert Study(tmp_path, **shared).final()["radiographs"] > 0


@pytest.mark.slow
def test_a_final_model_at_other_values_than_regime_1s_best_is_said(
    tmp_path, phantom_manifest, tiny_protocol, feature_cache
):
    notes = Notes()
    study = Study(tmp_path, phantom_manifest, tiny_protocol, cache=feature_cache, progress=notes)
    study.regime_1()
    study.regime_2(5, 0.125)
    study.final()
    told = [note for note in notes.said if "the final model uses that of Regime II" in note]
    assert any("batch_size=5" in note for note in told)
    assert any("dropout_rate=0.125" in note for note in told)


REGIME_1 = """
import json, sys
from rust_tuner import Protocol, Study

folder, manifest, cache, protocol = sys.argv[1:]
Study(folder, manifest, Protocol.from_json(json.loads(protocol)), cache=cache).regime_1()
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_switch_onednn(), reason="the variable means something else here")
def test_a_study_begun_without_onednn_resumes_without_it_and_bitwise(
    tmp_path, phantom_manifest, tiny_protocol
):
    # As from a shell of the user's, who has set nothing.
    chosen = (ONEDNN_VARIABLE, "RUST_TUNER_ONEDNN_OPTS")
    unset = {name: value for name, value in os.environ.items() if name not in chosen}

    def run(folder: str, trials: int, **variables: str) -> subprocess.CompletedProcess:
        protocol = json.dumps(dataclasses.replace(tiny_protocol, trials=trials).to_json())
        places = map(str, (tmp_path / folder, phantom_manifest, tmp_path / "cache"))
        command = [sys.executable, "-c", REGIME_1, *places, protocol]
        return subprocess.run(
            command, env=unset | variables, capture_output=True, text=True, check=False
        )

    for folder, trials, variables in (
        ("whole", 2, {ONEDNN_VARIABLE: "0"}),
        ("resumed", 1, {ONEDNN_VARIABLE: "0"}),
        ("resumed", 2, {}),
    ):
        done = run(folder, trials, **variables)
        assert done.returncode == 0, done.stderr
        # Half of the features are lost in between.
        for entry in sorted((tmp_path / "cache").rglob("*.f32"))[::2]:
            entry.unlink()
    whole, resumed = (
        read_project(tmp_path / folder / "regime_1") for folder in ("whole", "resumed")
    )
    assert whole.run == resumed.run
    assert whole.run["onednn"] is False
    assert [trial.score for trial in whole.trials] == [trial.score for trial in resumed.trials]
    for number in range(2):
        place = f"regime_1/trial_{number:04d}/out_of_fold.npz"
        one, other = (
            np.load(tmp_path / folder / place)["predictions"] for folder in ("whole", "resumed")
        )
        assert np.array_equal(one, other, equal_nan=True)
    refused = run("resumed", 2, **{ONEDNN_VARIABLE: "1"})
    assert refused.returncode
    assert "onednn: was False, is True" in refused.stderr
    assert f"{ONEDNN_VARIABLE}=0 before Python starts" in refused.stderr
