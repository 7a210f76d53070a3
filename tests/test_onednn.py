"""oneDNN is chosen before TensorFlow is imported, and a user's own choice stays."""

import os
import sys
from types import SimpleNamespace

import pytest

from rust_tuner import onednn
from rust_tuner.onednn import ONEDNN_VARIABLE, choose_onednn, onednn_is_chosen, user_chose_onednn

OURS = "RUST_TUNER_ONEDNN_OPTS"


def set_machine(monkeypatch: pytest.MonkeyPatch, machine: str, system: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine), raising=False)
    monkeypatch.setattr(sys, "platform", system)


@pytest.fixture
def before_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of an ordinary processor that has not imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    for name in (ONEDNN_VARIABLE, OURS):
        # Set first, so that what a test leaves is taken back.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    set_machine(monkeypatch, "x86_64", "linux")


@pytest.mark.usefixtures("before_tensorflow")
def test_onednn_follows_the_last_choice_of_ours_until_tensorflow_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not onednn_is_chosen()
    for enabled, value in ((True, "1"), (False, "0"), (None, None), (True, "1")):
        choose_onednn(enabled)
        assert os.environ.get(ONEDNN_VARIABLE) == value
        assert onednn_is_chosen()
        assert not user_chose_onednn()
    monkeypatch.setitem(sys.modules, "tensorflow", onednn)
    choose_onednn(False)
    assert os.environ[ONEDNN_VARIABLE] == "1"


@pytest.mark.usefixtures("before_tensorflow")
@pytest.mark.parametrize("value", ["0", "1", "false", ""])
def test_a_users_choice_on_onednn_stays(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ONEDNN_VARIABLE, value)
    for enabled in (True, False, None):
        choose_onednn(enabled)
        assert os.environ[ONEDNN_VARIABLE] == value
        assert user_chose_onednn()


@pytest.mark.usefixtures("before_tensorflow")
def test_a_user_may_overrule_in_a_process_that_this_one_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choose_onednn()
    monkeypatch.setenv(ONEDNN_VARIABLE, "0")
    choose_onednn()
    assert os.environ[ONEDNN_VARIABLE] == "0"
    # Without the variable it is as if nobody had chosen, whatever our own says.
    monkeypatch.delenv(ONEDNN_VARIABLE)
    assert not onednn_is_chosen()


@pytest.mark.usefixtures("before_tensorflow")
@pytest.mark.parametrize(
    ("machine", "system"), [("arm64", "darwin"), ("x86_64", "darwin"), ("aarch64", "linux")]
)
def test_where_the_variable_means_something_else_it_is_left_alone(
    machine: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_machine(monkeypatch, machine, system)
    choose_onednn()
    assert ONEDNN_VARIABLE not in os.environ
    assert not onednn_is_chosen()
