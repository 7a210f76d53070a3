"""First models that tests train, and LeNets on phantoms wherever the process has devices."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rust_tuner import Protocol, load_manifest, run_baselines, split_holdout
from rust_tuner.data.splits import Development
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.progress import Silent
from rust_tuner.records.baselines import BASELINES
from rust_tuner.records.project import Project

LENET, *_ = BASELINES


def protocol_of_baselines(protocol: Protocol) -> Protocol:
    """Two folds of pretrained models, with flips."""
    return dataclasses.replace(
        protocol,
        weights="imagenet",
        flips="horizontal",
        baseline_folds=2,
        baseline_dropout_rate=0.25,
    )


def train_lenets(manifest: str | Path, directory: str | Path, settings: Iterable[str]) -> None:
    """Train one for each setting, a batch size and a loss, in a folder of that name."""
    development, _ = split_holdout(load_manifest(manifest), seed=0)
    for setting in settings:
        batch_size, loss = setting.split()
        protocol = Protocol.study(
            image_size=75,
            baseline_folds=2,
            baseline_epochs=2,
            baseline_batch_size=int(batch_size),
            flips="none",
            masked_loss=loss == "masked",
        )
        folder = Path(directory) / setting
        run_baselines(development, folder, models=["lenet1998"], protocol=protocol, cache=folder)


def run_lenet(
    development: Development, folder: Path, protocol: Protocol, cache: Path, **changes: Any
) -> Project:
    shared: dict[str, Any] = {"models": [LENET], "protocol": protocol, "cache": cache}
    return run_baselines(development, folder, **(shared | changes))[LENET]


def write_radimagenet(folder: Path) -> Path:
    """Write a whole model in HDF5 at another image size, as RadImageNet's file is one."""
    model = build_backbone(find_weights("random"), image_size=96)
    rng = np.random.default_rng(7)
    model.set_weights([w * rng.uniform(0.9, 1.1) for w in model.get_weights()])
    path = folder / "RadImageNet-InceptionV3_notop.h5"
    model.save(path)
    return path


class Killed(BaseException):
    """What no code may catch, as a kill."""


class Listener(Silent):
    """Keeps what is said; may kill the process at an epoch of a model."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.said: list[str] = []
        self.left = dies_after

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, steps: int = 1, *, note: str | None = None) -> None:
        # At its end, a trial advances by no steps.
        if self.left is not None and note is None:
            self.left -= steps
            if self.left < 0:
                raise Killed
