"""A real Ray cluster of three nodes on this machine, and what is lost when something dies."""

import importlib.util
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from held_search import held_at, search_held
from search_problems import assert_same_trials
from waiting import is_alive, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc"),
]
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes that know a token; the first runs no trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Workers import the model's class from there.
        path = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(TESTS), path])))
        from ray.cluster_utils import Cluster

        made = Cluster()
        try:
            add_node(made, num_cpus=0, include_dashboard=False)
            for _ in range(2):
                add_node(made, num_cpus=1)
            patch.setenv("RAY_ADDRESS", made.address)
            yield made
        finally:
            made.shutdown()  # type: ignore[no-untyped-call]


def add_node(cluster: Any, **options: Any) -> None:
    """Add a node; one that a busy machine does not start in half a minute is begun again."""
    for left in (2, 1, 0):
        try:
            cluster.add_node(object_store_memory=80 << 20, **options)
            return
        except Exception as error:
            if not left or "timed out" not in str(error).lower():
                raise


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The search of one process, whose gate is open."""
    gate = tmp_path_factory.mktemp("gate")
    (gate / "open").touch()
    return search_held(tmp_path_factory.mktemp("one"), gate)[0]


def test_a_node_that_is_lost_in_mid_trial_changes_nothing(
    cluster: Any, one: Any, gate: Path, tmp_path: Path
) -> None:
    (lost, *_) = cluster.worker_nodes
    raylet = lost.all_processes["raylet"][0].process.pid

    def remove_node() -> None:
        wait_for(lambda: raylet in held_at(gate).values())
        cluster.remove_node(lost, allow_graceful=False)
        (gate / "open").touch()

    remover = threading.Thread(target=remove_node)
    remover.start()
    handler = signal.getsignal(signal.SIGTERM)
    sent, said = search_held(tmp_path / "sent", gate, workers="ray")
    remover.join()
    assert signal.getsignal(signal.SIGTERM) == handler
    assert "trials run in Ray on 3 nodes, 2 at once, each with 1 CPU" in said
    warnings = [text for text in said if text.startswith("WARNING")]
    assert len(warnings) == 1
    # It names the trial, and the node by its address.
    assert re.search(r"the worker of trial 000\d died \(.*Node IP: \d", warnings[0])
    assert_same_trials(sent, one)
    assert sent.project.problems == ()


DRIVER = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from pathlib import Path
from held_search import search_held
search_held(Path(sys.argv[1]), Path(sys.argv[2]), workers="ray")
"""


def test_a_killed_coordinator_ends_its_tasks_and_its_search_is_resumed(
    cluster: Any, one: Any, gate: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(tmp_path / "killed"), str(gate)]
    driver = subprocess.Popen(command)
    wait_for(lambda: len(held_at(gate)) > 0)
    driver.kill()
    driver.wait()
    wait_for(lambda: not any(map(is_alive, held_at(gate))))
    recorded = list((tmp_path / "killed").rglob("fold_0.json"))
    assert recorded
    before = [path.stat().st_mtime_ns for path in recorded]
    (gate / "open").touch()
    resumed, _ = search_held(tmp_path / "killed", gate)
    assert [path.stat().st_mtime_ns for path in recorded] == before
    assert_same_trials(resumed, one)
    assert resumed.project.problems == ()
