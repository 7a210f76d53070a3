"""A search whose folds wait for a gate to open, so that something can happen in mid-trial."""

import os
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from notes import Notes
from search_problems import TinyHyperModel, arrays, make_tuner
from waiting import wait_for

TRIALS = 4
_begun = 0


class Held(TinyHyperModel):
    """The first fold of a process is trained; the next one says where, and waits for the gate."""

    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    def fit(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        global _begun
        _begun += 1
        if _begun > 1:
            (self._gate / f"{os.getppid()}-{os.getpid()}").touch()
            wait_for((self._gate / "open").exists)
        return super().fit(hp, model, *args, **kwargs)


def held_at(gate: Path) -> dict[int, int]:
    """The processes that have come to the gate, each with its parent."""
    pairs = [path.name.split("-") for path in gate.glob("*-*")]
    return {int(child): int(parent) for parent, child in pairs}


def search_held(folder: Path, gate: Path, **options: Any) -> tuple[Any, list[str]]:
    """Search; returns the tuner, and what was said."""
    notes = Notes()
    tuner = make_tuner(folder, "random", max_trials=TRIALS, hypermodel=Held(gate), progress=notes)
    tuner.search(*arrays(), epochs=2, batch_size=16, **options)
    return tuner, notes.said
