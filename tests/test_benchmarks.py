"""The benchmarks run, at a small size, and tell of everything that they compare."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from experiments.benchmarks.problem import Problem, study_problem
from experiments.benchmarks.trial import measure, ratios
from experiments.benchmarks.ways import WAYS, Cost, Costs, Ways, installed, shares_of

tiny_problem = partial(study_problem, 60, num_folds=3, num_features=8)
tinier_problem = partial(study_problem, 24, num_folds=2, num_features=8, units=(8,))
# What every benchmark prints below its table.
BELOW = (" cores; python 3.", "keras-tuner 1.4")


@pytest.fixture
def printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a benchmark in this process, where TensorFlow is imported, and returns its output."""

    def run(name: str, *options: str, **constants: int) -> str:
        module = importlib.import_module(f"experiments.benchmarks.{name}")
        for constant, value in constants.items():
            monkeypatch.setattr(module, constant, value)
        monkeypatch.setattr(sys, "argv", [name, *options])
        module.main()
        return capsys.readouterr().out

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "constants", "told"),
    [
        (
            "precision",
            # The bundled network computes in both precisions, and is small.
            ["--patients", "16", "--seeds", "2", "--weights", "phantoms", "--image-size", "75"],
            {"EPOCHS": 2},
            ["2 epochs, 2 seeds", "float32", "bfloat16", "bfloat16 less float32"],
        ),
        (
            "extraction",
            ["--images", "2", "--image-size", "75", "--weights", "phantoms"],
            {},
            ["float32", "bfloat16", "bfloat16 features differ"],
        ),
        (
            "stopping",
            ["--seeds", "1", "--trials", "2", "--rows", "60", "--epochs", "7"],
            {},
            ["2 trials, 6 folds, 7 epochs", "60 synthetic rows", "same with", "of 1 seeds"],
        ),
    ],
)
def test_a_benchmark_prints_its_table_with_machine_and_versions(
    name: str,
    options: list[str],
    constants: dict[str, int],
    told: list[str],
    printed: Callable[..., str],
) -> None:
    output = printed(name, *options, **constants)
    for text in (*told, *BELOW):
        assert text in output


@pytest.mark.slow
def test_a_benchmark_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "experiments.benchmarks.workers", "--simulate"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in ("10,000 trials, replayed", "begins 20 a second", "20%", "92%", *BELOW):
        assert text in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_adam_times_every_engine(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.benchmarks import adam

    # Each engine is imported by a process of its own, here on one core.
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {core})
    output = printed("adam", "--turns", "1", "--repeats", "1")
    told = [adam.ENGINES[name].title for name in installed(list(adam.ENGINES), adam.ENGINES)]
    for text in ("16,553,580 weights", "CPU ms", "GB/s", *told, *BELOW):
        assert text in output
    # No core reads and writes 400 GB in a second; an engine that updates nothing would.
    rates = [int(rate) for rate in re.findall(r"(\d+) │$", output, re.MULTILINE)]
    assert len(rates) == len(told)
    assert all(0 < rate < 400 for rate in rates)


@pytest.mark.slow
def test_the_benchmark_of_startup_times_processes_on_a_study_that_it_makes(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from experiments.benchmarks import startup

    # One of each kind: bare, an import, a command alone, and one on the study and its model.
    told = (startup.BARE, "import rust_tuner", "rust-tuner --help", "rust-tuner predict, one image")
    kept = {what: command for what, command in startup.COMMANDS.items() if what in told}
    monkeypatch.setattr(startup, "COMMANDS", kept)
    # The benchmark sets the first one for its processes.
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("RUST_TUNER_CACHE", str(tmp_path))
    output = printed("startup", "--repeats", "1", "--image-size", "75", "--weights", "phantoms")
    for text in (*told, *BELOW):
        assert text in output


@pytest.mark.slow
def test_the_benchmark_of_gpus_runs_without_one(printed: Callable[..., str]) -> None:
    pytest.importorskip("jax")
    options = ["--trials", "1", "--images", "24", "--folds", "2", "--epochs", "1", "--regimes", "1"]
    output = printed("gpu", *options, "--together", "2", "--no-cores")
    for text in ("Regime I ", "share of the device", "trials as one", "TFLOP/s"):
        assert text in output


@dataclass(frozen=True, eq=False)
class Noted(Problem):
    """Keeps what it is asked to score."""

    answers: list[npt.NDArray[Any]] = field(default_factory=list)

    def score(self, fold: int, answers: npt.NDArray[np.float32]) -> float:
        self.answers.append(np.array(answers))
        return 0.0


@pytest.mark.slow
def test_the_peers_in_jax_and_pytorch_train_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    from experiments.benchmarks import peers_jax, peers_torch

    # PyTorch adds epsilon after the correction of the bias, Keras before it.
    for module in (peers_jax, peers_torch):
        monkeypatch.setattr(module, "EPSILON", 1e-11)
    # In one step of all rows, without flips and masks, nothing is drawn.
    still = replace(tiny_problem(), num_variants=1, dropout_rate=0.0)
    both = []
    for peer in (peers_jax.vmapped, peers_torch.stacked):
        noted = Noted(**vars(still))
        peer(noted)(1000, 3, lambda fold: None)
        both.append(np.array(noted.answers))
    assert both[0].shape == (9, 20, 18)
    np.testing.assert_allclose(both[0], both[1], rtol=0, atol=1e-3)
    # Three steps are more than that.
    assert np.abs(both[0][6:] - both[0][:3]).max() > 5e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [["together", "fit_steps"], ["jax", "torch", "torch_stacked"]], ids=", ".join
)
def test_every_way_trains_the_folds_and_is_timed(names: list[str]) -> None:
    names = installed(names)
    if not names:
        pytest.skip("no engine of these is installed")
    assert_timed(names, at_once=1)


@pytest.mark.slow
def test_trials_at_once_train_the_folds_and_are_timed() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("has fewer cores")
    # Each trial's process imports the engine; JAX is quicker to import than TensorFlow.
    assert_timed(installed(["jax", "together"])[:1], at_once=2)


def assert_timed(names: list[str], *, at_once: int) -> None:
    with Ways(tinier_problem, at_once=at_once) as ways:
        times = measure(ways, names, [16], turns=1, epochs=2)
    assert list(times["way"]) == [WAYS[name].title for name in names]
    assert (times[["first", "seconds", "first_cpu", "cpu_seconds"]] > 0).all(axis=None)


def test_trials_at_once_share_the_cores_equally() -> None:
    cores = os.sched_getaffinity(0)
    shares = shares_of(len(cores))
    assert {core for share in shares for core in share} == cores
    assert all(len(share) == 1 for share in shares)
    with pytest.raises(ValueError, match=f"this machine has {len(cores)} cores"):
        shares_of(len(cores) + 1)


def test_a_way_is_left_out_if_its_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else object()
    )
    assert installed(["together", "torch", "jax"]) == ["together", "jax"]


def test_ratios_are_to_the_first_way_at_the_same_batch_size() -> None:
    quantities = {"seconds": [2.0, 4.0, 3.0, 9.0], "cpu_seconds": [1.0, 1.0, 1.0, 2.0]}
    first = {"first": [1.0, 5.0, 2.0, 2.0], "first_cpu": [1.0, 5.0, 2.0, 2.0]}
    times = pd.DataFrame({"batch_size": [16, 16, 32, 32], **quantities, **first})
    assert list(ratios(times)["ratio_seconds"]) == [1.0, 2.0, 1.0, 3.0]
    assert list(ratios(times)["ratio_first_cpu"]) == [1.0, 5.0, 1.0, 1.0]
    costs = Costs(Cost(9.0, 9.0), (Cost(1.0, 4.0), Cost(3.0, 2.0), Cost(2.0, 3.0)))
    assert (costs.median("seconds"), costs.median("cpu_seconds")) == (2.0, 3.0)
