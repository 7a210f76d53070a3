"""How many changed copies `similar_pairs` finds, and how often it takes two legs for one picture.

    python experiments/near_duplicates.py [--patients 300] [--copies 150]

Phantom radiographs and JPEG copies of some of them, changed as exports and figures change them.
Two views or visits of one patient never count as a false alarm, since they may well be alike.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import Fingerprints, fingerprint, similar_pairs
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.progress import ConsoleProgress

Pixels = npt.NDArray[np.float64]


def grey(path: str | Path) -> Pixels:
    """Pixels in [0, 1], a dark 16-bit picture stretched as an export to 8 bits does."""
    pixels = np.asarray(Image.open(path)).astype(np.float64)
    stretched: Pixels = pixels / pixels.max()
    return stretched


def as_image(pixels: Pixels) -> Image.Image:
    """Pixels in [0, 1] as 8-bit grey."""
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def resized(pixels: Pixels, factor: float) -> Pixels:
    """The same picture with sides `factor` times as long."""
    image = as_image(pixels)
    width, height = (round(side * factor) for side in image.size)
    small: Pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC)) / 255
    return small


def cropped(pixels: Pixels, left: float, right: float, top: float, bottom: float) -> Pixels:
    """Without these shares of its width and height."""
    height, width = pixels.shape
    rows = slice(round(top * height), height - round(bottom * height))
    return pixels[rows, round(left * width) : width - round(right * width)]


def everything(pixels: Pixels) -> Pixels:
    """Mirrored, cropped, smaller and brighter at once."""
    return resized(cropped(pixels[:, ::-1], 0.01, 0.005, 0, 0.01), 0.6) ** 0.8


# What was done to a copy, the quality of its JPEG in percent, and the flip that undoes it.
CHANGES: dict[str, tuple[Callable[[Pixels], Pixels], int, str]] = {
    "quality 95": (lambda pixels: pixels, 95, ""),
    "quality 30": (lambda pixels: pixels, 30, ""),
    "half the size": (lambda pixels: resized(pixels, 0.5), 85, ""),
    "larger": (lambda pixels: resized(pixels, 1.5), 85, ""),
    "brighter": (lambda pixels: pixels * 1.2 + 0.08, 85, ""),
    "gamma": (lambda pixels: pixels**0.7, 85, ""),
    "inverted": (lambda pixels: 1 - pixels, 85, ""),
    "mirrored": (lambda pixels: pixels[:, ::-1], 85, "mirrored left to right"),
    "upside down": (lambda pixels: pixels[::-1], 85, "upside down"),
    "turned": (lambda pixels: pixels[::-1, ::-1], 85, "turned by 180 degrees"),
    "cropped": (lambda pixels: cropped(pixels, 0.02, 0, 0, 0.02), 85, ""),
    "cropped all around": (lambda pixels: cropped(pixels, 0.01, 0.01, 0.01, 0.01), 85, ""),
    "everything": (everything, 50, "mirrored left to right"),
}


def together(first: Fingerprints, second: Fingerprints) -> Fingerprints:
    """One set, the second's pictures after the first's."""
    return Fingerprints(
        np.concatenate([first.thumbnails, second.thumbnails]),
        first.content_sha256 + second.content_sha256,
        first.file_sha256 + second.file_sha256,
    )


def main() -> None:
    """Draw, copy, compare, and print one line a change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--copies", type=int, default=150, help="of each kind")
    arguments = parser.parse_args()
    progress = ConsoleProgress()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_phantoms(Path(folder), patients=arguments.patients, seed=11)
        originals = load_manifest(manifest)
        prints = fingerprint(originals, progress=progress)
        owners = originals.patient_ids
        alarms = sum(
            owners[pair.first] != owners[pair.second]
            for pair in similar_pairs(prints, progress=progress)
        )
        lines = [f"{len(prints)} radiographs of {len(set(owners))} patients: {alarms} false alarms"]
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(prints), min(arguments.copies, len(prints)), replace=False)
        for change, (alter, quality, flip) in CHANGES.items():
            paths = [Path(folder) / f"{change}_{position}.jpg" for position in chosen]
            for position, path in zip(chosen, paths, strict=True):
                as_image(alter(grey(originals.images[position]))).save(path, quality=quality)
            table = pd.DataFrame(originals.table.iloc[chosen]).assign(image=list(map(str, paths)))
            copies = fingerprint(Radiographs(table), progress=progress)
            pairs = similar_pairs(together(prints, copies), progress=progress)
            expected = {(int(at), len(prints) + place) for place, at in enumerate(chosen)}
            found = {(pair.first, pair.second) for pair in pairs if pair.flip == flip}
            lines.append(f"{change:20} {len(found & expected):5} of {len(expected)} found")
            for path in paths:
                path.unlink()
    print("\n".join(lines))


if __name__ == "__main__":
    main()
