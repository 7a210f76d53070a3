"""A project folder belongs to one search, and its manifest says to which."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pytest
from search_problems import TinyHyperModel, run_search

from rust_tuner.errors import ResumeError
from rust_tuner.records.run import Objective, RunManifest, Subject
from rust_tuner.search import runs
from rust_tuner.search.runs import (
    claim_folder,
    claim_record,
    require_begun_backend,
    run_key,
    with_begun_kernels,
)

RUN = RunManifest(  # type: ignore[call-arg]
    format=1,
    oracle="RandomSearchOracle",
    objective=Objective(name="val_auroc", direction="max"),
    space={},
    max_trials=4,
    num_trials=4,
    seed=1,
    epochs=2,
    subject=Subject(inputs="abc", folds="def", num_folds=3),
    versions={},
)


def claim(folder: Path, run: RunManifest) -> None:
    with claim_folder(folder, run):
        pass


def manifest(folder: Path) -> Any:
    return json.loads((folder / "search.json").read_text())


def test_a_new_search_writes_its_manifest_once(tmp_path: Path) -> None:
    claim(tmp_path, RUN)
    assert manifest(tmp_path) == RUN.to_json()
    before = (tmp_path / "search.json").stat()
    claim(tmp_path, RunManifest.of(json.loads(json.dumps(RUN.to_json()))))
    after = (tmp_path / "search.json").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert [path.name for path in tmp_path.iterdir()] == ["search.json"]


def test_another_search_is_refused_with_a_table_of_all_that_differs(tmp_path: Path) -> None:
    claim(tmp_path, RUN)
    content = (tmp_path / "search.json").read_bytes()
    subject = RUN.subject.with_changes(inputs="x" * 70)
    other = RUN.with_changes(seed=2, subject=subject, batch_size=3).to_json()
    del other["oracle"]
    with pytest.raises(ResumeError) as caught:
        claim(tmp_path, RunManifest.of(other))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path} contains a search that differs from this one:"
    assert lines[1:-1] == [
        "  batch_size: was absent, is 3",
        "  oracle: was RandomSearchOracle, is absent",
        "  seed: was 1, is 2",
        f"  subject.inputs: was abc, is {'x' * 57}...",
    ]
    assert "Only max_trials may change" in lines[-1]
    assert (tmp_path / "search.json").read_bytes() == content


def test_the_number_of_trials_may_change_and_is_no_part_of_the_key(tmp_path: Path) -> None:
    claim(tmp_path, RUN)
    longer = RUN.with_changes(max_trials=9, num_trials=6)
    claim(tmp_path, longer)
    assert manifest(tmp_path) == longer.to_json()
    assert run_key(longer) == run_key(RUN)
    assert run_key(RUN.with_changes(seed=2)) != run_key(RUN)


@pytest.mark.parametrize("content", ["", '{"seed": 1', "\x00\x01", "[]", "null", "7"])
def test_a_damaged_manifest_is_written_anew(content: str, tmp_path: Path) -> None:
    place = tmp_path / "trial_0000"
    place.mkdir()
    (place / "trial.json").write_text("{}")
    (tmp_path / "search.json").write_text(content)
    claim(tmp_path, RUN)
    assert manifest(tmp_path) == RUN.to_json()


def test_trials_without_a_manifest_are_those_of_another_program(tmp_path: Path) -> None:
    place = tmp_path / "trial_0000"
    place.mkdir()
    (place / "trial.json").write_text("{}")
    with pytest.raises(ResumeError, match=r"contains trials but no search\.json, so another progr"):
        claim(tmp_path, RUN)
    assert not (tmp_path / "search.json").exists()


def test_what_was_written_aside_and_never_named_is_removed_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "trial_0000"
    place.mkdir()
    leftovers = [tmp_path / ".71-0123abcd.part", place / ".fold_0.71-0123abcd.part.npz"]
    others = [tmp_path / "notes.part", place / "fold_0.npz", tmp_path / ".lock"]
    for path in (*leftovers, *others):
        path.write_bytes(b"half")
    claim(tmp_path, RUN)
    assert not any(path.exists() for path in leftovers)
    assert all(path.read_bytes() == b"half" for path in others)


def test_a_refused_folder_keeps_even_its_leftovers(tmp_path: Path) -> None:
    claim(tmp_path, RUN)
    leftover = tmp_path / ".71-0123abcd.part"
    leftover.write_bytes(b"half")
    with pytest.raises(ResumeError, match="seed: was 1, is 2"):
        claim(tmp_path, RUN.with_changes(seed=2))
    assert leftover.exists()


def test_a_folder_whose_trials_are_refused_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(ResumeError, match="foreign"), claim_folder(tmp_path, RUN):
        raise ResumeError("foreign")
    assert (tmp_path / "search.json").read_text() == "{"


@pytest.mark.parametrize("content", [None, "", '{"seed": 1', "[]"])
def test_a_record_that_is_not_there_or_damaged_is_written(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "nested" / "nested.json"
    if content is not None:
        path.parent.mkdir()
        path.write_text(content)
    claim_record(path, RUN, what="a nested cross-validation")
    assert json.loads(path.read_text()) == RUN.to_json()
    inside = path.parent / "outer_00" / ".12-0123abcd.part"
    inside.parent.mkdir()
    inside.write_text("{")
    claim_record(
        path,
        RunManifest.of(json.loads(json.dumps(RUN.to_json()))),
        what="a nested cross-validation",
    )
    assert not inside.exists()


def test_a_record_of_something_else_is_refused_but_for_what_is_free(tmp_path: Path) -> None:
    path = tmp_path / "noise" / "noise.json"
    claim_record(path, RUN.with_changes(repeats=2), what="a noise floor", free=("repeats",))
    claim_record(path, RUN.with_changes(repeats=3), what="a noise floor", free=("repeats",))
    assert json.loads(path.read_text())["repeats"] == 3
    before = path.read_bytes()
    with pytest.raises(ResumeError) as caught:
        claim_record(path, RUN.with_changes(max_trials=5), what="a noise floor", free=("repeats",))
    assert str(caught.value).splitlines() == [
        f"{path.parent} contains a noise floor that differs from this one:",
        "  max_trials: was 4, is 5",
        f"Restore the old values to resume it, or remove {path.parent} to start again.",
    ]
    assert path.read_bytes() == before


@pytest.mark.parametrize("was", [True, False])
def test_a_search_begun_by_other_kernels_is_refused_with_the_variable_that_mends_it(
    was: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "can_switch_onednn", lambda: True)
    path = tmp_path / "search.json"
    said: list[str] = []
    path.write_text(json.dumps(RUN.with_changes(onednn=was).to_json()))
    now = RUN.with_changes(onednn=not was)
    run = with_begun_kernels(path, now, say=said.append)
    assert (run, said) == (now, [])
    with pytest.raises(ResumeError, match=f"onednn: was {was}, is {not was}") as refusal:
        with claim_folder(tmp_path, run):
            pass
    assert f"TF_ENABLE_ONEDNN_OPTS={int(was)} before Python starts" in str(refusal.value)
    assert json.loads(path.read_text())["onednn"] is was


def test_a_search_begun_on_another_backend_is_refused_with_the_variable_that_mends_it(
    tmp_path: Path,
) -> None:
    here = RUN.with_changes(versions={"backend": keras.backend.backend()}, onednn=None)
    begun = here.with_changes(versions={"backend": "another"}, onednn=True)
    path = tmp_path / "search.json"
    path.write_text(json.dumps(begun.to_json()))
    with pytest.raises(ResumeError) as refusal:
        require_begun_backend(tmp_path)
    assert f"begun on Keras's another backend, not {keras.backend.backend()}" in str(refusal.value)
    assert "KERAS_BACKEND=another before Python starts" in str(refusal.value)
    with pytest.raises(ResumeError, match="KERAS_BACKEND=another before") as refusal:
        claim_record(path, here, what="a noise floor")
    # Kernels of TensorFlow are not what must be chosen.
    assert "TF_ENABLE_ONEDNN_OPTS" not in str(refusal.value)
    path.write_text(json.dumps(here.to_json()))
    require_begun_backend(tmp_path)
    # The manifest of an earlier version does not name its backend.
    path.write_text(json.dumps(RUN.to_json()))
    require_begun_backend(tmp_path)


def test_a_search_of_an_earlier_version_keeps_its_key_and_its_manifest(tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    said: list[str] = []
    path.write_text(json.dumps(RUN.to_json()))
    run = with_begun_kernels(path, RUN.with_changes(onednn=True), say=said.append)
    assert run_key(run) == run_key(RUN)
    (line,) = said
    assert "did not record whether TensorFlow used oneDNN" in line
    assert "within 1e-3, not bitwise" in line


@pytest.mark.parametrize("now", [False, None])
def test_a_search_moved_to_a_machine_without_the_choice_goes_on_and_says_so(
    now: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "can_switch_onednn", lambda: False)
    path = tmp_path / "search.json"
    said: list[str] = []
    path.write_text(json.dumps(RUN.with_changes(onednn=True).to_json()))
    run = with_begun_kernels(path, RUN.with_changes(onednn=now), say=said.append)
    assert run.onednn is True
    (line,) = said
    assert "begun with TensorFlow's oneDNN, which cannot be chosen on this machine" in line


@pytest.mark.parametrize("content", [None, "{", "[]", '{"onednn": true}'])
def test_a_new_search_or_one_of_the_same_kernels_is_begun_as_it_is(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "search.json"
    if content is not None:
        path.write_text(content)
    run = RUN.with_changes(onednn=True)
    assert with_begun_kernels(path, run, say=pytest.fail) == run


Declare = Callable[[keras_tuner.HyperParameters], object]


def _in_order(hp: keras_tuner.HyperParameters) -> None:
    hp.Int("units", 1, 8)
    hp.Float("rate", 0.1, 0.5)


def _reordered(hp: keras_tuner.HyperParameters) -> None:
    hp.Float("rate", 0.1, 0.5)
    hp.Int("units", 1, 8)


def _narrower(hp: keras_tuner.HyperParameters) -> None:
    hp.Int("units", 4, 8)
    hp.Float("rate", 0.1, 0.5)


def _of_floats(hp: keras_tuner.HyperParameters) -> None:
    hp.Choice("units", [1.0, 2.0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (_in_order, _reordered, "in another order: was units, rate; is rate, units. Declare them"),
        (_in_order, _narrower, "space.units.config.min_value: was 1, is 4\nRestore the old values"),
        (
            lambda hp: hp.Choice("units", [1, 2]),
            _of_floats,
            "space.units.config.values: was [1, 2], is [1.0, 2.0]\nRestore",
        ),
    ],
)
def test_a_changed_space_is_named_and_not_the_code_or_the_records(
    old: Declare, new: Declare, message: str, tmp_path: Path
) -> None:
    def search(declare: Declare) -> None:
        class Model(TinyHyperModel):
            def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
                declare(hp)

            def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
                declare(hp)
                units = int(hp.get("units"))
                model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
                model.add(keras.layers.Dense(2, activation="sigmoid"))
                model.compile("sgd", "binary_crossentropy", run_eagerly=True)
                return model

        run_search(tmp_path, "random", hypermodel=Model(), epochs=1)

    search(old)
    with pytest.raises(ResumeError, match=re.escape(message)):
        search(new)
