"""Synthetic radiographs with known scores: their patients, visits, scores and files.

What a score looks like in pixels belongs to `drawing`. Frequencies are constants, taken from the
label counts of the published table (2,936 radiographs of 1,207 patients, repository
`ShenZhouHong/radiography-ai-project`). Phantoms serve tests, demonstrations and teaching; no figure
obtained with them says anything about patients.
"""

import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from rust_tuner.data.drawing import draw_radiograph
from rust_tuner.data.leg import Outline, sample_anatomy
from rust_tuner.data.output_folder import refuse_other_files
from rust_tuner.errors import ManifestError, ProtocolError
from rust_tuner.files import atomic_write, write_text
from rust_tuner.labels import CORTICES, SCORES, VIEWS
from rust_tuner.protocol import ANATOMICAL_VIEWS
from rust_tuner.seeds import generator, require_seed

COLUMNS = ("image", "patient_id", "visit", "view", *CORTICES)

# Rows: score of the first cortex; columns: of the second. Radiographs that score both.
JOINT_SCORES = {
    ("medial", "lateral"): ((81, 37, 22, 4), (27, 258, 75, 10), (7, 56, 379, 16), (3, 3, 10, 216)),
    ("anterior", "posterior"): (
        (79, 49, 28, 7),
        (17, 254, 89, 9),
        (11, 42, 392, 11),
        (1, 3, 11, 235),
    ),
}
# Patients with 1-2, 3-4 and 5-6 radiographs, two views a visit.
PATIENTS_BY_VISITS = {1: 989, 2: 140, 3: 78}
# Patients with an odd number of radiographs: one view of one visit is missing. The table holds
# 50 anteroposterior radiographs more than lateral ones, so 60 of the 70 lack a lateral one.
PATIENTS_BY_MISSING_VIEW = {"none": 1137, "ap": 10, "lateral": 60}
# Radiographs by how many of their two cortices are scored.
RADIOGRAPHS_BY_SCORED_CORTICES = {2: 2442, 1: 242, 0: 252}

# The published table does not say how alike visits and views are; these shares of the variance
# of healing make the two views of a visit agree most, and the visits of a patient somewhat.
_PATIENT_SHARE = 0.3
_VISIT_SHARE = 0.8

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Patient:
    """The true data of one phantom patient, before anything is drawn or hidden.

    Attributes:
        identifier: such as `P0001`; patients count from 1.
        scores: one mapping from cortex to score 1-4 for each visit, in order of time.
        radiographs: the visits (from 1) and views that were taken.
    """

    identifier: str
    scores: tuple[Mapping[str, int], ...]
    radiographs: tuple[tuple[int, str], ...]


def sample_patient(index: int, *, seed: int = 0) -> Patient:
    """Draw one patient's visits and scores; no score falls from one visit to the next.

    Args:
        index: the patient, from 1; it is the same in sets of every size.
        seed: the set's seed, from 0.
    """
    rng = generator(seed, index, "scores")
    num_visits = _draw(PATIENTS_BY_VISITS, rng)
    missing_view = _draw(PATIENTS_BY_MISSING_VIEW, rng)
    missing = (int(rng.integers(1, num_visits + 1)), missing_view)
    # Exchangeable levels, put in order: they rise over the visits, and the levels of all visits
    # of all patients together are still standard normal, which keeps the frequencies.
    levels = np.sort(
        math.sqrt(_PATIENT_SHARE) * rng.standard_normal()
        + math.sqrt(1 - _PATIENT_SHARE) * rng.standard_normal(num_visits)
    )
    scores: list[dict[str, int]] = [{} for _ in range(num_visits)]
    for pair, course_set in _COURSES.items():
        offset = rng.standard_normal()
        course = course_set[int(rng.choice(len(course_set), p=[item.share for item in course_set]))]
        for visit, level in enumerate(levels):
            mixed = math.sqrt(_VISIT_SHARE) * level + math.sqrt(1 - _VISIT_SHARE) * offset
            scores[visit] |= zip(pair, course.at(_normal_cdf(mixed)), strict=True)
    return Patient(
        identifier=f"P{index:04d}",
        scores=tuple(scores),
        radiographs=tuple(
            radiograph
            for radiograph in itertools.product(range(1, num_visits + 1), VIEWS)
            if radiograph != missing
        ),
    )


def phantom_table(
    *,
    patients: int,
    seed: int = 0,
    view_cortices: Mapping[str, tuple[str, ...]] = ANATOMICAL_VIEWS,
    sites: int = 1,
) -> pd.DataFrame:
    """The manifest of a phantom set, without drawing anything.

    Args:
        patients: number of patients, from 1.
        seed: the set's seed, from 0.
        view_cortices: the two cortices that each view shows.
        sites: the number of sites, to which patients belong in turn; radiographs look alike at all
            of them.

    Returns:
        One row per radiograph with the columns `COLUMNS`, and `site` if there are several; scores
        are `Int64`, empty if the cortex is not shown by the view or cannot be scored.

    Raises:
        ManifestError: for fewer than one patient or site, or a negative seed.
        ProtocolError: for a view that does not show exactly two cortices.
    """
    _require_set(patients, seed, sites)
    pairs = _outline_pairs(view_cortices)
    plan = [item for index in range(1, patients + 1) for item in _plan(index, seed, pairs)]
    return _as_table(plan, sites)


def write_phantoms(
    directory: Path,
    *,
    patients: int,
    seed: int = 0,
    view_cortices: Mapping[str, tuple[str, ...]] = ANATOMICAL_VIEWS,
    sites: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw a set of phantom radiographs and write its manifest last.

    A second call with the same arguments completes an interrupted one, and changes no file that is
    there. Nothing is written into a folder that holds anything else.

    Args:
        directory: a new or empty folder; receives `images/*.png` (8-bit, some 16-bit greyscale)
            and `manifest.csv`.
        patients: number of patients, from 1.
        seed: the set's seed, from 0; patient i is the same in sets of every size.
        view_cortices: the two cortices that each view shows; the first in the order of
            `CORTICES` is drawn away from the fibula.
        sites: the number of sites, to which patients belong in turn; radiographs look alike at all
            of them.
        on_progress: called with the number of radiographs written and their total.

    Returns:
        The path of `manifest.csv`.

    Raises:
        ManifestError: for fewer than one patient or site, a negative seed, or a directory that
            holds another set, a part of one, or other files.
        ProtocolError: for a view that does not show exactly two cortices.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_phantoms(folder, patients=2, seed=0).name
        'manifest.csv'
    """
    _require_set(patients, seed, sites)
    pairs = _outline_pairs(view_cortices)
    plan = [item for index in range(1, patients + 1) for item in _plan(index, seed, pairs)]
    text = _as_table(plan, sites).to_csv(index=False, lineterminator="\n")
    manifest = Path(directory) / "manifest.csv"
    settings = f"patients={patients}, seed={seed}, sites={sites}"
    if manifest.exists() and manifest.read_bytes() != text.encode():
        raise ManifestError(
            f"{manifest} is not the manifest of {settings}; choose an empty directory, or remove "
            "this one first"
        )
    refuse_other_files(
        manifest.parent, {manifest.name, *(item.image for item in plan)}, what="phantoms"
    )
    # All images that are there are compared before the first one is written.
    is_new = {item.image: not (manifest.parent / item.image).exists() for item in plan}
    for done, item in enumerate(sorted(plan, key=lambda item: is_new[item.image]), start=1):
        path = manifest.parent / item.image
        pixels = item.draw(seed)
        if is_new[item.image]:
            with atomic_write(path) as stream:
                stream.write(_encode_png(pixels))
        elif not _shows(path, pixels):
            raise ManifestError(
                f"{path} is not the image of {settings}; choose an empty directory, or remove "
                "this one first"
            )
        if on_progress is not None:
            on_progress(done, len(plan))
    if not manifest.exists():
        write_text(manifest, text)
    return manifest


@dataclass(frozen=True)
class _PlannedRadiograph:
    """One radiograph of the set, with its place and its two outlines."""

    index: int
    patient_id: str
    visit: int
    view: str
    cortices: tuple[str, str]
    outlines: tuple[Outline, Outline]

    @property
    def image(self) -> str:
        return f"images/{self.patient_id}_v{self.visit}_{self.view}.png"

    def row(self) -> dict[str, str | int]:
        row: dict[str, str | int] = {
            "image": self.image,
            "patient_id": self.patient_id,
            "visit": self.visit,
            "view": self.view,
        }
        for cortex, outline in zip(self.cortices, self.outlines, strict=True):
            if not outline.hidden:
                row[cortex] = outline.score
        return row

    def draw(self, seed: int) -> npt.NDArray[np.unsignedinteger]:
        return draw_radiograph(
            self.view,
            self.outlines,
            anatomy=sample_anatomy(generator(seed, self.index, "anatomy")),
            rng=generator(seed, self.index, self.visit, self.view),
        )


def _plan(
    index: int, seed: int, pairs: Mapping[str, tuple[str, str]]
) -> Iterator[_PlannedRadiograph]:
    patient = sample_patient(index, seed=seed)
    for visit, view in patient.radiographs:
        rng = generator(seed, index, visit, view, "hidden")
        num_scored = _draw(RADIOGRAPHS_BY_SCORED_CORTICES, rng)
        order = rng.permutation(2)
        first, second = pairs[view]
        scores = patient.scores[visit - 1]
        yield _PlannedRadiograph(
            index=index,
            patient_id=patient.identifier,
            visit=visit,
            view=view,
            cortices=pairs[view],
            outlines=(
                Outline(scores[first], hidden=bool(order[0] >= num_scored)),
                Outline(scores[second], hidden=bool(order[1] >= num_scored)),
            ),
        )


@dataclass(frozen=True)
class _Course:
    """One way in which the two cortices of a pair heal together.

    Attributes:
        share: how much of the joint table takes this course.
        cells: pairs of scores, from (1, 1) to (4, 4), one score rising by one at a time.
        ends: for each cell the healing in [0, 1] at which it gives way to the next.
    """

    share: float
    cells: tuple[tuple[int, int], ...]
    ends: npt.NDArray[np.float64]

    def at(self, healing: float) -> tuple[int, int]:
        position = int(np.searchsorted(self.ends, healing, side="right"))
        return self.cells[min(position, len(self.cells) - 1)]


def _courses(joint: tuple[tuple[int, ...], ...]) -> tuple[_Course, ...]:
    """Split a joint table into courses along which neither score falls.

    Every staircase from (1, 1) to (4, 4) is a course, and each cell shares its counts equally
    between the courses that pass it. A course drawn by its share and read at a uniform healing
    level therefore gives the joint table exactly, and rising levels give rising scores.
    """
    steps = len(SCORES) - 1
    staircases: list[tuple[tuple[int, int], ...]] = []
    for firsts in itertools.combinations(range(2 * steps), steps):
        first = second = SCORES[0]
        path = [(first, second)]
        for step in range(2 * steps):
            first, second = (first + 1, second) if step in firsts else (first, second + 1)
            path.append((first, second))
        staircases.append(tuple(path))
    passing = {
        cell: sum(cell in cells for cells in staircases)
        for cell in itertools.product(SCORES, repeat=2)
    }
    total = sum(map(sum, joint))
    courses = []
    for cells in staircases:
        mass = np.array(
            [
                joint[first - SCORES[0]][second - SCORES[0]] / passing[first, second]
                for first, second in cells
            ]
        )
        courses.append(_Course(mass.sum() / total, cells, mass.cumsum() / mass.sum()))
    return tuple(courses)


_COURSES = {pair: _courses(joint) for pair, joint in JOINT_SCORES.items()}


def _draw(counts: Mapping[_Kind, int], rng: np.random.Generator) -> _Kind:
    position = rng.integers(sum(counts.values()))
    bounds = np.cumsum(list(counts.values()))
    return list(counts)[int(np.searchsorted(bounds, position, side="right"))]


def _normal_cdf(value: float) -> float:
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


def _require_set(patients: int, seed: int, sites: int) -> None:
    if patients < 1:
        raise ManifestError(f"patients={patients}; a phantom set has at least 1 patient")
    if sites < 1:
        raise ManifestError(f"sites={sites}; a phantom set has at least 1 site")
    require_seed(seed, ManifestError)


def _outline_pairs(view_cortices: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, str]]:
    pairs = {}
    for view in VIEWS:
        shown = [cortex for cortex in CORTICES if cortex in view_cortices.get(view, ())]
        if len(shown) != 2 or len(view_cortices[view]) != 2:
            raise ProtocolError(
                f"view_cortices[{view!r}]={view_cortices.get(view)!r}; a phantom has two outlines, "
                f"so name two different cortices out of {', '.join(CORTICES)}"
            )
        pairs[view] = (shown[0], shown[1])
    return pairs


def _as_table(plan: list[_PlannedRadiograph], sites: int) -> pd.DataFrame:
    table = pd.DataFrame([item.row() for item in plan], columns=list(COLUMNS))
    if sites > 1:
        table["site"] = [f"S{(item.index - 1) % sites + 1}" for item in plan]
    return table.astype(dict.fromkeys(CORTICES, "Int64"))


def _shows(path: Path, pixels: npt.NDArray[np.unsignedinteger]) -> bool:
    """Whether an image file has these pixels; its bytes also depend on the version of zlib."""
    try:
        with Image.open(path) as image:
            return image.size == pixels.shape[::-1] and np.array_equal(np.asarray(image), pixels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _encode_png(pixels: npt.NDArray[np.unsignedinteger]) -> bytes:
    stream = io.BytesIO()
    # Noise hardly compresses; a low level halves the time for a few per cent of size.
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=3)
    return stream.getvalue()
