"""The command `study`: its order, what it leaves out, and its time budget."""

import re
import sys
from pathlib import Path

import pytest
from command import run
from studies import StudyFolder

from rust_tuner import Study
from rust_tuner.cli import whole_run
from rust_tuner.cli.option_texts import parse_time_budget
from rust_tuner.errors import TimeBudgetError
from rust_tuner.interrupts import end_if_time_is_up, note_recorded_work
from rust_tuner.records.project import read_project


@pytest.fixture
def calls(finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of a study whose searches are finished, in the order in which they are run."""
    made = []
    monkeypatch.setattr(whole_run, "start_tensorflow", lambda: None)
    monkeypatch.setattr(whole_run, "fetch_weights", lambda weights, study: None)
    monkeypatch.setattr(whole_run.WholeRun, "measure", lambda self: None)
    for name in ("prepare", "regime_1", "regime_2", "final", "report"):
        monkeypatch.setattr(Study, name, lambda self, name=name: made.append(name))
    monkeypatch.setattr(whole_run, "run_final", lambda study: None)
    monkeypatch.setattr(
        whole_run, "run_baselines", lambda study, models, weights: made.append("baselines")
    )
    return made


def test_the_first_models_come_last_and_are_in_a_second_report(
    calls: list[str], finished_copy: StudyFolder
) -> None:
    shown = run("study", finished_copy.directory)
    steps = ["prepare", "regime_1", "regime_2", "final", "report", "baselines", "report"]
    assert calls == steps
    plan = shown.stderr.partition("prepare took")[0]
    order = [plan.index(f"\n {name} ") for name in ("regime1", "final", "baselines")]
    assert order == sorted(order)
    # Standard output holds results alone: equal runs give equal text.
    assert "Plan" not in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("skip", "left_out"),
    [
        (["baselines"], {"baselines"}),
        (["final"], {"final"}),
        (["report", "baselines"], {"report", "baselines"}),
    ],
)
def test_steps_that_nothing_needs_can_be_left_out(
    calls: list[str], finished_copy: StudyFolder, skip: list[str], left_out: set[str]
) -> None:
    run("study", finished_copy.directory, *(part for name in skip for part in ("--skip", name)))
    assert not left_out & set(calls)
    assert {"prepare", "regime_1", "regime_2"} <= set(calls)


@pytest.mark.parametrize("name", ["regime1", "prepare", "nested", "", "baseline"])
def test_a_step_that_cannot_be_left_out_is_refused_before_anything_is_done(
    tmp_path: Path, name: str
) -> None:
    shown = run("study", tmp_path / "study", "--manifest", "none.csv", "--skip", name, code=2)
    assert "baselines" in shown.stderr
    assert not list(tmp_path.iterdir())


def test_a_study_whose_time_is_up_reports_what_is_there_and_says_how_to_go_on(
    calls: list[str], finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = finished_copy.directory
    monkeypatch.setattr(sys, "argv", ["rust-tuner", "study", "my study", "--time-budget", "1ms"])
    reports = []
    monkeypatch.setattr(
        "rust_tuner.report.html.write_report",
        lambda folder: reports.append(folder) or folder,  # type: ignore[func-returns-value]
    )

    def search(self: Study) -> None:
        note_recorded_work()
        end_if_time_is_up()

    monkeypatch.setattr(Study, "regime_1", search)
    (study / "regime_2").rename(study.parent / "second")
    shown = run("study", study, "--time-budget", "0.001s")
    assert "regime_2" not in calls and "final" not in calls
    assert reports == [study]
    assert "Regime I: best 2 of 2 trials" in shown.stdout
    assert "left: regime2, final, report, baselines and report again" in shown.stderr
    assert shown.stderr.rstrip().endswith("rust-tuner study 'my study' --time-budget 1ms")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("8h", 28800), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("1H 5S", 3605)],
)
def test_a_time_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_time_budget(text) == seconds


@pytest.mark.parametrize("text", ["30", "", "0m", "-5m", "h", "30m1h", "soon", "nan", "1e9h", "5d"])
@pytest.mark.parametrize("command", ["study", "regime1", "regime2", "baselines", "nested", "noise"])
def test_another_time_is_refused_with_an_example(tmp_path: Path, command: str, text: str) -> None:
    shown = run(command, tmp_path / "study", f"--time-budget={text}", code=2)
    assert "1h30m" in " ".join(re.sub(r"[│╭╰─]", " ", shown.stderr).split())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_search_whose_time_is_up_keeps_its_trials_and_is_resumed(
    finished_copy: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rust_tuner.interrupts import within_time_budget

    study = finished_copy.directory
    with pytest.raises(TimeBudgetError), within_time_budget(1e-6):
        finished_copy.open(choices={"trials": 4}).regime_1()
    project = read_project(study / "regime_1")
    assert [trial.status for trial in project.trials] == ["COMPLETED"] * 3
    assert project.run.num_trials == 4
    finished_copy.open(choices={"trials": 4}).regime_1()
    assert len(read_project(study / "regime_1").trials) == 4
