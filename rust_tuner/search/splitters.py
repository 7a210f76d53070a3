"""The folds of arrays, from a number, a scikit-learn splitter, `Folds`, or pairs of rows.

A number gives folds that keep groups together and are stratified by classes or labels. A splitter
is called as scikit-learn calls it, with the groups and with targets that it can stratify by.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedKFold

from rust_tuner.data.folds import Folds
from rust_tuner.data.stratify import stratify_patients
from rust_tuner.errors import SearchError
from rust_tuner.models.fold_batches import IntArray
from rust_tuner.records.random_folds import read_random_folds
from rust_tuner.records.run import run_if_whole
from rust_tuner.search.cross_validation import FoldList, checked_folds
from rust_tuner.search.fold_notes import equal_rows_note, never_validated_note, split_groups_note
from rust_tuner.search.subject_folds import require_apart, sha256_of_arrays
from rust_tuner.search.target_classes import classes_of, labels_of, strata_of
from rust_tuner.seeds import seed_word

# More rows are divided by combinations of labels, which is quicker than exchanging rows.
_MOST_EXCHANGED = 20_000
_MOST_CLASSES = 1_000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclass(frozen=True, eq=False)
class Split:
    """The folds of arrays.

    Attributes:
        pairs: rows for training and for validation.
        notes: what a user must know about them, a line each.
        stratified: `classes` or `labels` where a number of folds was divided by them, else None.
        random_key: what identifies the folds of a splitter without a seed, which are recorded; None
            where the splitter gives the same folds again.
    """

    pairs: FoldList
    notes: tuple[str, ...] = ()
    stratified: str | None = None
    random_key: Any = None


def split_rows(
    cv: Any,
    targets: npt.NDArray[Any],
    owners: npt.NDArray[Any] | None,
    *,
    seed: int,
    inputs: Sequence[npt.NDArray[Any]] = (),
    folder: Path | None = None,
) -> Split:
    """Divide rows into folds.

    Args:
        cv: a number of folds, a scikit-learn splitter, `Folds`, or pairs of rows.
        targets: (n, ...) what folds are stratified by.
        owners: (n,) the group of each row, or None.
        seed: for folds that are made from a number.
        inputs: (n, ...) arrays, which a splitter is given and whose equal rows are counted.
        folder: the project folder, which may have a search to resume.

    Raises:
        SearchError: where the folds cannot be made, or `Folds` or pairs have a group on both sides.
    """
    num_rows = len(targets)
    notes: list[str] = []
    stratified = random_key = None
    if isinstance(cv, int | np.integer):
        begun = None if folder is None else run_if_whole(folder)
        # Searches of earlier versions keep the folds that they were begun with.
        is_older = begun is not None and begun.subject.stratified is None
        made, stratified = _from_number(int(cv), targets, owners, seed, is_older=is_older)
        pairs = checked_folds(made, num_rows)
    elif hasattr(cv, "split") and not isinstance(cv, Folds | str | bytes):
        random_key = _random_key(cv, targets, owners)
        recorded = None
        if random_key is not None and folder is not None:
            recorded = read_random_folds(folder, random_key)
        if recorded is None:
            made, notes = _from_splitter(cv, targets, owners, inputs)
            pairs = checked_folds(made, num_rows)
            if random_key is None and _draws_again(cv, pairs, targets, owners, inputs):
                random_key = _key_of(cv, targets, owners)
                recorded = None if folder is None else read_random_folds(folder, random_key)
        if recorded is not None:
            pairs = checked_folds(recorded, num_rows)
        if owners is not None:
            notes.append(split_groups_note(pairs, owners, type(cv).__name__))
    else:
        pairs = checked_folds(_as_given(cv, num_rows), num_rows)
        if owners is not None:
            require_apart(pairs, owners, "group", "give a number of folds, or a splitter")
    notes += [never_validated_note(pairs, num_rows), equal_rows_note(pairs, inputs)]
    return Split(pairs, tuple(filter(None, notes)), stratified, random_key)


def _from_number(
    num_folds: int,
    targets: npt.NDArray[Any],
    owners: npt.NDArray[Any] | None,
    seed: int,
    *,
    is_older: bool,
) -> tuple[Iterable[tuple[IntArray, IntArray]], str | None]:
    """Folds from a number, and what they are stratified by where earlier versions did not."""
    if num_folds < 2:
        raise SearchError(f"{num_folds} folds; cross-validation needs at least 2")
    units = "row" if owners is None else "group"
    count = len(targets) if owners is None else len(np.unique(owners))
    if num_folds > count:
        why = (
            f"a {units} is never in two folds, so use at most {count} folds"
            if count > 1
            else "at least two are needed"
        )
        raise SearchError(
            f"the folds cannot be made: {num_folds} folds for {count} {units}(s); {why}"
        )
    classes = None if is_older else classes_of(targets, num_folds)
    labels = labels_of(targets)
    if owners is None:
        word = seed_word(seed, "folds")
        if classes is not None and np.bincount(classes).max() >= num_folds:
            with warnings.catch_warnings():
                # Of a class with fewer rows than folds: some folds have none of it.
                warnings.simplefilter("ignore", UserWarning)
                splitter = StratifiedKFold(num_folds, shuffle=True, random_state=word)
                return list(splitter.split(classes, classes)), "classes"
        if is_older or labels is None or len(labels) > _MOST_EXCHANGED:
            splitter = KFold(num_folds, shuffle=True, random_state=word)
            return splitter.split(targets), None
    quantities, stratified = np.zeros((len(targets), 0), np.float32), None
    # A column for each of very many classes, such as names, would fill the memory.
    if classes is not None and labels is None and classes.max() < _MOST_CLASSES:
        quantities, stratified = np.eye(classes.max() + 1, dtype=np.float32)[classes], "classes"
    elif labels is not None:
        quantities, stratified = labels, None if owners is not None else "labels"
    rows = np.arange(len(targets)) if owners is None else owners
    assignment = stratify_patients(
        rows.astype(str).astype(object),
        # Without labels, folds are balanced by their number of rows.
        quantities,
        shares=np.full(num_folds, 1 / num_folds),
        seed=seed,
        place=("folds", num_folds),
    )
    return Folds(assignment=assignment, num_folds=num_folds, seed=seed), stratified


def _from_splitter(
    cv: Any,
    targets: npt.NDArray[Any],
    owners: npt.NDArray[Any] | None,
    inputs: Sequence[npt.NDArray[Any]],
) -> tuple[list[tuple[IntArray, IntArray]], list[str]]:
    """What a splitter gives, and notes about what it was given or warned of."""
    notes = []
    given = targets
    if _is_sklearn(cv) and "Stratified" in type(cv).__name__:
        num_folds = int(cv.get_n_splits(targets, None, owners))
        given, kind = _strata(targets, num_folds)
        if kind != "classes":
            what = f"{given.max() + 1} {kind if kind == 'bins' else 'combinations of labels'}"
            notes.append(f"note: {type(cv).__name__} stratifies the targets by {what}")
    rows = inputs[0] if len(inputs) == 1 else np.zeros((len(targets), 1), np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            pairs = list(cv.split(rows, given, owners))
        except ValueError as error:
            raise SearchError(f"the folds cannot be made: {error}") from error
    # Groups that are ignored have a note with counts.
    texts = [str(item.message) for item in caught]
    notes += [f"note: {text}" for text in texts if "groups parameter is ignored" not in text]
    return pairs, notes


def _as_given(cv: Any, num_rows: int) -> Iterable[tuple[IntArray, IntArray]]:
    """The pairs of `Folds`, or of an iterable."""
    if isinstance(cv, Folds):
        try:
            return list(cv.split(np.empty(num_rows)))
        except ValueError as error:
            raise SearchError(f"the folds cannot be made: {error}") from error
    if not isinstance(cv, Iterable) or isinstance(cv, str | bytes):
        raise SearchError(
            f"cv={cv!r}; expected a number of folds, Folds or a scikit-learn splitter"
        )
    return list(cv)


def _strata(targets: npt.NDArray[Any], num_folds: int) -> tuple[npt.NDArray[Any], str]:
    """What scikit-learn can stratify by, and what it is; see `strata_of`."""
    is_column = targets.ndim == 1 or targets.shape[1:] == (1,)
    # Without targets, scikit-learn says what is missing. Whole numbers as floats are classes to it,
    # however many there are.
    if (is_column and targets.dtype.kind != "f") or not targets.size:
        return targets, "classes"
    return strata_of(targets, num_folds)


def _is_sklearn(cv: Any) -> bool:
    return type(cv).__module__.partition(".")[0] == "sklearn"


def _random_key(
    cv: Any, targets: npt.NDArray[Any], owners: npt.NDArray[Any] | None
) -> dict[str, Any] | None:
    """The key of the folds of a splitter that shuffles without a fixed seed; None for others."""
    state = getattr(cv, "random_state", 0)
    if isinstance(state, int | np.integer) or not getattr(cv, "shuffle", True):
        return None
    return _key_of(cv, targets, owners)


def _key_of(cv: Any, targets: npt.NDArray[Any], owners: npt.NDArray[Any] | None) -> dict[str, Any]:
    choices = {name: value for name, value in vars(cv).items() if name != "random_state"}
    return {
        "splitter": f"{type(cv).__qualname__} {_ADDRESS.sub('', repr(sorted(choices.items())))}",
        "targets": _sha256_of(targets),
        "groups": None if owners is None else _sha256_of(owners),
    }


def _sha256_of(array: npt.NDArray[Any]) -> str:
    # The bytes of objects would be addresses.
    return sha256_of_arrays(array.astype(str) if array.dtype.kind == "O" else array)


def _draws_again(
    cv: Any,
    pairs: FoldList,
    targets: npt.NDArray[Any],
    owners: npt.NDArray[Any] | None,
    inputs: Sequence[npt.NDArray[Any]],
) -> bool:
    """Whether a splitter of the user's own gives other folds when it is called again."""
    if _is_sklearn(cv):
        return False
    again, _ = _from_splitter(cv, targets, owners, inputs)
    same = [
        np.array_equal(np.asarray(one), np.asarray(other))
        for pair, twin in zip(pairs, again, strict=False)
        for one, other in zip(pair, twin, strict=True)
    ]
    return len(again) != len(pairs) or not all(same)
