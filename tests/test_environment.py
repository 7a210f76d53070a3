"""The machine: facts that decide digits, JSON, and nothing that names the machine or its owner."""

import getpass
import json
import os
import platform
from pathlib import Path

import pytest

from rust_tuner import environment
from rust_tuner.environment import describe_machine


def test_the_facts_are_those_of_this_machine() -> None:
    found = describe_machine()
    assert found["cores"] == os.cpu_count()
    assert 1 <= found["usable_cores"] <= found["cores"]
    assert found["python"] == platform.python_version()
    assert found["architecture"] == platform.machine()
    assert found["memory_gib"] is None or found["memory_gib"] > 0.1
    assert json.loads(json.dumps(found)) == found == describe_machine()


def test_neither_machine_nor_user_is_named() -> None:
    text = json.dumps(describe_machine())
    for name in (platform.node(), getpass.getuser()):
        assert not name or len(name) < 3 or name not in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("processor: 0\nmodel name\t: Fast CPU: 3 GHz\nflags\t\t: fpu\n", "Fast CPU: 3 GHz"),
        ("processor: 0\nModel : Board 5\n", "Board 5"),
    ],
)
def test_the_processor_is_called_what_the_system_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: str
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    monkeypatch.setattr(environment, "CPU_FACTS", path)
    assert describe_machine()["processor"] == expected


def test_a_system_that_does_not_tell_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "CPU_FACTS", tmp_path / "absent")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = describe_machine()
    assert found["processor"] is None
    assert found["memory_gib"] is None
    assert found["usable_cores"] == os.cpu_count()
