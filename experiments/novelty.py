"""How often images are reported as unlike the development set that should not be, and the reverse.

Draws phantoms, takes development sets of several sizes from them, and compares the images of all
other patients, noise, blank images and photographs with each.

    python experiments/novelty.py FOLDER --image-size 299 --patients 240
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from rust_tuner import load_manifest, write_phantoms
from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.images import load_image
from rust_tuner.data.picture_statistics import picture_statistics
from rust_tuner.models.backbones import find_weights
from rust_tuner.models.features import FeatureRecipe, extract_features
from rust_tuner.models.runtime import start_backend
from rust_tuner.steps.novelty import fit_novelty


def main() -> None:
    """Print, for each size of the development set, what is reported."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=299)
    parser.add_argument("--patients", type=int, default=240, help="in all, as many as are drawn")
    parser.add_argument("--sets", type=int, default=20, help="development sets of each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 20, 40, 80, 160])
    arguments = parser.parse_args()
    start_backend()
    manifest = write_phantoms(arguments.folder / "phantoms", patients=arguments.patients)
    radiographs = load_manifest(manifest)
    others = list(write_others(arguments.folder / "others"))
    paths = [*radiographs.images, *others]
    recipe = FeatureRecipe(find_weights("imagenet"), arguments.image_size, "squash", "none")
    features = extract_features(paths, recipe, progress=ConsoleProgress()).values[:, 0]
    statistics = np.stack(
        [picture_statistics(load_image(path, size=arguments.image_size)) for path in paths]
    )
    patients = np.array([*map(str, radiographs.patient_ids), *("" for _ in others)])
    rows = []
    for size in arguments.sizes:
        if size < arguments.patients:
            found = repeat(features, statistics, patients, size=size, sets=arguments.sets)
            names = [path.stem for path in others]
            rows.append({"patients": size} | summary(found, names))
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


def repeat(
    features: npt.NDArray[np.floating],
    statistics: npt.NDArray[np.floating],
    patients: npt.NDArray[np.str_],
    *,
    size: int,
    sets: int,
) -> Iterator[tuple[float, float, npt.NDArray[np.bool_]]]:
    """For each development set: the predicted and the real rate of false alarms, what is found."""
    rng = np.random.default_rng(0)
    known = np.unique(patients[patients != ""])
    for _ in range(sets):
        is_chosen = np.isin(patients, rng.choice(known, size, replace=False))
        novelty = fit_novelty(features[is_chosen], statistics[is_chosen], patients[is_chosen])
        assert novelty is not None
        above = novelty.distances(features, statistics) > 1
        is_new = ~is_chosen & (patients != "")
        predicted = novelty.false_alarms / novelty.radiographs
        yield predicted, float(above[is_new].mean()), above[patients == ""]


def summary(
    found: Iterator[tuple[float, float, npt.NDArray[np.bool_]]], names: list[str]
) -> dict[str, float]:
    """The rates over all sets: mean and highest of false alarms, and how often each is found."""
    predicted, real, above = zip(*found, strict=True)
    rates = {"predicted": np.mean(predicted), "false alarms": np.mean(real), "worst": max(real)}
    return rates | dict(zip(names, np.mean(above, axis=0), strict=True))


def write_others(folder: Path) -> Iterator[Path]:
    """Noise, blank images, and scikit-learn's two photographs in colour and in grey."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    pictures = {
        "uniform": rng.integers(0, 256, (500, 400), dtype=np.uint8),
        "normal": np.clip(rng.normal(128, 40, (500, 400)), 0, 255).astype(np.uint8),
        "rgb": rng.integers(0, 256, (500, 400, 3), dtype=np.uint8),
        "black": np.zeros((500, 400), np.uint8),
        "white": np.full((500, 400), 255, np.uint8),
    }
    pictures |= dict(zip(("china", "flower"), load_sample_images().images, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        image = Image.fromarray(pixels)
        image.save(folder / f"{name}.png")
        yield folder / f"{name}.png"
        if name in ("china", "flower"):
            image.convert("L").save(folder / f"{name}_grey.png")
            yield folder / f"{name}_grey.png"


if __name__ == "__main__":
    main()
