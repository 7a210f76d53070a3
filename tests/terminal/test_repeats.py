"""What the terminal shows of nested cross-validation and noise floor: the records' own figures."""

import dataclasses
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from narrowing import as_json
from report_repeats import write_nested, write_noise
from report_searches import write_regime_1
from rich.console import Console, Group

from rust_tuner.analysis.noise import noise_spread
from rust_tuner.files import read_json
from rust_tuner.locks import hold_lock
from rust_tuner.records.nested import outer_folder, read_nested
from rust_tuner.records.noise import read_noise
from rust_tuner.terminal.repeats import nested_table, noise_table
from rust_tuner.terminal.status import status_lines


def shown(table: Group, width: int = 80) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width)
    console.print(table)
    return written.getvalue()


def words(text: Any) -> str:
    return " ".join(text.split())


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    return write_nested(tmp_path / "nested")


def test_each_outer_fold_is_a_row_with_promise_outcome_and_gap(nested: Path) -> None:
    text = shown(nested_table(read_nested(nested)))
    rows = re.findall(r"^ +(\d) +10 +(.*\S) *$", text, flags=re.MULTILINE)
    assert [row[0] for row in rows] == ["0", "1", "2"] * 2
    assert words(rows[1][1]) == "0.810 0.762 +0.048 0.775 0.700"
    assert words(rows[4][1]) == "0.640 0.580 +0.060 0.590 0.500"


def test_an_optimism_that_rounds_to_zero_has_no_minus(nested: Path) -> None:
    found = read_nested(nested)
    first = found.outer[0]
    outside = {name: value + 1e-5 for name, value in first.selection_score.items()}
    even = first.with_changes(inner_estimate=outside)
    text = shown(nested_table(dataclasses.replace(found, outer=(even, *found.outer[1:]))))
    assert "+0.000" in text
    assert "-0.000" not in text


def test_the_summary_tells_selection_score_estimate_and_optimism_apart(nested: Path) -> None:
    found = read_nested(nested)
    text = words(shown(nested_table(found)))
    assert "selection score AUROC, 18 labels 0.810 0.010 - -" in text
    assert "selection score AUROC, visible cortices 0.640 0.000 - -" in text
    estimate = as_json(found.summary)["estimate"]["auroc"]
    ends = f"{estimate['low']:.3f} {estimate['high']:.3f}"
    assert f"estimate AUROC, 18 labels 0.775 0.005 {ends}" in text
    assert "optimism AUROC, 18 labels +0.048 0.008" in text
    assert "gap AUROC, 18 labels +0.035 0.005" in text
    pooled = as_json(found.summary)["pooled"]["auroc"]
    assert f"{pooled['value']:.3f} - {pooled['low']:.3f} {pooled['high']:.3f}" in text


def test_the_values_that_were_chosen_are_counted(nested: Path) -> None:
    text = words(shown(nested_table(read_nested(nested))))
    assert "batch size 64: 2; 128: 1" in text
    assert "learning rate 0.001: 3" in text
    assert "dropout rate 0.1, 0.2, 0.3: 1 each" in text


def test_many_values_that_were_chosen_once_are_a_range(tmp_path: Path) -> None:
    nested = read_nested(write_nested(tmp_path / "nested", outer_folds=5, finished=4))
    assert "epoch 3 to 6: 1 each" in words(shown(nested_table(nested)))


def test_an_unfinished_one_has_its_outer_folds_and_no_summary(tmp_path: Path) -> None:
    text = shown(nested_table(read_nested(write_nested(tmp_path / "nested", finished=2))))
    assert "2 of 3 outer folds" in text
    assert "95 %" not in text


def test_80_columns_hold_the_tables_and_break_no_figure(nested: Path, tmp_path: Path) -> None:
    for text in (
        shown(nested_table(read_nested(nested))),
        shown(noise_table(read_noise(write_noise(tmp_path / "noise")))),
    ):
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert not re.search(r"\d\. *\n *\d|\d- *\n *\d|± *\n", text)


def test_the_noise_floor_tells_each_spread_and_the_selection_score(tmp_path: Path) -> None:
    floor = read_noise(write_noise(tmp_path / "noise"))
    text = shown(noise_table(floor))
    assert "trial 0000 of regime_2 repeated" in text
    assert "learning rate 0.1" in words(text)
    spread = noise_spread(floor.values).set_index(["kind", "metric"])
    for key in spread.index:
        row = spread.loc[key]
        assert f"{row['std']:.4f}" in text
        assert f"{row['mean']:.3f}" in text
    assert "selection score 0.754" in words(text)
    assert "selection score 0.604" in words(text)


def test_status_tells_how_far_both_are(nested: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / "noise")
    lines = [line.plain for line in status_lines(tmp_path)]
    start = lines.index("nested: 3 of 3 outer folds done")
    assert lines[start + 1] == (
        "  val_auroc: selection score 0.8100 ± 0.0100, estimate 0.7750 ± 0.0050"
    )
    assert "noise: 4 of 4 seeds, 4 of 4 assignments to folds done" in lines
    assert any(line.startswith("  val_auroc, other seeds, same folds: ") for line in lines)
    assert all(len(line) <= 80 for line in lines[1:])


def test_status_of_a_running_outer_fold_tells_its_searches_and_the_time_left(
    tmp_path: Path,
) -> None:
    nested = write_nested(tmp_path / "nested", finished=1)
    for number in (0, 1):
        write_regime_1(outer_folder(nested, number) / "regime_1", count=4, num_trials=12)
    with hold_lock(nested, "nested cross-validation", noted=True):
        lines = [line.plain for line in status_lines(tmp_path)]
    # 8 of 54 trials took 4.5 s each.
    start = lines.index("nested: 1 of 3 outer folds done, about 3 min 27 s left")
    assert lines[start + 1] == "  outer fold 1 started: regime_1 4 of 12 trials"
    # No time passes where nobody works.
    lines = [line.plain for line in status_lines(tmp_path)]
    assert "nested: 1 of 3 outer folds done" in lines


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}'])
@pytest.mark.parametrize("name", ["nested", "noise"])
def test_status_names_what_is_damaged_and_tells_the_rest(
    tmp_path: Path, nested: Path, name: str, text: str
) -> None:
    write_noise(tmp_path / "noise")
    (tmp_path / name / f"{name}.json").write_text(text)
    lines = [line.plain for line in status_lines(tmp_path)]
    (line,) = [line for line in lines if line.startswith(f"{name}: ")]
    assert f"{name}.json " in line
    assert line.endswith("; restore or remove it")
    other = {"nested": "noise: 4 of 4", "noise": "nested: 3 of 3"}[name]
    assert any(line.startswith(other) for line in lines)


def test_status_names_a_damaged_outer_fold_and_a_failed_repeat(
    tmp_path: Path, nested: Path
) -> None:
    noise = write_noise(tmp_path / "noise")
    (outer_folder(nested, 2) / "outer.json").write_text("{")
    path = noise / "seeds" / "trial_0001" / "trial.json"
    path.write_text(json.dumps(read_json(path) | {"status": "FAILED", "message": "TrialError: x"}))
    text = "\n".join(line.plain for line in status_lines(tmp_path))
    assert "nested: 2 of 3 outer folds done" in text
    assert "  outer fold 2: " in text
    assert "  seed 1 failed: TrialError: x" in text
    shutil.rmtree(noise)
    assert "noise" not in "\n".join(line.plain for line in status_lines(tmp_path))
