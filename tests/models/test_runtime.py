"""The backend is started so that a trial repeats bitwise, and left alone where it runs already."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys

import keras
import pytest

from rust_tuner.models.runtime import start_backend, versions

# One import of TensorFlow serves three processes, each with a runtime of its own.
IN_PROCESSES = """
import json, logging, os
import tensorflow as tf
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
]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_one_inter_op_thread_is_set_before_tensorflow_runs_and_only_said_afterwards():
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
    fresh, running, set_before = json.loads(done.stdout)
    assert fresh == {"threads": 1, "told": []}
    assert running["threads"] == 0
    (line,) = running["told"]
    assert "results repeat within 1e-3 only, not bitwise" in line
    assert "set_inter_op_parallelism_threads(1) first thing" in line
    assert set_before == {"threads": 1, "told": []}


def test_the_backend_may_be_started_again():
    start_backend()
    start_backend()


def test_versions_name_what_decides_the_last_digits():
    backend = keras.backend.backend()
    packages = ("rust-tuner", "keras", "keras-tuner", "numpy", backend)
    expected = {name: importlib.metadata.version(name) for name in packages}
    assert versions() == expected | {"python": platform.python_version(), "backend": backend}
    assert json.loads(json.dumps(versions())) == versions()
