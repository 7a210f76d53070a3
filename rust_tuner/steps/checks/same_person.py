"""The check for one person under two ids: visits of two ids that are more alike than expected.

The check with shuffled labels cannot find this, since labels are shuffled by id. Two visits of one
id show how alike one person's radiographs are, and visits of different ids how alike two people's
are. From both, the check measures how well it works on these data, and reports that. Measuring how
alike two radiographs are belongs to `data.likeness`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rust_tuner.data.radiographs import Radiographs
from rust_tuner.metrics.score_interval import share_interval
from rust_tuner.metrics.uncertainty import MIN_PATIENTS, Interval
from rust_tuner.records.checks import Verdict
from rust_tuner.records.split import SplitRecord
from rust_tuner.words import counted

SAME_PERSON = ("same_person", "One person under two ids")

FloatArray = npt.NDArray[np.float32]

# The chance that anything is flagged if every id is another person.
_FALSE_ALARMS = 0.02
# The tail in which likeness is assumed to fall off at least exponentially: the most alike 1 % of
# the pairs of two ids, or as many pairs as its scale can be estimated from.
_TAIL, _LEAST_IN_TAIL = 0.01, 100
_LEAST_KNOWN = 10
# If fewer of the known pairs than this share are above the limit, no alarm means nothing.
_LEAST_SEEN = 0.5
_LINES_SHOWN = 20

_WHOSE = (
    "Look at both visits. If they are of one person, use one id and a new study folder: the split "
    "was made with both. If they are of two people, nothing is wrong."
)
_LOOK_ELSEWHERE = (
    "Compare the ids with the hospital's list; these radiographs cannot answer the question."
)


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike visits are.

    Attributes:
        patients: (v,) id of each visit.
        visits: (v,) name of each visit.
        known: likeness of each two visits of one id.
        owners: the id of each of these pairs.
        others: likeness of each two visits of two ids.
        pairs: (2, len(others)) their visits.
    """

    patients: npt.NDArray[np.str_]
    visits: npt.NDArray[np.str_]
    known: FloatArray
    owners: npt.NDArray[np.str_]
    others: FloatArray
    pairs: npt.NDArray[np.int64]

    @property
    def limit(self) -> float:
        """The likeness that some pair of two ids exceeds in only 2 % of data if ids are correct.

        Among the most alike pairs, likeness is assumed to fall off exponentially. The scale comes
        from their median, so that a few pairs of one person hardly change it.
        """
        count = len(self.others)
        size = min(max(round(_TAIL * count), _LEAST_IN_TAIL), count)
        tail = np.partition(self.others, count - size)[count - size :]
        start = float(tail.min())
        scale = float(np.median(tail - start)) / math.log(2)
        return start + scale * math.log(size / _FALSE_ALARMS)

    @property
    def ranks(self) -> npt.NDArray[np.float64]:
        """For each known pair, the share of pairs of two ids that are less alike; ties are half."""
        ordered = np.sort(self.others)
        below = np.searchsorted(ordered, self.known, side="left")
        up_to = np.searchsorted(ordered, self.known, side="right")
        shares: npt.NDArray[np.float64] = (below + up_to) / (2 * len(ordered))
        return shares

    def auroc_interval(self) -> Interval:
        """The AUROC of likeness, with its 95 % interval over ids.

        Pairs that share an id are not independent. The variance is that of the ids' summed
        influences, those of pairs of one id and of two (Fafchamps and Gubert, J Dev Econ 2007,
        doi:10.1016/j.jdeveco.2006.05.005), and the interval is that of a share of the ids that
        have several visits. In simulation it covers in 95 to 100 % from `MIN_PATIENTS` such ids.
        """
        area, num_ids = float(self.ranks.mean()), self.num_ids
        if num_ids < MIN_PATIENTS:
            return Interval(area, math.nan, math.nan, reason="too few ids")
        ordered = np.sort(self.known)
        below = np.searchsorted(ordered, self.others, side="left")
        up_to = np.searchsorted(ordered, self.others, side="right")
        beaten = 1 - (below + up_to) / (2 * len(ordered))
        names, owner = np.unique(self.patients, return_inverse=True)
        sides = [
            (np.searchsorted(names, self.owners), self.ranks),
            *((owner[visits], beaten) for visits in self.pairs),
        ]
        influences = sum(
            np.bincount(ids, weights=(shares - area) / len(shares), minlength=len(names))
            for ids, shares in sides
        )
        variance = float(np.square(influences).sum()) * num_ids / (num_ids - 1)
        return Interval(area, *share_interval(area, variance, patients=num_ids))

    @property
    def num_ids(self) -> int:
        """How many ids have several visits that were compared."""
        return len(np.unique(self.owners))


def likeness_of_visits(radiographs: Radiographs, alike: Mapping[str, FloatArray]) -> Likeness:
    """How alike visits are, over the views that both have and all ways of comparing.

    Args:
        radiographs: n radiographs.
        alike: by what was compared, (n, n) as from `data.likeness`.
    """
    table = radiographs.table
    keys = list(zip(table["patient_id"].astype(str), table["visit"].astype(str), strict=True))
    names = sorted(set(keys))
    position = {name: at for at, name in enumerate(names)}
    of = np.array([position[key] for key in keys], dtype=np.int64)
    mean = (
        np.mean(np.stack(list(alike.values())), axis=0)
        if len(alike) > 1
        else (next(iter(alike.values())))
    )
    compared = np.isfinite(mean)
    sums, counts = (
        _summed(part, of, len(names))
        for part in (np.where(compared, mean, 0), compared.astype(np.float32))
    )
    # Two views of a visit say more than one, as a sum of two z-scores does.
    scores = np.divide(sums, np.sqrt(counts), out=np.zeros_like(sums), where=counts > 0)
    patients = np.array([patient for patient, _ in names])
    first, second = np.triu_indices(len(names), k=1)
    kept = counts[first, second] > 0
    first, second = first[kept], second[kept]
    same = patients[first] == patients[second]
    values = scores[first, second]
    return Likeness(
        patients,
        np.array([visit for _, visit in names]),
        values[same],
        patients[first[same]],
        values[~same],
        np.stack([first[~same], second[~same]]),
    )


def _summed(square: FloatArray, of: npt.NDArray[np.int64], count: int) -> FloatArray:
    rows = np.zeros((count, len(of)), dtype=np.float32)
    np.add.at(rows, of, square)
    summed = np.zeros((count, count), dtype=np.float32)
    np.add.at(summed, of, np.ascontiguousarray(rows.T))
    return summed


def check_same_person(
    radiographs: Radiographs,
    alike: Mapping[str, FloatArray],
    split: SplitRecord | None,
    *,
    left_out: str = "",
) -> Verdict:
    """Judge whether visits of two ids are more alike than two people's are.

    Args:
        radiographs: all radiographs, of both sides.
        alike: by what was compared (such as `pictures`), how alike each two are.
        split: says on which side a patient is; None if it is not known.
        left_out: what was not compared, and why, as a sentence.

    Returns:
        A warning with the pairs that are more alike than expected by chance; passed if there
        are none and at least half of the known pairs would have been flagged; else `not_run`,
        since these data cannot answer the question.
    """
    likeness = likeness_of_visits(radiographs, alike)
    by = " and ".join(alike)
    num_known = len(likeness.known)
    figures: dict[str, float | None] = {
        "pairs_of_two_ids": len(likeness.others),
        "pairs_of_one_id": num_known,
    }
    extra = f" {left_out}" if left_out else ""
    if not len(likeness.others):
        reason = f"No two ids have radiographs of one view.{extra}"
        return Verdict(*SAME_PERSON, "not_run", reason, _LOOK_ELSEWHERE, figures=figures)
    limit = likeness.limit
    alarms = np.flatnonzero(likeness.others > limit)
    alarms = alarms[np.argsort(-likeness.others[alarms], kind="stable")]
    seen = float((likeness.known > limit).mean()) if num_known else None
    enough = num_known >= _LEAST_KNOWN
    pairs = "1 pair of visits is" if num_known == 1 else f"{num_known} pairs of visits are"
    quality = (
        f"Only {pairs} of one id, too few to measure how well one person's "
        "legs can be recognised in these data."
    )
    if enough:
        area = likeness.auroc_interval()
        quality = _how_well(likeness, limit, area)
        figures |= {"auroc": area.value, "auroc_low": area.low, "auroc_high": area.high}
    figures |= {"share_of_one_id_seen": seen, "flagged": len(alarms)}
    compared = f"{len(likeness.others)} pairs of visits of two ids were compared by {by}."
    if len(alarms):
        reason = (
            f"{len(alarms)} pairs of visits under two ids are more alike than expected for two "
            f"people. {compared} {quality}{extra}"
        )
        lines = _lines(likeness, alarms, split, _written_names(radiographs))
        return Verdict(*SAME_PERSON, "warning", reason, _WHOSE, lines, figures)
    if enough and seen is not None and seen >= _LEAST_SEEN:
        reason = f"No person found under two ids. {compared} {quality}{extra}"
        return Verdict(*SAME_PERSON, "passed", reason, figures=figures)
    reason = (
        f"These data cannot show whether one person has two ids. {compared} None stands out, but "
        f"that says little. {quality}{extra}"
    )
    return Verdict(*SAME_PERSON, "not_run", reason, _LOOK_ELSEWHERE, figures=figures)


def _how_well(likeness: Likeness, limit: float, area: Interval) -> str:
    ends = f"no interval: {area.reason}" if area.reason else f"{area.low:.2f} to {area.high:.2f}"
    seen, num_known = int((likeness.known > limit).sum()), len(likeness.known)
    return (
        f"Likeness distinguishes visits of one id from visits of two with an AUROC of "
        f"{area.value:.2f} ({ends}; {num_known} pairs of visits of "
        f"{counted(likeness.num_ids, 'id')}), and {seen} of these {num_known} are alike enough to "
        "be flagged if they had two ids."
    )


def _written_names(radiographs: Radiographs) -> dict[tuple[str, str], tuple[str, str]]:
    """Patient and visit -> the names under which the study writes them."""
    ids, written = (
        zip(table["patient_id"].astype(str), table["visit"].astype(str), strict=True)
        for table in (radiographs.table, radiographs.written)
    )
    return dict(zip(ids, written, strict=True))


def _lines(
    likeness: Likeness,
    alarms: npt.NDArray[np.int64],
    split: SplitRecord | None,
    written: Mapping[tuple[str, str], tuple[str, str]],
) -> tuple[str, ...]:
    """The flagged pairs, those across the hold-out border first."""
    sealed = set() if split is None else set(split.holdout)

    def names(visit: np.int64) -> tuple[str, str]:
        return written[str(likeness.patients[visit]), str(likeness.visits[visit])]

    def crosses(pair: np.int64) -> bool:
        first, second = likeness.pairs[:, pair]
        return (names(first)[0] in sealed) != (names(second)[0] in sealed)

    def described(visit: np.int64) -> str:
        patient, name = names(visit)
        side = "hold-out set" if patient in sealed else "development set"
        where = f", {side}" if split is not None else ""
        return f"patient {patient} (visit {name}{where})"

    ordered = sorted(alarms, key=lambda pair: not crosses(pair))
    lines = [
        f"{described(likeness.pairs[0, pair])} and {described(likeness.pairs[1, pair])}: likeness "
        f"{likeness.others[pair]:.1f}, limit {likeness.limit:.1f}"
        for pair in ordered[:_LINES_SHOWN]
    ]
    rest = len(ordered) - len(lines)
    return (*lines, f"and {rest} more") if rest else tuple(lines)
