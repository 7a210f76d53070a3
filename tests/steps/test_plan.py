"""The plan of a study: every step, and more work takes longer."""

import dataclasses
from typing import Any

import pytest

from rust_tuner import Protocol
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.steps.plan import plan_nested, plan_noise, plan_study
from rust_tuner.steps.speed import HeadSpeed, ModelSpeed, Speed, typical_speed

MODELS = ("lenet1998", "inceptionv3_imagenet")


def seconds(
    protocol: Protocol, num_radiographs: int = 1000, models: tuple[str, ...] = MODELS, **more: Any
) -> dict[str, float]:
    steps = plan_study(protocol, num_radiographs, models, **more)
    return {step.name: step.seconds for step in steps}


def test_the_searches_and_their_report_come_before_the_first_models() -> None:
    steps = plan_study(Protocol.study(), 1000, MODELS)
    names = ["prepare", "features", "regime1", "regime2", "final", "report", "baselines"]
    assert [step.name for step in steps] == [*names, "report again"]
    assert "100 trials, 6 folds, 20 epochs" in steps[2].what
    assert "32 trials" in steps[3].what


@pytest.mark.parametrize(
    ("skip", "left_out"),
    [
        (("baselines",), {"baselines", "report again"}),
        (("final",), {"final"}),
        (("report",), {"report", "report again"}),
        (("final", "report", "baselines"), {"final", "report", "baselines", "report again"}),
    ],
)
def test_what_is_left_out_is_not_planned(skip: tuple[str, ...], left_out: set[str]) -> None:
    names = {step.name for step in plan_study(Protocol.study(), 1000, MODELS)}
    planned = plan_study(Protocol.study(), 1000, MODELS, skip=skip)
    assert names - {step.name for step in planned} == left_out


def test_what_is_done_takes_no_more_time() -> None:
    steps = plan_study(Protocol.study(), 1000, MODELS, done={"regime1": 0.25, "final": 1.0})
    left = {step.name: step.seconds_left / step.seconds for step in steps}
    assert left["regime1"] == pytest.approx(0.75)
    assert left["final"] == 0
    assert left["regime2"] == 1


def test_measured_rates_make_the_times_of_every_step() -> None:
    speed = Speed(
        check_image=0.1,
        decode_image=0.0,
        view=0.5,
        features_start=3.0,
        head=HeadSpeed(trace=1.0, overhead=0.2, step=0.01, row=0.001),
        models={"lenet1998": ModelSpeed(start=2.0, step=0.5, image=0.1, validated=0.05)},
        report=7.0,
    )
    protocol = Protocol.study(
        holdout_fraction=0.5, num_folds=2, epochs=3, trials=4, baseline_folds=2, baseline_epochs=2
    )
    found = seconds(protocol, 200, ("lenet1998",), speed=speed, batch_size=10)
    assert found["features"] == pytest.approx(3 + 100 * 4 * 0.5)
    # 50 rows a fold: 5 steps an epoch.
    trial = 2 * (0.2 + 3 * (5 * 0.01 + 50 * 0.001))
    assert found["regime2"] == pytest.approx(1 + 32 * trial)
    assert found["baselines"] == pytest.approx(2 * (2 + 2 * (0.5 + 50 * 0.1 + 50 * 0.05)))
    assert found["report"] == found["report again"] == 7


def test_smaller_batches_take_longer_where_steps_cost_time() -> None:
    head = HeadSpeed(trace=0.0, overhead=0.0, step=0.01, row=0.0001)
    assert head.trial(100, 3, 10, 8) > 3 * head.trial(100, 3, 10, 64)


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
def test_twice_as_much_takes_about_twice_as_long(changes: dict[str, Any], step: str) -> None:
    protocol = Protocol.study(image_size=200)
    before = seconds(protocol)[step]
    after = seconds(dataclasses.replace(protocol, **changes))[step]
    assert 1.5 * before < after < 2.6 * before or step == "features"
    assert after > before


def test_the_published_search_takes_about_three_quarters_of_an_hour_on_two_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert 20 * 60 < seconds(Protocol.study(), 2936)["regime1"] < 60 * 60


def test_training_end_to_end_dwarfs_the_rest_and_small_scale_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    full = seconds(Protocol.study(), 2936, ("inceptionv3_end2end",))
    assert full["baselines"] > 10 * full["regime1"]
    small = Protocol.study(**SMALL_SCALE)
    assert sum(seconds(small, 140, (*MODELS, "inceptionv3_end2end")).values()) < 20 * 60


def test_nested_runs_both_searches_in_every_outer_fold_on_its_share_of_the_patients() -> None:
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


def test_the_noise_floor_takes_as_long_as_that_many_trials_of_both_kinds() -> None:
    protocol = Protocol.study()
    steps = {step.name: step for step in plan_noise(protocol, 3000, 10)}
    assert list(steps) == ["features", "other seeds", "other assignments"]
    # Each search traces its graph once, and every other assignment is a search of its own.
    trace = typical_speed(protocol).head.trace
    trials = (seconds(protocol, 3000)["regime1"] - trace) / 10
    for name, searches in (("other seeds", 1), ("other assignments", 10)):
        assert "10 repeats, 6 folds, 20 epochs" in steps[name].what
        assert steps[name].seconds == pytest.approx(trials + searches * trace)


@pytest.mark.parametrize("nested", [False, True])
def test_the_plan_says_what_a_fold_trains_on_and_which_batch_sizes_make_that_one_step(
    nested: bool,
) -> None:
    def regime_1(protocol: Protocol, num_radiographs: int) -> str:
        if nested:
            steps = plan_nested(protocol, num_radiographs)
        else:
            steps = plan_study(protocol, num_radiographs, MODELS)
        return next(step.what for step in steps if step.name == "regime1")

    text = regime_1(Protocol.study(), 120)
    # 85 % of 120, five of six folds, and four of five outer ones.
    rows = 68 if nested else 85
    assert f"a fold trains on about {rows} images" in text
    assert f"so it draws 16 to {rows}, logarithmically" in text
    asked = regime_1(Protocol.study(batch_size_range=(16, 2048)), 120)
    share = (2048 - rows + 1) / 2033
    assert f"{int(100 * share)} % of the batch sizes 16 to 2048 contain the whole fold" in asked
    assert "logarithmically" not in asked
    whole = regime_1(Protocol.study(), 5000)
    assert "batch sizes 16 to 2048" in whole
    assert "one step" not in whole
