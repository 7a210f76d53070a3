"""A first model on several devices shares its batches and learns the same as on one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from baseline_problems import train_lenets
from narrowing import as_json

from rust_tuner.records.baselines import BASELINES, read_baselines
from rust_tuner.records.trial_tables import history_table

LENET, *_ = BASELINES


TESTS = Path(__file__).parents[1]
TWO_DEVICES = """
import sys
import rust_tuner
import tensorflow as tf
from rust_tuner.models import hypermodels
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
hypermodels._num_gpus = lambda: 2
hypermodels._on_all_gpus = strategy.scope
tests, manifest, directory, *settings = sys.argv[1:]
sys.path.insert(0, tests)
from baseline_problems import train_lenets
train_lenets(manifest, directory, settings)
"""
# A fold trains on 11 radiographs: in batches of 8 and 3, 10 and 1.
SETTINGS = ("8 masked", "10 published")


@pytest.fixture(scope="module")
def on_devices(phantom_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """LeNet of each setting, on one device and on two, which only a process of its own can have."""
    folders = {num_devices: tmp_path_factory.mktemp("devices") for num_devices in (1, 2)}
    train_lenets(phantom_manifest, folders[1], SETTINGS)
    code = [sys.executable, "-W", "ignore", "-c", TWO_DEVICES, str(TESTS), str(phantom_manifest)]
    done = subprocess.run([*code, str(folders[2]), *SETTINGS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_several_devices_share_a_batch_and_learn_the_same(
    on_devices: dict[int, Path], setting: str
) -> None:
    curves = []
    for num_devices, folder in on_devices.items():
        project = read_baselines(folder / setting)[LENET]
        assert as_json(project.run)["subject"]["num_replicas"] == num_devices
        curves.append(history_table(project).query("metric == 'loss'"))
    one, two = curves
    assert list(one["split"]) == list(two["split"])
    ours, theirs = (np.asarray(c.query("split == 'validation'")["value"]) for c in (two, one))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    # Keras's mean over an epoch takes a batch for as many rows as it was filled up to.
    np.testing.assert_allclose(two["value"], one["value"], rtol=0.05)
    assert one["value"].nunique() == 8
