"""The terms of the report that a reader may not know, each with its meaning in a sentence or two.

If a term stands in a text of the page, it links to its entry, which shows when it is pointed at,
reached with the keyboard, or touched.
"""

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from rust_tuner.scope import LABEL_SCOPE


@dataclass(frozen=True)
class Term:
    """A term and its meaning.

    Attributes:
        name: as the glossary lists it.
        meaning: in plain words.
        forms: how texts write it, besides its name.
    """

    name: str
    meaning: str
    forms: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


TERMS = (
    Term(
        "AUROC",
        "The chance that a radiograph with a label gets a higher score than one without it: 0.5 is "
        "guessing, 1 is perfect.",
    ),
    Term(
        "Bland-Altman plot",
        "Shows the difference of two measurements against their mean: the bias is their mean "
        "difference, and 95 % of the differences lie between the limits of agreement.",
        ("limits of agreement", "Bland-Altman"),
    ),
    Term(
        "calibration",
        "Whether a predicted probability of 30 % is right in 30 % of the cases. The calibration "
        "error is the mean difference.",
        ("calibration error",),
    ),
    Term("chance", "The figure that random guessing gives. A score means something only above it."),
    Term(
        "epsilon",
        "A small number that Adam, the optimiser, adds to a denominator; larger values make its "
        "steps more cautious.",
    ),
    Term(
        "estimate",
        "A figure of patients that no training and no choice used, so it is not too high.",
    ),
    Term(
        "fold",
        "One part of the development patients. A model is trained on the others and tested on it; "
        "each part takes its turn.",
        ("folds",),
    ),
    Term(
        "hold-out set",
        "Patients that were set aside before anything was trained. The final model is evaluated "
        "on them once.",
    ),
    Term(
        "ICC",
        "Intraclass correlation: how far two readers, here the model and the true score, agree in "
        "absolute terms; 1 is perfect.",
        ("ICC(2,1)",),
    ),
    Term(
        "kappa",
        "Agreement of predicted and true scores beyond chance, where larger differences count "
        "more (quadratic weights): 0 is chance, 1 is perfect.",
        ("quadratic-weighted kappa",),
    ),
    Term(
        "nested cross-validation",
        "The whole search is repeated without the patients of each outer fold, which then test "
        "its result. This estimates how well the tuning procedure performs.",
    ),
    Term(
        "noise floor",
        "How much the score of one configuration changes when only the seed changes. Smaller "
        "differences between trials mean nothing.",
    ),
    Term(
        "optimism",
        "How much higher the score of the search is than the estimate on patients that the search "
        "did not use.",
    ),
    Term(
        "RUST total",
        "The radiographic union score of a tibia: the sum of the scores of its four cortices, 1 to "
        "4 each, so 4 to 16 points.",
        ("RUST totals",),
    ),
    Term(
        "selection score",
        "A figure by which something was chosen: the best of several is partly luck, so it is too "
        "high.",
        ("selection scores",),
    ),
    Term(
        "tied",
        "The folds cannot distinguish this trial from the best one, so either may be the better "
        "one.",
    ),
    Term(
        "union",
        "Whether the bone has healed: a RUST total of at least the threshold that is given with "
        "the figure.",
    ),
    Term(
        "view only",
        "A baseline that knows only whether a radiograph is AP or lateral and never sees the "
        "image. A model has to beat it.",
        ("view-only", "view alone"),
    ),
    Term(
        "visible cortices",
        "The 16 labels of cortices and scores, each counted only on radiographs that show the "
        "cortex. The 18 labels also include the view, which is easy, so their figure is higher.",
        ("visible cortex labels", LABEL_SCOPE.short),
    ),
)

_BY_FORM = {form.lower(): term for term in TERMS for form in (term.name, *term.forms)}
# Longer forms first, so that a form within another one does not hide it.
_FORMS = "|".join(re.escape(form) for form in sorted(_BY_FORM, key=lambda form: (-len(form), form)))
_PARTS = re.compile(
    # A command as it is typed, with its quoted or plain arguments.
    r"(?P<command>rust-tuner [a-z0-9]+(?: (?:'[^']*'(?:\"'\"'[^']*')*|[^\s:;,()']+))*)"
    r"|\*\*(?P<strong>[^*]+)\*\*"
    rf"|(?<![\w-])(?P<term>{_FORMS})(?![\w-])",
    re.IGNORECASE,
)


def explained(text: str, *, is_linked: bool = True) -> Markup:
    """A text with its terms linked, its commands set as code and `**figures**` emphasised.

    A term is linked where it first stands in the text, unless `is_linked` is False.
    """
    parts, end, linked = [], 0, set()
    for match in _PARTS.finditer(text):
        parts.append(escape(text[end : match.start()]))
        end = match.end()
        if match["command"]:
            parts.append(Markup("<code>{}</code>").format(match["command"]))
        elif match["strong"]:
            parts.append(Markup("<strong>{}</strong>").format(match["strong"]))
        else:
            term = _BY_FORM[match["term"].lower()]
            is_first = is_linked and term.name not in linked
            linked.add(term.name)
            parts.append(term_link(term, match["term"]) if is_first else escape(match["term"]))
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def term_link(term: Term, text: str) -> Markup:
    """A word that shows its meaning, and leads to its entry."""
    return Markup(
        '<a class="term" href="#{anchor}" aria-describedby="{anchor}" title="{meaning}">{text}</a>'
    ).format(anchor=term.anchor, text=text, meaning=term.meaning)


def terms_in(texts: list[str]) -> list[Term]:
    """The terms that stand in some texts, in the order of the glossary."""
    positions = {
        _BY_FORM[match["term"].lower()].name
        for text in texts
        for match in _PARTS.finditer(text)
        if match["term"]
    }
    return [term for term in TERMS if term.name in positions]
