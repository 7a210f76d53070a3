"""Text of other people's files, written so that a terminal shows it and does not act on it."""

import re

# Control characters except tab and line feed, lone surrogates, line separators, and characters that
# change the direction of text.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def visible(text: str) -> str:
    """Escape control characters, so that a terminal shows them and does not act on them.

    Names, cells and messages may come from other people's files. Line breaks and tabs are kept.
    """
    return _UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
