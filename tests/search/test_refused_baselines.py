"""First models that cannot be trained are refused before any of them is trained."""

from pathlib import Path
from typing import NoReturn

import keras
import pytest
from baseline_problems import protocol_of_baselines

from rust_tuner import Protocol, load_manifest, run_baselines
from rust_tuner.data.splits import Development, HoldOut, split_holdout
from rust_tuner.errors import ProtocolError, SplitError, WeightsError
from rust_tuner.models import features
from rust_tuner.models.weights import WEIGHTS_VARIABLE
from rust_tuner.records.baselines import BASELINES

LENET, _, RADIMAGENET, _ = BASELINES


@pytest.fixture(scope="module")
def sides(phantom_manifest: Path) -> tuple[Development, HoldOut]:
    return split_holdout(load_manifest(phantom_manifest), seed=0)


@pytest.fixture(scope="module")
def development(sides: tuple[Development, HoldOut]) -> Development:
    return sides[0]


@pytest.fixture(scope="module")
def protocol(tiny_protocol: Protocol) -> Protocol:
    return protocol_of_baselines(tiny_protocol)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("something was trained or decoded")

    monkeypatch.setattr(keras.Model, "fit", refuse)
    monkeypatch.setattr(features, "build_backbone", refuse)


@pytest.mark.usefixtures("nothing_trains")
def test_only_the_development_set_is_accepted(
    sides: tuple[Development, HoldOut], tmp_path: Path, protocol: Protocol
) -> None:
    with pytest.raises(SplitError, match="got HoldOut, expected Development"):
        run_baselines(sides[1], tmp_path, protocol=protocol)  # type: ignore[arg-type]


@pytest.mark.usefixtures("nothing_trains")
def test_a_model_that_there_is_not_is_refused_by_name(
    development: Development, tmp_path: Path, protocol: Protocol
) -> None:
    with pytest.raises(ProtocolError, match=r"models='resnet'; expected some of lenet1998, incep"):
        run_baselines(development, tmp_path, models=[LENET, "resnet"], protocol=protocol)


@pytest.mark.usefixtures("nothing_trains")
def test_weights_that_are_missing_are_found_before_anything_is_trained(
    development: Development, tmp_path: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WeightsError, match=r"inceptionv3_radimagenet needs its weights: request"):
        run_baselines(development, tmp_path, models=[RADIMAGENET], protocol=protocol)
    with pytest.raises(WeightsError, match=r"nowhere\.h5 does not exist"):
        run_baselines(development, tmp_path, radimagenet_weights="/nowhere.h5", protocol=protocol)
    monkeypatch.setenv(WEIGHTS_VARIABLE, "/nowhere.h5")
    with pytest.raises(WeightsError, match=f"{WEIGHTS_VARIABLE}=/nowhere.h5 is not a file"):
        run_baselines(development, tmp_path, protocol=protocol)
    assert list(tmp_path.iterdir()) == []
