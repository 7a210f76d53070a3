"""The machine: facts that decide digits, JSON, and nothing that names the machine or its owner."""

import getpass
import json
import os
import platform
import sys

import pytest

from rust_tuner import environment
from rust_tuner.environment import (
    ONEDNN_VARIABLE,
    choose_onednn,
    describe_machine,
    onednn_is_chosen,
    user_chose_onednn,
)


def test_the_facts_are_those_of_this_machine():
    found = describe_machine()
    assert found["cores"] == os.cpu_count()
    assert 1 <= found["usable_cores"] <= found["cores"]
    assert found["python"] == platform.python_version()
    assert found["architecture"] == platform.machine()
    assert found["memory_gib"] is None or found["memory_gib"] > 0.1
    assert json.loads(json.dumps(found)) == found == describe_machine()


def test_neither_machine_nor_user_is_named():
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
def test_the_processor_is_called_what_the_system_calls_it(tmp_path, monkeypatch, content, expected):
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    monkeypatch.setattr(environment, "_CPU_FACTS", path)
    assert describe_machine()["processor"] == expected


def test_a_system_that_does_not_tell_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "_CPU_FACTS", tmp_path / "absent")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = describe_machine()
    assert found["processor"] is None
    assert found["memory_gib"] is None
    assert found["usable_cores"] == os.cpu_count()


OURS = "RUST_TUNER_ONEDNN_OPTS"


@pytest.fixture
def before_tensorflow(monkeypatch):
    """As in a process of an ordinary processor that has not imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for name in (ONEDNN_VARIABLE, OURS):
        # Set first, so that what a test leaves is taken back.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")


@pytest.mark.usefixtures("before_tensorflow")
def test_onednn_follows_the_last_choice_of_ours_until_tensorflow_is_imported(monkeypatch):
    assert not onednn_is_chosen()
    for enabled, value in ((True, "1"), (False, "0"), (None, None), (True, "1")):
        choose_onednn(enabled)
        assert os.environ.get(ONEDNN_VARIABLE) == value
        assert onednn_is_chosen()
        assert not user_chose_onednn()
    monkeypatch.setitem(sys.modules, "tensorflow", environment)
    choose_onednn(False)
    assert os.environ[ONEDNN_VARIABLE] == "1"


@pytest.mark.usefixtures("before_tensorflow")
@pytest.mark.parametrize("value", ["0", "1", "false", ""])
def test_a_users_choice_on_onednn_stays(value, monkeypatch):
    monkeypatch.setenv(ONEDNN_VARIABLE, value)
    for enabled in (True, False, None):
        choose_onednn(enabled)
        assert os.environ[ONEDNN_VARIABLE] == value
        assert user_chose_onednn()


@pytest.mark.usefixtures("before_tensorflow")
def test_a_user_may_overrule_in_a_process_that_this_one_starts(monkeypatch):
    choose_onednn()
    monkeypatch.setenv(ONEDNN_VARIABLE, "0")
    choose_onednn()
    assert os.environ[ONEDNN_VARIABLE] == "0"
    # Without the variable it is as if nobody had chosen, whatever our own says.
    monkeypatch.delenv(ONEDNN_VARIABLE)
    assert not onednn_is_chosen()


@pytest.mark.usefixtures("before_tensorflow")
@pytest.mark.parametrize(("machine", "system"), [("arm64", "Darwin"), ("aarch64", "Linux")])
def test_where_the_variable_means_something_else_it_is_left_alone(machine, system, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "system", lambda: system)
    choose_onednn()
    assert ONEDNN_VARIABLE not in os.environ
    assert not onednn_is_chosen()
