"""The plan of a study: every step, and more work takes longer."""

import dataclasses

import pytest

from rust_tuner import Protocol
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.steps.plan import plan_nested, plan_noise, plan_study

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


def test_nested_runs_both_searches_in_every_outer_fold_on_its_share_of_the_patients():
    protocol = Protocol.study()
    steps = {step.name: step for step in plan_nested(protocol, 3000)}
    assert list(steps) == ["features", "regime1", "regime2", "outer scores"]
    assert "100 trials, 6 folds, 20 epochs, in each of 5 outer folds" in steps["regime1"].what
    assert "32 trials" in steps["regime2"].what
    whole = seconds(protocol, 3000)
    # Five times four fifths of the patients.
    assert steps["regime1"].seconds == pytest.approx(4 * whole["regime1"], rel=0.1)
    assert steps["features"].seconds == whole["features"]
    assert steps["outer scores"].seconds < 0.05 * steps["regime2"].seconds
    more = dataclasses.replace(protocol, outer_folds=10)
    (longer,) = [step for step in plan_nested(more, 3000) if step.name == "regime1"]
    assert longer.seconds == pytest.approx(9 / 4 * steps["regime1"].seconds, rel=0.1)


def test_the_noise_floor_takes_as_long_as_that_many_trials_of_both_kinds():
    protocol = Protocol.study()
    steps = {step.name: step for step in plan_noise(protocol, 3000, 10)}
    assert list(steps) == ["features", "other seeds", "other assignments"]
    whole = seconds(protocol, 3000)
    for name in ("other seeds", "other assignments"):
        assert "10 repeats, 6 folds, 20 epochs" in steps[name].what
        assert steps[name].seconds == pytest.approx(whole["regime1"] / 10)


@pytest.mark.parametrize("nested", [False, True])
def test_the_plan_says_what_a_fold_trains_on_and_which_batch_sizes_make_that_one_step(nested):
    def regime_1(protocol, num_radiographs):
        if nested:
            steps = plan_nested(protocol, num_radiographs)
        else:
            steps = plan_study(protocol, num_radiographs, MODELS)
        return next(step.what for step in steps if step.name == "regime1")

    told = regime_1(Protocol.study(), 120)
    # 85 % of 120, five of six folds, and four of five outer ones.
    rows = 68 if nested else 85
    assert f"a fold trains on about {rows} images" in told
    assert f"so it draws 16 to {rows}, logarithmically" in told
    asked = regime_1(Protocol.study(batch_size_range=(16, 2048)), 120)
    share = (2048 - rows + 1) / 2033
    assert f"{int(100 * share)} % of the batch sizes 16 to 2048 hold the whole fold" in asked
    assert "logarithmically" not in asked
    whole = regime_1(Protocol.study(), 5000)
    assert "batch sizes 16 to 2048" in whole
    assert "one step" not in whole
