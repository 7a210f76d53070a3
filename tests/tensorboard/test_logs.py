"""TensorBoard logs: a function of the records, read back with TensorFlow's own reader."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, SupportsIndex

import numpy as np
import pandas as pd
import pytest
from lock_holders import other_holder
from narrowing import as_json
from report_studies import (
    curve_value,
    dimension,
    write_json,
    write_project,
    write_regime_1,
    write_regime_2,
    write_study,
)
from search_problems import arrays, make_tuner, run_search
from tensorboard.plugins.hparams import metadata

from rust_tuner.errors import ExtraError, LockedError, ResumeError
from rust_tuner.files import sha256_of_json
from rust_tuner.locks import hold_lock
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.records.trial_tables import results_table
from rust_tuner.search.tuner import CrossValidationTuner
from rust_tuner.tensorboard import logs as tensorboard
from rust_tuner.tensorboard.logs import LOGS, TensorBoardLogs, write_logs

EPOCHS = 5
SECONDS_TO_START = 600


class Notes(Silent):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @contextlib.contextmanager
    def task(self, name: str, total: int, *, done: int = 0) -> Iterator[Any]:
        self.told.append((name, total, done))
        yield self

    def say(self, text: str) -> None:
        self.told.append(text)


class Killed(BaseException):
    """Stands for kill -9."""


def events(run: Path) -> list[Any]:
    """The events of a run's folder, file after file, checksums verified."""
    from tensorflow.compat.v1.train import summary_iterator

    return [
        event for path in sorted(run.glob("*tfevents*")) for event in summary_iterator(str(path))
    ]


def scalars(run: Path) -> dict[str, dict[int, float]]:
    """tag -> step -> value, each step once."""
    found: dict[str, Any] = {}
    for event in events(run):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                steps = found.setdefault(value.tag, {})
                assert event.step not in steps
                steps[event.step] = value.tensor.float_val[0]
    return found


def hparams(run: Path) -> dict[str, Any]:
    """tag -> what the HParams plugin keeps there, each once."""
    parsers = {
        metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
        metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
        metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
    }
    found = {}
    for event in events(run):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                assert value.tag not in found
                found[value.tag] = parsers[value.tag](value.metadata.plugin_data.content)
    return found


def texts(run: Path) -> dict[str, str]:
    return {
        value.tag: value.tensor.string_val[0].decode()
        for event in events(run)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    }


def change_trial(folder: Path, number: int, **changes: Any) -> None:
    path = folder / f"trial_{number:04d}" / "trial.json"
    write_json(path, json.loads(path.read_text()) | changes)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".lock")
    }


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with logs; not to be written to."""
    study = write_study(tmp_path_factory.mktemp("logged") / "study")
    write_logs(study)
    return study


def test_there_is_a_run_a_trial_and_a_run_a_fold(logged: Path) -> None:
    logs = logged / LOGS / "regime_2"
    runs = {str(path.parent.relative_to(logs)) for path in logs.rglob("*tfevents*")}
    folds = {f"trial_{trial:04d}/fold_{fold}" for trial in range(6) for fold in range(3)}
    assert runs == {"."} | {f"trial_{trial:04d}" for trial in range(6)} | folds


def test_every_search_of_a_study_has_logs(logged: Path) -> None:
    searches = {
        str(path.parent.parent.relative_to(logged / LOGS))
        for path in (logged / LOGS).glob("**/trial_0000/*tfevents*")
    }
    assert searches == {
        "baselines/lenet1998",
        "baselines/inceptionv3_imagenet",
        "regime_1",
        "regime_2",
        "final/cross_validation",
    }


def test_a_fold_has_each_metric_of_each_epoch_of_both_splits(logged: Path) -> None:
    for trial, fold in ((0, 0), (4, 2)):
        found = scalars(logged / LOGS / "regime_2" / f"trial_{trial:04d}" / f"fold_{fold}")
        assert set(found) == {
            f"{split}/{metric}"
            for split in ("training", "validation")
            for metric in ("auroc", "cortex_auroc", "loss")
        }
        for tag, steps in found.items():
            split, metric = tag.split("/")
            expected = {e: curve_value(metric, trial, fold, e, split=split) for e in range(EPOCHS)}
            assert steps == pytest.approx(expected, rel=1e-6)


def test_a_trial_has_the_mean_curves_and_its_row_of_the_results(logged: Path) -> None:
    project = read_project(logged / "regime_2")
    for row in results_table(project).to_dict("records"):
        number = int(row["trial"])
        found = scalars(logged / LOGS / "regime_2" / f"trial_{row['trial']}")
        mean = [
            np.mean([curve_value("auroc", number, f, e) for f in range(3)]) for e in range(EPOCHS)
        ]
        assert found["validation/auroc"] == pytest.approx(dict(enumerate(mean)), rel=1e-6)
        final = {tag: steps for tag, steps in found.items() if "/" not in tag}
        assert final == {
            tag: pytest.approx({row["epoch"]: row[tag]}, rel=1e-6)
            for tag in (
                "val_auroc",
                "val_auroc_std",
                "val_cortex_auroc",
                "val_loss",
                "view_only_auroc",
                "view_only_cortex_auroc",
            )
        }


def test_hparams_know_the_declared_space_and_the_metrics(logged: Path) -> None:
    experiment = hparams(logged / LOGS / "regime_1")[metadata.EXPERIMENT_TAG]
    infos = {info.name: info for info in experiment.hparam_infos}
    assert set(infos) == {"batch_size", "dropout_rate", "learning_rate", "epsilon"}
    batch_size = infos["batch_size"].domain_interval
    assert (batch_size.min_value, batch_size.max_value) == (16, 2048)
    dropout_rate = infos["dropout_rate"].domain_interval
    assert (dropout_rate.min_value, dropout_rate.max_value) == (0, 0.5)
    rates = infos["learning_rate"].domain_discrete
    assert [v.number_value for v in rates.values] == [1e-3, 1e-2, 1e-1]
    named = [metric.name.tag for metric in experiment.metric_infos]
    assert named[:2] == ["val_auroc", "val_cortex_auroc"]
    assert {"val_auroc_std", "view_only_auroc", "view_only_cortex_auroc"} == set(named[2:])


def shown_experiment(logs: Path) -> Any:
    """What TensorBoard's HParams plugin takes as the experiment of a folder."""
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.backend_context import Context

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logs))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(logs))
    plugin = Context(TBContext(data_provider=provider))
    request = context.RequestContext()
    found = plugin.hparams_metadata(request, "")
    return plugin.experiment_from_metadata(request, "", True, found, None)


def test_every_search_of_a_study_declares_the_hyperparameters_of_all(tmp_path: Path) -> None:
    # TensorBoard reads one of them, whichever comes first, and the first model has no dropout.
    space = dimension("batch_size", "Fixed", value=128)
    write_project(tmp_path / "baselines" / "lenet1998", [{"batch_size": 128}], space=space)
    write_logs(tmp_path)
    logs = tmp_path / LOGS
    write_regime_1(tmp_path / "regime_1", count=2)
    progress = TensorBoardLogs(tmp_path)
    progress.recorded(tmp_path / "regime_1", "0000")
    names = ["baselines/lenet1998", "regime_1"]
    declared: Any = [hparams(logs / name)[metadata.EXPERIMENT_TAG] for name in names]
    assert declared[0] == declared[1]
    expected = {"batch_size", "dropout_rate", "learning_rate", "epsilon"}
    assert {info.name for info in shown_experiment(logs).hparam_infos} == expected
    infos = {info.name: info for info in declared[0].hparam_infos}
    assert infos["batch_size"].domain_interval.max_value == 2048
    written = files_of(logs)
    write_logs(tmp_path)
    assert {name: files_of(logs)[name] for name in written} == written


def test_a_domain_holds_the_values_of_all_searches(tmp_path: Path) -> None:
    kinds = {
        "units": [("Fixed", {"value": 3}), ("Int", {"min_value": 5, "max_value": 9})],
        "rate": [("Fixed", {"value": 0.1}), ("Choice", {"values": [0.3, 0.2]})],
        "loss": [("Fixed", {"value": "mse"}), ("Choice", {"values": ["mae", "mse"]})],
        "mixed": [("Fixed", {"value": "none"}), ("Int", {"min_value": 1, "max_value": 2})],
    }
    for number in range(2):
        space: dict[str, Any] = {}
        for name, declared in kinds.items():
            kind, config = declared[number]  # type: ignore[index]
            space |= dimension(name, kind, **config)
        write_project(tmp_path / f"search_{number}", [], space=space)
        write_logs(tmp_path / f"search_{number}")
    experiment = hparams(tmp_path / LOGS / "search_0")[metadata.EXPERIMENT_TAG]
    infos = {info.name: info for info in experiment.hparam_infos}
    interval = infos["units"].domain_interval
    assert (interval.min_value, interval.max_value) == (3, 9)
    assert [v.number_value for v in infos["rate"].domain_discrete.values] == [0.1, 0.2, 0.3]
    assert [v.string_value for v in infos["loss"].domain_discrete.values] == ["mae", "mse"]
    assert infos["mixed"].WhichOneof("domain") is None


def test_hparams_know_the_values_of_every_trial_under_a_name_of_its_own(logged: Path) -> None:
    names = []
    for search in ("regime_1", "regime_2"):
        for trial in read_project(logged / search).trials:
            found = hparams(logged / LOGS / search / f"trial_{trial.trial}")
            start = found[metadata.SESSION_START_INFO_TAG]
            assert {n: v.number_value for n, v in start.hparams.items()} == trial.values
            assert found[metadata.SESSION_END_INFO_TAG].status == 1  # STATUS_SUCCESS
            names.append(start.group_name)
    # Trials of one name would be one to TensorBoard.
    assert len(set(names)) == len(names) == 18


def test_every_kind_of_hyperparameter_has_its_domain(tmp_path: Path) -> None:
    space = dimension("flag", "Boolean") | dimension("head", "Choice", values=["a", "b"])
    space |= dimension("units", "Int", min_value=1, max_value=2)
    space |= dimension("loss", "Fixed", value="mse")
    space |= {"units'": dimension("units", "Int", min_value=7, max_value=9)["units"]}
    values = {"flag": True, "head": "b", "units": 8, "loss": "mse"}
    write_project(tmp_path / "mine", [values], space=space)
    logs = write_logs(tmp_path / "mine")
    assert logs == tmp_path / LOGS / "mine"
    infos = hparams(logs)[metadata.EXPERIMENT_TAG].hparam_infos
    domains = {info.name: info for info in infos}
    assert [v.bool_value for v in domains["flag"].domain_discrete.values] == [False, True]
    assert [v.string_value for v in domains["head"].domain_discrete.values] == ["a", "b"]
    assert [v.string_value for v in domains["loss"].domain_discrete.values] == ["mse"]
    # Declared under two conditions it has no single domain.
    assert len(infos) == 4
    assert domains["units"].WhichOneof("domain") is None
    start = hparams(logs / "trial_0000")[metadata.SESSION_START_INFO_TAG].hparams
    assert (start["flag"].bool_value, start["head"].string_value) == (True, "b")


def test_a_failed_trial_says_so_and_why_and_has_no_score(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=2)
    change_trial(folder, 1, status="FAILED", message="TrialError: loss is nan", score=None)
    logs = write_logs(folder)
    run = logs / "trial_0001"
    assert hparams(run)[metadata.SESSION_END_INFO_TAG].status == 2  # STATUS_FAILURE
    assert texts(run) == {"message": "TrialError: loss is nan"}
    assert scalars(run) == {}
    assert scalars(run / "fold_0")


def test_a_running_trial_has_the_folds_that_are_done_and_no_end(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=1)
    change_trial(folder, 0, status="RUNNING", score=None, best_step=None)
    (folder / "trial_0000" / "fold_2.json").unlink()
    logs = write_logs(folder)
    assert set(hparams(logs / "trial_0000")) == {metadata.SESSION_START_INFO_TAG}
    assert sorted(path.name for path in logs.glob("trial_0000/*/")) == ["fold_0", "fold_1"]


def test_epochs_stand_in_the_time_that_their_fold_took(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=1)
    logs = write_logs(folder)
    end = (folder / "trial_0000" / "fold_1.json").stat().st_mtime
    times = [event.wall_time for event in events(logs / "trial_0000" / "fold_1")]
    expected = [end - 1.5 * share for share in (0.8, 0.8, 0.6, 0.4, 0.2, 0)]
    assert times == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "ends",
    [(1004.5, 1004.5, 1004.5), (1001.5, 1003.0, 1004.5), (1001.5, 1003.0, 9000.0)],
    ids=["together", "one after another", "with a break"],
)
def test_a_trial_begins_with_its_first_fold(
    ends: tuple[float, float, float], tmp_path: Path
) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=1)
    for fold, end in enumerate(ends):
        os.utime(folder / "trial_0000" / f"fold_{fold}.json", (end, end))
    found = hparams(write_logs(folder) / "trial_0000")
    assert found[metadata.SESSION_START_INFO_TAG].start_time_secs == pytest.approx(1000)
    assert found[metadata.SESSION_END_INFO_TAG].end_time_secs == pytest.approx(ends[-1])


def test_logs_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=2)
    logs = write_logs(folder)
    before = {path: path.stat().st_mtime_ns for path in logs.rglob("*tfevents*")}
    assert len(before) == 1 + 2 * (2 + 3)
    write_logs(folder)
    assert {path: path.stat().st_mtime_ns for path in logs.rglob("*tfevents*")} == before


def test_changed_records_have_their_logs_changed_and_never_doubled(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=3)
    logs = write_logs(folder)
    path = folder / "trial_0000" / "fold_0.json"
    head = json.loads(path.read_text())
    head["validation"]["auroc"][0] = 0.25
    content = {name: value for name, value in head.items() if name != "sha256"}
    write_json(path, content | {"sha256": sha256_of_json(content)})
    shutil.rmtree(folder / "trial_0002")
    # What a kill leaves of an event file.
    (logs / "trial_0001" / ".123-abc.part").write_bytes(b"half")
    write_logs(folder)
    assert scalars(logs / "trial_0000" / "fold_0")["validation/auroc"][0] == 0.25
    assert sorted(path.name for path in logs.glob("*/")) == ["trial_0000", "trial_0001"]
    assert len(list(logs.rglob("*tfevents*"))) == 1 + 2 * (2 + 3)
    assert not list(logs.rglob("*.part"))


def test_logs_wait_for_another_writer_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=1)
    with other_holder(tmp_path / LOGS / "regime_1", "logging") as holder:
        with pytest.raises(LockedError), hold_lock(tmp_path / LOGS / "regime_1", "looking"):
            pass

        def leave(seconds: float | SupportsIndex) -> None:
            holder.communicate()

        # The other one leaves as soon as it is waited for.
        monkeypatch.setattr(time, "sleep", leave)
        logs = write_logs(folder)
        assert holder.returncode == 0
    assert (logs / "trial_0000").is_dir()


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is not a study folder"):
        write_logs(tmp_path)


@pytest.mark.slow
def test_writing_logs_does_not_start_tensorflow(tmp_path: Path) -> None:
    folder = write_regime_1(tmp_path / "regime_1", count=1)
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from rust_tuner.tensorboard.logs import write_logs; write_logs(sys.argv[1])\n"
        "print(sorted({'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for refused in (lambda: write_logs(tmp_path), lambda: TensorBoardLogs(tmp_path)):
        with pytest.raises(ExtraError, match=r"pip install tensorboard.*rust-tuner\[tensorboard\]"):
            refused()


def outcome(tuner: CrossValidationTuner) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuner.results().drop(columns="seconds"), tuner.history()


def test_what_else_is_reported_is_passed_on_and_where_to_look_is_said_once(tmp_path: Path) -> None:
    folder, notes = write_regime_1(tmp_path / "a study" / "regime_1", count=1), Notes()
    progress = TensorBoardLogs(tmp_path / "a study", notes)
    with progress.task("epochs", 3, done=1):
        progress.say("hello")
    for _ in range(2):
        progress.recorded(folder)
    look = f"to watch the searches: tensorboard --logdir '{tmp_path}/a study/{LOGS}'"
    assert notes.told == [("epochs", 3, 1), "hello", look]


@pytest.mark.slow
def test_a_search_with_logs_computes_what_it_does_without(tmp_path: Path) -> None:
    plain = run_search(tmp_path / "plain", "random")
    logging = run_search(tmp_path / "logs", "random", progress=TensorBoardLogs(tmp_path / "logs"))
    for one, other in zip(outcome(plain), outcome(logging), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    # As those that are written from its records afterwards.
    kept = set(files_of(tmp_path / "logs" / LOGS))
    shutil.rmtree(tmp_path / "logs" / LOGS)
    write_logs(tmp_path / "logs" / "search")
    assert set(files_of(tmp_path / "logs" / LOGS)) == kept
    assert len(kept) == 1 + 2 * (2 + 2)


@pytest.mark.slow
def test_logs_grow_with_every_record(tmp_path: Path) -> None:
    seen = []

    class Watching(Silent):
        def recorded(self, project: Path, trial: str | None = None) -> None:
            logs = tmp_path / LOGS / project.name
            folds = {str(path.parent.relative_to(logs)) for path in logs.glob("*/fold_*/*")}
            ended = {
                path.name
                for path in logs.glob("*/")
                if metadata.SESSION_END_INFO_TAG in hparams(path)
            }
            seen.append((trial, len(folds), len(ended)))

    run_search(tmp_path, "grid", progress=TensorBoardLogs(tmp_path, Watching()))
    # The search, then the start, each fold and the end of each trial.
    assert seen == [
        (None, 0, 0),
        *(("0000", folds, 0) for folds in (0, 1, 2)),
        ("0000", 2, 1),
        *(("0001", folds, 1) for folds in (2, 3, 4)),
        ("0001", 4, 2),
    ]


def kill_while_logging(folder: Path, strike: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that dies inside the event file of this number, half of it written."""
    written: list[Path]
    atomic_write, written = tensorboard.atomic_write, []  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def dying(path: Path) -> Iterator[IO[bytes]]:
        if len(written) == strike:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(".1-ab.part").write_bytes(b"half")
            raise Killed
        written.append(path)
        with atomic_write(path) as stream:
            yield stream

    with monkeypatch.context() as patch:
        patch.setattr(tensorboard, "atomic_write", dying)
        with pytest.raises(Killed):
            run_search(folder, "grid", max_trials=1, progress=TensorBoardLogs(folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "strikes", [(4,), pytest.param((0, 1, 2, 3), marks=pytest.mark.slow)], ids=["last", "others"]
)
def test_a_search_killed_while_it_writes_logs_ends_with_all_of_them_once(
    strikes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(tmp_path / "whole", "grid", max_trials=1).history()
    for strike in strikes:
        folder = tmp_path / str(strike)
        kill_while_logging(folder, strike, monkeypatch)
        tuner = run_search(folder, "grid", max_trials=1, progress=TensorBoardLogs(folder))
        pd.testing.assert_frame_equal(tuner.history(), whole, check_exact=True)
        kept = sorted(name.rpartition(".")[0] for name in files_of(folder / LOGS))
        assert kept == [
            f"search/{name}events.out.tfevents.{order}"
            for name, order in (
                ("", 0),
                ("trial_0000/", 0),
                ("trial_0000/", 1),
                ("trial_0000/fold_0/", 0),
                ("trial_0000/fold_1/", 0),
            )
        ]


@pytest.mark.slow
def test_a_search_that_is_finished_gets_the_logs_that_it_lacks(tmp_path: Path) -> None:
    run_search(tmp_path, "grid", max_trials=1)
    assert not (tmp_path / LOGS).exists()
    tuner = make_tuner(tmp_path, "grid", max_trials=1, progress=TensorBoardLogs(tmp_path))
    x, y, groups = arrays()
    tuner.search(x, y, groups, epochs=2, batch_size=16)
    assert len(files_of(tmp_path / LOGS)) == 1 + 2 + 2


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
