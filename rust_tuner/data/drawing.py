"""Draws one phantom radiograph of a tibia from the scores of its two outlines.

Only pixels are drawn here; patients, scores and files belong to `phantoms`.

All steps share one geometry: lay out the leg, add up what absorbs X-rays, then expose.

Lengths are in units of the image's height. The picture is first drawn upright, as X-ray
attenuation on a canvas with a margin (`x` across from the middle, `y` down from the top), with
the first outline on the left. Exposure, rotation, mirroring and noise come after that. No random
draw depends on a score, so two pictures that differ only in a score differ only where it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

FloatArray = npt.NDArray[np.floating]
Pixels = npt.NDArray[np.unsignedinteger]
Implant = Literal["none", "nail", "plate"]

_PIXELS_PER_UNIT = 420
_MARGIN = 0.12
_LEFT, _RIGHT = -1, 1
# How much of the bone is missing on the line, and how wide the line is, by score. A fresh line
# gapes and is sharp; once there is callus it is narrower.
_LINE_DEPTH = {1: 0.97, 2: 0.85, 3: 0.0, 4: 0.0}
_LINE_WIDTH = {1: 1.4, 2: 1.0, 3: 1.0, 4: 1.0}
# What can make a cortex impossible to score.
_COVERS = ("plate", "overexposure", "collimator")


@dataclass(frozen=True)
class Outline:
    """One of the two cortices that a view shows.

    Attributes:
        score: 1 line without callus, 2 line with callus, 3 bridged without line, 4 remodelled.
        hidden: whether whether something covers it, so that it cannot be scored.
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
    leg = _lay_out(view, anatomy, outlines, exposure, rng)
    attenuation = _flesh(leg, rng)
    attenuation += _fibula(leg)
    attenuation += _tibia(leg)
    attenuation += _callus(leg, rng)
    cover = _COVERS[int(rng.integers(len(_COVERS)))]
    if cover == "overexposure":
        attenuation *= _transparency(leg)
    # Nothing passes through metal, so it replaces what it covers.
    attenuation = np.maximum(attenuation, _implant(leg))
    if cover == "plate":
        attenuation = np.maximum(attenuation, _covering_plates(leg))
    if cover == "collimator":
        attenuation *= _open_field(leg)
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


@dataclass(frozen=True)
class _Leg:
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


def _lay_out(
    view: str,
    anatomy: Anatomy,
    outlines: tuple[Outline, Outline],
    exposure: _Exposure,
    rng: np.random.Generator,
) -> _Leg:
    half_span = 0.5 * exposure.width / exposure.height + _MARGIN
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
    return _Leg(
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


def _flesh(leg: _Leg, rng: np.random.Generator) -> FloatArray:
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
    skin = _chord(leg.x - middle, half)
    muscle = _chord(leg.x - middle, 0.88 * half)
    streaks = 1 + 0.06 * _smooth_noise((leg.y.size, leg.x.size), (9, 7), rng)
    return 0.28 * skin + 0.45 * muscle * streaks


def _fibula(leg: _Leg) -> FloatArray:
    anatomy = leg.anatomy
    radius = 0.40 * anatomy.half_width
    if leg.view == "lateral":
        axis = leg.axis + anatomy.half_width * (1.3 - 1.7 * leg.y)
    else:
        away = 1.6 * anatomy.half_width + anatomy.fibula_gap
        axis = away + 0.012 * np.cos(2.2 * np.pi * leg.y) - 0.02 * leg.y
    return _tube(leg.x - axis, radius, 0.45 * radius) * (1.3 * radius / anatomy.half_width)


def _tibia(leg: _Leg) -> FloatArray:
    """The shaft as a tube, cut where a cortex still shows its fracture line."""
    bone = _tube(leg.across, leg.blend(*leg.half_widths), leg.blend(*leg.thicknesses))
    left, right = (_LINE_DEPTH[outline.score] for outline in leg.outlines)
    cut = leg.blend(left, right) * leg.line
    severed: FloatArray = bone * (1 - cut)
    return severed


def _callus(leg: _Leg, rng: np.random.Generator) -> FloatArray:
    """A ragged cloud outside the cortex for score 2, a dense bump with a rim for score 3."""
    shape = (leg.y.size, leg.x.size)
    fluff = 1 + 0.45 * _smooth_noise(shape, (70, 50), rng)
    ragged = 1 + 0.30 * _smooth_noise((leg.y.size, 1), (60, 1), rng)
    ragged_right = 1 + 0.30 * _smooth_noise((leg.y.size, 1), (60, 1), rng)
    total = np.zeros(shape, dtype=np.float32)
    for side, outline, crossing, half_width, rag in zip(
        (_LEFT, _RIGHT),
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


def _implant(leg: _Leg) -> FloatArray:
    """The nail in the canal, or a plate that spans the fracture and leaves room for callus."""
    anatomy, radius = leg.anatomy, leg.anatomy.half_width
    lateral = leg.view == "lateral"
    metal = np.zeros((leg.y.size, leg.x.size), dtype=np.float32)
    if anatomy.implant == "nail":
        rod = 0.62 * radius * (1 - anatomy.cortex)
        tip = np.clip((0.97 - leg.y) / 0.03, 0, 1) ** 0.5
        metal = 6.5 * (tip > 0) * _chord(leg.across, np.maximum(rod * tip, 1e-4))
        for height in (0.05, 0.13, 0.86, 0.92):
            # Its screws run from side to side, so the lateral view looks along them.
            ends = (-1.6 * radius, 1.6 * radius)
            metal += _screw_head(leg, height, 0.0) if lateral else _screw(leg, height, ends)
    elif anatomy.implant == "plate":
        middle = 0.15 * radius if lateral else -radius - 0.9 * anatomy.callus_height
        half = 0.42 * radius if lateral else 0.006
        metal += _plate(leg, leg.across - middle, half, length=0.30)
        for step in (-0.26, -0.20, -0.14, 0.14, 0.20, 0.26):
            height = anatomy.fracture_height + step
            ends = (middle, radius)
            metal += _screw_head(leg, height, middle) if lateral else _screw(leg, height, ends)
    return metal


def _plate(leg: _Leg, offset: FloatArray, half_width: float, *, length: float) -> FloatArray:
    """A plate of twice the length, centred on the fracture; it narrows between its holes."""
    waist = half_width * (1 + 0.06 * np.cos(leg.y * (2 * np.pi / 0.06)))
    along: FloatArray = _between(leg.y - leg.anatomy.fracture_height, -length, length, 0.004)
    metal: FloatArray = 4.2 * along * np.clip(0.5 + (waist - np.abs(offset)) / 0.003, 0, 1)
    return metal


def _screw(leg: _Leg, height: float, ends: tuple[float, float]) -> FloatArray:
    thread = _between(leg.y - height, -0.006, 0.006, 0.002)
    return 4.5 * thread * _between(leg.across, *ends, 0.003)


def _screw_head(leg: _Leg, height: float, offset: float) -> FloatArray:
    distance = np.sqrt((leg.y - height) ** 2 + (leg.across - offset) ** 2)
    return 4.0 * _between(distance, -1.0, 0.011, 0.004)


def _hidden_sides(leg: _Leg) -> list[int]:
    return [
        side for side, outline in zip((_LEFT, _RIGHT), leg.outlines, strict=True) if outline.hidden
    ]


def _transparency(leg: _Leg) -> FloatArray | float:
    """Overexposure burns out one side of the bone, or the whole leg."""
    hidden, radius = _hidden_sides(leg), leg.anatomy.half_width
    if not hidden:
        return 1.0
    if len(hidden) == 2:
        return 0.07
    burnt: FloatArray = np.tanh((hidden[0] * leg.across - 0.35 * radius) / (0.25 * radius))
    return 1 - 0.93 * (0.5 + 0.5 * burnt)


def _covering_plates(leg: _Leg) -> FloatArray:
    """A plate over each hidden cortex, broad enough for whatever callus there is."""
    radius, callus = leg.anatomy.half_width, leg.anatomy.callus_height
    middle, half = 0.95 * radius + 0.35 * callus, 0.40 * radius + 0.65 * callus
    metal = np.zeros((leg.y.size, leg.x.size), dtype=np.float32)
    for side in _hidden_sides(leg):
        metal += _plate(leg, side * leg.across - middle, half, length=0.24)
        for step in (-0.21, -0.15, -0.09, 0.09, 0.15, 0.21):
            metal += _screw_head(leg, leg.anatomy.fracture_height + step, side * middle)
    return metal


def _open_field(leg: _Leg) -> npt.NDArray[np.bool_] | bool:
    """A collimator that cuts off one side of the bone, or the fracture with all beyond it."""
    hidden, height = _hidden_sides(leg), leg.anatomy.fracture_height
    if not hidden:
        return True
    if len(hidden) == 2:
        return leg.y > height + 0.09 if height < 0.5 else leg.y < height - 0.09
    side = hidden[0]
    return side * leg.x < side * float(leg.axis.mean()) + 0.3 * leg.anatomy.half_width


def _place(attenuation: FloatArray, anatomy: Anatomy, exposure: _Exposure) -> FloatArray:
    """Take the film's rectangle out of the canvas: rotated, zoomed, shifted, left or right leg."""
    rows, columns = attenuation.shape
    angle = np.deg2rad(exposure.rotation)
    scale = _PIXELS_PER_UNIT / (exposure.zoom * exposure.height)
    cosine, sine = float(np.cos(angle)) * scale, float(np.sin(angle)) * scale
    mirror = -1 if anatomy.mirrored else 1
    right, down = (part * _PIXELS_PER_UNIT for part in exposure.shift)
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


def _ticks(start: float, stop: float) -> FloatArray:
    return np.linspace(start, stop, round((stop - start) * _PIXELS_PER_UNIT), dtype=np.float32)


def _chord(offset: FloatArray, radius: FloatArray | float) -> FloatArray:
    """The path length through a round rod in units of its diameter: 1 in the middle, 0 outside."""
    way: FloatArray = np.sqrt(np.clip(1 - np.square(offset / radius), 0, 1))
    return way


def _tube(
    offset: FloatArray, radius: FloatArray | float, thickness: FloatArray | float
) -> FloatArray:
    """The path through a tube with a little spongy bone in it: bright edges, darker canal."""
    inner = radius - thickness
    hollow = _chord(offset, inner) * (inner / radius)
    return 2.6 * (_chord(offset, radius) - 0.92 * hollow)


def _between(values: FloatArray, low: float, high: float, softness: float) -> FloatArray:
    """1 between two bounds, 0 outside, with edges of the given softness."""
    inside: FloatArray = np.clip(0.5 + np.minimum(values - low, high - values) / softness, 0, 1)
    return inside


def _smooth_noise(
    shape: tuple[int, int], cells: Sequence[int], rng: np.random.Generator
) -> FloatArray:
    """Noise of about unit variance whose grain is the canvas over `cells`."""
    coarse = rng.standard_normal((cells[0], cells[1]), dtype=np.float32)
    image = Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)
