"""The plan of a study: every step, and more work takes longer."""

import dataclasses

import pytest

from rust_tuner import Protocol
from rust_tuner.plan import plan_study
from rust_tuner.protocol import SMALL_SCALE

MODELS = ("lenet1998", "inceptionv3_imagenet")


def seconds(protocol, num_radiographs=1000, models=MODELS):
    return {step.name: step.seconds for step in plan_study(protocol, num_radiographs, models)}


def test_the_steps_are_those_of_a_study_in_order():
    steps = plan_study(Protocol.study(), 1000, MODELS)
    names = ["prepare", "features", "baselines", "regime1", "regime2", "final", "report"]
    assert [step.name for step in steps] == names
    assert "100 trials, 6 folds, 20 epochs" in steps[3].what
    assert "32 trials" in steps[4].what


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"trials": 200}, "regime1"),
        ({"epochs": 40}, "regime2"),
        ({"final_folds": 20}, "final"),
        ({"baseline_epochs": 100}, "baselines"),
        ({"image_size": 598}, "features"),
    ],
)
def test_twice_as_much_takes_about_twice_as_long(changes, step):
    protocol = Protocol.study(image_size=200)
    before = seconds(protocol)[step]
    after = seconds(dataclasses.replace(protocol, **changes))[step]
    assert 1.5 * before < after < 2.6 * before or step == "features"
    assert after > before


def test_the_published_search_takes_about_three_quarters_of_an_hour_on_two_cores(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert 20 * 60 < seconds(Protocol.study(), 2936)["regime1"] < 60 * 60


def test_training_end_to_end_dwarfs_the_rest_and_small_scale_is_small(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    full = seconds(Protocol.study(), 2936, ("inceptionv3_end2end",))
    assert full["baselines"] > 10 * full["regime1"]
    small = Protocol.study(**SMALL_SCALE)
    assert sum(seconds(small, 140, (*MODELS, "inceptionv3_end2end")).values()) < 20 * 60
