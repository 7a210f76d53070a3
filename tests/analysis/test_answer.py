"""The answer of a study: its figures, how far to rely on it, and the command that comes next."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from report_predictions import holdout_record_of, make_predictions, write_out_of_fold
from report_repeats import write_nested
from report_searches import (
    write_baselines,
    write_json,
    write_project,
    write_regime_1,
    write_regime_2,
)
from report_studies import study_record, write_split, write_study

from rust_tuner import Protocol
from rust_tuner.analysis.answer import Answer, answer, tied_clause
from rust_tuner.analysis.study_figures import find_figure, holdout_figures
from rust_tuner.files import read_json
from rust_tuner.records.folder import read_study
from rust_tuner.records.project import read_project


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    folder = tmp_path / "my study"
    write_json(folder / "study.json", study_record())
    write_split(folder / "split.json")
    return folder


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")


def of(folder: Path) -> Answer:
    return answer(read_study(folder))


def test_a_prepared_study_says_what_is_ready_and_starts_regime_1(prepared: Path) -> None:
    found = of(prepared)
    assert found.stage == "Prepared"
    assert (
        "**120 radiographs of 60 patients** are prepared; 15 patients are set aside"
        in found.sentence
    )
    assert found.reliance == "nothing yet"
    assert "Only 15 patients set aside, so the figures will have wide intervals, or none." in (
        found.reasons
    )
    assert found.best is None
    assert found.next.command == f"rust-tuner regime1 '{prepared}'"


def test_a_search_that_has_begun_without_a_score_says_so(prepared: Path) -> None:
    write_regime_1(prepared / "regime_1", count=0, num_trials=8)
    found = of(prepared)
    assert found.sentence == "Regime I has begun: 0 of 8 trials have ended, none with a score."
    assert found.reliance == "nothing yet"
    assert found.next.command.startswith("rust-tuner regime1 ")


def test_an_unfinished_search_is_resumed_and_its_score_is_a_selection_score(prepared: Path) -> None:
    write_regime_1(prepared / "regime_1", count=3, num_trials=8)
    write_out_of_fold(prepared / "regime_1")
    found = of(prepared)
    assert found.stage == "Regime I: 3 of 8 trials"
    assert "In 3-fold cross-validation of 30 development patients" in found.sentence
    for words in ("RUST total was off by **", "kappa", "AUROC of visible cortices was **0.604**"):
        assert words in found.sentence
    assert "chance: 0.500" in found.sentence
    assert found.title == "Not yet: this is a selection score"
    assert dict(not_none(found.best).values)["batch size"] == "16"
    assert "3 of 8 trials have ended" in found.next.why


@pytest.mark.parametrize(
    ("number", "score_epoch", "chosen"),
    [(2, "last", "trial"), (1, "best_mean", "epoch"), (1, "last", None)],
)
def test_what_was_chosen_by_a_score_is_named(
    number: int, score_epoch: str, chosen: str | None, prepared: Path
) -> None:
    trials = [{"batch_size": 16 + n, "dropout_rate": 0.1} for n in range(number)]
    folder = write_project(prepared / "regime_1", trials, num_trials=12)
    manifest = folder / "search.json"
    write_json(manifest, read_json(manifest) | {"score_epoch": score_epoch})
    found = answer(read_study(prepared))
    said = [reason for reason in found.reasons if "chosen by this score" in reason]
    assert said == (
        [f"The {chosen} was chosen by this score, so the score is too high by an unknown amount."]
        if chosen
        else []
    )
    write_project(prepared / "regime_2", trials[:1], num_trials=1)
    found_later = " ".join(answer(read_study(prepared)).reasons)
    assert "Hyperparameters were chosen on the same folds, so the score is too high" in found_later
    assert ("the only one with a score" in str(found.best)) == (number == 1)


def test_after_each_search_comes_the_next_step(prepared: Path) -> None:
    write_regime_1(prepared / "regime_1", count=2)
    assert of(prepared).next.command == f"rust-tuner regime2 '{prepared}'"
    write_regime_2(prepared / "regime_2")
    found = of(prepared)
    assert found.next.command == f"rust-tuner final '{prepared}'"
    assert found.stage == "Regime II finished"
    assert "Regime II" in not_none(found.best).source


def test_regime_2_alone_needs_no_regime_1(prepared: Path) -> None:
    write_regime_2(prepared / "regime_2")
    assert of(prepared).next.command.startswith("rust-tuner final ")


def test_first_models_alone_are_told(prepared: Path) -> None:
    write_baselines(prepared / "baselines", ("lenet1998", "inceptionv3_imagenet"))
    found = of(prepared)
    assert "The best of 2 first models by AUROC, 18 labels is LeNet" in found.sentence
    assert found.reliance == "not yet"


def test_a_finished_study_tells_the_figures_of_the_hold_out_set(finished: Path) -> None:
    found = of(finished)
    figures = holdout_figures(read_study(finished))
    mae = find_figure(figures, "mae", "visits")
    area = find_figure(figures, "auroc", "cortices")
    assert found.sentence.startswith("On 15 patients that no training and no choice used, the RUST")
    assert f"**{not_none(mae)['value']:.2f} points** on average" in found.sentence
    assert (
        f"95 % interval {not_none(area)['low']:.3f} to {not_none(area)['high']:.3f}; chance: 0.500"
        in found.sentence
    )
    assert found.reliance == "with caution"
    assert any(reason.startswith("Only 15 patients: the AUROC") for reason in found.reasons)
    assert found.next.command == f"rust-tuner predict {finished}/final/model.keras IMAGE..."


def test_the_error_of_one_total_for_all_stands_beside(finished: Path) -> None:
    visits = make_predictions().dropna(axis=1, how="all")
    totals = (
        visits.groupby(["patient_id", "visit"])[["medial", "lateral", "anterior", "posterior"]]
        .first()
        .sum(axis=1)
    )
    expected = (totals - totals.median()).abs().mean()
    assert f"the same total for every visit: {expected:.2f}" in of(finished).sentence


def test_answers_that_are_chance_are_not_to_be_relied_on(finished: Path) -> None:
    table = make_predictions()
    names = [
        name for name in map(str, table) if name.startswith("probability_") and "view" not in name
    ]
    table[names] = np.random.default_rng(0).random((len(table), len(names)))
    write_json(finished / "final" / "holdout.json", holdout_record_of(table))
    table.to_csv(finished / "final" / "predictions.csv", index=False)
    found = of(finished)
    assert found.title == "Do not rely on it"
    assert "rust-tuner predict" not in found.next.command
    assert "--protocol clinical" in found.next.command
    assert "cannot be distinguished from" in found.reasons[0] or "lies below" in found.reasons[0]


def test_random_weights_are_the_first_reason_and_other_weights_the_next_step(
    prepared: Path,
) -> None:
    values = {"batch_size": 16}
    write_project(prepared / "final" / "cross_validation", [values], weights="random")
    table = make_predictions()
    write_json(prepared / "final" / "holdout.json", holdout_record_of(table))
    table.to_csv(prepared / "final" / "predictions.csv", index=False)
    found = of(prepared)
    assert found.reliance == "no"
    assert "The backbone was never trained" in found.reasons[0]
    assert "--weights imagenet" in found.next.command
    assert "my study-2" in found.next.command


def test_a_failed_check_is_a_reason(finished: Path) -> None:
    record = read_json(finished / "checks.json")
    record["verdicts"][0] |= {"status": "failed"}
    write_json(finished / "checks.json", record)
    found = of(finished)
    assert found.reliance == "no"
    assert "A check failed: Equal images." in found.reasons


def test_a_small_scale_ends_with_the_whole_study(finished: Path) -> None:
    write_json(
        finished / "study.json", study_record(protocol=Protocol.study(scale="small").to_json())
    )
    found = of(finished)
    assert "--scale full" in found.next.command
    assert any("small scale" in reason for reason in found.reasons)


def test_what_is_missing_after_the_final_model_comes_next(finished: Path) -> None:
    (finished / "checks.json").unlink()
    assert of(finished).next.command == f"rust-tuner check {finished}"


def test_few_patients_are_followed_by_nested_cross_validation(finished: Path) -> None:
    records = dataclasses.replace(read_study(finished), nested=None)
    assert answer(records).next.command == f"rust-tuner nested {finished}"


def test_a_nested_estimate_is_told_where_the_hold_out_set_is_sealed(prepared: Path) -> None:
    write_regime_1(prepared / "regime_1", count=2)
    write_regime_2(prepared / "regime_2")
    write_nested(prepared / "nested")
    assert any("Nested cross-validation estimates" in reason for reason in of(prepared).reasons)


def test_a_look_that_did_not_finish_is_finished_next(finished: Path) -> None:
    (finished / "final" / "holdout.json").unlink()
    assert of(finished).next.command == f"rust-tuner final {finished}"


def test_a_damaged_study_has_an_answer(finished: Path) -> None:
    for path in (finished / "study.json", finished / "regime_2" / "search.json"):
        path.write_text("{")
    found = of(finished)
    assert any("records are damaged" in reason for reason in found.reasons)


def test_a_folder_that_says_nothing_has_an_answer(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    found = of(tmp_path)
    assert "there is no result" in found.sentence
    assert found.next.command.startswith(f"rust-tuner prepare {tmp_path} --manifest")


def test_figures_that_are_undefined_are_said(prepared: Path) -> None:
    blind = make_predictions(rows=4).assign(
        **dict.fromkeys(("medial", "lateral", "anterior", "posterior"), np.nan)
    )
    write_json(prepared / "final" / "holdout.json", holdout_record_of(blind))
    blind.to_csv(prepared / "final" / "predictions.csv", index=False)
    found = of(prepared)
    assert "the figures are undefined" in found.sentence
    assert found.reliance == "no"


def test_a_search_that_knows_only_the_view_is_not_to_be_relied_on(judged: Path) -> None:
    found = answer(read_study(judged))
    assert found.reliance == "no"
    assert found.reasons[0].startswith("The AUROC of visible cortices ")
    records = dataclasses.replace(read_study(judged), regime_2=None)
    assert answer(records).reliance == "not yet"


def test_a_tie_is_explained_in_a_clause(tmp_path: Path) -> None:
    project = read_project(write_regime_1(tmp_path / "one", count=1))
    assert tied_clause(project) == ""
    project = read_project(write_regime_1(tmp_path / "many", count=6))
    tied = sum(tie.tied for tie in project.ties.values()) - 1
    assert tied_clause(project).startswith(f"{tied or 'No'} other trial")
    assert pd.notna(tied)
