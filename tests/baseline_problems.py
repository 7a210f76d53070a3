"""First models that tests train, and LeNets on phantoms wherever the process has devices."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from rust_tuner import Protocol, load_manifest, run_baselines, split_holdout


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
