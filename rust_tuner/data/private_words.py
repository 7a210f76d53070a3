"""The words of a manifest that no log may contain: patient ids, visits and names of images.

They are kept in memory only, from the moment that a manifest is read.
"""

import os
import re
from collections.abc import Iterable

from rust_tuner.data.visit_names import is_relative_visit
from rust_tuner.errors import HIDDEN

# A number of fewer digits may be a count as well.
_TELLING_DIGITS = 5
# An id of one or two characters is part of many words.
_SHORT = 2
# Names of images that are words of our own messages.
_ORDINARY = {"", "ap", "lateral", "medial", "anterior", "posterior", "image", "radiograph"}
_NAME = r"[^\s,;:()'\"]+"
# What follows such a word, such as `17`, `'17'` or `16, 17 and 18`, and what is in quotation marks.
_NAMED = re.compile(
    r"\b(?:patients?|ids?|cases?|visits?|images?|files?|radiographs?)\b[\s:=#,'\"(]{1,3}"
    rf"({_NAME}(?:['\"]?(?:,\s*|\s+(?:and|or)\s+)['\"]?{_NAME})*)|['\"]({_NAME})['\"]",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"['\"]?(?:,\s*|\s+(?:and|or)\s+)['\"]?")

_words: set[str] = set()


def remember_private_words(
    patient_ids: Iterable[str],
    images: Iterable[str],
    *,
    visits: Iterable[str] = (),
    manifest: str = "",
) -> None:
    """Note what no log may contain of a manifest that was read.

    Args:
        patient_ids: the patients.
        images: the paths of their images.
        visits: their visits; those that say only when they were are not noted.
        manifest: the manifest's own path.
    """
    _words.update(str(patient) for patient in patient_ids)
    for image in images:
        name = os.path.basename(str(image))
        _words.update((name, os.path.splitext(name)[0]))
    _words.update(visit for visit in set(map(str, visits)) if not is_relative_visit(visit))
    # One without a blank is recognised as the name of a file.
    name = os.path.basename(manifest)
    _words.update([name] if " " in name else [])
    _words.difference_update(_ORDINARY)


def forget_private_words() -> None:
    """Forget all of them."""
    _words.clear()


def names_private_words(text: str) -> bool:
    """Whether a text contains a patient id or the name of an image of a manifest that was read.

    A short id that may also be a count or a word, such as `17`, is recognised after a word such as
    `patient`, and in quotation marks.
    """
    lower = text.lower()
    named = {
        name.strip(".")
        for match in _NAMED.finditer(lower)
        for name in _SEPARATOR.split(match[1] or match[2])
    }
    return any(
        word.lower() in named if _may_be_a_count(word) else _contains(lower, word.lower())
        for word in _words
    )


def hide_private_words(text: str, *, apart_from: Iterable[str] = ()) -> str:
    """A text without the words that were noted, except short ones, which may be counts.

    Args:
        text: for the terminal.
        apart_from: texts that may be shown, such as what the user has typed; so may their words.
    """
    lower, allowed = text.lower(), " ".join(apart_from).lower()
    words = [
        word
        for word in sorted(_words, key=len, reverse=True)
        if word.lower() in lower
        and not _may_be_a_count(word)
        and not _contains(allowed, word.lower())
    ]
    if not words:
        return text
    pattern = "|".join(
        (r"(?<![^\W_])" if word[0].isalnum() else "")
        + re.escape(word)
        + (r"(?![^\W_])" if word[-1].isalnum() else "")
        for word in words
    )
    return re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)


def _may_be_a_count(word: str) -> bool:
    return len(word) <= _SHORT or (word.isdigit() and len(word) < _TELLING_DIGITS)


def _contains(text: str, word: str) -> bool:
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        before, after = text[start - 1 : start], text[end : end + 1]
        if not (before.isalnum() and word[0].isalnum()) and not (
            after.isalnum() and word[-1].isalnum()
        ):
            return True
        start = text.find(word, start + 1)
    return False
