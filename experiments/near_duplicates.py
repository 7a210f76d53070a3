"""How many changed copies `similar_pairs` finds, and how often it takes two legs for one picture.

    python experiments/near_duplicates.py [--patients 300] [--copies 40]

Phantom radiographs and JPEG copies of some of them, changed as exports and figures change them.
False alarms are counted among all phantoms, pairs of one patient apart from pairs of two. The
copies of each kind are looked for among their originals and 100 other radiographs. Phantoms of one
patient share the geometry of the leg exactly, which real exposures do not.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from rust_tuner.console_progress import ConsoleProgress
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.near_duplicates import Fingerprints, fingerprint, similar_pairs
from rust_tuner.data.phantoms import write_phantoms
from rust_tuner.data.radiographs import Radiographs

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


def turned(pixels: Pixels, degrees: float, *, expand: bool = False) -> Pixels:
    """Turned about the middle, black where nothing was; with `expand` no corner is cut off."""
    image = as_image(pixels).rotate(degrees, Image.Resampling.BICUBIC, expand=expand)
    turned_pixels: Pixels = np.asarray(image) / 255
    return turned_pixels


def framed(pixels: Pixels, share: float, tone: float = 0.0) -> Pixels:
    """With a border of one tone, `share` of the height and the width on each side."""
    height, width = pixels.shape
    widths = [(round(share * side),) * 2 for side in (height, width)]
    return np.pad(pixels, widths, constant_values=tone)


def slanted(pixels: Pixels, share: float) -> Pixels:
    """With a keystone distortion: the top is stretched by `share` of the width, and cut off."""
    height, width = pixels.shape
    inset = share * width / 2
    source = [(inset, 0), (0, height), (width, height), (width - inset, 0)]
    target = [(0, 0), (0, height), (width, height), (width, 0)]
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float))
    image = as_image(pixels).transform(
        (width, height), Image.Transform.PERSPECTIVE, tuple(coefficients), Image.Resampling.BICUBIC
    )
    slanted_pixels: Pixels = np.asarray(image) / 255
    return slanted_pixels


def everything_moved(pixels: Pixels) -> Pixels:
    """Turned, cropped, half the size, mirrored and brighter at once."""
    return resized(all_around(turned(pixels, 2), 0.05), 0.5)[:, ::-1] ** 0.7


def all_around(pixels: Pixels, share: float) -> Pixels:
    """Without this share of the height and the width on each side."""
    return cropped(pixels, share, share, share, share)


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
    "turned over": (lambda pixels: pixels[::-1, ::-1], 85, "turned by 180 degrees"),
    "cropped": (lambda pixels: cropped(pixels, 0.02, 0, 0, 0.02), 85, ""),
    "cropped all around": (lambda pixels: all_around(pixels, 0.01), 85, ""),
    "everything": (everything, 50, "mirrored left to right"),
}

# The same for copies that no longer lie where they lay.
MOVED: dict[str, tuple[Callable[[Pixels], Pixels], int, str]] = {
    "crop 5 %": (lambda pixels: all_around(pixels, 0.05), 85, ""),
    "crop 10 %": (lambda pixels: all_around(pixels, 0.1), 85, ""),
    "crop 10 %, one side": (lambda pixels: cropped(pixels, 0.1, 0, 0, 0), 85, ""),
    "crop 5 and 10 %, corner": (lambda pixels: cropped(pixels, 0, 0.05, 0.1, 0), 85, ""),
    "turn 0.5": (lambda pixels: turned(pixels, 0.5), 85, ""),
    "turn 1": (lambda pixels: turned(pixels, 1), 85, ""),
    "turn 2": (lambda pixels: turned(pixels, -2), 85, ""),
    "turn 5": (lambda pixels: turned(pixels, 5), 85, ""),
    "turn 5, whole": (lambda pixels: turned(pixels, -5, expand=True), 85, ""),
    "black frame 5 %": (lambda pixels: framed(pixels, 0.05), 85, ""),
    "black frame 10 %": (lambda pixels: framed(pixels, 0.1), 85, ""),
    "white frame 10 %": (lambda pixels: framed(pixels, 0.1, 1), 85, ""),
    "keystone 5 %": (lambda pixels: slanted(pixels, 0.05), 85, ""),
    "keystone 10 %": (lambda pixels: slanted(pixels, 0.1), 85, ""),
    "crop 5 %, quality 30": (lambda pixels: all_around(pixels, 0.05), 30, ""),
    "turn 1, half the size": (lambda pixels: resized(turned(pixels, 1), 0.5), 85, ""),
    "turn 2, gamma": (lambda pixels: turned(pixels, 2) ** 0.7, 85, ""),
    "crop 5 %, inverted": (lambda pixels: 1 - all_around(pixels, 0.05), 85, ""),
    "frame 5 %, inverted": (lambda pixels: 1 - framed(pixels, 0.05), 85, ""),
    "turn 2, mirrored": (lambda pixels: turned(pixels, 2)[:, ::-1], 85, "mirrored left to right"),
    "keystone, upside down": (lambda pixels: slanted(pixels, 0.1)[::-1], 85, "upside down"),
    "crop 10 %, turned over": (
        lambda pixels: all_around(pixels, 0.1)[::-1, ::-1],
        85,
        "turned by 180 degrees",
    ),
    "turn 2, half, quality 30": (lambda pixels: resized(turned(pixels, 2), 0.5), 30, ""),
    "everything, moved": (everything_moved, 50, "mirrored left to right"),
}
_OTHERS = 100


def together(first: Fingerprints, second: Fingerprints) -> Fingerprints:
    """One set, the second's pictures after the first's."""
    return Fingerprints(
        np.concatenate([first.thumbnails, second.thumbnails]),
        first.content_sha256 + second.content_sha256,
        first.file_sha256 + second.file_sha256,
        np.concatenate([first.aspects, second.aspects]),
    )


def only(prints: Fingerprints, which: npt.NDArray[np.int64]) -> Fingerprints:
    """Some of a set, in this order."""
    return Fingerprints(
        prints.thumbnails[which],
        tuple(prints.content_sha256[at] for at in which),
        tuple(prints.file_sha256[at] for at in which),
        prints.aspects[which],
    )


def main() -> None:
    """Draw, copy, compare, and print one line a change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--copies", type=int, default=40, help="of each kind")
    arguments = parser.parse_args()
    progress = ConsoleProgress()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_phantoms(Path(folder), patients=arguments.patients, seed=11)
        originals = load_manifest(manifest)
        prints = fingerprint(originals, progress=progress)
        print(false_alarms(prints, originals.patient_ids, progress=progress))
        order = np.random.default_rng(0).permutation(len(prints))
        chosen = order[: arguments.copies]
        among = only(prints, order[: arguments.copies + _OTHERS])
        for change, (alter, quality, flip) in (CHANGES | MOVED).items():
            paths = [Path(folder) / f"copy_{position}.jpg" for position in chosen]
            for position, path in zip(chosen, paths, strict=True):
                as_image(alter(grey(originals.images[position]))).save(path, quality=quality)
            table = pd.DataFrame(originals.table.iloc[chosen]).assign(image=list(map(str, paths)))
            copies = fingerprint(Radiographs(table))
            theirs = np.array(["a copy"] * len(copies), dtype=object)
            owners = np.concatenate([originals.patient_ids[order[: len(among)]], theirs])
            pairs = similar_pairs(together(among, copies), owners=owners)
            expected = {(place, len(among) + place) for place in range(len(chosen))}
            found = {(pair.first, pair.second) for pair in pairs if pair.flip == flip}
            print(f"{change:24} {len(found & expected):4} of {len(expected)} found", flush=True)


def false_alarms(
    prints: Fingerprints, owners: npt.NDArray[np.object_], *, progress: ConsoleProgress
) -> str:
    """How many pairs of a set without copies are taken for one picture, in words."""
    pairs = similar_pairs(prints, owners=owners, progress=progress)
    within = sum(owners[pair.first] == owners[pair.second] for pair in pairs)
    counts = np.unique(owners, return_counts=True)[1]
    one, all_of_them = int((counts * (counts - 1) // 2).sum()), len(prints) * (len(prints) - 1) // 2
    return (
        f"{len(prints)} radiographs of {len(counts)} patients: {len(pairs) - within} of "
        f"{all_of_them - one} pairs of two patients and {within} of {one} pairs of one patient are "
        "taken for one picture"
    )


if __name__ == "__main__":
    main()
