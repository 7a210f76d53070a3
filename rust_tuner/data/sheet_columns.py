"""Says what each column of a table of scores means: a patient, a visit, a cortex's score.

A name is understood only if it is one of the usual ones, or if its words name one cortex; anything
else is asked for. Which cortices and scores there are comes from `labels`, and which view shows a
cortex from the protocol.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rust_tuner.data.cells import PIXEL_COLUMNS
from rust_tuner.data.faults import is_like_a_value, name_shown
from rust_tuner.errors import ManifestError, Message, private
from rust_tuner.labels import CORTICES, SCORES, VIEWS

# Words of columns, without accents, in English, German, French and Spanish.

# What a column may hold besides scores, and the names that it usually has, as words.
FIELDS: dict[str, tuple[str, ...]] = {
    "patient_id": (
        *("patient id", "patient", "patient no", "patient nr", "patient number", "pat id"),
        *("case no", "case", "case nr", "case number", "case id", "mrn", "id", "subject"),
        *("subject id", "participant", "participant id", "record id", "study id"),
        *("patienten id", "patienten nr", "patientennr", "patientennummer", "patientenid"),
        *("pat nr", "patnr", "fall", "fall nr", "fallnr", "fallnummer", "proband", "probanden id"),
        *("id patient", "n patient", "no patient", "numero patient", "numero de patient"),
        *("n dossier", "no dossier", "numero de dossier", "dossier", "ipp"),
        *("paciente", "id paciente", "no paciente", "n paciente", "numero de paciente"),
        *("historia clinica", "no historia", "n historia", "nhc"),
    ),
    "visit": (
        *("visit", "visit no", "timepoint", "time point", "follow up", "followup", "event"),
        *("besuch", "zeitpunkt", "kontrolle", "visite", "nachkontrolle", "verlauf"),
        *("consultation", "controle", "suivi", "visita", "control", "seguimiento"),
    ),
    "date": (
        *("date", "study date", "exam date", "visit date", "examination date", "date of visit"),
        *("datum", "untersuchungsdatum", "aufnahmedatum", "rontgendatum", "besuchsdatum"),
        *("date examen", "date de l examen", "date de visite", "date visite"),
        *("fecha", "fecha examen", "fecha de examen", "fecha de visita", "fecha visita"),
    ),
    "view": (
        *("view", "projection", "view position", "ansicht", "projektion", "ebene", "strahlengang"),
        *("vue", "incidence", "vista", "proyeccion"),
    ),
    "side": ("side", "laterality", "leg", "seite", "bein", "cote", "lado", "lateralidad"),
    "site": (
        *("site", "centre", "center", "hospital", "clinic", "zentrum", "klinik", "krankenhaus"),
        *("hopital", "clinique", "centro", "clinica"),
    ),
    "image": (
        *("image", "file", "filename", "file name", "path", "radiograph", "image file"),
        *("bild", "datei", "dateiname", "bilddatei", "fichier", "nom du fichier", "radiographie"),
        *("imagen", "archivo", "nombre del archivo", "radiografia"),
    ),
}
# What such a table may say of images that have no scores yet.
_OF_NEW_IMAGES = ("image", "patient_id", "visit", "date", "view", *PIXEL_COLUMNS)
_ALSO_VIEWS = {
    "ap": ("ap", "pa", "anteroposterior", "frontal", "face"),
    "lateral": ("lateral", "lat", "ll", "seitlich", "profil", "perfil"),
}
_ALSO_CORTICES = {
    "medial": ("medial", "med", "mediale", "interne"),
    "lateral": ("lateral", "lat", "laterale", "externe"),
    "anterior": ("anterior", "ant", "anterieur", "anterieure"),
    "posterior": ("posterior", "post", "pos", "posterieur", "posterieure"),
}
# Words that add nothing to the name of a cortex.
_FILLING = (
    *("cortex", "cortical", "score", "scores", "rust", "mrust", "view"),
    *("kortikalis", "corticale", "vue", "wert", "punkte", "cortical", "puntuacion"),
)
# Words that say that a column holds files.
_FILES = ("image", "file", "filename", "path", "bild", "datei", "fichier", "imagen", "archivo")
# A column with one of these words is a result, not a score of one cortex.
_NOT_SCORES = (
    *("total", "sum", "mean", "comment", "comments", "note", "union", "reader", "rater"),
    *("observer", "assessor", "examiner", "radiologist", "untersucher", "beobachter"),
    *("summe", "gesamt", "mittelwert", "kommentar", "bemerkung", "leser", "beurteiler"),
    *("somme", "moyenne", "commentaire", "remarque", "lecteur", "observateur", "examinateur"),
    *("suma", "media", "comentario", "nota", "lector", "observador", "evaluador"),
)
# Words that say which leg, so they are not a visit.
_LEGS = ("left", "right", "l", "r", "links", "rechts", "gauche", "droite", "izquierda", "derecha")
# The range of a score in brackets, which is not a visit: "Medial (1-4)".
_RANGE = re.compile(
    rf"[(\[]\s*{SCORES[0]}\s*([-\u2013]|to|bis|à|a)\s*{SCORES[-1]}\s*[)\]]", re.IGNORECASE
)
_SIMILARITY = 0.7
_NAMES_SHOWN = 30


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
class ImageColumn:
    """A column of image files of one view.

    Attributes:
        name: in the table.
        view: `ap` or `lateral`.
        visit: the visit that its name gives; None if the row has one.
    """

    name: str
    view: str
    visit: str | None


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean.

    Attributes:
        fields: column name by field, such as `patient_id`.
        images: the columns of image files, if each view has its own.
        scores: the columns of scores.
        unused: the others.
    """

    fields: Mapping[str, str]
    images: tuple[ImageColumn, ...]
    scores: tuple[ScoreColumn, ...]
    unused: tuple[str, ...]

    def image_of(self, view: str, visit: str | None) -> str | None:
        """The column of the image of a view and a visit; None if there is none."""
        names = {column.visit: column.name for column in self.images if column.view == view}
        return names.get(visit) or (names.get(None) if len(names) == 1 else None)

    def lines(self) -> list[str]:
        """One line for each column, as people check it before anything is joined."""
        lines = [f"{name_shown(name)} is {field}" for field, name in self.fields.items()]
        lines += [
            f"{name_shown(column.name)} is the {column.view} image"
            + (f" (visit {column.visit})" if column.visit else "")
            for column in self.images
        ]
        for column in self.scores:
            where = [f"view {column.view}"] if column.view else []
            where += [f"visit {column.visit}"] if column.visit else []
            lines.append(
                f"{name_shown(column.name)} is the {column.cortex} cortex"
                + (f" ({', '.join(where)})" if where else "")
            )
        if self.unused:
            lines.append(f"not used: {_listed(self.unused)}")
        return [Message(line) for line in lines]


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
    taken = {*fields.values(), *(column.name for column in images)}
    taken |= {column.name for column in scores}
    unused: list[str] = []
    for name in names:
        if name in taken:
            continue
        words = _words(name)
        field = _field_of(words)
        image = _image_of(name, words)
        score = _score_of(name, words)
        if field is not None:
            if field in fields:
                if given is None or field not in given:
                    raise ManifestError(
                        f"{source}: {name_shown(fields[field])} and {name_shown(name)} may both be "
                        f"{field}; choose one with --column {field}={_quoted(fields[field])}"
                    )
                unused.append(name)
            else:
                fields[field] = name
        elif image is not None:
            images.append(image)
        elif score is not None:
            scores.append(score)
        else:
            unused.append(name)
    columns = Columns(fields, tuple(images), tuple(scores), tuple(unused))
    _check(columns, names, source)
    return columns


def columns_of_images(names: Sequence[str]) -> dict[str, str] | None:
    """The columns of a table of images without scores, by meaning; None for any other table.

    A meaning that several columns may have is left out.
    """
    meant: dict[str, list[str]] = defaultdict(list)
    for name in names:
        words = _words(name)
        if _score_of(name, words) is not None:
            return None
        meant[_field_of(words) or "_".join(words)].append(name)
    found = {
        meaning: same[0] if len(same) == 1 else meaning
        for meaning, same in meant.items()
        if meaning in _OF_NEW_IMAGES and (len(same) == 1 or meaning in same)
    }
    return found if "image" in found else None


def _field_of(words: Sequence[str]) -> str | None:
    """What a column with a usual name holds besides scores; None for another name."""
    return next((field for field, usual in FIELDS.items() if " ".join(words) in usual), None)


def _as_given(
    names: Sequence[str], given: Mapping[str, str], source: str
) -> tuple[dict[str, str], list[ImageColumn], list[ScoreColumn]]:
    fields: dict[str, str] = {}
    images: list[ImageColumn] = []
    scores: list[ScoreColumn] = []
    for key, name in given.items():
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=_SIMILARITY)
            hint = f"did you mean {name_shown(near[0])}?" if near else f"there are {_listed(names)}"
            raise ManifestError(f"{source}: --column {key}: no column {name!r}; {hint}")
        view, _, cortex = key.rpartition("_")
        if key in FIELDS:
            fields[key] = name
        elif cortex == "image" and view in VIEWS:
            images.append(ImageColumn(name, view, None))
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
        # A table whose columns mean nothing may have no header, so its names may be values.
        has_header = bool(columns.fields or columns.images or columns.scores or near)
        suggestion = near[0] if near else names[0]
        raise ManifestError(
            f"{source}: which column is the patient? Give it, such as --column patient_id="
            f"{_quoted(suggestion) if has_header else private(_quoted(suggestion))}; there are "
            + (_listed(names) if has_header else private(_listed(names)))
            + (
                ""
                if has_header
                else ". Nothing in the first row is a usual name of a column; if "
                "the table has no header, add one"
            )
        )
    if not columns.scores:
        raise ManifestError(
            f"{source}: no column of scores; expected names such as {CORTICES[0]} or "
            f"{VIEWS[0]}_{CORTICES[0]}, or give them, such as --column "
            f"{CORTICES[0]}={_quoted(names[-1])}"
        )
    with_visit = [column for column in columns.scores if column.visit is not None]
    if with_visit and "visit" in columns.fields:
        raise ManifestError(
            f"{source}: {name_shown(columns.fields['visit'])} is the visit of a row, but "
            f"{name_shown(with_visit[0].name)} names visit {with_visit[0].visit} too; rename or "
            "remove that column, or the other"
        )
    meanings: dict[tuple[str, str | None, str | None], str] = {}
    for column in columns.scores:
        key = (column.cortex, column.view, column.visit)
        if key in meanings:
            raise ManifestError(
                f"{source}: {name_shown(meanings[key])} and {name_shown(column.name)} may both be "
                f"the score of the {column.cortex} cortex; choose one with --column "
                f"{column.cortex}={_quoted(column.name)} and rename the other"
            )
        meanings[key] = column.name
    for column in columns.scores:
        other = meanings.get((column.cortex, None, column.visit))
        if column.view is not None and other is not None:
            raise ManifestError(
                f"{source}: {name_shown(other)} and {name_shown(column.name)}, which names a view, "
                f"may both be the score of the {column.cortex} cortex; rename or remove one"
            )
    files: dict[tuple[str, str | None], str] = {}
    for image in columns.images:
        first = files.setdefault((image.view, image.visit), image.name)
        if first != image.name:
            raise ManifestError(
                f"{source}: {name_shown(first)} and {name_shown(image.name)} may both be the "
                f"{image.view} image; rename or remove one"
            )
    onehot = {f"{cortex}_cortex_{score}" for cortex in CORTICES for score in SCORES}
    if onehot <= set(names):
        raise ManifestError(
            f"{source}: one column for each score of each cortex, as in the published table; read "
            "it with rust_tuner.load_onehot_manifest"
        )


def _words(name: str) -> list[str]:
    """The words of a column's name in lower case, without accents: `apMédial_6w` has three."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _RANGE.sub(" ", name))
    letters = unicodedata.normalize("NFKD", spaced.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", plain)


def _image_of(name: str, words: Sequence[str]) -> ImageColumn | None:
    """The view and visit of a column of image files such as `ap_image` or `ap image 6 weeks`."""
    rest = [word for word in words if word not in (*_FILES, "view", "name")]
    views = [(word, view) for word in rest for view, also in _ALSO_VIEWS.items() if word in also]
    if len(rest) == len(words) or len(views) != 1 or not set(words) & set(_FILES):
        return None
    ((word, view),) = views
    return ImageColumn(name, view, " ".join(other for other in rest if other != word) or None)


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


def not_used(source: str, names: Sequence[str], *, has_site: bool) -> tuple[Message, ...]:
    """The note on columns of a table that mean nothing to us, and how to keep one; none without."""
    if not names:
        return ()
    keep = "" if has_site else "; to have figures by one of them, such as a device, name it site"
    return (Message(f"{source}: not used: {_listed(names)}{keep}"),)


def _listed(names: Sequence[str]) -> str:
    """The columns of a table for a message; of many, the first ones."""
    more = len(names) - _NAMES_SHOWN
    listed = ", ".join(map(name_shown, names[:_NAMES_SHOWN]))
    return listed if more <= 0 else f"{listed} and {more} more"


def _quoted(name: str) -> str:
    shown = f'"{name}"' if " " in name else name
    return private(shown) if is_like_a_value(name) else shown
