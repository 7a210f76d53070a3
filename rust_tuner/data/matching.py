"""Joins the scores of a table with the images of a folder, and says what does not match and why.

Nothing is guessed: if two images, or two visits, may be meant, neither is taken.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rust_tuner.data.image_folder import FoundImage
from rust_tuner.data.patient_ids import normal_form, plain_visit
from rust_tuner.data.sheet_scores import ScoredView
from rust_tuner.data.visit_times import in_order_of_time
from rust_tuner.errors import Message, marked, private
from rust_tuner.files import path_shown


@dataclass(frozen=True)
class Pair:
    """Scores with the image that they belong to.

    Attributes:
        scores: from the table.
        image: from the folder.
        visit: the name of the visit, with the side if both sides of the patient belong to it.
    """

    scores: ScoredView
    image: FoundImage
    visit: str


@dataclass(frozen=True)
class Unmatched:
    """Scores or an image that were not joined.

    Attributes:
        what: the row of the table with its patient, or the path of the image.
        reason: why not, and what to do; an `errors.Message` with the private values in it.
        place: which it is without private values.
    """

    what: str
    reason: str
    place: str = ""


@dataclass(frozen=True)
class Matching:
    """The outcome of joining scores and images.

    Attributes:
        pairs: in the order of the table.
        scores: what of the table was not joined.
        images: what of the folder was not joined.
        notes: what was assumed.
    """

    pairs: tuple[Pair, ...]
    scores: tuple[Unmatched, ...]
    images: tuple[Unmatched, ...]
    notes: tuple[str, ...]


def match(scored: Sequence[ScoredView], images: Sequence[FoundImage]) -> Matching:
    """Join each scored view with the one image of its patient, visit, view and side.

    A row that names its image gets that one. Else patients are equal if their ids are, or read
    alike; visits are equal by name, else by date. If the table has only names and the images
    only dates, the visits of a patient are taken in order, if their names say the order and the
    patient's images, of all views, have as many dates.
    """
    return _Matcher(scored, images).match()


class _NoMatchError(Exception):
    """Why an entry of the table has no image."""


class _Matcher:
    """Joins, and collects reasons and notes."""

    def __init__(self, scored: Sequence[ScoredView], images: Sequence[FoundImage]) -> None:
        self._scored = scored
        self._images = images
        self._unmatched: list[Unmatched] = []
        self._notes: dict[str, int] = {}
        self._named: dict[str, list[FoundImage]] = defaultdict(list)
        self._of_patient: dict[str, list[FoundImage]] = defaultdict(list)
        self._views_of_patient: dict[str, list[ScoredView]] = defaultdict(list)
        for image in images:
            self._named[image.path.name.lower()].append(image)
            # Also one without a view, since its date may be that of a visit.
            if image.patient_id is not None:
                self._of_patient[normal_form(image.patient_id)].append(image)
        for entry in scored:
            self._views_of_patient[entry.patient_id].append(entry)
        # Ids that read alike may be two people, or one who is written in two ways.
        self._spellings: dict[str, dict[str, int]] = defaultdict(dict)
        for entry in scored:
            same = self._spellings[normal_form(entry.patient_id)]
            same.setdefault(entry.patient_id, entry.row)

    def match(self) -> Matching:
        chosen: dict[Path, list[tuple[ScoredView, FoundImage]]] = defaultdict(list)
        for entry in self._scored:
            try:
                image = self._named_image(entry) if entry.image else self._image_of(entry)
            except _NoMatchError as reason:
                self._refuse(entry, str(reason))
            else:
                # Two links may lead to one file.
                chosen[image.path.resolve()].append((entry, image))
        pairs = []
        for claims in chosen.values():
            if len(claims) == 1:
                entry, image = claims[0]
                pairs.append(Pair(entry, image, _visit_name(entry)))
                continue
            rows = ", ".join(str(entry.row) for entry, _ in claims)
            first = replace(claims[0][0], row=0)
            is_repeated = all(replace(entry, row=0) == first for entry, _ in claims)
            mend = ", which say the same; keep one" if is_repeated else "; give visit or side"
            for entry, image in claims:
                self._refuse(entry, f"{private(image.path.name)} would belong to rows {rows}{mend}")
        pairs = self._without_repeated_views(self._with_sides(pairs))
        order = {id(entry): index for index, entry in enumerate(self._scored)}
        pairs.sort(key=lambda pair: order[id(pair.scores)])
        return Matching(
            tuple(pairs),
            tuple(self._unmatched),
            tuple(self._unused_images({pair.image.path for pair in pairs})),
            tuple(
                Message(f"{note} ({count} times)" if count > 1 else note)
                for note, count in self._notes.items()
            ),
        )

    def _named_image(self, entry: ScoredView) -> FoundImage:
        """The image that the row names, by the end of its path."""
        named = Path(str(entry.image).replace("\\", "/"))
        same = self._named[named.name.lower()]
        exact = [image for image in same if _ends_with(image.path, named)]
        fitting = exact or [image for image in same if _may_be(image, named)]
        if len(fitting) == 1:
            image = fitting[0]
            if image.view is not None and image.view != entry.view:
                raise _NoMatchError(
                    f"{private(named)} is a {image.view} view by its own tags, the row says "
                    f"{entry.view}"
                )
            if image.side is not None and entry.side not in (image.side, None):
                raise _NoMatchError(
                    f"{private(named)} is of the {image.side} side by its own tags, the row says "
                    f"{entry.side}"
                )
            if image.patient_id and normal_form(image.patient_id) != normal_form(entry.patient_id):
                self._note(
                    "an image that a row names has another patient by its own tags or name; if ids "
                    "were not replaced on purpose, look at the contact sheet"
                )
            return image
        problem = f"{len(fitting)} images of this name" if fitting else "no such image"
        raise _NoMatchError(f"image {private(named)}: {problem} in the folder")

    def _image_of(self, entry: ScoredView) -> FoundImage:
        """The only image of this patient, visit, view and side."""
        of_patient = self._images_of_patient(entry)
        if all(image.view != entry.view for image in of_patient):
            raise _NoMatchError(f"no {entry.view} image of this patient")
        if entry.side is not None:
            of_patient = [image for image in of_patient if image.side in (entry.side, None)]
        elif len({image.side for image in of_patient} - {None}) > 1:
            raise _NoMatchError("images of both sides; add a column with the side that was scored")
        images = [image for image in of_patient if image.view == entry.view]
        if not images:
            raise _NoMatchError(f"no {entry.view} image of the {entry.side} side")
        images, reason = self._of_visit(entry, images, of_patient)
        if len(images) == 1:
            return images[0]
        if images:
            names = ", ".join(image.path.name for image in images[:3])
            reason = f"{len(images)} images fit ({private(names)}); keep the one that was scored"
        raise _NoMatchError(reason)

    def _images_of_patient(self, entry: ScoredView) -> list[FoundImage]:
        """The images whose id is the entry's, else those whose id can only be the entry's."""
        key = normal_form(entry.patient_id)
        alike = self._of_patient.get(key, [])
        same = [image for image in alike if image.patient_id == entry.patient_id]
        if same:
            return same
        if not alike:
            raise _NoMatchError("no image of this patient")
        for other, row in self._spellings[key].items():
            if other != entry.patient_id:
                raise _NoMatchError(
                    f"no image of exactly this patient, whose id reads like {private(other)} of "
                    f"row {row}; write one id in one way"
                )
        written = sorted({image.patient_id or "" for image in alike})
        if len(written) > 1:
            raise _NoMatchError(
                f"images of patients {private(' and '.join(written))}, whose ids both read like "
                "this one; "
                "write it as the images do"
            )
        self._note(
            f"patient {private(entry.patient_id)} of the table is {private(written[0])} of the "
            "images"
        )
        return alike

    def _of_visit(
        self, entry: ScoredView, images: list[FoundImage], of_patient: list[FoundImage]
    ) -> tuple[list[FoundImage], str]:
        """The images of the entry's visit, and why there are none.

        Args:
            entry: of the table.
            images: of its patient, view and side.
            of_patient: of its patient and side, of all views.
        """
        if entry.visit is not None and all(image.visit is not None for image in images):
            name = plain_visit(entry.visit)
            same = [image for image in images if plain_visit(image.visit or "") == name]
            others = ", ".join(sorted({image.visit or "" for image in images}))
            return same, f"no image of visit {private(entry.visit)}; there are {private(others)}"
        if entry.date is not None and all(image.date is not None for image in images):
            same = [image for image in images if image.date == entry.date]
            others = ", ".join(sorted({str(image.date) for image in images}))
            return same, f"no image of {private(entry.date)}; there are {private(others)}"
        visits = self._visits(entry, of_patient)
        dates = sorted({image.date for image in of_patient if image.date is not None})
        if len(visits) == 1 and len(dates) <= 1 and len({image.visit for image in of_patient}) == 1:
            return images, ""
        is_dated = all(image.date is not None for image in of_patient)
        if not is_dated or len(dates) != len(visits):
            return [], (
                f"visits in the table: {len(visits)}, dates of this patient's images: "
                f"{len(dates) if is_dated else 'unknown'}; give dates in both, or the visit in the "
                "images' names"
            )
        ordered = in_order_of_time(visits)
        if ordered is None:
            return [], (
                f"the names of the visits ({private(', '.join(visits))}) do not say their order; "
                "add a column with the date of each visit to the table"
            )
        self._note("visits were taken in the order of the images' dates; check one patient")
        wanted = dates[ordered.index(_visit_name(entry))]
        return [image for image in images if image.date == wanted], "no image of this visit"

    def _visits(self, entry: ScoredView, of_patient: list[FoundImage]) -> list[str]:
        """The visits of the entry's patient, only of its side where the images tell the sides."""
        entries = self._views_of_patient[entry.patient_id]
        if entry.side is not None and all(image.side is not None for image in of_patient):
            entries = [other for other in entries if other.side in (entry.side, None)]
        return list(dict.fromkeys(_visit_name(other) for other in entries))

    def _with_sides(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Add the side to the names of visits at which radiographs of both sides were scored."""
        sides: dict[tuple[str, str], set[str]] = defaultdict(set)
        for pair in pairs:
            sides[pair.scores.patient_id, pair.visit].update(_side(pair))
        both = {visit for visit, of_visit in sides.items() if len(of_visit) > 1}
        for _ in both:
            self._note(
                "radiographs of both sides of a patient at one visit; its name was given the side, "
                "so that each side has its own pair of views"
            )
        return [
            replace(pair, visit=" ".join((pair.visit, *_side(pair))))
            if (pair.scores.patient_id, pair.visit) in both
            else pair
            for pair in pairs
        ]

    def _without_repeated_views(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Refuse radiographs of one patient, visit and view, of which a manifest takes one."""
        alike: dict[tuple[str, str, str], list[Pair]] = defaultdict(list)
        for pair in pairs:
            alike[pair.scores.patient_id, pair.visit, pair.scores.view].append(pair)
        single = []
        for same in alike.values():
            if len(same) == 1:
                single += same
                continue
            rows = ", ".join(str(pair.scores.row) for pair in same)
            for pair in same:
                self._refuse(
                    pair.scores,
                    f"rows {rows} are of one patient, visit and view; keep one radiograph, or give "
                    "the visits different names, or the side of each",
                )
        return single

    def _unused_images(self, used: set[Path]) -> Iterable[Unmatched]:
        patients = set(self._spellings)
        for image in self._images:
            if image.path in used:
                continue
            if image.problem is not None:
                reason = marked(image.problem)
            elif image.patient_id is None:
                reason = "no row names it"
            elif normal_form(image.patient_id) not in patients:
                reason = f"patient {private(image.patient_id)} is not in the table"
            else:
                reason = (
                    f"no row of patient {private(image.patient_id)} fits this {image.view} image"
                )
            yield Unmatched(path_shown(image.path), Message(reason), "an image")

    def _refuse(self, entry: ScoredView, reason: str) -> None:
        what = f"row {entry.row}: {entry.patient_id}, {_visit_name(entry)}, {entry.view}"
        self._unmatched.append(Unmatched(what, Message(reason), f"row {entry.row}, {entry.view}"))

    def _note(self, note: str) -> None:
        self._notes[note] = self._notes.get(note, 0) + 1


def _side(pair: Pair) -> tuple[str, ...]:
    """The side of a radiograph; empty if nothing says it."""
    side = pair.scores.side or pair.image.side
    return () if side is None else (side,)


def _visit_name(entry: ScoredView) -> str:
    return entry.visit or (entry.date.isoformat() if entry.date else "1")


def _may_be(image: FoundImage, named: Path) -> bool:
    """Whether a name that comes from another computer fits, as far as both have folders."""
    if image.folder is None:
        return True
    parts = [part.lower() for part in image.path.relative_to(image.folder).parts]
    wanted = [part.lower() for part in named.parts if part not in (".", "..", "/")]
    common = min(len(parts), len(wanted))
    return parts[-common:] == wanted[-common:]


def _ends_with(path: Path, named: Path) -> bool:
    parts = [part.lower() for part in named.parts if part not in (".", "..", "/")]
    return [part.lower() for part in path.parts[-len(parts) :]] == parts
