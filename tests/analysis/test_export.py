"""Export: the best completed trial of a project folder, in every form, from records alone."""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from report_searches import signed

from rust_tuner.analysis.export import export_best_hyperparameters
from rust_tuner.errors import ResumeError, SearchError, StorageError

PROTOCOL = {"objective": "val_auroc", "learning_rates": [0.1, 0.01], "masked_loss": False}
WEIGHTS = {"asked": "imagenet", "file": "stand_in.h5", "sha256": "ab" * 32}
VERSIONS = {"python": "3.11.9", "keras": "3.15.0"}

# Validation AUROC of three folds over three epochs; the chosen epoch is 1.
CURVES = [[0.50, 0.80, 0.60], [0.55, 0.70, 0.90], [0.40, 0.66, 0.50]]
CORTEX_CURVES = [[0.5, 0.61, 0.5], [0.5, 0.62, 0.5], [0.5, 0.66, 0.5]]


def write_search(folder: Path, *, direction: str = "max", **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "format": 1,
        "oracle": "GridSearchOracle",
        "objective": {"name": "val_auroc", "direction": direction},
        "space": {},
        "num_trials": 4,
        "seed": 7,
        "epochs": 3,
        "subject": {"num_folds": 3, "weights": WEIGHTS},
        "view_only_baseline": {"val_auroc": 0.65, "val_cortex_auroc": 0.5},
        "versions": VERSIONS,
        "protocol": PROTOCOL,
    } | changes
    (folder / "search.json").write_text(json.dumps(run))
    return folder


def write_trial(
    folder: Path,
    trial: str,
    *,
    score: float | None,
    values: dict[str, Any] | None = None,
    status: str = "COMPLETED",
    epoch: int = 1,
    folds: int = 3,
    message: str | None = None,
) -> Path:
    place = folder / f"trial_{trial}"
    place.mkdir()
    values = values or {"batch_size": 64, "learning_rate": 0.01, "epsilon": 1e-7}

    def observed(value: float) -> dict[str, Any]:
        return {"direction": "max", "observations": [{"value": [value], "step": epoch}]}

    metrics = {}
    if score is not None:
        metrics = {"val_auroc": observed(score), "val_cortex_auroc": observed(0.63)}
    state = {
        "trial_id": trial,
        "hyperparameters": {"space": [], "values": values},
        "metrics": {"metrics": metrics},
        "score": score,
        "best_step": epoch,
        "status": status,
        "message": message,
    }
    (place / "trial.json").write_text(json.dumps(state))
    for fold in range(folds):
        record = {
            "key": "00",
            "fold": fold,
            "steps_per_epoch": 5,
            "seconds": 1.5,
            "training": {"loss": [0.7, 0.6, 0.5]},
            "validation": {"auroc": CURVES[fold], "cortex_auroc": CORTEX_CURVES[fold]},
        }
        (place / f"fold_{fold}.json").write_text(json.dumps(signed(record)))
    return place


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two completed trials, a failed and a running one; 0001 is the best."""
    folder = write_search(tmp_path / "study" / "regime_2")
    write_trial(folder, "0000", score=0.71, values={"batch_size": 32, "learning_rate": 0.1})
    write_trial(folder, "0001", score=0.72)
    write_trial(folder, "0002", score=0.99, status="FAILED", message="out of memory")
    write_trial(folder, "0003", score=0.98, status="RUNNING", folds=1)
    return folder


EXPECTED = {
    "hyperparameters": {"batch_size": 64, "learning_rate": 0.01, "epsilon": 1e-7},
    "objective": "val_auroc",
    "score": 0.72,
    "score_std": pytest.approx(statistics.stdev([0.80, 0.70, 0.66])),
    "score_interval": [pytest.approx(0.4367647228500268), 1.0],
    "tied_trials": None,
    "score_kind": "selection score: the best of several trials, not an estimate for new patients",
    "epoch": 1,
    "trial": "0001",
    "metrics": {"val_auroc": 0.72, "val_cortex_auroc": 0.63},
    "view_only_baseline": {"val_auroc": 0.65, "val_cortex_auroc": 0.5},
    "num_folds": 3,
    "epochs": 3,
    "trials": {"completed": 2, "failed": 1},
    "weights": WEIGHTS,
    "seed": 7,
    "protocol": PROTOCOL,
    "versions": VERSIONS,
}


def read_json_file(path: Path) -> Any:
    return json.loads(path.read_text())


def read_yaml_file(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("suffix", "read"),
    [(".json", read_json_file), (".yaml", read_yaml_file), (".yml", read_yaml_file)],
)
def test_json_and_yaml_hold_the_best_completed_trial(
    suffix: str, read: Callable[[Path], Any], project: Path, tmp_path: Path
) -> None:
    target = tmp_path / f"best{suffix}"
    returned = export_best_hyperparameters(project, target)
    assert returned == EXPECTED
    written = read(target)
    assert written == EXPECTED
    assert list(written) == list(EXPECTED)
    assert written == returned


def test_csv_is_one_row_that_pandas_reads(project: Path, tmp_path: Path) -> None:
    target = tmp_path / "best.csv"
    returned = export_best_hyperparameters(project, target)
    assert returned == EXPECTED
    table = pd.read_csv(target, dtype={"trial": str})
    assert len(table) == 1
    row = table.iloc[0]
    assert list(table.columns[:3]) == ["batch_size", "learning_rate", "epsilon"]
    assert (row["batch_size"], row["learning_rate"], row["epsilon"]) == (64, 0.01, 1e-7)
    assert (row["objective"], row["score"], row["epoch"]) == ("val_auroc", 0.72, 1)
    assert row["score_std"] == pytest.approx(returned["score_std"], rel=1e-15)
    assert row["trial"] == "0001"
    assert row["metrics.val_cortex_auroc"] == 0.63
    assert row["view_only_baseline.val_auroc"] == 0.65
    assert row["weights.sha256"] == WEIGHTS["sha256"]
    assert (row["trials.completed"], row["trials.failed"]) == (2, 1)
    assert json.loads(row["protocol.learning_rates"]) == [0.1, 0.01]
    assert not row["protocol.masked_loss"]
    assert row["versions.keras"] == "3.15.0"
    assert list(table.columns) == [
        *("batch_size", "learning_rate", "epsilon", "objective", "score", "score_std"),
        *(
            "score_interval",
            "tied_trials",
            "score_kind",
            "epoch",
            "trial",
            "metrics.val_auroc",
            "metrics.val_cortex_auroc",
        ),
        *("view_only_baseline.val_auroc", "view_only_baseline.val_cortex_auroc", "num_folds"),
        *("epochs", "trials.completed", "trials.failed", "weights.asked", "weights.file"),
        *("weights.sha256", "seed", "protocol.objective", "protocol.learning_rates"),
        *("protocol.masked_loss", "versions.python", "versions.keras"),
    ]


def test_csv_keeps_a_hyperparameter_that_is_called_like_a_field(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p", epochs=3)
    write_trial(folder, "0000", score=0.7, values={"num_folds": 50, "units": 8})
    export_best_hyperparameters(folder, tmp_path / "best.csv")
    row = pd.read_csv(tmp_path / "best.csv").iloc[0]
    assert (row["hyperparameters.num_folds"], row["units"], row["epochs"]) == (50, 8, 3)
    assert row["num_folds"] != 50


def test_the_spread_is_that_of_the_chosen_epoch_with_n_minus_1(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p")
    write_trial(folder, "0000", score=0.7, epoch=2)
    found = export_best_hyperparameters(folder, tmp_path / "best.json")
    assert found["epoch"] == 2
    assert found["score_std"] == pytest.approx(statistics.stdev([0.6, 0.9, 0.5]))


def test_an_objective_that_is_minimised_has_its_lowest_as_best(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p", direction="min")
    for number, score in enumerate((0.5, 0.3, 0.4)):
        write_trial(folder, f"000{number}", score=score)
    assert export_best_hyperparameters(folder, tmp_path / "best.json")["trial"] == "0001"


def test_the_first_of_equal_trials_is_exported(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p")
    for number, score in enumerate((0.5, 0.6, 0.6)):
        write_trial(folder, f"000{number}", score=score)
    assert export_best_hyperparameters(folder, tmp_path / "best.json")["trial"] == "0001"


def test_ids_of_trials_are_texts_in_every_version_of_yaml(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p")
    write_trial(folder, "0008", score=0.7)
    export_best_hyperparameters(folder, tmp_path / "best.yaml")
    assert "trial: '0008'" in (tmp_path / "best.yaml").read_text().splitlines()


def test_a_search_on_arrays_has_neither_weights_nor_protocol_nor_baseline(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p", subject={"num_folds": 3}, view_only_baseline={})
    run = json.loads((folder / "search.json").read_text())
    del run["protocol"]
    (folder / "search.json").write_text(json.dumps(run))
    write_trial(folder, "0000", score=0.7)
    found = export_best_hyperparameters(folder, tmp_path / "best.yaml")
    assert (found["weights"], found["protocol"], found["view_only_baseline"]) == (None,) * 3
    assert read_yaml_file(tmp_path / "best.yaml")["weights"] is None
    export_best_hyperparameters(folder, tmp_path / "best.csv")
    assert pd.isna(pd.read_csv(tmp_path / "best.csv").iloc[0]["weights"])


def test_a_file_that_was_there_is_replaced(project: Path, tmp_path: Path) -> None:
    for name in ("best.json", "best.yaml", "best.csv"):
        export_best_hyperparameters(project, tmp_path / name)
        export_best_hyperparameters(project, tmp_path / name)
    assert read_json_file(tmp_path / "best.json") == EXPECTED
    assert not list(tmp_path.glob("*.part"))
    # Also one of a search with other hyperparameters.
    other = write_search(tmp_path / "other")
    write_trial(other, "0000", score=0.9, values={"units": 3})
    for name in ("best.json", "best.yaml", "best.csv"):
        export_best_hyperparameters(other, tmp_path / name)
    assert pd.read_csv(tmp_path / "best.csv").columns[0] == "units"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.json", '{"format": 1, "protocol": {}}'),
        ("split.json", '{"development": []}'),
        ("manifest.csv", "image,patient_id,visit,view\na.png,P1,6w,ap\n"),
        ("rust-tuner.yaml", "folds: 3\n"),
    ],
)
def test_a_file_of_another_kind_is_never_replaced(
    name: str, content: str, project: Path, tmp_path: Path
) -> None:
    target = tmp_path / name
    target.write_text(content)
    with pytest.raises(StorageError, match=f"{name} exists and is something else; give another"):
        export_best_hyperparameters(project, target)
    assert target.read_text() == content
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(StorageError, match="is a folder; give the name of a file for the best"):
        export_best_hyperparameters(project, tmp_path / "folder.json")


# ----------------------------------------------------------------------------------------- refusal


@pytest.mark.parametrize("name", ["best.txt", "best", "best.pkl", "best.JSONL"])
def test_another_suffix_is_refused_before_anything_is_written(
    name: str, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(SearchError, match=rf"{name}: expected a file that ends in \.json, \.yaml"):
        export_best_hyperparameters(project, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_failed_trial_is_never_exported(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p")
    write_trial(folder, "0000", score=0.99, status="FAILED", message="out of memory")
    write_trial(folder, "0001", score=0.98, status="RUNNING")
    with pytest.raises(SearchError, match=r"no trial has completed, so there is no best trial"):
        export_best_hyperparameters(folder, tmp_path / "best.json")
    assert not (tmp_path / "best.json").exists()


def test_a_search_without_trials_has_no_best(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "p")
    with pytest.raises(SearchError, match=r"no trial has completed"):
        export_best_hyperparameters(folder, tmp_path / "best.json")


@pytest.mark.parametrize("name", ["trial.json", "fold_1.json"])
def test_a_trial_that_cannot_be_read_is_named_rather_than_passed_over(
    name: str, project: Path, tmp_path: Path
) -> None:
    (project / "trial_0001" / name).write_text('{"cut short')
    with pytest.raises(SearchError, match=rf"trial_0001: .*{name} is not valid JSON.*run the sear"):
        export_best_hyperparameters(project, tmp_path / "best.json")
    assert not (tmp_path / "best.json").exists()


def test_a_folder_that_is_no_project_is_refused_with_what_to_give(
    project: Path, tmp_path: Path
) -> None:
    with pytest.raises(ResumeError, match=r"study is not a search folder .*such as STUDY/regime_1"):
        export_best_hyperparameters(project.parent, tmp_path / "best.json")
    with pytest.raises(ResumeError, match=r"not_there is not a search folder"):
        export_best_hyperparameters(tmp_path / "not_there", tmp_path / "best.json")


@pytest.mark.slow
def test_exporting_imports_no_tensorflow(project: Path, tmp_path: Path) -> None:
    script = (
        "import sys, rust_tuner\n"
        "rust_tuner.export_best_hyperparameters(sys.argv[1], sys.argv[2])\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert 'rust_tuner' in names\n"
        "print(sorted(names & {'tensorflow', 'keras', 'keras_tuner', 'jax', 'torch'}))\n"
    )
    target = tmp_path / "best.csv"
    run = subprocess.run(
        [sys.executable, "-c", script, str(project), str(target)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"
    assert target.is_file()
