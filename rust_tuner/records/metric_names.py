"""Names of metrics, as a process that has built nothing before would give them.

Keras numbers what has no name by what was built before it: the metric that is `auc` in one fold is
`auc_1` in another, or in a process that resumes. Folds are built under fresh counters; here stands
what is done with records whose names differ all the same.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

_Value = TypeVar("_Value")
_NUMBERED = re.compile(r"(?P<name>.*[^\W_].*)_\d+")


def renumbered(names: Iterable[str]) -> dict[str, str]:
    """Each name with the number that its place among those of its kind gives it.

    Examples:
        >>> renumbered(["loss", "auc_3", "auc_4", "precision_2"])
        {'loss': 'loss', 'auc_3': 'auc', 'auc_4': 'auc_1', 'precision_2': 'precision'}
    """
    counted: dict[str, int] = {}
    found = {}
    for name in names:
        numbered = _NUMBERED.fullmatch(name)
        kind = name if numbered is None else numbered["name"]
        number = counted.get(kind, 0)
        counted[kind] = number + 1
        found[name] = f"{kind}_{number}" if number else kind
    return found


def with_same_names(
    histories: Sequence[Mapping[str, _Value]], wanted: str | None = None
) -> list[dict[str, _Value]]:
    """Histories of the folds of one trial under the same names.

    Names stay as they are where all histories have the same ones, and `wanted` is among them:
    a user may well have called a metric `precision_1`.

    Args:
        histories: one a fold, metrics in the order of the model.
        wanted: the metric that the trial is scored by, without `val_`.

    Returns:
        The histories, renumbered where that makes their names agree.
    """
    kept = [dict(history) for history in histories]
    if _agree(kept, wanted):
        return kept
    renamed = []
    for history in kept:
        names = renumbered(history)
        renamed.append({names[name]: value for name, value in history.items()})
    return renamed if _agree(renamed, wanted) else kept


def _agree(histories: Sequence[Mapping[str, _Value]], wanted: str | None) -> bool:
    names = {frozenset(history) for history in histories}
    return len(names) <= 1 and (wanted is None or all(wanted in history for history in histories))
