"""Says what each column of a table of scores means: a patient, a visit, a cortex's score.

A name is understood only if it is one of the usual ones, or if its words name one cortex; anything
else is asked for. Which cortices and scores there are comes from `labels`, and which view shows a
cortex from the protocol.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rust_tuner.errors import ManifestError
from rust_tuner.labels import CORTICES, SCORES, VIEWS

# What a column may hold besides scores, and the names that it usually has, as words.
FIELDS: dict[str, tuple[str, ...]] = {
    "patient_id": (
        *("patient id", "patient", "patient no", "patient nr", "patient number", "pat id"),
        *("case no", "case", "case nr", "case number", "case id", "mrn", "id", "subject"),
        *("subject id", "participant", "participant id", "record id", "study id"),
    ),
    "visit": ("visit", "visit no", "timepoint", "time point", "follow up", "followup", "event"),
    "date": ("date", "study date", "exam date", "visit date", "examination date", "date of visit"),
    "view": ("view", "projection", "view position"),
    "side": ("side", "laterality", "leg"),
    "site": ("site", "centre", "center", "hospital", "clinic"),
    "image": ("image", "file", "filename", "file name", "path", "radiograph", "image file"),
}
_ALSO_VIEWS = {
    "ap": ("ap", "pa", "anteroposterior", "frontal"),
    "lateral": ("lateral", "lat", "ll"),
}
_ALSO_CORTICES = {
    "medial": ("medial", "med"),
    "lateral": ("lateral", "lat"),
    "anterior": ("anterior", "ant"),
    "posterior": ("posterior", "post", "pos"),
}
# Words that add nothing to the name of a cortex.
_FILLING = ("cortex", "cortical", "score", "scores", "rust", "mrust", "view")
# A column with one of these words is a result, not a score of one cortex.
_NOT_SCORES = ("total", "sum", "mean", "comment", "comments", "note", "union", "reader", "rater")
# Words that say which leg, so they are no visit.
_LEGS = ("left", "right", "l", "r", "links", "rechts")
_SIMILARITY = 0.7


@dataclass(frozen=True)
class ScoreColumn:
    """A column of scores of one cortex.

    Attributes:
        name: in the table.
        cortex: one of `CORTICES`.
        view: the view that its name gives; None for the one that shows the cortex.
        visit: the visit that its name gives; None if the row has one.
    """

    name: str
    cortex: str
    view: str | None
    visit: str | None


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean.

    Attributes:
        fields: column name by field, such as `patient_id`.
        images: column of image files by view, if each view has its own.
        scores: the columns of scores.
        unused: the others.
    """

    fields: Mapping[str, str]
    images: Mapping[str, str]
    scores: tuple[ScoreColumn, ...]
    unused: tuple[str, ...]

    def lines(self) -> list[str]:
        """One line for each column, as people check it before anything is joined."""
        lines = [f"{name!r} is {field}" for field, name in self.fields.items()]
        lines += [f"{name!r} is the {view} image" for view, name in self.images.items()]
        for column in self.scores:
            where = [f"view {column.view}"] if column.view else []
            where += [f"visit {column.visit}"] if column.visit else []
            lines.append(
                f"{column.name!r} is the {column.cortex} cortex"
                + (f" ({', '.join(where)})" if where else "")
            )
        if self.unused:
            lines.append(f"not used: {', '.join(map(repr, self.unused))}")
        return lines


def understand_columns(
    names: Sequence[str], *, given: Mapping[str, str] | None = None, source: str = "table"
) -> Columns:
    """Say what each column means.

    Args:
        names: the columns of a table.
        given: column name by field, by cortex (`medial`), or by view and cortex (`ap_medial`), as
            the user says; it has precedence.
        source: the table's name, for messages.

    Raises:
        ManifestError: for a given column that does not exist, two columns of one meaning, or no
            column for patients or scores; the message suggests what to give.
    """
    fields, images, scores = _as_given(names, given or {}, source)
    taken = {*fields.values(), *images.values(), *(column.name for column in scores)}
    unused: list[str] = []
    for name in names:
        if name in taken:
            continue
        words = _words(name)
        field = next((key for key, usual in FIELDS.items() if " ".join(words) in usual), None)
        image = _image_of(words)
        score = _score_of(name, words)
        if field is not None:
            if field in fields:
                if given is None or field not in given:
                    raise ManifestError(
                        f"{source}: {fields[field]!r} and {name!r} may both be {field}; choose one "
                        f"with --column {field}={_quoted(fields[field])}"
                    )
                unused.append(name)
            else:
                fields[field] = name
        elif image is not None:
            images[image] = name
        elif score is not None:
            scores.append(score)
        else:
            unused.append(name)
    columns = Columns(fields, images, tuple(scores), tuple(unused))
    _check(columns, names, source)
    return columns


def _as_given(
    names: Sequence[str], given: Mapping[str, str], source: str
) -> tuple[dict[str, str], dict[str, str], list[ScoreColumn]]:
    fields: dict[str, str] = {}
    images: dict[str, str] = {}
    scores: list[ScoreColumn] = []
    for key, name in given.items():
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=_SIMILARITY)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ManifestError(f"{source}: --column {key}: no column {name!r}; {hint}")
        view, _, cortex = key.rpartition("_")
        if key in FIELDS:
            fields[key] = name
        elif cortex == "image" and view in VIEWS:
            images[view] = name
        elif cortex in CORTICES and view in (*VIEWS, ""):
            scores.append(ScoreColumn(name, cortex, view or None, None))
        else:
            raise ManifestError(
                f"--column {key}: expected one of {', '.join(FIELDS)}, a cortex such as "
                f"{CORTICES[0]}, or a view and a cortex such as {VIEWS[0]}_{CORTICES[0]}"
            )
    return fields, images, scores


def _check(columns: Columns, names: Sequence[str], source: str) -> None:
    if "patient_id" not in columns.fields:
        usual = FIELDS["patient_id"]
        near = [name for name in names if get_close_matches(" ".join(_words(name)), usual, n=1)]
        suggestion = near[0] if near else names[0]
        raise ManifestError(
            f"{source}: which column is the patient? Give it, such as --column "
            f"patient_id={_quoted(suggestion)}; there are {', '.join(map(repr, names))}"
        )
    if not columns.scores:
        raise ManifestError(
            f"{source}: no column of scores; expected names such as {CORTICES[0]} or "
            f"{VIEWS[0]}_{CORTICES[0]}, or give them: --column {CORTICES[0]}={_quoted(names[-1])}"
        )
    with_visit = [column for column in columns.scores if column.visit is not None]
    if with_visit and "visit" in columns.fields:
        raise ManifestError(
            f"{source}: {columns.fields['visit']!r} is the visit of a row, but "
            f"{with_visit[0].name!r} names visit {with_visit[0].visit} too; rename or remove that "
            "column, or the other"
        )
    meanings: dict[tuple[str, str | None, str | None], str] = {}
    for column in columns.scores:
        key = (column.cortex, column.view, column.visit)
        if key in meanings:
            raise ManifestError(
                f"{source}: {meanings[key]!r} and {column.name!r} may both be the score of the "
                f"{column.cortex} cortex; choose one with --column {column.cortex}="
                f"{_quoted(column.name)} and rename the other"
            )
        meanings[key] = column.name
    onehot = {f"{cortex}_cortex_{score}" for cortex in CORTICES for score in SCORES}
    if onehot <= set(names):
        raise ManifestError(
            f"{source}: one column for each score of each cortex, as in the published table; read "
            "it with rust_tuner.load_onehot_manifest"
        )


def _words(name: str) -> list[str]:
    """The words of a column's name in lower case: `apMedial_6w` has three."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", spaced.lower())


def _image_of(words: Sequence[str]) -> str | None:
    """The view of a column of image files such as `ap_image`."""
    rest = [word for word in words if word not in ("image", "file", "filename", "path")]
    if len(rest) != 1 or len(rest) == len(words):
        return None
    return next((view for view, names in _ALSO_VIEWS.items() if rest[0] in names), None)


def _score_of(name: str, words: Sequence[str]) -> ScoreColumn | None:
    """The cortex, view and visit in a column's name; None if it names no single cortex.

    "lateral" is both a view and a cortex: if another word names the view, it is the cortex, and
    if another names the cortex, it is the view.
    """
    # `rater1` is one word.
    if any(word.rstrip("0123456789") in _NOT_SCORES for word in words):
        return None
    left = [word for word in words if word not in _FILLING]
    cortices = [
        (i, key) for i, w in enumerate(left) for key in CORTICES if w in _ALSO_CORTICES[key]
    ]
    views = [(i, key) for i, w in enumerate(left) for key in VIEWS if w in _ALSO_VIEWS[key]]
    readings = [
        (position, cortex, view_position, view)
        for position, cortex in cortices
        for view_position, view in [*views, (-1, None)]
        if position != view_position
    ]
    # A reading with a view explains more words than one without.
    with_view = [reading for reading in readings if reading[3] is not None]
    possible = {(c, v): (i, j) for i, c, j, v in with_view or readings}
    if len(possible) != 1:
        return None
    ((cortex, view), positions) = next(iter(possible.items()))
    rest = [word for index, word in enumerate(left) if index not in positions]
    if any(word in _LEGS for word in rest):
        return None
    return ScoreColumn(name, cortex, view, " ".join(rest) or None)


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name
