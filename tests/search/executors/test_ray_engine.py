"""What is asked of Ray, without a Ray: options, room on nodes, and that nothing starts early."""

import sys

import pytest

from rust_tuner.errors import ExtraError, SearchError
from rust_tuner.search.executors.engines import KeepsArrays, engine_of
from rust_tuner.search.executors.ray_engine import RayEngine
from rust_tuner.search.executors.ray_options import Resources
from rust_tuner.search.executors.workers import Workers


@pytest.fixture(autouse=True)
def ray_is_installed_and_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    # Whatever imports it fails.
    monkeypatch.setitem(sys.modules, "ray", None)


def test_ray_starts_only_once_it_is_needed() -> None:
    engine = engine_of(None, "ray:8")
    assert isinstance(engine, RayEngine)
    assert isinstance(engine, KeepsArrays)
    assert engine.num_workers == 8
    assert not engine.restart()
    engine.close()
    with pytest.raises(ImportError):
        engine.submit(int, "7")


def test_a_missing_ray_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExtraError, match=r"workers='ray' needs the package ray.*rust-tuner\[ray\]"):
        engine_of(None, "ray")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ray", Resources(1, None)),
        ("ray:8?cpus=4", Resources(4, None)),
        ("ray?gpus=0", Resources(1, 0.0)),
        ("ray?cpus=2&gpus=0.25", Resources(2, 0.25)),
        ("ray?gpus=2", Resources(1, 2.0)),
    ],
)
def test_options_say_what_a_trial_takes(text: str, expected: Resources) -> None:
    assert Resources.of(Workers.of(text).options) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ray?memory=4", "option memory; expected cpus and gpus"),
        ("ray?cpus=0", "cpus=0; a trial takes a whole number of cores from 1"),
        ("ray?cpus=1.5", "expected numbers"),
        ("ray?gpus=one", "expected numbers"),
        ("ray?gpus=-1", "gpus=-1; a trial takes whole GPUs"),
        ("ray?gpus=1.5", "gpus=1.5; a trial takes whole GPUs"),
        ("ray?gpus=inf", "gpus=inf; a trial takes whole GPUs"),
        ("ray?gpus=nan", "gpus=nan; a trial takes whole GPUs"),
    ],
)
def test_options_that_ray_could_not_grant_are_refused_before_it_starts(
    text: str, message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        engine_of(None, text)


@pytest.mark.parametrize(
    ("cpus", "gpus", "node", "expected"),
    [
        (1, 0.0, {"CPU": 4.0}, 4),
        (3, 0.0, {"CPU": 8.0}, 2),
        (1, 0.0, {"memory": 1e9}, 0),
        (1, 1.0, {"CPU": 8.0, "GPU": 2.0}, 2),
        (4, 1.0, {"CPU": 8.0, "GPU": 4.0}, 2),
        (1, 2.0, {"CPU": 8.0, "GPU": 3.0}, 1),
        (1, 0.3, {"CPU": 8.0, "GPU": 2.0}, 6),
        (1, 1.0, {"CPU": 8.0}, 0),
    ],
)
def test_a_node_has_room_for_whole_trials(
    cpus: int, gpus: float, node: dict[str, float], expected: int
) -> None:
    assert Resources(cpus, gpus).fit_into(node) == expected
