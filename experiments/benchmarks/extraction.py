"""Feature extraction against the backbone's own `predict`, in float32 and bfloat16.

    python -m experiments.benchmarks.extraction [--images 96] [--image-size 299]

Radiographs are drawn, written, decoded and pushed through InceptionV3 with all four flip variants;
`predict` gets the same pictures decoded in advance. Also prints what bfloat16 does to the features.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from experiments.benchmarks.common import print_table
from rust_tuner import load_manifest
from rust_tuner.data.images import load_image
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.models.architectures import feature_extractor
from rust_tuner.models.backbones import build_backbone, find_weights
from rust_tuner.models.features import FeatureRecipe, extract_features
from rust_tuner.models.runtime import start_backend
from rust_tuner.protocol import Precision


def main() -> None:
    """Time both ways in both precisions and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--weights", default="random")
    arguments = parser.parse_args()
    start_backend()
    weights, size = find_weights(arguments.weights), arguments.image_size
    rows = []
    features = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = write_phantoms(folder / "radiographs", patients=arguments.images // 2)
        paths = load_manifest(manifest).images[: arguments.images]
        pictures = np.stack([load_image(path, size=size) for path in paths])
        flipped = np.concatenate(
            [pictures, pictures[:, :, ::-1], pictures[:, ::-1], pictures[:, ::-1, ::-1]]
        )
        precisions: tuple[Precision, ...] = ("float32", "bfloat16")
        for precision in precisions:
            extractor = feature_extractor(
                build_backbone(weights, image_size=size, precision=precision)
            )
            extractor.predict(flipped[:32], batch_size=32, verbose=0)
            start = time.perf_counter()
            extractor.predict(flipped, batch_size=32, verbose=0)
            predict = len(flipped) / (time.perf_counter() - start)
            recipe = FeatureRecipe(weights, size, "squash", "horizontal_and_vertical", precision)
            start = time.perf_counter()
            found = extract_features(paths, recipe, cache=folder / precision)
            whole = len(flipped) / (time.perf_counter() - start)
            start = time.perf_counter()
            extract_features(paths, recipe, cache=folder / precision)
            again = len(flipped) / (time.perf_counter() - start)
            features[precision] = found.values
            rows.append(
                (
                    precision,
                    f"{predict:.1f}",
                    f"{whole:.1f} = {whole / predict:.2f}x",
                    f"{again:.0f}",
                )
            )
    exact, rounded = features["float32"], features["bfloat16"]
    off = np.abs(rounded - exact).mean() / np.abs(exact).mean()
    print_table(
        f"Extraction: {len(paths)} images, 4 variants each; images/s through InceptionV3",
        ["precision", "predict, decoded in advance", "extract_features, all in", "from the cache"],
        rows,
        [
            "extract_features includes decoding, building and tracing the backbone, and writing.",
            f"bfloat16 features differ from float32 by {off:.1%} on average.",
        ],
    )


if __name__ == "__main__":
    main()
