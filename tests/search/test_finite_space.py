"""A hyperparameter that no record can hold is refused by name, before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from search_problems import TinyHyperModel, arrays, make_tuner

from rust_tuner import RandomSearchOracle
from rust_tuner.errors import SpaceError

INFINITE: dict[str, Callable[[Any], object]] = {
    "default=nan": lambda hp: hp.Float("odd", 0.0, 1.0, default=float("nan")),
    "max_value=inf": lambda hp: hp.Float("odd", 0.0, float("inf")),
    "value=-inf": lambda hp: hp.Fixed("odd", float("-inf")),
    r"values=\[1.0, inf\]": lambda hp: hp.Choice("odd", [1.0, float("inf")]),
    r"values=\[nan, 1.0\]": lambda hp: hp.Choice("odd", [float("nan"), 1.0], default=1.0),
}


class Asks(TinyHyperModel):
    def __init__(self, ask: Callable[[Any], object], *, once: bool = False) -> None:
        super().__init__()
        self._ask = ask
        self._only_with_three = once

    def build(self, hp: Any) -> keras.Model:
        model = super().build(hp)
        if not self._only_with_three or hp.get("units") == 3:
            self._ask(hp)
        return model


@pytest.mark.parametrize("named", INFINITE)
def test_what_is_declared_must_be_finite(named: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=f"hyperparameter odd has {named}, and records"):
        make_tuner(tmp_path, "grid", hypermodel=Asks(INFINITE[named]))


@pytest.mark.slow
def test_what_is_asked_for_in_the_course_of_a_search_must_be_finite(tmp_path: Path) -> None:
    model = Asks(INFINITE["max_value=inf"], once=True)
    tuner = make_tuner(tmp_path, "grid", max_trials=4, hypermodel=model)
    with pytest.raises(SpaceError, match="hyperparameter odd has max_value=inf"):
        tuner.search(*arrays(), epochs=1, batch_size=24)


def test_what_an_oracle_is_given_must_be_finite(tmp_path: Path) -> None:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Fixed("odd", float("nan"))
    oracle = RandomSearchOracle("val_loss", 2, hyperparameters=hp)
    with pytest.raises(SpaceError, match="hyperparameter odd has value=nan"):
        oracle.freeze_space()
