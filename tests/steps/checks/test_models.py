"""What was learned: a reader with skill passes, one that knows only the view does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search
from narrowing import not_none

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.rows import ROWS_FILE, out_of_fold_predictions
from rust_tuner.steps.checks.models import check_predictors, judge_view_only


@pytest.fixture(scope="module")
def radiographs() -> Radiographs:
    return phantom_rows()


@pytest.fixture(scope="module")
def searches(
    tmp_path_factory: pytest.TempPathFactory, radiographs: Radiographs
) -> dict[str, Project]:
    """A search with skill, one that only knows the view, one that guesses everything."""
    place = tmp_path_factory.mktemp("searches")
    noise = skilled(radiographs, skill=0.0)
    return {
        "skilled": write_judged_search(place / "skilled", radiographs, skilled(radiographs)),
        "view": write_judged_search(place / "view", radiographs, of_the_view(radiographs)),
        "guess": write_judged_search(place / "guess", radiographs, noise),
    }


def only(searches: dict[str, Project], *names: Any) -> dict[Any, Project]:
    return {name: searches[name] for name in names}


def test_a_search_with_skill_passes_with_its_figures(searches: dict[str, Project]) -> None:
    verdict = check_predictors(only(searches, "skilled"))
    assert verdict.status == "passed"
    assert verdict.findings == ()
    best = searches["skilled"].best
    for metric in ("auroc", "cortex_auroc"):
        value = verdict.figures[f"skilled_{metric}"]
        assert value == pytest.approx(not_none(best).metrics[f"val_{metric}"], abs=1e-9)
        gain, low, high = (
            verdict.figures[f"skilled_{metric}_gain{end}"] for end in ("", "_low", "_high")
        )
        assert 0 < low < gain < high  # type: ignore[operator]
        assert gain == pytest.approx(
            value - not_none(verdict.figures[f"skilled_{metric}_view_only"])  # type: ignore[operator]
        )


def test_a_search_that_knows_only_the_view_is_warned_of_in_both_figures(
    searches: dict[str, Project],
) -> None:
    verdict = check_predictors(only(searches, "skilled", "view"))
    assert verdict.status == "warning"
    whole, cortices = verdict.findings
    assert whole.startswith("view, trial 0000: AUROC, 18 labels")
    assert "the view-only baseline" in whole
    assert "chance" not in whole
    assert cortices.startswith("view, trial 0000: AUROC, visible cortices")
    assert "cannot be distinguished from chance, which the view alone does not exceed" in cortices
    assert verdict.mend


def test_a_search_that_guesses_lies_below_the_view_and_is_not_distinguished_from_chance(
    searches: dict[str, Project],
) -> None:
    whole, cortices = check_predictors(only(searches, "guess")).findings
    assert "lies below the view-only baseline" in whole
    assert "cannot be distinguished from chance" in cortices


def test_a_record_that_its_predictions_do_not_give_fails(
    tmp_path: Path, radiographs: Radiographs
) -> None:
    write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    path = tmp_path / "search" / "trial_0000" / "trial.json"
    state = json.loads(path.read_text())
    state["metrics"]["metrics"]["val_auroc"]["observations"][0]["value"] = [0.99]
    path.write_text(json.dumps(state))
    verdict = check_predictors({"search": read_project(tmp_path / "search")})
    assert verdict.status == "failed"
    assert "but 0.990 in its record" in verdict.findings[0]


def test_predictions_whose_rows_are_gone_cannot_be_judged(
    tmp_path: Path, radiographs: Radiographs
) -> None:
    project = write_judged_search(tmp_path / "search", radiographs, skilled(radiographs))
    (tmp_path / "search" / ROWS_FILE).unlink()
    verdict = check_predictors({"search": project})
    assert verdict.status == "not_run"
    assert "run the search again" in verdict.findings[0]


def test_without_a_completed_trial_it_says_what_to_run() -> None:
    verdict = check_predictors({})
    assert verdict.status == "not_run"
    assert "rust-tuner regime1 STUDY" in verdict.mend


def test_a_model_with_skill_is_above_the_head_that_saw_the_view_alone(
    searches: dict[str, Project],
) -> None:
    model, view = (out_of_fold_predictions(searches[name]) for name in ("skilled", "view"))
    verdict = judge_view_only(model, view)
    assert verdict.status == "passed"
    assert verdict.figures["cortex_auroc_view_only"] == pytest.approx(0.5, abs=0.1)
    assert not_none(verdict.figures["auroc_gain_low"]) > 0
    gain = (
        not_none(searches["skilled"].best).metrics["val_auroc"]
        - not_none(searches["view"].best).metrics["val_auroc"]
    )
    assert verdict.figures["auroc_gain"] == pytest.approx(gain, abs=1e-9)


def test_a_model_that_is_no_better_than_the_view_alone_is_warned_of(
    radiographs: Radiographs, searches: dict[str, Project], tmp_path: Path
) -> None:
    other = write_judged_search(tmp_path / "other", radiographs, of_the_view(radiographs, seed=9))
    model, view = (out_of_fold_predictions(item) for item in (other, searches["view"]))
    verdict = judge_view_only(model, view)
    assert verdict.status == "warning"
    assert "AUROC, 18 labels and AUROC, visible cortices" in verdict.mend
