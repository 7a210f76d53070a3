"""The looks at the hold-out set, as recorded in a study's `study.json`.

A look is noted before the first sealed image is read and completed when its evaluation is written,
so that deleting the evaluation does not undo it. This module owns what a look is and its text; when
a look is allowed belongs to `steps.holdout`.
"""

import contextlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from rust_tuner.errors import ProtocolError, ResumeError, RustTunerError
from rust_tuner.files import read_json, sha256_of_file
from rust_tuner.scope import AUROCS, SCOPES

LookState = Literal["begun", "finished"]

# The files of STUDY/final that a look writes, and the model that it looks with.
FINAL = "final"
MODEL_FILE = "model.keras"
PREDICTIONS_FILE = "predictions.csv"
HOLDOUT_FILE = "holdout.json"

_LONGEST_REASON = 500


@dataclass(frozen=True)
class Look:
    """One look at the hold-out set.

    Attributes:
        date: when it was begun, ISO 8601 in UTC; None if an older record does not say.
        model_sha256: of the model file that looked; None if an older record does not say.
        reason: why there was a look after the first one; None for the first.
        state: `begun` before the first sealed image is read, `finished` once the evaluation is
            written.
        holdout_sha256: of `final/holdout.json`, once it is written.
        metrics: its main figures, `auroc` of all labels and `cortex_auroc` of visible cortices;
            None if undefined.
    """

    date: str | None
    model_sha256: str | None
    reason: str | None = None
    state: LookState = "begun"
    holdout_sha256: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The look as JSON values; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read a look that `to_json` wrote.

        Raises:
            TypeError, ValueError: if it is not a look.
        """
        if not isinstance(values, Mapping) or values.get("state") not in get_args(LookState):
            raise ValueError(f"{values!r} is not a look")
        texts = [values.get(n) for n in ("date", "model_sha256", "reason", "holdout_sha256")]
        if not all(value is None or isinstance(value, str) for value in texts):
            raise TypeError(f"{values!r} is not a look")
        return cls(
            date=values.get("date"),
            model_sha256=values.get("model_sha256"),
            reason=values.get("reason"),
            state=values["state"],
            holdout_sha256=values.get("holdout_sha256"),
            metrics=main_figures(values.get("metrics")),
        )

    def __str__(self) -> str:
        """Date, model and main figures, for a message."""
        model = (
            "an unknown model"
            if self.model_sha256 is None
            else (f"the model {self.model_sha256[:12]}")
        )
        text = f"{self.date or 'an unknown date'} with {model}"
        if self.state == "begun":
            return f"{text}, not finished"
        figures = [
            f"AUROC{' of visible cortices' if scope.is_masked else ''} {value:.3f}"
            for scope in SCOPES
            if (value := self.metrics.get(scope.metric)) is not None
        ]
        return f"{text} ({', '.join(figures)})" if figures else text


def main_figures(metrics: Any) -> dict[str, float | None]:
    """The figures of an evaluation that a look keeps; none if there are none.

    Raises:
        TypeError: if a figure is not a number.
    """
    if metrics is None:
        return {}
    figures = {name: metrics[name] for name in AUROCS if name in metrics}
    for name, value in figures.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise TypeError(f"{name}={value!r}; expected a number or null")
    return figures


def read_looks(noted: object, directory: str | Path) -> tuple[Look, ...]:
    """The looks in a study's record, in order.

    If there are none, but `final` contains files of a look, these count as the first look, since
    older versions did not record it.

    Args:
        noted: the looks of `study.json`; None if there are none.
        directory: the study's folder.

    Raises:
        ResumeError: if the record of looks cannot be read.
    """
    path = Path(directory)
    try:
        items = noted or []
        if not isinstance(items, list):
            raise TypeError(f"{noted!r:.80} is not a list")
        looks = tuple(Look.from_json(item) for item in items)
    except (TypeError, ValueError) as error:
        raise ResumeError(
            f"{path / 'study.json'}: its looks at the hold-out set cannot be read ({error}); "
            "restore the file from a copy"
        ) from error
    return looks or unrecorded_looks(path)


def unrecorded_looks(directory: Path) -> tuple[Look, ...]:
    """The look that left files in `final`, for a study that did not record it."""
    final = directory / FINAL
    evaluation = final / HOLDOUT_FILE
    if not (evaluation.exists() or (final / PREDICTIONS_FILE).exists()):
        return ()
    if not evaluation.exists():
        # Killed just before the evaluation was written, after the sealed images were read.
        model = None
        with contextlib.suppress(OSError):
            model = sha256_of_file(final / MODEL_FILE)
        return (Look(date=None, model_sha256=model),)
    content: Any = None
    with contextlib.suppress(RustTunerError, OSError):
        content = read_json(evaluation)
    written = content if isinstance(content, Mapping) else {}
    date, model = written.get("date"), written.get("model_sha256")
    metrics: dict[str, float | None] = {}
    digest = None
    with contextlib.suppress(TypeError):
        metrics = main_figures(written.get("metrics"))
    if written:
        with contextlib.suppress(OSError):
            digest = sha256_of_file(evaluation)
    return (
        Look(
            date=date if isinstance(date, str) else None,
            model_sha256=model if isinstance(model, str) else None,
            state="finished",
            holdout_sha256=digest,
            metrics=metrics,
        ),
    )


def is_whole(look: Look, directory: str | Path) -> bool:
    """Whether `final/holdout.json` exists and is the one that the look wrote."""
    try:
        digest = sha256_of_file(Path(directory) / FINAL / HOLDOUT_FILE)
    except OSError:
        return False
    return look.state == "finished" and digest == look.holdout_sha256


def require_reason(reason: object) -> str:
    """A reason for another look, on one line.

    Raises:
        ProtocolError: for anything but a text of 1 to 500 characters.
    """
    words = " ".join(reason.split()) if isinstance(reason, str) else ""
    text = "".join(letter for letter in words if letter.isprintable())
    if not text or len(text) > _LONGEST_REASON:
        raise ProtocolError(
            f"look_again={reason!r:.80}; expected the reason for another look, a text of 1 to "
            f"{_LONGEST_REASON} characters"
        )
    return text


def look_refused(directory: Path, look: Look, fault: str) -> ResumeError:
    """The error for another look without a reason.

    Args:
        directory: the study's folder.
        look: the last look.
        fault: why its result cannot be shown, or the look resumed.
    """
    folder = shlex.quote(str(directory))
    return ResumeError(
        f"{directory}: the hold-out set was looked at on {look}, and {fault}. Restore "
        f"{FINAL} from a copy; or look again with a reason, which is counted and shown wherever "
        f'the figures are: rust-tuner final {folder} --look-again "reason", or '
        'Study(...).final(look_again="reason")'
    )


def count_text(looks: Iterable[Look]) -> str:
    """How often the hold-out set was looked at, with the reasons; empty if it never was."""
    items = tuple(looks)
    if not items:
        return ""
    # A sentence goes on after the last one.
    reasons = [look.reason.strip().rstrip(".") for look in items if look.reason]
    unfinished = sum(look.state == "begun" for look in items)
    text = "looked at once" if len(items) == 1 else f"looked at {len(items)} times"
    if unfinished:
        text += ", not finished" if len(items) == 1 else f", {unfinished} not finished"
    if reasons:
        title = "reason" if len(reasons) == 1 else "reasons"
        text += f"; {title} for looking again: {'; '.join(reasons)}"
    return text


def holdout_title(looks: Iterable[Look]) -> str:
    """The name of the hold-out set in captions, with the number of looks if there were several."""
    items = tuple(looks)
    return f"Hold-out set, {count_text(items)}" if len(items) > 1 else "Hold-out set"
