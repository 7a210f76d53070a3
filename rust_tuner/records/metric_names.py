"""Names of metrics, as a fresh process would give them.

Keras numbers unnamed metrics by what was built before: `auc` in one fold may be `auc_1` in another,
or in a process that resumes. Folds are built with fresh counters; this module handles records whose
names differ nevertheless.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

_Value = TypeVar("_Value")
_NUMBERED = re.compile(r"(?P<name>.*[^\W_].*)_\d+")


def renumbered(names: Iterable[str]) -> dict[str, str]:
    """Each name with the number that follows from its order among names of the same kind.

    Examples:
        >>> renumbered(["loss", "auc_3", "auc_4", "precision_2"])
        {'loss': 'loss', 'auc_3': 'auc', 'auc_4': 'auc_1', 'precision_2': 'precision'}
    """
    counted: dict[str, int] = {}
    renamed = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(name)
        kind = name if numbered is None else numbered["name"]
        number = counted.get(kind, 0)
        counted[kind] = number + 1
        renamed[name] = f"{kind}_{number}" if number else kind
    return renamed


def with_same_names(
    histories: Sequence[Mapping[str, _Value]], wanted: str | Iterable[str] | None = None
) -> list[dict[str, _Value]]:
    """Histories of the folds of one trial under the same names.

    Names are kept if all histories have the same ones, and `wanted` is among them: a user may
    have named a metric `precision_1`.

    Args:
        histories: one per fold, metrics in the order of the model.
        wanted: the metric, or the metrics, that the trial is scored by, without `val_`.

    Returns:
        The histories, renumbered if that makes their names agree.
    """
    kept = [dict(history) for history in histories]
    wanted = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if _agree(kept, wanted):
        return kept
    renamed = []
    for history in kept:
        names = renumbered(history)
        renamed.append({names[name]: value for name, value in history.items()})
    return renamed if _agree(renamed, wanted) else kept


def _agree(histories: Sequence[Mapping[str, _Value]], wanted: Sequence[str]) -> bool:
    names = {frozenset(history) for history in histories}
    return len(names) <= 1 and all(name in history for name in wanted for history in histories)
