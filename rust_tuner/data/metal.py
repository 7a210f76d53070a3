"""What lies over a phantom's bone: implants, and what makes a cortex impossible to score."""

import numpy as np
import numpy.typing as npt

from rust_tuner.data.leg import LEFT, RIGHT, FloatArray, Leg, chord


def implant(leg: Leg) -> FloatArray:
    """The nail in the canal, or a plate that spans the fracture and leaves room for callus."""
    anatomy, radius = leg.anatomy, leg.anatomy.half_width
    lateral = leg.view == "lateral"
    metal = np.zeros((leg.y.size, leg.x.size), dtype=np.float32)
    if anatomy.implant == "nail":
        rod = 0.62 * radius * (1 - anatomy.cortex)
        tip = np.clip((0.97 - leg.y) / 0.03, 0, 1) ** 0.5
        metal = 6.5 * (tip > 0) * chord(leg.across, np.maximum(rod * tip, 1e-4))
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


def _plate(leg: Leg, offset: FloatArray, half_width: float, *, length: float) -> FloatArray:
    """A plate of twice the length, centred on the fracture; it narrows between its holes."""
    waist = half_width * (1 + 0.06 * np.cos(leg.y * (2 * np.pi / 0.06)))
    along: FloatArray = _between(leg.y - leg.anatomy.fracture_height, -length, length, 0.004)
    metal: FloatArray = 4.2 * along * np.clip(0.5 + (waist - np.abs(offset)) / 0.003, 0, 1)
    return metal


def _screw(leg: Leg, height: float, ends: tuple[float, float]) -> FloatArray:
    thread = _between(leg.y - height, -0.006, 0.006, 0.002)
    return 4.5 * thread * _between(leg.across, *ends, 0.003)


def _screw_head(leg: Leg, height: float, offset: float) -> FloatArray:
    distance = np.sqrt((leg.y - height) ** 2 + (leg.across - offset) ** 2)
    return 4.0 * _between(distance, -1.0, 0.011, 0.004)


def _hidden_sides(leg: Leg) -> list[int]:
    return [
        side for side, outline in zip((LEFT, RIGHT), leg.outlines, strict=True) if outline.hidden
    ]


def transparency(leg: Leg) -> FloatArray | float:
    """Overexposure burns out one side of the bone, or the whole leg."""
    hidden, radius = _hidden_sides(leg), leg.anatomy.half_width
    if not hidden:
        return 1.0
    if len(hidden) == 2:
        return 0.07
    burnt: FloatArray = np.tanh((hidden[0] * leg.across - 0.35 * radius) / (0.25 * radius))
    return 1 - 0.93 * (0.5 + 0.5 * burnt)


def covering_plates(leg: Leg) -> FloatArray:
    """A plate over each hidden cortex, broad enough for whatever callus there is."""
    radius, callus = leg.anatomy.half_width, leg.anatomy.callus_height
    middle, half = 0.95 * radius + 0.35 * callus, 0.40 * radius + 0.65 * callus
    metal = np.zeros((leg.y.size, leg.x.size), dtype=np.float32)
    for side in _hidden_sides(leg):
        metal += _plate(leg, side * leg.across - middle, half, length=0.24)
        for step in (-0.21, -0.15, -0.09, 0.09, 0.15, 0.21):
            metal += _screw_head(leg, leg.anatomy.fracture_height + step, side * middle)
    return metal


def open_field(leg: Leg) -> npt.NDArray[np.bool_] | bool:
    """A collimator that cuts off one side of the bone, or the fracture with all beyond it."""
    hidden, height = _hidden_sides(leg), leg.anatomy.fracture_height
    if not hidden:
        return True
    if len(hidden) == 2:
        return leg.y > height + 0.09 if height < 0.5 else leg.y < height - 0.09
    side = hidden[0]
    return side * leg.x < side * float(leg.axis.mean()) + 0.3 * leg.anatomy.half_width


def _between(values: FloatArray, low: float, high: float, softness: float) -> FloatArray:
    """1 between two bounds, 0 outside, with edges of the given softness."""
    inside: FloatArray = np.clip(0.5 + np.minimum(values - low, high - values) / softness, 0, 1)
    return inside
