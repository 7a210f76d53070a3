"""What the terminal shows of a search: every number is the records', and 80 columns hold it."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from judged_searches import of_the_view, phantom_rows, skilled, write_judged_search
from narrowing import not_none
from report_searches import write_project
from rich.console import Console
from studies import StudyFolder

from rust_tuner.files import read_json, write_json
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.trial_tables import results_table
from rust_tuner.records.trials import TrialRecord
from rust_tuner.terminal.searches import best_trials_table
from rust_tuner.words import counted

FIGURE = re.compile(r"\d\.\d{3} ± \d\.\d{3}")


def shown(project: Project, width: int = 80, **options: Any) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width)
    console.print(best_trials_table(project, **options))
    return written.getvalue()


def rows_of(text: str) -> list[list[str]]:
    """The cells of each trial's row."""
    lines = [line.split() for line in text.replace(" ± ", "±").splitlines()]
    return [cells for cells in lines if cells and re.fullmatch(r"\d{4}", cells[0])]


@pytest.fixture(params=["regime_1", "regime_2"])
def project(request: pytest.FixtureRequest, finished_study: StudyFolder) -> Project:
    return read_project(finished_study.directory / request.param)


def spread_by_hand(trial: TrialRecord, metric: str) -> tuple[float, Any]:
    values = [fold.validation[metric][not_none(trial.epoch)] for fold in trial.folds]
    assert len(values) == 3
    mean = sum(values) / 3
    return mean, (sum((value - mean) ** 2 for value in values) / 2) ** 0.5


def test_each_row_is_a_trials_mean_and_spread_over_folds_best_first(project: Project) -> None:
    trials = sorted(project.trials, key=lambda trial: -not_none(trial.score))
    rows = rows_of(shown(project))
    assert [row[0] for row in rows] == [trial.trial for trial in trials]
    searched = {"regime_1": ("batch_size", "dropout_rate"), "regime_2": ("learning_rate",)}
    names = searched[project.folder.name]
    for row, trial in zip(rows, trials, strict=True):
        figures = []
        for metric in ("auroc", "cortex_auroc"):
            mean, spread = spread_by_hand(trial, metric)
            figures.append(f"{mean:.3f}±{spread:.3f}")
        values = row[1 : 1 + len(names)]
        for name, cell in zip(names, values, strict=True):
            assert float(cell) == pytest.approx(trial.values[name], rel=1e-3)
        assert row[-3:] == [*figures, str(trial.epoch)]


def test_which_trials_are_tied_stands_beside_them(project: Project) -> None:
    results = results_table(project).set_index("trial")
    assert results["tied_with_best"].notna().all()
    for row in rows_of(shown(project)):
        assert row[-4] == ("yes" if results.loc[row[0], "tied_with_best"] else "no")
    text = shown(project)
    assert "Tied: cannot be distinguished from the best (5 % over all trials together)." in text
    num_tied = int(results["tied_with_best"].sum())
    assert (f", {num_tied} tied for the best" in text) == (num_tied > 1)


@pytest.mark.parametrize("score_epoch", ["best_mean", "last"])
def test_a_trial_alone_is_tied_with_nothing_and_the_best_of_nothing(
    score_epoch: str, tmp_path: Path
) -> None:
    folder = write_project(tmp_path / "regime_1", [{"units": 4}])
    write_json(
        folder / "search.json", read_json(folder / "search.json") | {"score_epoch": score_epoch}
    )
    text = shown(read_project(folder))
    assert rows_of(text)[0][:2] == ["0000", "4"]
    assert "best of several" not in text
    assert "Tied" not in text
    assert "yes" not in text.split()
    chosen = "The score at the best epoch is a selection score, not an estimate for new patients."
    assert (chosen in " ".join(text.split())) == (score_epoch == "best_mean")
    # The second regime, or one whose other trials were stopped, is a selection on the same folds.
    for name, trials in (("regime_2", 1), ("search", 2)):
        later = write_project(tmp_path / name, [{"units": 4}] * trials)
        name_of = later / "search.json"
        write_json(name_of, read_json(name_of) | {"score_epoch": score_epoch})
        if trials == 2:
            state = later / "trial_0001" / "trial.json"
            write_json(state, read_json(state) | {"status": "PRUNED", "score": None})
        assert "a selection score" in " ".join(shown(read_project(later)).split())


def test_a_batch_size_that_holds_the_whole_fold_is_marked(tmp_path: Path) -> None:
    sizes = [200, 400, 2048]
    space = {
        "batch_size": {
            "class_name": "Int",
            "config": {"name": "batch_size", "min_value": 16, "max_value": 2048},
        }
    }
    write_project(tmp_path / "regime_1", [{"batch_size": size} for size in sizes], space=space)
    text = shown(read_project(tmp_path / "regime_1"))
    assert [row[1] for row in rows_of(text)] == ["200", "400!", "2048!"]
    assert "! one step per epoch: the batch holds all that a fold trains on (2 of 3" in text
    write_project(tmp_path / "regime_2", [{"batch_size": 200}], space=space)
    assert "!" not in shown(read_project(tmp_path / "regime_2"))


def test_the_best_trials_interval_stands_below_the_table(project: Project) -> None:
    best = project.best
    found = {name: not_none(best).interval(name) for name in ("auroc", "cortex_auroc")}
    expected = ", ".join(
        f"{title} {found[name].low:.3f} to {found[name].high:.3f}"
        for name, title in (("auroc", "18 labels"), ("cortex_auroc", "cortices"))
    )
    text = " ".join(shown(project).split())
    assert f"Best, 95 % interval over folds: {expected}." in text


def test_the_view_only_baseline_stands_below_both_figures(project: Project) -> None:
    lines = shown(project).splitlines()
    (baseline,) = [line for line in lines if line.startswith(" view only")]
    known: Any = project.run["view_only_baseline"]
    text = [f"{known['val_auroc']:.3f}", f"{known['val_cortex_auroc']:.3f}"]
    assert baseline.split()[2:] == text
    (row, *_) = [line for line in lines if FIGURE.search(line)]
    starts = [match.start() for match in FIGURE.finditer(row)]
    assert [match.start() for match in re.finditer(r"\d\.\d{3}", baseline)] == starts


def test_fixed_hyperparameters_are_named_once_above_the_table(finished_study: StudyFolder) -> None:
    first = read_project(finished_study.directory / "regime_1")
    text = shown(first)
    assert "in all of them: learning rate 0.001, epsilon 1e-07" in text
    second = read_project(finished_study.directory / "regime_2")
    best = not_none(first.best).values
    expected = f"batch size {best['batch_size']}, dropout rate {best['dropout_rate']:.4g}"
    assert f"in all of them: {expected}, epsilon 1e-07" in shown(second)
    for part in (text, shown(second)):
        assert part.count("epsilon") == 1


def test_80_columns_hold_the_table_and_break_no_word(project: Project) -> None:
    text = shown(project)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert len(FIGURE.findall(text)) == 2 * len(project.trials)
    for word in ("trial", "AUROC,", "18 labels *", "cortices", "epoch", "view only"):
        assert word in text


def test_a_narrow_terminal_loses_no_digit(project: Project) -> None:
    text = shown(project, width=60)
    assert "…" not in text
    for trial in project.trials:
        assert f"{trial.score:.3f}" in text


def test_no_more_than_the_best_are_shown(project: Project) -> None:
    text = shown(project, count=1)
    assert [row[0] for row in rows_of(text)] == [not_none(project.best).trial]
    assert "best 1 of 2 trials" in text


def test_the_caption_says_what_the_figures_are(project: Project) -> None:
    text = shown(project)
    assert "Mean ± standard deviation over 3 folds at the epoch of the score (from 0)" in text
    assert "* marks the metric that the search maximises." in text
    assert "a selection score, not an estimate for new patients." in " ".join(text.split())


def test_a_failed_trial_is_counted_and_never_among_the_best(
    tmp_path: Path, finished_study: StudyFolder
) -> None:
    shutil.copytree(finished_study.directory / "regime_1", tmp_path / "regime_1")
    path = tmp_path / "regime_1" / "trial_0000" / "trial.json"
    failed = {"status": "FAILED", "message": "TrialError: no", "score": None}
    path.write_text(json.dumps(read_json(path) | failed))
    text = shown(read_project(tmp_path / "regime_1"))
    assert "best 1 of 2 trials, 1 failed" in text
    assert [row[0] for row in rows_of(text)] == ["0001"]


@pytest.mark.parametrize("left", [(), ("0000",)])
def test_a_search_without_a_completed_trial_is_shown_as_such(
    tmp_path: Path, finished_study: StudyFolder, left: tuple[str]
) -> None:
    shutil.copytree(finished_study.directory / "regime_1", tmp_path / "regime_1")
    for trial in ("0000", "0001"):
        path = tmp_path / "regime_1" / f"trial_{trial}"
        if trial not in left:
            shutil.rmtree(path)
            continue
        state = read_json(path / "trial.json")
        (path / "trial.json").write_text(json.dumps(state | {"status": "FAILED", "score": None}))
    text = shown(read_project(tmp_path / "regime_1"))
    assert f"best 0 of {counted(len(left), 'trial')}" in text
    assert rows_of(text) == []


def test_the_table_agrees_with_the_results_table(project: Project) -> None:
    results = results_table(project).set_index("trial")
    for row in rows_of(shown(project)):
        mean, spread = map(float, row[-3].split("±"))
        assert mean == pytest.approx(results.loc[row[0], "score"], abs=5e-4)
        assert spread == pytest.approx(results.loc[row[0], "score_std"], abs=5e-4)


def test_a_best_trial_that_only_knows_the_view_is_warned_of_below_the_table(tmp_path: Path) -> None:
    radiographs = phantom_rows(patients=50)
    view = write_judged_search(tmp_path / "view", radiographs, of_the_view(radiographs))
    text = " ".join(shown(view).split())
    assert "WARNING, 18 labels: cannot be distinguished from the view-only baseline" in text
    assert "WARNING, cortices: cannot be distinguished from chance" in text
    assert "the view-only baseline" in text
    assert "chance" in text
    good = write_judged_search(tmp_path / "good", radiographs, skilled(radiographs))
    assert "WARNING" not in shown(good)
    assert "Best, 95 % interval over folds" in shown(good)
    assert "Best against the view alone, cortices: " in shown(good)


def test_trials_that_learned_nothing_are_counted(project: Project) -> None:
    assert "learned nothing" not in shown(project)
    first, *others = project.trials
    flat = {"auroc": [0.5] * 9, "cortex_auroc": [0.5] * 9}
    alike = tuple(fold.with_changes(validation=flat) for fold in first.folds)
    changed = (dataclasses.replace(first, folds=alike), *others)
    text = shown(dataclasses.replace(project, trials=changed))
    assert "1 of the trials learned nothing: AUROC 0.500 in every fold and epoch." in text
    assert max(map(len, text.splitlines())) <= 80
