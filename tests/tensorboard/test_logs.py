"""TensorBoard logs: a function of the records, read back with TensorFlow's own reader."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import pytest
from lock_holders import other_holder
from report_searches import curve_value, dimension, write_json, write_project, write_regime_1
from report_studies import write_study
from tensorboard.plugins.hparams import metadata
from tensorboard_logs import change_trial, events, files_of, hparams

from rust_tuner.errors import ExtraError, LockedError, ResumeError
from rust_tuner.files import sha256_of_json
from rust_tuner.locks import hold_lock
from rust_tuner.progress import Silent
from rust_tuner.records.project import read_project
from rust_tuner.records.trial_tables import results_table
from rust_tuner.tensorboard.logs import LOGS, TensorBoardLogs, write_logs

EPOCHS = 5


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


def texts(run: Path) -> dict[str, str]:
    return {
        value.tag: value.tensor.string_val[0].decode()
        for event in events(run)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
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


@pytest.mark.slow
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


def test_what_else_is_reported_is_passed_on_and_where_to_look_is_said_once(tmp_path: Path) -> None:
    folder, notes = write_regime_1(tmp_path / "a study" / "regime_1", count=1), Notes()
    progress = TensorBoardLogs(tmp_path / "a study", notes)
    with progress.task("epochs", 3, done=1):
        progress.say("hello")
    for _ in range(2):
        progress.recorded(folder)
    look = f"to watch the searches: tensorboard --logdir '{tmp_path}/a study/{LOGS}'"
    assert notes.told == [("epochs", 3, 1), "hello", look]
