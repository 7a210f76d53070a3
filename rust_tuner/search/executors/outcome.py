"""What a call came to in another process: its result, or its error as it can be sent.

Every engine sends results, but each sends errors in its own way, and some lose them.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cloudpickle


class RemoteError(Exception):
    """The traceback of an error where it was raised, as the cause of the error here."""

    def __str__(self) -> str:
        """The traceback, on lines of its own."""
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    Attributes:
        result: of the call.
        packed: the error that it raised, as bytes; None if it has a result.
        trace: the traceback of the error, as text.
    """

    result: Any = None
    packed: bytes | None = None
    trace: str = ""

    def exception(self) -> Exception | None:
        """The error that the call raised, with its traceback as the cause; None for a result."""
        if self.packed is None:
            return None
        try:
            error: Exception = cloudpickle.loads(self.packed)
        except Exception:
            # Such as of a class whose module is not to be found here.
            error = RuntimeError(self.trace.rstrip().rpartition("\n")[2])
        error.__cause__ = RemoteError(self.trace)
        return error


def outcome_of(function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call a function; an error becomes a part of the outcome."""
    try:
        return Outcome(function(*arguments))
    except Exception as error:
        # Of the user's model or of ours: it is raised again where the trial is taken up.
        return Outcome(packed=_packed(error), trace=traceback.format_exc())


def _packed(error: Exception) -> bytes:
    """An error that arrives as it is, or its text in the nearest of its classes that does.

    The class decides whether an error fails its trial or ends the search.
    """
    data = b""
    for kind in type(error).__mro__:
        try:
            sent = error if kind is type(error) else kind(f"{type(error).__name__}: {error}")
            data = cloudpickle.dumps(sent)
            loaded = cloudpickle.loads(data)
        except Exception:
            # A class of the user's may fail in any way as it is packed or made anew.
            continue
        if isinstance(loaded, kind) and str(loaded) == str(sent):
            break
    return data
