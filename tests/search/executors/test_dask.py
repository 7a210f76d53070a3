"""Dask's executor: its workers are processes that the search neither starts nor ends."""

import os
from pathlib import Path

import pytest
from search_problems import arrays, assert_same_trials, make_tuner, run_search

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]


def test_a_search_in_dask_is_that_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Workers import the model's class from there.
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(TESTS), path])))
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    )
    with cluster, distributed.Client(cluster) as client:
        tuner = make_tuner(tmp_path / "sent", "random", max_trials=3)
        executor = client.get_executor(pure=False, retries=0)
        tuner.search(*arrays(), epochs=2, batch_size=16, executor=executor)
    assert_same_trials(tuner, run_search(tmp_path / "one", "random", max_trials=3))
    assert tuner.project.problems == ()
