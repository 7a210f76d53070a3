"""First models at some length: their memory, and how good they are beside each other."""

import dataclasses
import os
import resource
from pathlib import Path

import pytest
from baseline_problems import run_lenet

from rust_tuner import LeNet1998, Protocol, load_manifest, run_baselines
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.data.splits import split_holdout
from rust_tuner.models.weights import WEIGHTS_VARIABLE
from rust_tuner.progress import Silent
from rust_tuner.records.baselines import BASELINES, baseline_results, suggested_backbone

LENET, END_TO_END, _, IMAGENET = BASELINES


@pytest.mark.slow
def test_memory_does_not_grow_with_the_folds(
    phantom_manifest: Path, tiny_protocol: Protocol, tmp_path: Path
) -> None:
    sizes = []

    class Watching(Silent):
        def advance(self, steps: int = 1, *, note: str | None = None) -> None:
            if note is None and steps:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                sizes.append(pages * resource.getpagesize())

    development, _ = split_holdout(load_manifest(phantom_manifest), seed=0)
    wide = dataclasses.replace(
        tiny_protocol, image_size=150, baseline_folds=4, baseline_epochs=1, flips="none"
    )
    run_lenet(development, tmp_path, wide, tmp_path / "cache", progress=Watching())
    # Weights and Adam's state of one such LeNet are 240 MB.
    one_model = 3 * 4 * LeNet1998(image_size=150).count_params()
    assert sizes[-1] - sizes[-3] < one_model


@pytest.mark.slow
@pytest.mark.skipif(
    not os.environ.get(WEIGHTS_VARIABLE),
    reason=f"needs pretrained weights; set {WEIGHTS_VARIABLE} to a file of InceptionV3 without top",
)
def test_frozen_pretrained_features_beat_lenet_and_end_to_end_at_equal_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_phantoms(tmp_path / "phantoms", patients=40, seed=0)
    development, _ = split_holdout(load_manifest(manifest), seed=0)
    protocol = Protocol.clinical(
        image_size=75,
        baseline_folds=2,
        baseline_epochs=4,
        baseline_batch_size=16,
        baseline_dropout_rate=0.2,
    )
    run_baselines(development, tmp_path / "study", protocol=protocol, cache=tmp_path / "cache")
    table = baseline_results(tmp_path / "study")
    with capsys.disabled():
        print(f"\n{len(development.radiographs)} radiographs")
        print(table.to_string(index=False, float_format="{:.3f}".format))
    scores = table.set_index("model")["cortex_auroc"]
    assert scores[IMAGENET] > scores[LENET]
    assert scores[IMAGENET] > scores[END_TO_END]
    assert scores[IMAGENET] > scores["view_only"] == scores["chance"] == 0.5
    assert suggested_backbone(table) == IMAGENET
