"""The backend is started so that a trial repeats bitwise, and left alone where it runs already."""

import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest

from rust_tuner.models import runtime
from rust_tuner.models.runtime import (
    describe_backend,
    empty_aligned,
    is_unchangeable,
    onednn_enabled,
    shared_tensor,
    start_backend,
    versions,
)
from rust_tuner.onednn import ONEDNN_VARIABLE, can_switch_onednn

# One import of TensorFlow serves three processes, each with a runtime of its own.
IN_PROCESSES = """
import json, logging, os
import tensorflow as tf
from rust_tuner import RandomSearchOracle
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.models.runtime import start_backend

threading = tf.config.threading

def report(prepare):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        told = []
        handler = logging.Handler()
        handler.emit = lambda record: told.append(record.getMessage())
        logging.getLogger("rust_tuner").addHandler(handler)
        prepare()
        start_backend()
        tf.constant(1.0) + 1
        answer = {"threads": threading.get_inter_op_parallelism_threads(), "told": told}
        os.write(writer, json.dumps(answer).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)

print(json.dumps([
    report(lambda: None),
    report(lambda: tf.constant(1.0) + 1),
    report(lambda: (threading.set_inter_op_parallelism_threads(1), tf.constant(1.0) + 1)),
    report(lambda: RandomSearchOracle("val_accuracy")),
    report(lambda: build_backbone(find_weights("phantoms"), image_size=75)),
]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_one_inter_op_thread_is_set_before_tensorflow_runs_and_only_said_afterwards() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the setting is TensorFlow's")
    environment = {k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESSES],
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fresh, running, set_before, oracle, backbone = json.loads(done.stdout)
    # KerasTuner runs an operation to learn whether a metric is best high or low.
    assert fresh == oracle == backbone == {"threads": 1, "told": []}
    assert running["threads"] == 0
    (line,) = running["told"]
    assert "results repeat only within 1e-3, not bitwise" in line
    assert "set_inter_op_parallelism_threads(1) before anything else" in line
    assert set_before == {"threads": 1, "told": []}


# Prints TensorFlow's state, and all that the log says of it when the backend starts twice.
STATE_OF_ONEDNN = """
import json, logging, sys
{first}
import rust_tuner
from rust_tuner.models.runtime import describe_backend, onednn_enabled, start_backend

lines = []
handler = logging.Handler()
handler.emit = lambda record: lines.append(record.getMessage())
logging.getLogger("rust_tuner").addHandler(handler)
start_backend()
start_backend()
import tensorflow as tf
from tensorflow.python.framework import test_util
assert onednn_enabled() == describe_backend()["onednn"] == test_util.IsMklEnabled()
print(json.dumps([onednn_enabled(), [line for line in lines if "oneDNN" in line]]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not can_switch_onednn(), reason="the variable means something else here")
def test_onednn_is_on_where_we_start_tensorflow_and_only_mentioned_where_the_user_did() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("oneDNN is TensorFlow's")
    chosen = (ONEDNN_VARIABLE, "RUST_TUNER_ONEDNN_OPTS")
    unset = {name: value for name, value in os.environ.items() if name not in chosen}

    def state(first: str = "", **variables: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", STATE_OF_ONEDNN.format(first=first)],
            env=unset | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        state: list[Any] = json.loads(done.stdout)
        return state

    assert state() == [True, []]
    assert state(**{ONEDNN_VARIABLE: "0"}) == [False, []]
    enabled, lines = state("import tensorflow")
    if enabled:
        assert lines == []
    else:
        (line,) = lines
        assert "imported before rust_tuner, and computes without oneDNN" in line
        assert "TF_ENABLE_ONEDNN_OPTS=1" in line
    # A process that a study begun without it started is one of ours.
    assert state("import os; os.environ['RUST_TUNER_ONEDNN_OPTS'] = ''")[1] == []


def test_onednn_is_asked_of_tensorflow_and_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    before = onednn_enabled()
    assert describe_backend()["onednn"] is before
    monkeypatch.setenv(ONEDNN_VARIABLE, "0" if before else "1")
    assert onednn_enabled() is before
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert onednn_enabled() is None


def test_a_state_of_onednn_that_tensorflow_no_longer_tells_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    util = importlib.import_module("tensorflow.python.util")
    monkeypatch.setitem(sys.modules, "tensorflow.python.util._pywrap_util_port", None)
    monkeypatch.delattr(util, "_pywrap_util_port", raising=False)
    assert onednn_enabled() is None


def test_slow_kernels_are_mentioned_once_and_only_where_nobody_chose_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "logged_messages", set())
    monkeypatch.setattr(runtime, "can_switch_onednn", lambda: True)
    for enabled, is_chosen in ((True, False), (None, False), (False, True)):
        monkeypatch.setattr(runtime, "onednn_enabled", lambda enabled=enabled: enabled)
        monkeypatch.setattr(runtime, "onednn_is_chosen", lambda is_chosen=is_chosen: is_chosen)
        start_backend()
        assert "oneDNN" not in caplog.text
    monkeypatch.setattr(runtime, "onednn_is_chosen", lambda: False)
    start_backend()
    start_backend()
    import tensorflow

    is_slow = not tensorflow.config.list_physical_devices("GPU")
    assert caplog.text.count("computes without oneDNN") == is_slow


def test_the_backend_may_be_started_again() -> None:
    start_backend()
    described = describe_backend()
    start_backend()
    assert describe_backend() == described


def test_versions_name_what_decides_the_last_digits() -> None:
    backend = keras.backend.backend()
    packages = ("rust-tuner", "keras", "keras-tuner", "numpy", backend)
    expected = {name: importlib.metadata.version(name) for name in packages}
    assert versions() == expected | {"python": platform.python_version(), "backend": backend}
    assert json.loads(json.dumps(versions())) == versions()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others take a copy")
def test_features_are_trained_on_where_they_are() -> None:
    values = empty_aligned((5, 3))
    values[:] = 1
    table = keras.Variable(shared_tensor(values), trainable=False)
    values[2] = 7
    np.testing.assert_array_equal(table, values)


# NumPy puts large arrays four floats after where they may start.
@pytest.mark.parametrize("offset", [1, 3, 4, 8, 16])
@pytest.mark.parametrize("shape", [(40, 3), (0, 3)])
def test_values_that_start_anywhere_are_taken_too(offset: int, shape: tuple[int, int]) -> None:
    room = empty_aligned((offset + 40 * 3,))
    values = room[offset : offset + shape[0] * 3].reshape(shape)
    values[:] = np.arange(values.size).reshape(shape)
    tensor = shared_tensor(values)
    # TensorFlow looks at the alignment where a kernel uses the values.
    np.testing.assert_array_equal(keras.ops.matmul(tensor, np.eye(3, dtype="float32")), values)


def test_values_that_nobody_may_change_are_copied() -> None:
    room = empty_aligned((4, 3))
    room[:] = 2
    values = room.view()
    values.flags.writeable = False
    tensor = shared_tensor(values)
    room[:] = 3
    np.testing.assert_array_equal(tensor, np.full((4, 3), 2))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others take a copy")
def test_a_file_that_is_mapped_to_read_is_trained_on_where_it_is(tmp_path: Path) -> None:
    import tensorflow

    np.save(tmp_path / "values.npy", np.arange(12, dtype=np.float32).reshape(4, 3))
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    table = keras.Variable(shared_tensor(mapped.reshape(-1, 3)), trainable=False)
    place = np.from_dlpack(tensorflow.identity(table.value)).ctypes.data
    assert place == mapped.ctypes.data
    np.testing.assert_array_equal(keras.ops.add(table, 1.0), mapped + 1)


def test_only_memory_that_no_array_can_write_to_is_unchangeable(tmp_path: Path) -> None:
    values = np.zeros(8)
    view = values.view()
    view.flags.writeable = False
    assert not is_unchangeable(values)
    assert not is_unchangeable(view)
    own = np.zeros(8)
    own.flags.writeable = False
    assert not is_unchangeable(own)
    assert is_unchangeable(np.frombuffer(bytes(64)))
    assert not is_unchangeable(np.frombuffer(bytearray(64)))
    np.save(tmp_path / "values.npy", values)
    modes: tuple[tuple[Literal["r", "c", "r+"], bool], ...]
    modes = (("r", True), ("c", False), ("r+", False))
    for mode, expected in modes:
        mapped = np.load(tmp_path / "values.npy", mmap_mode=mode)
        assert is_unchangeable(mapped) == expected
        assert is_unchangeable(mapped[2:].reshape(2, 3)) == expected


def test_values_that_are_not_in_one_piece_are_taken_too() -> None:
    values = empty_aligned((4, 16))[:, ::4]
    values[:] = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(keras.ops.add(shared_tensor(values), 0.0), values)


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (2490, 4, 8)])
def test_room_starts_where_the_widest_vectors_do(shape: tuple[int, ...]) -> None:
    values = empty_aligned(shape)
    assert values.shape == shape
    assert values.dtype == np.float32
    assert values.ctypes.data % 64 == 0
    assert values.flags.c_contiguous
    assert values.flags.writeable


@pytest.mark.parametrize("given", [None, "--xla_cpu_enable_fast_math=false"])
def test_jax_computes_what_repeats_on_a_gpu_unless_the_user_says_otherwise(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("XLA_FLAGS", given or "")
    for _ in range(2):
        start_backend()
        flags = os.environ["XLA_FLAGS"].split()
        assert flags == [*([given] if given else []), "--xla_gpu_deterministic_ops=true"]
    # XLA takes anything else for the name of a file with flags.
    for chosen in ("--xla_gpu_deterministic_ops=false", "/home/someone/xla.flags"):
        monkeypatch.setenv("XLA_FLAGS", chosen)
        start_backend()
        assert os.environ["XLA_FLAGS"] == chosen
