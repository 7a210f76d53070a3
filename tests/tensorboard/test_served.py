"""TensorBoard itself, started on the logs, shows the trials, their values and their figures."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from narrowing import as_json
from report_searches import curve_value, write_regime_1, write_regime_2
from report_studies import write_study
from tensorboard_logs import change_trial

from rust_tuner.records.project import read_project
from rust_tuner.records.trial_tables import results_table
from rust_tuner.tensorboard.logs import LOGS, TensorBoardLogs, write_logs

EPOCHS = 5
SECONDS_TO_START = 600


@contextlib.contextmanager
def serving(logs: Path) -> Iterator[Callable[..., Any]]:
    """TensorBoard, started on a folder; gives what answers its addresses."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--port", "0"]
    command += ["--reload_interval", "1"]
    with (
        open(logs.parent / "tensorboard.log", "w+") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as server,
    ):
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            address = None
            while address is None:
                output.seek(0)
                text = output.read()
                assert server.poll() is None and time.monotonic() < deadline, text
                address = next((w for w in text.split() if w.startswith("http://")), None)
                time.sleep(0.2)

            def ask(path: str, question: dict[str, Any] | None = None) -> Any:
                request = urllib.request.Request(
                    f"{address.rstrip('/')}/{path}",
                    data=None if question is None else json.dumps(question).encode(),
                    headers={"Content-Type": "application/json"},
                )
                with urllib.request.urlopen(request, timeout=300) as answer:
                    return json.load(answer)

            yield ask
        finally:
            server.terminate()


def session_groups(ask: Callable[..., Any], runs: int) -> list[dict[str, Any]]:
    """The trials as the HParams plugin lists them, once TensorBoard has read so many runs."""
    deadline = time.monotonic() + SECONDS_TO_START
    while len(ask("data/runs")) < runs:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    statuses = ("SUCCESS", "FAILURE", "RUNNING", "UNKNOWN")
    question = {
        "allowedStatuses": [f"STATUS_{status}" for status in statuses],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 1000,
    }
    result: list[dict[str, Any]] = ask("data/plugin/hparams/session_groups", question)[
        "sessionGroups"
    ]
    return result


@pytest.mark.slow
def test_tensorboard_lists_the_trials_with_their_values_and_figures(tmp_path: Path) -> None:
    write_study(tmp_path / "study")
    assert write_logs(tmp_path / "study") == tmp_path / "study" / LOGS
    project = read_project(tmp_path / "study" / "regime_1")
    rows = results_table(project).set_index("trial")
    with serving(tmp_path / "study" / LOGS / "regime_1") as ask:
        groups = session_groups(ask, 1 + 12 * (1 + 3))
        experiment = ask("data/plugin/hparams/experiment", {"includeMetrics": True})
        runs = ask("data/runs")
        tags = ask("data/plugin/scalars/tags")
        curve = ask("data/plugin/scalars/scalars?run=trial_0003%2Ffold_1&tag=validation%2Fauroc")
    assert {info["name"] for info in experiment["hparamInfos"]} == set(
        as_json(project.run)["space"]
    )
    (batch_size,) = (i for i in experiment["hparamInfos"] if i["name"] == "batch_size")
    assert batch_size["domainInterval"] == {"minValue": 16, "maxValue": 2048}
    assert {"val_auroc", "val_cortex_auroc"} <= {
        info["name"]["tag"] for info in experiment["metricInfos"]
    }
    assert len(groups) == len(rows) == 12
    for group in groups:
        search, trial = group["name"].split("/")
        row = rows.loc[trial]
        assert search == "regime_1"
        assert group["hparams"] == {name: row[name] for name in as_json(project.run)["space"]}
        (session,) = group["sessions"]
        assert session["status"] == "STATUS_SUCCESS"
        figures = {value["name"]["tag"]: value for value in session["metricValues"]}
        for tag in ("val_auroc", "val_cortex_auroc", "val_auroc_std", "view_only_auroc"):
            assert figures[tag]["value"] == pytest.approx(row[tag], rel=1e-6)
        assert figures["val_auroc"]["trainingStep"] == row["epoch"]
    assert {"trial_0000", "trial_0011", "trial_0011/fold_2"} <= set(runs)
    assert "validation/cortex_auroc" in tags["trial_0003/fold_1"]
    assert [step for _, step, _ in curve] == list(range(EPOCHS))
    expected = [curve_value("auroc", 3, 1, epoch) for epoch in range(EPOCHS)]
    assert [value for _, _, value in curve] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_tensorboard_on_a_whole_study_keeps_the_trials_of_its_searches_apart(
    tmp_path: Path,
) -> None:
    folder = write_regime_1(tmp_path / "study" / "regime_1")
    change_trial(folder, 11, status="FAILED", message="out of memory", score=None)
    write_regime_2(tmp_path / "study" / "regime_2")
    write_logs(tmp_path / "study")
    with serving(tmp_path / "study" / LOGS) as ask:
        found = session_groups(ask, 2 + (12 + 6) * (1 + 3))
    groups = {group["name"]: group["sessions"][0] for group in found}
    assert len(groups) == 12 + 6
    assert groups["regime_1/0011"]["status"] == "STATUS_FAILURE"
    assert groups["regime_2/0000"]["status"] == "STATUS_SUCCESS"


@pytest.mark.slow
def test_tensorboard_shows_what_is_written_while_it_runs(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=2)
    ended = json.loads((folder / "trial_0001" / "trial.json").read_text())
    change_trial(folder, 1, status="RUNNING", score=None, best_step=None)
    later = [folder / "trial_0001" / f"fold_{fold}.json" for fold in (1, 2)]
    kept = {path: path.read_bytes() for path in later}
    for path in later:
        path.unlink()
    progress = TensorBoardLogs(tmp_path)
    progress.recorded(folder)
    with serving(tmp_path / LOGS) as ask:
        first = {g["name"]: g["sessions"][0] for g in session_groups(ask, 1 + (1 + 3) + (1 + 1))}
        assert first["regime_1/0001"]["status"] == "STATUS_UNKNOWN"
        assert first["regime_1/0001"]["metricValues"] == []
        for path, content in kept.items():
            path.write_bytes(content)
        change_trial(folder, 1, **ended)
        progress.recorded(folder, "0001")
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            then = {g["name"]: g["sessions"][0] for g in session_groups(ask, 1 + 2 * (1 + 3))}
            if then["regime_1/0001"]["status"] == "STATUS_SUCCESS":
                break
            time.sleep(0.3)
    assert then["regime_1/0001"]["status"] == "STATUS_SUCCESS"
    figures = {v["name"]["tag"]: v["value"] for v in then["regime_1/0001"]["metricValues"]}
    assert figures["val_auroc"] == pytest.approx(ended["score"], rel=1e-6)
