"""What a study is worth: the warnings come when they must, and only then."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from narrowing import not_none
from report_predictions import holdout_record
from report_repeats import write_nested
from report_searches import change_json, write_baselines, write_regime_1, write_regime_2
from report_studies import study_record

from rust_tuner import Protocol
from rust_tuner.analysis.verdict import summary, warnings_of
from rust_tuner.files import read_json, write_json
from rust_tuner.records.folder import read_study
from rust_tuner.report.page import Room
from rust_tuner.report.sections.baselines import baselines_section


def warned(study: Path, part: str) -> list[str]:
    return [line for line in warnings_of(read_study(study)) if part in line]


def test_every_result_stands_in_the_summary_with_its_worth(study: Path) -> None:
    rows = {row.what: row for row in summary(read_study(study)).rows}
    assert list(rows) == [
        "Chance",
        "View only",
        "Best first model: LeNet",
        "Regime I: best trial",
        "Regime II: best trial",
        "Tuned model, cross-validated",
        "Tuning procedure, nested cross-validation",
        "View only, outer folds",
        "Tuned model, hold-out set",
        "View only, hold-out set",
    ]
    assert (rows["View only"].auroc, rows["View only"].cortex_auroc) == ("0.700", "0.500")
    assert rows["Regime I: best trial"].auroc == "0.754 ± 0.004"
    found = not_none(read_study(study).holdout).metrics.cortex_auroc
    assert rows["Tuned model, hold-out set"].cortex_auroc == f"{found:.3f}"
    for name in ("Regime I: best trial", "Regime II: best trial"):
        assert rows[name].worth.startswith("selection score: the best of ")
    assert "12 trials" in rows["Regime I: best trial"].worth


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        ("best_mean", "the best epoch of its mean curve"),
        ("last", "its last epoch"),
        (2, "epoch 2 (from 0)"),
    ],
)
def test_the_epoch_of_a_score_is_that_of_the_rule(
    rule: str | int, at: str, study: Path, tmp_path: Path
) -> None:
    for path in study.rglob("search.json"):
        change_json(path, score_epoch=rule)
    record = read_json(study / "study.json")
    change_json(study / "study.json", protocol=record["protocol"] | {"score_epoch": rule})
    records = read_study(study)
    told = summary(records)
    assert f"over the folds, at {at}." in told.asked[1]
    (first,) = [row for row in told.rows if row.what.startswith("Best first model")]
    assert first.worth.endswith(f" at {at}")
    lead = baselines_section(records, Room(tmp_path / "report")).lead[0]
    assert f" at {at}." in lead
    assert ("slightly better" in lead) == (rule == "best_mean")


def test_every_result_is_called_a_selection_score_or_an_estimate_and_never_the_other(
    study: Path,
) -> None:
    kinds: dict[str, list[str]] = {"selection score": [], "estimate": [], "": []}
    for row in summary(read_study(study)).rows:
        (kind, *_) = [name for name in kinds if row.worth.startswith(name)]
        kinds[kind].append(row.what)
        if kind == "selection score":
            assert "estimate" not in row.worth
    assert kinds == {
        "selection score": [
            "Best first model: LeNet",
            "Regime I: best trial",
            "Regime II: best trial",
            "Tuned model, cross-validated",
        ],
        "estimate": ["Tuning procedure, nested cross-validation", "Tuned model, hold-out set"],
        "": ["Chance", "View only", "View only, outer folds", "View only, hold-out set"],
    }


def test_the_nested_estimate_stands_in_the_summary_with_the_gap(study: Path) -> None:
    rows = {row.what: row for row in summary(read_study(study)).rows}
    row = rows["Tuning procedure, nested cross-validation"]
    assert (row.auroc, row.cortex_auroc) == ("0.775 ± 0.005", "0.590 ± 0.010")
    assert "the optimism of the inner searches was +0.048 and +0.060" in row.worth
    assert rows["View only, outer folds"].auroc == "0.700 ± 0.000"


def test_a_nested_cross_validation_that_is_not_finished_is_said(tmp_path: Path) -> None:
    write_nested(tmp_path / "nested", finished=1)
    (line,) = warned(tmp_path, "Nested cross-validation is not finished")
    assert line.endswith(f"1 of 3 outer folds. To resume it: rust-tuner nested {tmp_path}")
    assert "Tuning" not in " ".join(row.what for row in summary(read_study(tmp_path)).rows)


def test_a_nested_estimate_that_does_not_beat_the_view_alone_is_said(study: Path) -> None:
    path = study / "nested" / "predictions.csv"
    table = pd.read_csv(path, dtype={"patient_id": str})
    names = [
        name for name in map(str, table) if name.startswith("probability_") and "view" not in name
    ]
    table[names] = np.random.default_rng(0).random((len(table), len(names)))
    table.to_csv(path, index=False)
    (line,) = warned(study, "Nested cross-validation: AUROC, visible")
    assert "cannot be distinguished from chance, which the view alone does not exceed" in line


def test_a_figure_that_is_undefined_is_no_number(study: Path) -> None:
    metrics = holdout_record()["metrics"] | {"auroc": None}
    change_json(study / "final" / "holdout.json", metrics=metrics)
    rows = {row.what: row for row in summary(read_study(study)).rows}
    assert rows["Tuned model, hold-out set"].auroc == "undefined"


def test_a_summary_of_nothing_has_chance_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    assert [row.what for row in summary(read_study(tmp_path)).rows] == ["Chance"]


def test_the_question_names_objective_and_protocol(tmp_path: Path) -> None:
    protocol = Protocol.clinical(score_epoch=4).to_json()
    write_json(tmp_path / "study.json", study_record(protocol=protocol))
    asked = " ".join(summary(read_study(tmp_path)).asked)
    assert "the best AUROC, visible cortices" in asked
    assert "Protocol: clinical" in asked
    assert "at epoch 4 (from 0)" in asked


def test_a_sound_study_has_no_grave_warning(study: Path) -> None:
    expected = " ".join(warnings_of(read_study(study)))
    for word in ("Random", "cannot be", "lies below", "not finished", "failed", "Damaged", "Not"):
        assert word not in expected


@pytest.mark.parametrize("part", ["regime_1", "holdout"])
def test_a_figure_that_cannot_be_decided_is_said(part: str, study: Path) -> None:
    (study / {"regime_1": "regime_1/rows.csv", "holdout": "final/predictions.csv"}[part]).unlink()
    name = {"regime_1": "Regime I", "holdout": "Hold-out set"}[part]
    lines = warned(study, f"{name}: AUROC, 18 labels: whether it beats the view alone")
    assert len(lines) == 1
    assert "cannot be decided: no predictions by patient." in lines[0]


def test_random_weights_are_said_of_frozen_backbones_alone(tmp_path: Path) -> None:
    write_baselines(tmp_path / "baselines", ("lenet1998", "inceptionv3_end2end"), weights="random")
    write_regime_1(tmp_path / "regime_1", count=2)
    assert warned(tmp_path, "Weights 'random'") == []
    write_regime_1(tmp_path / "regime_1", count=2, weights="random")
    (line,) = warned(tmp_path, "Weights 'random'")
    assert "the frozen backbone of Regime I was never trained" in line


def test_a_sealed_hold_out_set_is_said(study: Path) -> None:
    (study / "final" / "holdout.json").unlink()
    # Predictions alone are a look that was started.
    assert len(warned(study, "A look at the hold-out set was started")) == 1
    (study / "final" / "predictions.csv").unlink()
    (line,) = warned(study, "The hold-out set has not been evaluated")
    assert "nested cross-validation estimates the tuning procedure" in line
    (study / "nested" / "summary.json").unlink()
    (line,) = warned(study, "The hold-out set has not been evaluated")
    assert "nothing here says how well the model performs on new patients" in line


def test_labels_with_few_positives_are_named(study: Path) -> None:
    (line,) = warned(study, "fewer than 10 positives")
    assert "posterior cortex, score 2 (3)" in line


def test_an_unfinished_search_and_its_failures_are_said(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=3, num_trials=100)
    change_json(
        tmp_path / "regime_1" / "trial_0001" / "trial.json",
        status="FAILED",
        message="TrialError: the loss is not finite\nat epoch 2",
        score=None,
        best_step=None,
    )
    assert warned(tmp_path, "not finished") == [
        f"Regime I is not finished: 3 of 100 trials. To resume it: rust-tuner regime1 {tmp_path}"
    ]
    (line,) = warned(tmp_path, "failed")
    assert "1 of 100 trials failed" in line
    assert line.endswith("such as 0001 (TrialError: the loss is not finite).")
    (line,) = warned(tmp_path, "Not run yet")
    steps = {
        "First models": "baselines",
        "Regime II": "regime2",
        "The tuned model's cross-validation": "final",
        "The checks": "check",
    }
    expected = ", ".join(f"{name} (rust-tuner {step} {tmp_path})" for name, step in steps.items())
    assert line == f"Not run yet: {expected}."


@pytest.mark.parametrize(
    ("rates", "named"), [((1e-1, 1e-2, 1e-3), True), ((1e-2, 1e-1, 1e-3), False), ((1e-2,), False)]
)
def test_a_best_value_at_the_edge_of_the_grid_is_said(
    rates: tuple[float, ...], named: bool, tmp_path: Path
) -> None:
    # The first trial, so the first of the rates, is the best.
    write_regime_2(tmp_path / "regime_2", rates=rates)
    lines = warned(tmp_path, "best learning rate")
    assert bool(lines) == named
    if named:
        assert "the best learning rate, 0.1, is at the edge" in lines[0]


def test_trials_that_learned_nothing_are_counted(study: Path) -> None:
    assert warned(study, "learned nothing") == []
    records = read_study(study)
    *others, last = not_none(records.regime_2).trials
    curves = {name: [0.5] * len(curve) for name, curve in last.folds[0].validation.items()}
    alike = tuple(fold.with_changes(validation=curves) for fold in last.folds)
    trials = (*others, dataclasses.replace(last, folds=alike))
    project = dataclasses.replace(not_none(records.regime_2), trials=trials)
    notes = warnings_of(dataclasses.replace(records, regime_2=project))
    (line,) = [line for line in notes if "learned nothing" in line]
    assert line.startswith(f"Regime II: 1 of {len(trials)} trials learned nothing")
    assert line.endswith(f"such as {last.trial}.")


def test_parts_made_with_different_weights_or_versions_are_said(study: Path) -> None:
    subject = read_json(study / "regime_2" / "search.json")["subject"]
    subject["weights"]["sha256"] = "cd" * 32
    change_json(study / "regime_2" / "search.json", subject=subject, versions={"keras": "4"})
    assert len(warned(study, "did not use the same weights")) == 1
    assert len(warned(study, "did not use the same versions")) == 1
    assert warned(study, "did not use the same radiographs") == []


def test_a_small_scale_is_said(study: Path) -> None:
    protocol = Protocol.study(scale="small").to_json()
    change_json(study / "study.json", protocol=protocol)
    assert len(warned(study, "Scale small")) == 1


def with_verdict(study: Path, status: str, **changes: Any) -> None:
    """The study with one more verdict in its record of checks."""
    record = read_json(study / "checks.json")
    verdict = {
        "check": "planted",
        "title": "A planted one",
        "status": status,
        "reason": "Two are one.",
        "mend": "Remove one.",
        "findings": [],
        "figures": {},
    }
    record["verdicts"].append(verdict | changes)
    write_json(study / "checks.json", record)


def test_a_failed_check_is_the_first_warning_with_what_to_do(study: Path) -> None:
    with_verdict(study, "failed")
    assert warnings_of(read_study(study))[0] == (
        "Check failed, A planted one: Two are one. Remove one."
    )


def test_a_check_that_warns_is_said_and_others_are_not(study: Path) -> None:
    with_verdict(study, "warning")
    assert warned(study, "Check") == ["Check, A planted one: Two are one."]
    for status in ("passed", "not_run"):
        with_verdict(study, status, title=status)
    assert len(warned(study, "Check")) == 1


def test_a_best_trial_whose_interval_contains_chance_is_said_and_another_is_not(
    judged: Path,
) -> None:
    (line,) = warned(judged, "Regime II: AUROC, visible cortices")
    assert "chance" in line
    assert warned(judged, "Regime I: AUROC") == []
