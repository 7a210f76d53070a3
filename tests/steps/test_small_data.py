"""Small data: refused with the numbers where the next command would fail, explained elsewhere."""

import dataclasses
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from notes import Notes
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import split_holdout
from rust_tuner.errors import SplitError
from rust_tuner.steps.small_data import (
    Need,
    final_note,
    holdout_note,
    need_of_search,
    needs_of_study,
    require_enough,
    search_note,
)


def radiographs(num_patients: int, *, visits: int = 2, seed: int = 0) -> Radiographs:
    """Both views of every visit; all scores are equally frequent."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(num_patients):
        for visit in range(visits):
            for view, shown in (("ap", ("medial", "lateral")), ("lateral", ("anterior", "poste"))):
                row = {"patient_id": f"P{patient}", "visit": str(visit), "view": view}
                scores = dict.fromkeys(("medial", "lateral", "anterior", "posterior"), np.nan)
                for name in scores:
                    if name.startswith(shown):
                        scores[name] = float((patient + visit + rng.integers(2)) % 4 + 1)
                rows.append(row | scores | {"image": "x.png"})
    return Radiographs(pd.DataFrame(rows))


def refuse(
    num_patients: int, protocol: Protocol, needs: list[Need] | None = None, **more: Any
) -> None:
    data = radiographs(num_patients, **more)
    require_enough(data, protocol, needs or [need_of_search(protocol)])


def test_one_patient_fewer_than_the_least_is_refused_with_the_number_that_is_needed() -> None:
    protocol = Protocol.study(num_folds=6)
    refuse(7, protocol)
    with pytest.raises(SplitError, match=r"6 patients, of whom 1 is sealed .* and 5 are left"):
        refuse(6, protocol)
    with pytest.raises(SplitError, match=r"6 folds of at least one patient each.*to at least 7"):
        refuse(5, protocol)
    with pytest.raises(SplitError, match=r"take fewer folds \(--folds 4"):
        refuse(5, protocol)


@pytest.mark.slow
@pytest.mark.parametrize("num_folds", [2, 5])
@pytest.mark.parametrize("fraction", [0.15, 0.4])
def test_the_number_that_is_named_is_the_least_that_works(num_folds: int, fraction: float) -> None:
    protocol = Protocol.study(num_folds=num_folds, holdout_fraction=fraction)

    def works(num_patients: int) -> str:
        try:
            refuse(num_patients, protocol)
        except SplitError as error:
            return str(error)
        return ""

    numbers = [n for n in range(2, 30) if not works(n)]
    assert numbers == list(range(numbers[0], 30))
    refused = works(numbers[0] - 1)
    if "to at least" in refused:
        assert refused.endswith(f"to at least {numbers[0]}")


def test_a_fold_with_nothing_to_score_is_refused_and_a_number_of_folds_that_works_is_named() -> (
    None
):
    # One visit: a fold of one patient has one radiograph of each view, and nothing to compare.
    protocol = Protocol.study(num_folds=6)
    with pytest.raises(SplitError, match="none of whose cortices has two different scores") as text:
        refuse(8, protocol, visits=1)
    number = int(str(text.value).split("--folds ")[1].split(",")[0])
    fewer = dataclasses.replace(protocol, num_folds=number)
    refuse(8, fewer, visits=1)


def test_a_whole_study_is_refused_for_any_step_that_it_will_run() -> None:
    protocol = Protocol.study(num_folds=3, final_folds=5, baseline_folds=10)
    needs = needs_of_study(protocol, skip=())
    with pytest.raises(SplitError, match=r"first models.*10 folds.*--skip baselines.*--folds 7"):
        refuse(8, protocol, needs)
    refuse(8, protocol, needs_of_study(protocol, skip=("baselines",)))
    with pytest.raises(SplitError, match=r"final model.*5 folds.*--skip final.*--folds 4"):
        refuse(5, protocol, needs_of_study(protocol, skip=("baselines",)))
    refuse(5, protocol, needs_of_study(protocol, skip=("baselines", "final")))


def test_prepare_refuses_before_anything_is_written(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    too_many = dataclasses.replace(tiny_protocol, num_folds=11)
    with pytest.raises(SplitError, match="11 folds"):
        Study(tmp_path / "study", phantom_manifest, too_many).prepare()
    assert not list((tmp_path / "study").glob("*.json"))


def test_a_step_of_a_prepared_study_is_refused_before_it_trains(
    tmp_path: Path, prepared: Path, tiny_protocol: Protocol
) -> None:
    protocol = dataclasses.replace(tiny_protocol, baseline_folds=11)
    with pytest.raises(SplitError, match=r"this step divides them into 11 folds.*--folds \d"):
        Study(prepared, protocol=protocol).baselines()
    assert not (prepared / "baselines").exists()


def test_the_final_model_is_refused_before_it_trains(
    finished_copy: StudyFolder, tiny_protocol: Protocol
) -> None:
    study = finished_copy.open(dataclasses.replace(tiny_protocol, final_folds=11))
    with pytest.raises(SplitError, match=r"final model's .*11 folds.*final STUDY --folds \d"):
        study.final()
    assert not (finished_copy.directory / "final").exists()


def test_too_many_folds_of_the_final_model_are_reported_when_the_study_is_prepared(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    few = radiographs(8)
    development, _ = split_holdout(few, 0.15, 0)
    protocol = Protocol.study(num_folds=3)
    assert final_note(few, dataclasses.replace(protocol, final_folds=7), development) == ""
    assert "into 10 folds of at least one" in final_note(few, protocol, development)
    notes = Notes()
    protocol = dataclasses.replace(tiny_protocol, final_folds=11)
    Study(tmp_path / "study", phantom_manifest, protocol, progress=notes).prepare()
    (note,) = [text for text in notes.said if "final model" in text]
    assert note.startswith("note: ")


def test_the_note_on_the_hold_out_set_gives_its_size_gaps_and_width() -> None:
    _, holdout = split_holdout(radiographs(70), 0.15, 0)
    text = holdout_note(holdout.radiographs, like=holdout.radiographs)
    assert text.startswith("the hold-out set has 10 patients (40 radiographs)")
    assert "Expect its AUROC of visible cortices to be known to about 0." in text
    assert "hold-out patients would give 0.05" in text
    without = radiographs(10).subset(
        np.flatnonzero(radiographs(10).table["posterior"].to_numpy() != 1)
    )
    assert "; none has posterior cortex, score 1." in holdout_note(without, like=without)


def test_too_few_in_the_hold_out_set_have_no_interval_and_that_is_said() -> None:
    assert "will have no interval, which needs at least 5" in holdout_note(
        radiographs(2), like=radiographs(2)
    )


@pytest.mark.slow
def test_a_search_is_said_to_be_worthwhile_or_not() -> None:
    def told(num_patients: int, trials: int) -> str:
        development, _ = split_holdout(radiographs(num_patients), 0.15, 0)
        return search_note(development, Protocol.study(trials=trials), 4)

    assert "hardly worthwhile" in told(12, 100)
    assert "(--trials 8 does as well)" in told(12, 100)
    assert "--trials" not in told(12, 8)
    assert told(12, 2).startswith("with 10 patients and 2 trials, a search ")
    assert told(12, 1).startswith("with 10 patients, a search ")
    assert "hardly" not in told(400, 20)


def test_what_the_data_allow_is_said_at_prepare_and_again_before_a_search_of_another_day(
    tmp_path: Path, phantom_manifest: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sizes(notes: Notes) -> list[str]:
        return [
            text
            for text in notes.said
            if "hold-out set has" in text or "distinguish trials" in text
        ]

    first, later = Notes(), Notes()
    Study(tmp_path / "study", phantom_manifest, tiny_protocol, progress=first).prepare()
    assert len(sizes(first)) == 2

    def stop(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("rust_tuner.study.begin_step", stop)
    with pytest.raises(KeyboardInterrupt):
        Study(tmp_path / "study", progress=later).regime_1()
    assert sizes(later) == sizes(first)


@pytest.mark.slow
def test_the_smallest_study_that_is_accepted_gets_to_the_end_of_regime_1(
    tmp_path: Path, tiny_protocol: Protocol
) -> None:
    from rust_tuner.data.phantoms import write_phantoms

    protocol = dataclasses.replace(tiny_protocol, num_folds=6, trials=1, epochs=1)
    accepted = 0
    for number in range(12, 20):
        manifest = write_phantoms(tmp_path / str(number), patients=number, seed=0)
        study = Study(tmp_path / f"study {number}", manifest, protocol, cache=tmp_path / "cache")
        try:
            study.prepare()
        except SplitError:
            assert not (tmp_path / f"study {number}" / "study.json").exists()
            continue
        accepted = number
        break
    assert accepted > 12
    assert len(study.regime_1().results()) == 1
