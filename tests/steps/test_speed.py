"""The machine's speed: positive rates of what was asked for, and the arithmetic of heads."""

import itertools
import math
from pathlib import Path
from typing import NoReturn

import pytest

from rust_tuner.data.manifest import load_manifest
from rust_tuner.protocol import Protocol
from rust_tuner.steps.speed import measure_speed, typical_speed


def test_a_typical_machine_needs_no_measurement_and_has_every_model(
    tiny_protocol: Protocol,
) -> None:
    speed = typical_speed(tiny_protocol)
    assert set(speed.models) == {"lenet1998", "inceptionv3_end2end"}
    assert speed.head.trial(100, 3, 10, 8) > 0


@pytest.mark.slow
def test_a_few_steps_give_every_rate(phantom_manifest: Path, tiny_protocol: Protocol) -> None:
    radiographs = load_manifest(phantom_manifest)
    models = ("lenet1998", "inceptionv3_end2end", "inceptionv3_imagenet")
    speed = measure_speed(tiny_protocol, radiographs, models=models)
    rates = [speed.check_image, speed.decode_image, speed.view, speed.features_start, speed.report]
    rates += [speed.head.row]
    for model in models[:2]:
        rates += [speed.models[model].start, speed.models[model].image]
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)
    assert min(speed.head.step, speed.head.overhead) >= 0


@pytest.mark.slow
def test_times_that_differ_by_noise_alone_give_rates_all_the_same(
    phantom_manifest: Path, tiny_protocol: Protocol
) -> None:
    # Every measurement takes the same time, so every difference of two of them is nothing.
    ticks = itertools.count()
    speed = measure_speed(
        tiny_protocol, load_manifest(phantom_manifest), clock=lambda: float(next(ticks))
    )
    assert min(speed.head.row, speed.view, speed.features_start) > 0
    assert min(speed.head.step, speed.head.overhead) >= 0
    assert speed.head.trial(100, 3, 10, 8) > 0


@pytest.mark.slow
def test_only_what_will_be_run_is_timed(
    phantom_manifest: Path, tiny_protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("timed")

    monkeypatch.setattr("rust_tuner.models.backbones.build_backbone", refuse)
    monkeypatch.setattr("rust_tuner.models.fold_parallel.FoldParallelTrainer", refuse)
    monkeypatch.setattr("rust_tuner.models.hypermodels.ImageHyperModel.build", refuse)
    radiographs = load_manifest(phantom_manifest)
    speed = measure_speed(tiny_protocol, radiographs, with_search=False)
    assert speed.check_image > 0


def test_an_image_that_cannot_be_read_is_left_to_the_step_that_reports_it(
    phantom_manifest: Path, tiny_protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    radiographs = load_manifest(phantom_manifest)
    table = radiographs.table.assign(image=str(tmp_path / "none.png"))
    broken = type(radiographs)(table)
    speed = measure_speed(tiny_protocol, broken, with_search=False)
    assert speed.check_image == typical_speed(tiny_protocol).check_image
