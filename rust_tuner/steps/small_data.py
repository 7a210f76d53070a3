"""What a study's number of patients allows: refused if too few, and said before a search begins.

It owns the sentences and the limits; the arithmetic of intervals belongs to
`metrics.expected_width`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rust_tuner.data.folds import Folds, folds_asked_for, make_folds
from rust_tuner.data.radiographs import Radiographs
from rust_tuner.data.splits import Development, HoldOut, split_holdout
from rust_tuner.errors import MetricError, SplitError
from rust_tuner.labels import CORTEX_LABELS, NUM_VIEWS
from rust_tuner.metrics import view_only_baseline
from rust_tuner.metrics.expected_width import expected_half_width, expected_resolution, patients_for
from rust_tuner.metrics.uncertainty import MIN_PATIENTS
from rust_tuner.protocol import Protocol
from rust_tuner.words import counted, label_list

# The half width that a reader of a paper would call precise.
_PRECISE = 0.05
# Trials of one search seldom differ by more in AUROC, unless some of them fail to learn.
_SELDOM, _CLEAR = 0.1, 0.05
_HIGHEST_DIFFERENCE = 0.5
# So many labels are named, more are counted.
_NAMED = 3
_FEW_TRIALS = 8


@dataclass(frozen=True)
class Need:
    """A cross-validation that a study will run.

    Attributes:
        name: of the step, as a sentence begins.
        num_folds: its folds.
        mend: how to run it with fewer, with `{folds}` in place of their number.
    """

    name: str
    num_folds: int
    mend: str


def need_of_search(protocol: Protocol) -> Need:
    """What the searches need."""
    mend = "take fewer folds (--folds {folds}, or num_folds={folds} in the protocol)"
    return Need("a search", protocol.num_folds, mend)


def need_of_final(protocol: Protocol) -> Need:
    """What the final model needs where the study is prepared."""
    command = "rust-tuner final STUDY --folds {folds}, or final_folds={folds} in the protocol"
    name, mend = "the final model's cross-validation", f"take fewer folds ({command})"
    return Need(name, protocol.final_folds, mend)


def require_enough(
    radiographs: Radiographs,
    protocol: Protocol,
    needs: Sequence[Need],
    *,
    development: Development | None = None,
) -> None:
    """Refuse a study whose patients are too few for its hold-out set, folds or labels.

    Args:
        radiographs: all of them.
        protocol: the study's choices.
        needs: the cross-validations that it will run.
        development: those that are left for them; None where they are not divided yet.

    Raises:
        SplitError: with the numbers, and what to change.
    """
    if not needs:
        return
    if development is None:
        development, _ = split_holdout(radiographs, protocol.holdout_fraction, protocol.seed)
    if protocol.folds_by == "site":
        # As many folds as there are sites; making them checks what is needed.
        faults = _unscored(development, folds_asked_for(development, protocol, 2))
        if faults:
            raise SplitError(
                f"{radiographs.source}: {faults}, so a search would fail; every site needs "
                "radiographs with and without some score of a cortex: merge small sites, or divide "
                "by patient (--folds-by patient)"
            )
        return
    num_patients = len(set(radiographs.patient_ids))
    left = len(set(development.radiographs.patient_ids))
    sealed = num_patients - left
    have = (
        f"{num_patients} patients, of whom {sealed} {'is' if sealed == 1 else 'are'} sealed in the "
        f"hold-out set and {left} {'is' if left == 1 else 'are'} left"
    )
    for need in needs:
        if need.num_folds > left:
            least = _least_patients(protocol.holdout_fraction, need.num_folds)
            raise SplitError(
                f"{radiographs.source}: {have}, but {need.name} divides them into "
                f"{need.num_folds} folds of at least one patient each; "
                f"{_mend(development, protocol, need)}add patients, to at least {least}"
            )
        fault = _unscored(development, make_folds(development, need.num_folds, protocol.seed))
        if fault:
            raise SplitError(
                f"{radiographs.source}: {have}; {need.name} divides them into {need.num_folds} "
                f"folds, but {fault}, so it would fail; "
                f"{_mend(development, protocol, need)}add patients, so that in each fold some "
                "cortex has two different scores"
            )


def _mend(development: Development, protocol: Protocol, need: Need) -> str:
    """What to change, if fewer folds would do."""
    left = len(set(development.radiographs.patient_ids))
    for num_folds in range(min(need.num_folds - 1, left), 1, -1):
        if not _unscored(development, make_folds(development, num_folds, protocol.seed)):
            return f"{need.mend.format(folds=num_folds)}, or "
    return "no smaller number of folds works either; "


def _unscored(development: Development, folds: Folds | int) -> str:
    """Why a fold has nothing to score, as the search would find it; empty if all have."""
    labels, visible = development.radiographs.labels, development.radiographs.visible
    assert isinstance(folds, Folds)
    for number, (training, held) in enumerate(folds):
        try:
            view_only_baseline(labels[training], labels[held], visible[held])
        except MetricError:
            patients = len(set(development.radiographs.patient_ids[held]))
            return (
                f"fold {number} would validate {len(held)} radiographs of {patients} "
                f"patient{'s' if patients != 1 else ''}, none of whose cortices has two different "
                "scores to tell apart"
            )
    return ""


def _least_patients(fraction: float, num_folds: int) -> int:
    """The smallest number of patients that fills a hold-out set and that many folds."""
    number = num_folds + 1
    while number - round(fraction * number) < num_folds or round(fraction * number) < 1:
        number += 1
    return number


def final_note(radiographs: Radiographs, protocol: Protocol, development: Development) -> str:
    """Why the final model cannot be cross-validated as the protocol asks; empty if it can be."""
    try:
        require_enough(radiographs, protocol, [need_of_final(protocol)], development=development)
    except SplitError as error:
        return str(error)
    return ""


def notes(
    development: Development, holdout: HoldOut | None, protocol: Protocol, folds: Folds | int
) -> tuple[str, ...]:
    """What the hold-out set will tell, and what a search can resolve.

    How many radiographs a fold trains on, and from which batch size on an epoch is one step, is
    said by `BatchSizes.note`.

    Args:
        development: the development set.
        holdout: the hold-out set, of which only the labels are counted; None to leave it out.
        protocol: the study's choices.
        folds: the folds of a search, or their number.

    Returns:
        A sentence or two each.
    """
    problems = []
    if holdout is not None:
        problems.append(holdout_note(holdout.radiographs, like=development.radiographs))
    return (*problems, search_note(development, protocol, folds))


def holdout_note(radiographs: Radiographs, *, like: Radiographs) -> str:
    """How precisely the hold-out set will measure the AUROC of the visible cortices.

    Args:
        radiographs: of the hold-out set.
        like: what more radiographs would be like.
    """
    num_patients = len(set(radiographs.patient_ids))
    size = (
        f"the hold-out set has {counted(num_patients, 'patient')} ({len(radiographs)} radiographs)"
    )
    labels = radiographs.labels[:, NUM_VIEWS:] == 1
    missing = [name for name, has in zip(CORTEX_LABELS, labels.any(axis=0), strict=True) if not has]
    lacks = ""
    if 0 < len(missing) <= _NAMED:
        lacks = f"; none has {label_list(missing, join='or')}"
    elif missing:
        lacks = f"; {len(missing)} of the {len(CORTEX_LABELS)} scores of cortices are in none"
    width = expected_half_width(radiographs.labels, radiographs.visible, radiographs.patient_ids)
    if np.isnan(width):
        return (
            f"{size}{lacks}. Its AUROC will have no interval, which needs at least {MIN_PATIENTS} "
            "patients with and without a score: it will tell little about new patients"
        )
    message = (
        f"{size}{lacks}. Expect its AUROC of visible cortices to be known to about {width:.2f} "
        "either way"
    )
    if width > _PRECISE:
        wanted = patients_for(like.labels, like.visible, like.patient_ids, wanted=_PRECISE)
        message += f"; about {wanted} hold-out patients would give {_PRECISE:.2f}"
    return message


def search_note(development: Development, protocol: Protocol, folds: Folds | int) -> str:
    """Which differences between trials a search can tell from chance, and if it is worthwhile."""
    radiographs = development.radiographs
    made = make_folds(development, folds, protocol.seed) if isinstance(folds, int) else folds
    trials = max(2, protocol.trials)
    difference = expected_resolution(
        radiographs.labels,
        radiographs.visible,
        radiographs.patient_ids,
        list(made),
        num_trials=trials,
    )
    num_patients = len(set(radiographs.patient_ids))
    compared = f" and {trials} trials" if protocol.trials > 1 else ""
    begin = f"with {counted(num_patients, 'patient')}{compared}, a search "
    if np.isnan(difference):
        return begin + "cannot compare trials, since a fold has no cortex to score"
    message = (
        f"{begin}can distinguish trials that differ by more than about "
        f"{min(difference, _HIGHEST_DIFFERENCE):.2f} in AUROC of visible cortices"
    )
    if difference <= _CLEAR:
        return message + "; it is worthwhile"
    wanted = float(f"{num_patients * (difference / _CLEAR) ** 2:.2g}")
    if difference <= _SELDOM:
        return message + (
            f"; expect many ties (about {wanted:.0f} patients would resolve {_CLEAR:.2f})"
        )
    # From a difference that no AUROC can have, nothing can be extrapolated.
    enough = f"; about {wanted:.0f} patients would resolve {_CLEAR:.2f}"
    return message + (
        ". Settings seldom differ that much, so a search is hardly worthwhile: most trials will be "
        "tied, and it cannot say which of them is the best"
        + (f" (--trials {_FEW_TRIALS} does as well)" if trials > _FEW_TRIALS else "")
        + (enough if difference < _HIGHEST_DIFFERENCE else "")
    )


def needs_of_study(protocol: Protocol, *, skip: Collection[str]) -> list[Need]:
    """What the steps of a whole study need, those in `skip` left out."""
    elsewhere = "leave it out (--skip {step}) and run it alone (rust-tuner {step} STUDY --folds "
    needs = [need_of_search(protocol)]
    for step, name, num_folds in (
        ("final", "the final model's cross-validation", protocol.final_folds),
        ("baselines", "the first models' cross-validation", protocol.baseline_folds),
    ):
        if step not in skip:
            needs.append(Need(name, num_folds, elsewhere.format(step=step) + "{folds})"))
    return needs
