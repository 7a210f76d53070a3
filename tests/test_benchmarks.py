"""The benchmarks run, at a small size, and tell of everything that they compare."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "precision",
            ["--patients", "16", "--seeds", "2", "--weights", "random"],
            ["float32", "bfloat16", "bfloat16 less float32"],
        ),
        ("extraction", ["--images", "8"], ["float32", "bfloat16", "bfloat16 features differ"]),
        ("startup", ["--repeats", "1"], ["import rust_tuner", "rust-tuner --help", "predict"]),
        ("workers", ["--simulate"], ["10,000 trials, replayed", "begins 20 a second"]),
        ("regime_1", ["--trials", "1"], ["Regime I: 2490 images, 6 folds, 20 epochs"]),
    ],
)
def test_a_benchmark_prints_its_table_with_machine_and_versions(
    name: str, options: list[str], told: list[str]
) -> None:
    command = [sys.executable, "-m", f"experiments.benchmarks.{name}", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in (*told, " cores; python 3.", "keras-tuner 1.4"):
        assert text in done.stdout
