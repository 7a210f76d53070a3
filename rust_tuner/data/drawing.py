"""Draws one phantom radiograph of a tibia from the scores of its two outlines.

Only pixels are drawn here; patients, scores and files belong to `phantoms`.

All steps share one geometry: lay out the leg, add up what absorbs X-rays, then expose.

Lengths are in units of the image's height. The picture is first drawn upright, as X-ray
attenuation on a canvas with a margin (`x` across from the middle, `y` down from the top), with
the first outline on the left. Exposure, rotation, mirroring and noise come after that. No random
draw depends on a score, so two pictures that differ only in a score differ only where it shows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

from rust_tuner.data.leg import (
    PIXELS_PER_UNIT,
    Anatomy,
    FloatArray,
    Outline,
    callus,
    fibula,
    flesh,
    lay_out,
    tibia,
)
from rust_tuner.data.metal import covering_plates, implant, open_field, transparency

Pixels = npt.NDArray[np.unsignedinteger]
# What can make a cortex impossible to score.
_COVERS = ("plate", "overexposure", "collimator")


def draw_radiograph(
    view: str, outlines: tuple[Outline, Outline], *, anatomy: Anatomy, rng: np.random.Generator
) -> Pixels:
    """Draw one radiograph.

    Args:
        view: `ap` (fibula beside the tibia, on the second outline's side) or `lateral` (fibula
            behind the tibia; the first outline is the anterior crest).
        outlines: the two cortices, the one away from the fibula or at the crest first.
        anatomy: the patient's leg, fracture and implant.
        rng: determines size, exposure, position, noise and what hides a cortex.

    Returns:
        (height, width) uint8, in one of eight radiographs uint16 of full range; 500-1100 by 250-600
        pixels, portrait, bone white.
    """
    exposure = _sample_exposure(rng)
    leg = lay_out(view, anatomy, outlines, aspect=exposure.width / exposure.height, rng=rng)
    attenuation = flesh(leg, rng)
    attenuation += fibula(leg)
    attenuation += tibia(leg)
    attenuation += callus(leg, rng)
    cover = _COVERS[int(rng.integers(len(_COVERS)))]
    if cover == "overexposure":
        attenuation *= transparency(leg)
    # Nothing passes through metal, so it replaces what it covers.
    attenuation = np.maximum(attenuation, implant(leg))
    if cover == "plate":
        attenuation = np.maximum(attenuation, covering_plates(leg))
    if cover == "collimator":
        attenuation *= open_field(leg)
    attenuation = gaussian_filter(attenuation, exposure.blur)
    return _expose(_place(attenuation, anatomy, exposure), exposure, rng)


@dataclass(frozen=True)
class _Exposure:
    """How one radiograph was taken."""

    height: int
    width: int
    rotation: float
    zoom: float
    shift: tuple[float, float]
    blur: float
    strength: float
    gamma: float
    fog: float
    noise: float
    collimation: tuple[float, float, float, float]
    sixteen_bit: bool


def _sample_exposure(rng: np.random.Generator) -> _Exposure:
    height = int(rng.integers(500, 1101))
    width = int(np.clip(height * rng.uniform(0.42, 0.60), 250, 600))
    collimated = rng.random() < 0.5
    borders = rng.uniform(0.0, 0.04, size=4) * collimated
    return _Exposure(
        height=height,
        width=width,
        rotation=float(np.clip(rng.normal(0, 3), -8, 8)),
        zoom=rng.uniform(0.95, 1.15),
        shift=(rng.uniform(-0.02, 0.02), rng.uniform(-0.03, 0.03)),
        blur=rng.uniform(0.5, 1.2),
        strength=rng.uniform(0.45, 0.65),
        gamma=rng.uniform(1.0, 1.6),
        fog=rng.uniform(0.02, 0.06),
        noise=rng.uniform(0.008, 0.028),
        collimation=(float(borders[0]), float(borders[1]), float(borders[2]), float(borders[3])),
        sixteen_bit=bool(rng.random() < 0.125),
    )


def _place(attenuation: FloatArray, anatomy: Anatomy, exposure: _Exposure) -> FloatArray:
    """Take the film's rectangle out of the canvas: rotated, zoomed, shifted, left or right leg."""
    rows, columns = attenuation.shape
    angle = np.deg2rad(exposure.rotation)
    scale = PIXELS_PER_UNIT / (exposure.zoom * exposure.height)
    cosine, sine = float(np.cos(angle)) * scale, float(np.sin(angle)) * scale
    mirror = -1 if anatomy.mirrored else 1
    right, down = (part * PIXELS_PER_UNIT for part in exposure.shift)
    middle_x, middle_y = exposure.width / 2, exposure.height / 2
    coefficients = (
        mirror * cosine,
        -mirror * sine,
        columns / 2 + right - mirror * (cosine * middle_x - sine * middle_y),
        sine,
        cosine,
        rows / 2 + down - sine * middle_x - cosine * middle_y,
    )
    placed = Image.fromarray(attenuation).transform(
        (exposure.width, exposure.height),
        Image.Transform.AFFINE,
        coefficients,
        resample=Image.Resampling.BILINEAR,
    )
    return np.asarray(placed, dtype=np.float32)


def _expose(attenuation: FloatArray, exposure: _Exposure, rng: np.random.Generator) -> Pixels:
    shape = attenuation.shape
    brightness = 1 - np.exp(-exposure.strength * attenuation)
    brightness = exposure.fog + (0.98 - exposure.fog) * brightness**exposure.gamma
    grain = rng.standard_normal(shape, dtype=np.float32)
    # Fewer quanta pass where more is absorbed, so bone is noisier than air.
    brightness += exposure.noise * (0.35 + brightness) * grain
    left, right, top, bottom = exposure.collimation
    rows, columns = np.arange(shape[0]) / shape[0], np.arange(shape[1]) / shape[0]
    open_rows = (rows >= top) & (rows < 1 - bottom)
    open_columns = (columns >= left) & (columns < shape[1] / shape[0] - right)
    brightness *= open_rows[:, None] & open_columns[None, :]
    levels, kind = (65535, np.uint16) if exposure.sixteen_bit else (255, np.uint8)
    pixels: Pixels = np.rint(np.clip(brightness, 0, 1) * levels).astype(kind)
    return pixels
