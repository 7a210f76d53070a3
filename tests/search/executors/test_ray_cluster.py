"""A real Ray cluster of three nodes on this machine, and what the loss of one does to a search."""

import importlib.util
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from search_problems import (
    Said,
    TinyHyperModel,
    arrays,
    assert_same_trials,
    make_tuner,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc"),
]
TESTS = Path(__file__).parents[2]
STORE = {"object_store_memory": 80 << 20, "include_dashboard": False}
TRIALS = 5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes that know a token; the first runs no trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        path = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(TESTS), path])))
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **STORE})
        try:
            for _ in range(2):
                made.add_node(num_cpus=1, object_store_memory=STORE["object_store_memory"])
            patch.setenv("RAY_ADDRESS", made.address)
            yield made
        finally:
            made.shutdown()


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Held(TinyHyperModel):
    """Says on which node it trains, and waits there for a gate to open."""

    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    def fit(self, hp, model, *args, **kwargs):
        (self._gate / f"in-{os.getppid()}").touch()
        wait_for((self._gate / "open").exists)
        return super().fit(hp, model, *args, **kwargs)


def search_held(folder: Path, gate: Path, **options: Any) -> Any:
    tuner = make_tuner(
        folder, "random", max_trials=TRIALS, hypermodel=Held(gate), progress=options.pop("progress")
    )
    tuner.search(*arrays(), epochs=2, batch_size=16, **options)
    return tuner


def test_a_node_that_is_lost_in_mid_trial_changes_nothing(cluster, tmp_path) -> None:
    (gate := tmp_path / "gate").mkdir()
    (lost, *_), notes = cluster.worker_nodes, Said()

    def remove_node() -> None:
        wait_for((gate / f"in-{raylet_of(lost)}").exists)
        cluster.remove_node(lost, allow_graceful=False)
        (gate / "open").touch()

    remover = threading.Thread(target=remove_node)
    remover.start()
    handler = signal.getsignal(signal.SIGTERM)
    sent = search_held(tmp_path / "sent", gate, workers="ray", progress=notes)
    remover.join()
    assert signal.getsignal(signal.SIGTERM) == handler
    assert notes.lines[0] == "trials run in Ray on 3 nodes, 2 at once, each with 1 CPU"
    (warning,) = (said for said in notes.lines if said.startswith("WARNING"))
    print(warning)
    assert "the worker of trial 000" in warning
    assert_same_trials(sent, search_held(tmp_path / "one", gate, progress=Said()))
    assert sent.project.problems == ()
