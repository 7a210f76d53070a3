"""Which GPUs there are, and what the real processes of this machine see of them."""

import json
import os
from pathlib import Path

import pytest

from rust_tuner.search.executors.gpus import gpus_here, take_a_place
from rust_tuner.search.executors.local import LocalEngine

TWO = """GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-22222222-bbbb)
"""
DIVIDED = """GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-11111111-aaaa)
  MIG 3g.40gb     Device  0: (UUID: MIG-33333333-cccc)
  MIG 3g.40gb     Device  1: (UUID: MIG-44444444-dddd)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-22222222-bbbb)
"""


def driver(folder: Path, says: str, status: int = 0) -> dict[str, str]:
    """The environment of a machine whose driver lists these devices."""
    program = folder / "nvidia-smi"
    program.write_text(
        f"#!/bin/sh\n[ \"$1\" = -L ] || exit 9\ncat <<'END'\n{says}END\nexit {status}\n"
    )
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (TWO, ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]),
        (DIVIDED, ["MIG-33333333-cccc", "MIG-44444444-dddd", "GPU-22222222-bbbb"]),
        ("No devices found.\n", []),
    ],
)
def test_the_driver_lists_the_gpus(says: str, expected: list[str], tmp_path: Path) -> None:
    assert gpus_here(driver(tmp_path, says)) == expected


def test_without_a_driver_that_works_there_are_none(tmp_path: Path) -> None:
    assert gpus_here({"PATH": str(tmp_path)}) == []
    assert gpus_here(driver(tmp_path, TWO, status=9)) == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,5", ["2", "5"]),
        (" GPU-aaaa , GPU-bbbb", ["GPU-aaaa", "GPU-bbbb"]),
        ("", []),
        ("-1", []),
        # What is behind an invalid entry does not exist for CUDA either.
        ("0,-1,1", ["0"]),
        ("0,0", ["0"]),
    ],
)
def test_the_variable_that_is_set_counts_and_not_the_driver(
    visible: str, expected: list[str], tmp_path: Path
) -> None:
    assert gpus_here(driver(tmp_path, TWO) | {"CUDA_VISIBLE_DEVICES": visible}) == expected


def test_places_are_given_once(tmp_path: Path) -> None:
    assert [take_a_place(tmp_path, 2) for _ in range(3)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("num_gpus", "text"),
    [
        (0, "trials run in 3 processes of 2 threads each"),
        (1, "trials run in 3 processes of 2 threads each, which share 1 GPU"),
        (2, "trials run in 3 processes of 2 threads each, which share 2 GPUs"),
        (3, "trials run in 3 processes of 2 threads each, each on a GPU of its own"),
    ],
)
def test_the_note_says_who_shares_a_gpu(
    num_gpus: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(num_gpus))))
    assert LocalEngine(3).note() == text


# Runs in a worker, and waits until all of them have run it.
LOOK = """
import json, os, pathlib, sys, time
names = ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE")
seen = {name: os.environ.get(name) for name in names}
seen["started"] = "tensorflow" in sys.modules
path = pathlib.Path(folder, f"{os.getpid()}.json")
aside = path.with_suffix(".aside")
aside.write_text(json.dumps(seen))
aside.rename(path)
while len(list(path.parent.glob("*.json"))) < number:
    time.sleep(0.01)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="the driver of this test is a shell script")
def test_each_real_process_sees_one_gpu_before_tensorflow_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", driver(tmp_path, TWO)["PATH"] + ":" + os.environ["PATH"])
    seen = tmp_path / "seen"
    seen.mkdir()
    engine = LocalEngine(3)
    try:
        calls = [engine.submit(exec, LOOK, {"folder": str(seen), "number": 3}) for _ in range(3)]
        for call in calls:
            call.result()
    finally:
        engine.close()
    found = [json.loads(path.read_text()) for path in seen.glob("*.json")]
    gpus = sorted(one["CUDA_VISIBLE_DEVICES"] for one in found)
    assert gpus == ["GPU-11111111-aaaa", "GPU-11111111-aaaa", "GPU-22222222-bbbb"]
    for one in found:
        assert one["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert one["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
        assert one["started"] is False
