"""Decides how many bits of 16-bit files are used, by all files of a source together.

Many programs store the 12 bits of a detector in 16-bit files without scaling them, so that white is
4095 of 65535. One image cannot tell that: its maximum is also low if it is dark, and a dark image
must not be brightened by its own noise. So the images of one source are read alike.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rust_tuner.data.reading import ALL_BITS
from rust_tuner.errors import Message, private

DEPTHS = (8, 10, 12, 14, ALL_BITS)
# A factor of 16 between the maxima of two images is not exposure.
_OTHER_SOURCE = 4
_LEAST_SHARE, _LEAST_IMAGES = 0.2, 3


@dataclass(frozen=True)
class DeepImage:
    """What a 16-bit greyscale file says about its bits.

    Attributes:
        path: the file.
        highest: its largest value.
        stated: the bits that the file itself states; None if it states none.
        patient: whose radiograph it is; empty if that is not known, and then taken for one of
            nobody else.
        site: where it is from; empty if that is not known.
    """

    path: Path
    highest: int
    stated: int | None = None
    patient: str = ""
    site: str = ""


@dataclass(frozen=True)
class GreyBits:
    """How 16-bit files are read.

    Attributes:
        bits: of each image, in order.
        notes: what a person should know about them.
    """

    bits: tuple[int, ...]
    notes: tuple[str, ...]


def smallest_depth(highest: int) -> int:
    """The fewest of `DEPTHS` bits that hold a value; 16 for 0, which tells nothing.

    Examples:
        >>> smallest_depth(4095), smallest_depth(4096), smallest_depth(0)
        (12, 14, 16)
    """
    if highest <= 0:
        return ALL_BITS
    return next(depth for depth in DEPTHS if highest < 1 << depth)


def grey_bits(images: Sequence[DeepImage], *, known: Sequence[int] = ()) -> GreyBits:
    """Decide the bits of 16-bit files.

    A file that states its bits is read by them. The others are read by the fewest bits that hold
    all images of their source: their site, and the deepest folder that they share with another
    patient. Within a source, images that use at least 4 bits fewer than the others, which no
    exposure explains, are a source of their own if they are at least 3 and a fifth of it;
    otherwise they are dark images.

    Args:
        images: 16-bit greyscale files.
        known: the bits of the images of a study; a source that needs 1 to 3 bits fewer than one of
            them is read like it.

    Examples:
        >>> scans = [DeepImage(Path("a", name), 4095) for name in ("1.png", "2.png")]
        >>> grey_bits([*scans, DeepImage(Path("a", "dark.png"), 300)]).bits
        (12, 12, 12)
    """
    bits = [ALL_BITS if image.stated is None else image.stated for image in images]
    notes: list[str] = []
    sources: dict[Hashable, list[int]] = defaultdict(list)
    unstated = [index for index, image in enumerate(images) if image.stated is None]
    for index, source in zip(unstated, _sources([images[i] for i in unstated]), strict=True):
        sources[source].append(index)
    levels = {
        source: _levels([images[index].highest for index in indices])
        for source, indices in sources.items()
    }
    large = {
        level
        for source, indices in sources.items()
        if len(indices) >= _LEAST_IMAGES
        for level in levels[source]
    }
    for source, indices in sources.items():
        nearby = {*known} if len(indices) >= _LEAST_IMAGES else {*known, *large}
        for index in indices:
            bits[index] = _level_of(images[index].highest, levels[source], nearby)
        dark = [i for i in indices if _needs(images[i]) <= bits[i] - _OTHER_SOURCE]
        if dark:
            notes.append(
                f"{_use(len(dark))} at most {max(_needs(images[i]) for i in dark)} bits, such as "
                f"{private(images[dark[0]].path.name)}, and {'was' if len(dark) == 1 else 'were'} "
                f"read with {bits[dark[0]]} bits as the other 16-bit images of the same source; if "
                f"{'it is' if len(dark) == 1 else 'they are'} not dark but of another source, give "
                "the number of bits in a column `bits` of the manifest"
            )
    scaled = defaultdict(list)
    for index, count in enumerate(bits):
        if count != ALL_BITS:
            scaled[count].append(index)
    for count, indices in sorted(scaled.items()):
        notes.insert(
            0,
            f"{_use(len(indices))} {count} bits, such as "
            f"{private(images[indices[0]].path.name)}; white is {(1 << count) - 1} there, not "
            "65535",
        )
    return GreyBits(tuple(bits), tuple(map(Message, notes)))


def _use(number: int) -> str:
    return "1 16-bit image uses" if number == 1 else f"{number} 16-bit images use"


def _needs(image: DeepImage) -> int:
    return 0 if image.highest <= 0 else smallest_depth(image.highest)


def _sources(images: Sequence[DeepImage]) -> list[Hashable]:
    """The site of each image, with the deepest folder above it that has two patients."""
    patients: Mapping[tuple[str, Path], set[str]] = defaultdict(set)
    for image in images:
        for folder in image.path.parents:
            patients[image.site, folder].add(image.patient or str(image.path))
    sources: list[Hashable] = []
    for image in images:
        shared = [f for f in image.path.parents if len(patients[image.site, f]) > 1]
        sources.append((image.site, shared[0] if shared else None))
    return sources


def _levels(maxima: Sequence[int]) -> tuple[int, ...]:
    """The bits of the sources in one folder, the most first."""
    levels: list[int] = []
    left = [highest for highest in maxima if highest > 0]
    while left:
        level = max(smallest_depth(highest) for highest in left)
        is_other = not levels or (
            level <= levels[-1] - _OTHER_SOURCE
            and len(left) >= max(_LEAST_IMAGES, _LEAST_SHARE * len(maxima))
        )
        if is_other:
            levels.append(level)
        left = [highest for highest in left if smallest_depth(highest) < level]
    return tuple(levels)


def _level_of(highest: int, levels: Sequence[int], nearby: set[int]) -> int:
    if not levels:
        return ALL_BITS
    holding = [level for level in levels if highest < 1 << level]
    level = min(holding)
    # A dark image of the larger source needs fewer bits than the smaller source has, too: it
    # cannot be distinguished from that one's.
    raised = [other for other in nearby if level < other < level + _OTHER_SOURCE]
    return min(raised) if raised and level not in nearby else level
