"""The leg of a phantom: its geometry, its bones, its callus and its flesh, as X-ray attenuation.

Lengths are in units of the image's height; `x` runs across from the middle, `y` down from the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.floating]
Implant = Literal["none", "nail", "plate"]
PIXELS_PER_UNIT = 420
_MARGIN = 0.12
LEFT, RIGHT = -1, 1
# How much of the bone is missing on the line, and how wide the line is, by score. A fresh line
# gapes and is sharp; once there is callus it is narrower.
_LINE_DEPTH = {1: 0.97, 2: 0.85, 3: 0.0, 4: 0.0}
_LINE_WIDTH = {1: 1.4, 2: 1.0, 3: 1.0, 4: 1.0}


@dataclass(frozen=True)
class Outline:
    """One of the two cortices that a view shows.

    Attributes:
        score: 1 line without callus, 2 line with callus, 3 bridged without line, 4 remodelled.
        hidden: whether something covers it, so that it cannot be scored.
    """

    score: int
    hidden: bool = False


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in every radiograph of a patient; lengths in image heights."""

    implant: Implant
    mirrored: bool
    half_width: float
    cortex: float
    flares: tuple[float, float]
    bow: float
    fibula_gap: float
    flesh: float
    fracture_height: float
    slopes: tuple[float, float]
    angulation: float
    callus_height: float
    callus_length: float


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient's leg, fracture and implant."""
    # Nails are the usual treatment of a tibial shaft fracture.
    kind = rng.random()
    return Anatomy(
        implant="nail" if kind < 0.55 else "plate" if kind < 0.75 else "none",
        mirrored=bool(rng.random() < 0.5),
        half_width=rng.uniform(0.054, 0.070),
        cortex=rng.uniform(0.30, 0.40),
        flares=(rng.uniform(0.5, 1.1), rng.uniform(0.3, 0.7)),
        bow=rng.uniform(0.005, 0.02),
        fibula_gap=rng.uniform(0.035, 0.055),
        flesh=rng.uniform(0.17, 0.24),
        fracture_height=rng.uniform(0.38, 0.62),
        slopes=(rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)),
        angulation=rng.uniform(-0.05, 0.05),
        callus_height=rng.uniform(0.034, 0.048),
        callus_length=rng.uniform(0.060, 0.085),
    )


@dataclass(frozen=True)
class Leg:
    """The geometry that everything is drawn from; arrays broadcast to the canvas (h, w).

    Attributes:
        x, y: (1, w) and (h, 1) coordinates.
        axis: (h, 1) the tibia's axis.
        across: (h, w) signed distance from that axis.
        half_widths: (h, 1) from the axis to the left and right surface.
        thicknesses: (h, 1) of the left and right cortex.
        crossings: where the fracture meets the left and right surface, in `y`.
        share: (h, w) 0 at the left cortex, 1 at the right one, gradual in between.
        line: (h, w) 1 on the fracture line, 0 off it.
    """

    view: str
    anatomy: Anatomy
    outlines: tuple[Outline, Outline]
    x: FloatArray
    y: FloatArray
    axis: FloatArray
    across: FloatArray
    half_widths: tuple[FloatArray, FloatArray]
    thicknesses: tuple[FloatArray, FloatArray]
    crossings: tuple[float, float]
    share: FloatArray
    line: FloatArray

    def blend(self, left: FloatArray | float, right: FloatArray | float) -> FloatArray:
        """The left value at the left cortex, the right one at the right, gradual in between."""
        blended: FloatArray = left + (right - left) * self.share
        return blended


def lay_out(
    view: str,
    anatomy: Anatomy,
    outlines: tuple[Outline, Outline],
    *,
    aspect: float,
    rng: np.random.Generator,
) -> Leg:
    """The geometry of a leg on a film of this width per height."""
    half_span = 0.5 * aspect + _MARGIN
    y = _ticks(-_MARGIN, 1 + _MARGIN)[:, None]
    x = _ticks(-half_span, half_span)[None, :]
    radius, lateral = anatomy.half_width, view == "lateral"
    top = np.exp(-(((y + _MARGIN) / 0.24) ** 2)) * anatomy.flares[0]
    bottom = np.exp(-(((1 + _MARGIN - y) / 0.20) ** 2)) * anatomy.flares[1]
    height, slope = anatomy.fracture_height, anatomy.slopes[lateral]
    # The lateral view bows forwards; the anteroposterior one is a shallow S.
    arch = -(1 - (2 * y - 1) ** 2) if lateral else 0.5 * np.sin(2 * np.pi * y)
    kink = anatomy.angulation * (0.5 if lateral else 1.0) * np.maximum(y - height, 0)
    axis = anatomy.bow * (1.8 if lateral else 0.7) * arch + kink
    # The tuberosity and the crest are in front: in the lateral view that side flares and is thick.
    flare_left, flare_right = (1.5, 0.7) if lateral else (1.0, 1.0)
    crest = 1.3 if lateral else 1.0
    thickness = radius * anatomy.cortex * (1 - 0.6 * np.minimum(top + bottom, 1.0))
    half_widths, thicknesses = [], []
    crossings = (height - slope * radius, height + slope * radius)
    for outline, crossing, flare, strong in zip(
        outlines, crossings, (flare_left, flare_right), (crest, 1.0), strict=True
    ):
        # Remodelled callus is bone: the cortex is a little thicker, with an even surface.
        swelling = 0.18 * anatomy.callus_height * (outline.score == 4)
        swelling = swelling * np.exp(-(((y - crossing) / (1.1 * anatomy.callus_length)) ** 2))
        half_widths.append(radius * (1 + flare * top + bottom) + swelling)
        thicknesses.append(thickness * strong + 1.3 * swelling)
    across = x - axis
    jag = 0.006 * _smooth_noise((1, x.size), (1, 28), rng)
    bend = np.clip(across, -1.4 * radius, 1.4 * radius)
    # Between the cortices the line belongs to both of them.
    share = 0.5 + 0.5 * np.tanh(across / (0.4 * radius))
    left, right = (_LINE_WIDTH[outline.score] for outline in outlines)
    half_line = rng.uniform(0.0075, 0.010) * (left + (right - left) * share)
    distance = (y - height - slope * bend - jag) / half_line
    line = np.exp(-np.square(np.square(distance)))
    return Leg(
        view=view,
        anatomy=anatomy,
        outlines=outlines,
        x=x,
        y=y,
        axis=axis,
        across=across,
        half_widths=(half_widths[0], half_widths[1]),
        thicknesses=(thicknesses[0], thicknesses[1]),
        crossings=crossings,
        share=share,
        line=line,
    )


def flesh(leg: Leg, rng: np.random.Generator) -> FloatArray:
    """Skin, fat and muscle: the calf is behind, the crest lies just under the skin."""
    flesh, radius = leg.anatomy.flesh, leg.anatomy.half_width
    taper = 1.05 - 0.30 * leg.y + 0.06 * np.sin(2.5 * leg.y)
    if leg.view == "lateral":
        front = leg.axis - radius - 0.03 - 0.4 * radius * (leg.y < 0.0)
        back = leg.axis + radius + (1.5 * flesh - radius) * taper
    else:
        front = leg.axis - (0.80 * flesh + 0.4 * radius) * taper
        back = leg.axis + (1.05 * flesh + 0.4 * radius) * taper
    middle, half = (front + back) / 2, (back - front) / 2
    skin = chord(leg.x - middle, half)
    muscle = chord(leg.x - middle, 0.88 * half)
    streaks = 1 + 0.06 * _smooth_noise((leg.y.size, leg.x.size), (9, 7), rng)
    return 0.28 * skin + 0.45 * muscle * streaks


def fibula(leg: Leg) -> FloatArray:
    """The thin bone: beside the tibia, or behind it in the lateral view."""
    anatomy = leg.anatomy
    radius = 0.40 * anatomy.half_width
    if leg.view == "lateral":
        axis = leg.axis + anatomy.half_width * (1.3 - 1.7 * leg.y)
    else:
        away = 1.6 * anatomy.half_width + anatomy.fibula_gap
        axis = away + 0.012 * np.cos(2.2 * np.pi * leg.y) - 0.02 * leg.y
    return _tube(leg.x - axis, radius, 0.45 * radius) * (1.3 * radius / anatomy.half_width)


def tibia(leg: Leg) -> FloatArray:
    """The shaft as a tube, cut where a cortex still shows its fracture line."""
    bone = _tube(leg.across, leg.blend(*leg.half_widths), leg.blend(*leg.thicknesses))
    left, right = (_LINE_DEPTH[outline.score] for outline in leg.outlines)
    cut = leg.blend(left, right) * leg.line
    severed: FloatArray = bone * (1 - cut)
    return severed


def callus(leg: Leg, rng: np.random.Generator) -> FloatArray:
    """A ragged cloud outside the cortex for score 2, a dense bump with a rim for score 3."""
    shape = (leg.y.size, leg.x.size)
    fluff = 1 + 0.45 * _smooth_noise(shape, (70, 50), rng)
    ragged = 1 + 0.30 * _smooth_noise((leg.y.size, 1), (60, 1), rng)
    ragged_right = 1 + 0.30 * _smooth_noise((leg.y.size, 1), (60, 1), rng)
    total = np.zeros(shape, dtype=np.float32)
    for side, outline, crossing, half_width, rag in zip(
        (LEFT, RIGHT),
        leg.outlines,
        leg.crossings,
        leg.half_widths,
        (ragged, ragged_right),
        strict=True,
    ):
        if outline.score not in (2, 3):
            continue
        anatomy = leg.anatomy
        rise = np.exp(-(((leg.y - crossing) / anatomy.callus_length) ** 2))
        outside = side * leg.across - half_width
        # Callus wraps the shaft, so that its shadow also lies on the cortex beside it.
        inside = np.clip(1 + outside / (0.8 * anatomy.half_width), 0, 1) * (outside < 0)
        if outline.score == 2:
            reach = outside / np.maximum(anatomy.callus_height * rise * rag, 1e-3)
            bump = np.clip(1 - reach, 0, 1) ** 0.7 * (outside >= 0) + 0.8 * inside * rise
            bump *= np.clip(4 * rise, 0, 1)
            total += 0.95 * bump * np.clip(fluff, 0.2, 2) * (1 - 0.75 * leg.line)
        else:
            reach = outside / np.maximum(0.85 * anatomy.callus_height * rise, 1e-3)
            body = np.sqrt(np.clip(1 - reach * reach, 0, 1)) * (outside >= 0)
            rim = np.exp(-(((reach - 0.75) / 0.25) ** 2)) * (outside >= 0) * rise
            total += 1.2 * body * rise**0.5 + 0.35 * rim + 0.7 * inside * rise
    return total


def _ticks(start: float, stop: float) -> FloatArray:
    return np.linspace(start, stop, round((stop - start) * PIXELS_PER_UNIT), dtype=np.float32)


def chord(offset: FloatArray, radius: FloatArray | float) -> FloatArray:
    """The path length through a round rod in units of its diameter: 1 in the middle, 0 outside."""
    way: FloatArray = np.sqrt(np.clip(1 - np.square(offset / radius), 0, 1))
    return way


def _tube(
    offset: FloatArray, radius: FloatArray | float, thickness: FloatArray | float
) -> FloatArray:
    """The path through a tube with a little spongy bone in it: bright edges, darker canal."""
    inner = radius - thickness
    hollow = chord(offset, inner) * (inner / radius)
    return 2.6 * (chord(offset, radius) - 0.92 * hollow)


def _smooth_noise(
    shape: tuple[int, int], cells: Sequence[int], rng: np.random.Generator
) -> FloatArray:
    """Noise of about unit variance whose grain is the canvas over `cells`."""
    coarse = rng.standard_normal((cells[0], cells[1]), dtype=np.float32)
    image = Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)
